"""Scores of class maps: counted on whole, merged images, once per image, and aggregated over images
both ways.
"""

from __future__ import annotations

from typing import Dict, List

import numpy as np
import pandas

from common.metrics import dice
from reproductions.busi_resnext_unet.config import CLASSES
from reproductions.busi_resnext_unet.data import Sample

COUNTS = tuple(f"{true}_as_{pred}" for true in CLASSES for pred in CLASSES)
SCORES = {
    "iou": (dice.iou, "iou_mean"),
    "dice": (dice.dice, "dice"),
}  # with the names of their means over classes
BLENDED = "blended_"  # begins the columns of the prediction by overlapping, blended patches


def per_image(
    samples: List[Sample], merged: List[np.ndarray], blended: List[np.ndarray]
) -> pandas.DataFrame:
    """Compare predicted class maps, uint8 (H, W), with the true ones.

    Args:
        samples: the test images.
        merged: predicted from patches side by side, as in the paper.
        blended: predicted from overlapping patches.

    Returns:
        One line per image: id, accuracy and IoU of each class in [0, 1], NaN for a class that is
        neither in the truth nor in the prediction, and the pixels by true and predicted class, all
        from `merged`; the last again, named blended_…, from `blended`.
    """
    rows = []
    for sample, labels, other in zip(samples, merged, blended):
        matrix, other = (
            dice.confusion(sample.mask, prediction, len(CLASSES)) for prediction in (labels, other)
        )
        iou = dice.iou(matrix, class_index=None, empty="skip")
        rows.append(
            {
                "id": sample.id,
                "accuracy": dice.accuracy(matrix),
                **{f"iou_{name}": value for name, value in zip(CLASSES, iou)},
                **dict(zip(COUNTS, matrix.ravel())),
                **{f"{BLENDED}{name}": count for name, count in zip(COUNTS, other.ravel())},
            }
        )
    return pandas.DataFrame(rows)


def aggregate(table: pandas.DataFrame) -> Dict[str, float]:
    """Summarise the lines of `per_image` over the test images, in percent.

    The table's numbers are means over images, because the paper's cannot be pooled: its mean Dice
    of 83.42 is not the 83.93 that its class IoUs would then give. What is pooled over all pixels
    says so in its name, what comes from overlapping patches says blended. An image counts for a
    class that is in its truth or its prediction, so one of the class normal counts for the
    background alone unless a lesion is invented in it. A class that is in no image, true or
    predicted, has no score and is left out of the mean over classes.
    """
    merged, blended = (
        table[[prefix + name for name in COUNTS]].to_numpy().reshape(-1, len(CLASSES), len(CLASSES))
        for prefix in ("", BLENDED)
    )
    scores = _scores(merged, "per_image")
    scores.update({f"{name}_pooled": value for name, value in _scores(merged, "pooled").items()})
    by_blending = _scores(blended, "per_image")
    scores.update({f"{mean}_blended": by_blending[mean] for _, mean in SCORES.values()})
    return {name: 100 * float(value) for name, value in scores.items() if not np.isnan(value)}


def _scores(matrices: np.ndarray, reduction: str) -> Dict[str, float]:
    scores = {"accuracy": dice.accuracy(matrices, reduction=reduction)}
    for name, (score, mean) in SCORES.items():
        by_class = score(matrices, class_index=None, reduction=reduction, empty="skip")
        scores.update({f"{name}_{target}": value for target, value in zip(CLASSES, by_class)})
        scores[mean] = np.nanmean(by_class)
    return scores
