"""The paper's metrics for masks of nuclei made by any tool."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

import numpy as np
import pandas

from common.prediction import evaluate
from common.prediction.evaluate import Read, Scoring
from reproductions.tnbc_linknet import metrics
from reproductions.tnbc_linknet.config import Config
from reproductions.tnbc_linknet.data import Sample


def truths(folder: Path) -> Dict[str, Read]:
    """True masks of the data set as it comes, GT_<patient>/…, or of a folder of masks."""
    by_id: Dict[str, Read] = {}
    for part in sorted(path for path in folder.glob("GT_*") if path.is_dir()):
        by_id.update(evaluate.masks_of(part, classes=1))
    return by_id or evaluate.masks_of(folder, classes=1)


def per_image(name: str, truth: np.ndarray, predicted: np.ndarray) -> pandas.DataFrame:
    """Score a mask, uint8 (H, W) of 0 and 1."""
    sample = Sample(name, np.zeros((0, 0, 3), np.uint8), truth.astype(bool))
    return metrics.compare([sample], [predicted.astype(np.float32)])


scoring = Scoring(1, truths, per_image, lambda table: metrics.aggregate(table, Config()))
