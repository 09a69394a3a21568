"""The paper's metrics for class maps of lesions made by any tool: 0 background, 1 benign, 2
malignant.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict

import numpy as np
import pandas

from common.prediction import evaluate
from common.prediction.evaluate import Read, Scoring
from reproductions.busi_resnext_unet import data, metrics
from reproductions.busi_resnext_unet.config import CLASSES, Config
from reproductions.busi_resnext_unet.data import Sample

LESIONS = len(CLASSES) - 1


def truths(folder: Path) -> Dict[str, Read]:
    """True class maps of the data set as it comes, benign/… and so on, or of a folder of masks."""
    if not any((folder / name).is_dir() for name in data.VALUES):
        return evaluate.masks_of(folder, LESIONS)

    def reader(image_id: str) -> Read:
        path = data.find(folder)[image_id].masks[0]
        return lambda predicted: evaluate.same_size(
            path, data.load(folder, [image_id])[0].mask, predicted
        )

    return {image_id: reader(image_id) for image_id in data.find(folder)}


def per_image(name: str, truth: np.ndarray, predicted: np.ndarray) -> pandas.DataFrame:
    """Score a class map, uint8 (H, W)."""
    return metrics.compare([Sample(name, np.zeros((0, 0, 3), np.uint8), truth)], [predicted])


scoring = Scoring(LESIONS, truths, per_image, lambda table: metrics.aggregate(table, Config()))
