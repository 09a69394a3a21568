"""The source's metrics for masks of polyps made by any tool."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Dict

import numpy as np
import pandas

from common.imaging import listing
from common.prediction import evaluate
from common.prediction.evaluate import Read, Scoring
from reproductions.polyp_unet import data, metrics
from reproductions.polyp_unet.config import THRESHOLD, Config
from reproductions.polyp_unet.data import Sample

TUNED = "_tuned"  # ends the scores at another threshold, which a mask does not have


def truths(folder: Path) -> Dict[str, Read]:
    """True masks of a folder, of its folder masks/, or of the file of MedSegBench in it."""
    packed = listing.matching(folder, "*.npz")
    if packed:
        parts = data.unpack(packed[0]).values()
        samples = itertools.chain.from_iterable(parts)
        return {
            sample.id: functools.partial(evaluate.same_size, packed[0], sample.mask)
            for sample in samples
        }
    of_data = folder / "masks"
    return evaluate.masks_of(of_data if of_data.is_dir() else folder, classes=1)


def per_image(name: str, truth: np.ndarray, predicted: np.ndarray) -> pandas.DataFrame:
    """Score a mask, uint8 (H, W) of 0 and 1."""
    sample = Sample(name, np.zeros((0, 0, 3), np.uint8), truth.astype(bool))
    return metrics.compare("test", [sample], [predicted.astype(np.float32)], THRESHOLD)


def aggregate(table: pandas.DataFrame) -> Dict[str, float]:
    """Summarise as the protocol `corrected` does, which has the source's mistakes mended."""
    values = metrics.aggregate(table, Config(protocol="corrected"))
    return {name: value for name, value in values.items() if not name.endswith(TUNED)}


scoring = Scoring(1, truths, per_image, aggregate)
