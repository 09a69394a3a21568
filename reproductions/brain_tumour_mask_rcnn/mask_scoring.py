"""Our metrics of the brain tumours for masks of any tool, whose connected parts are tumours."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

import numpy as np
import pandas

from common.metrics import aji
from common.prediction import evaluate
from common.prediction.evaluate import Read, Scoring
from reproductions.brain_tumour_mask_rcnn import annotation_files, data, metrics
from reproductions.brain_tumour_mask_rcnn.config import Config
from reproductions.brain_tumour_mask_rcnn.data import PARTS, Sample
from reproductions.brain_tumour_mask_rcnn.detections import Detections

FILE = "annotations.json"


def truths(folder: Path) -> Dict[str, Read]:
    """Outlines of the data set as it comes, annotations.json in the folder or in train, val and
    test, or masks of a folder.
    """
    files = [folder / FILE, *(folder / name / FILE for name in PARTS.values())]
    outlines: Dict[str, Read] = {}
    for path in files:
        if path.exists():
            for image, polygons in annotation_files.read(path).items():
                outlines[Path(image).stem] = _outlined(polygons, f"{path}, {image}")
    if outlines:
        return outlines
    masks = evaluate.masks_of(folder, classes=1)
    return {name: _of_mask(read) for name, read in masks.items()}


def per_image(name: str, truth: np.ndarray, predicted: np.ndarray) -> pandas.DataFrame:
    """Score a mask, uint8 (H, W) of 0 and 1, with true tumours, bool (n, H, W)."""
    parts = _parts(predicted)
    boxes = np.array([data.box(part) for part in parts], np.float32).reshape(-1, 4)
    predictions = Detections(boxes, np.ones(len(parts), np.float32), parts)
    sample = Sample(name, np.zeros((*predicted.shape, 3), np.uint8), truth)
    return metrics.per_image([sample], [predictions], min_score=0.5)


def aggregate(table: pandas.DataFrame) -> Dict[str, float]:
    """Summarise as the table does, at the one confidence that masks have."""
    table = table.assign(score=1.0)
    both = pandas.concat([table, table.add_suffix(metrics.CHOSEN)], axis=1)
    values = metrics.aggregate(both, Config())
    return {
        name: float(value)
        for name, value in values.items()
        if not name.endswith(metrics.CHOSEN) and name != "score"
    }


def _outlined(polygons: annotation_files.Polygons, name: str) -> Read:
    return lambda predicted: annotation_files.draw(polygons, predicted.shape, name)


def _of_mask(read: Read) -> Read:
    return lambda predicted: _parts(read(predicted))


def _parts(mask: np.ndarray) -> np.ndarray:
    numbers = aji.instances(mask.astype(bool))
    parts = [numbers == number for number in range(1, numbers.max() + 1)]
    return np.array(parts, bool).reshape(-1, *mask.shape)


scoring = Scoring(1, truths, per_image, aggregate)
