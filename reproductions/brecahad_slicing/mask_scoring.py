"""The paper's metrics for masks of tumour nuclei made by any tool.

Masks are made square as the paper's images are, and each counts as one tile.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict

import cv2
import numpy as np
import pandas

from common.prediction import evaluate
from common.prediction.evaluate import Read, Scoring
from reproductions.brecahad_slicing import annotation_files, data, matching, metrics
from reproductions.brecahad_slicing.config import BORDER_SIGMA, RADIUS, SIDE, Config
from reproductions.brecahad_slicing.data import Sample
from reproductions.brecahad_slicing.slicing import Tile

OF_TEST = ("test_", "nuclei_")  # begin the scores that masks can have


def truths(folder: Path) -> Dict[str, Read]:
    """Centres of the data set as it comes, groundTruth/….json, or masks of a folder."""
    listed = sorted(folder.glob("groundTruth/*.json")) or sorted(folder.glob("*.json"))
    if listed:
        return {path.stem: _from_centres(path) for path in listed}
    masks = evaluate.masks_of(folder, classes=1)
    return {name: _of_mask(read) for name, read in masks.items()}


def per_image(name: str, truth: Sample, predicted: np.ndarray) -> pandas.DataFrame:
    """Score a mask, uint8 (H, W) of 0 and 1."""
    tile = Tile(name, 0, 0, 0, int(truth.mask.sum()))
    probability = _square(predicted).astype(np.float32)
    return metrics.per_tile("test", [truth], [(tile, probability)], Config())


def aggregate(table: pandas.DataFrame) -> Dict[str, float]:
    """Summarise as the tables do."""
    values = metrics.aggregate(table, Config())
    return {name: value for name, value in values.items() if name.startswith(OF_TEST)}


def _from_centres(path: Path) -> Read:
    centres = np.minimum(annotation_files.centres(path)["tumor"] * SIDE, np.nextafter(SIDE, 0))
    mask, border = data.discs(centres, SIDE, RADIUS, BORDER_SIGMA)
    sample = Sample(path.stem, "", np.zeros((0, 0, 3), np.uint8), centres, mask, border)
    return lambda predicted: sample


def _of_mask(read: Read) -> Read:
    return lambda predicted: _from_mask(read(predicted))


def _from_mask(mask: np.ndarray) -> Sample:
    square = _square(mask).astype(bool)
    none = np.zeros((0, 0), np.float16)
    image = np.zeros((0, 0, 3), np.uint8)
    return Sample("", "", image, matching.points(square), square, none)


def _square(mask: np.ndarray) -> np.ndarray:
    return cv2.resize(mask, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)


scoring = Scoring(1, truths, per_image, aggregate)
