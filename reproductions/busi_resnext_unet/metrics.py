"""Scores of class maps: counted on whole, merged images, once per image, and aggregated over images
both ways.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import pandas

from common.datasets.manifests import DataSet
from common.imaging import tiling
from common.metrics import dice
from common.training import predictions
from common.training.runs import Run
from reproductions.busi_resnext_unet import data
from reproductions.busi_resnext_unet.config import CLASSES, PATCH, SCORING, Config, Scoring
from reproductions.busi_resnext_unet.data import Sample

COUNTS = tuple(f"{true}_as_{pred}" for true in CLASSES for pred in CLASSES)
SCORES = {
    "iou": (dice.iou, "iou_mean"),
    "dice": (dice.dice, "dice"),
}  # with the names of their means over classes
MERGED, BLENDED = "merged", "blended"  # folders of the predictions
PREFIX = "blended_"  # begins the columns of the prediction by overlapping, blended patches


def per_image(
    runs: Sequence[Run], config: Config, data_set: DataSet, scoring: Scoring = SCORING
) -> pandas.DataFrame:
    """Score the saved class maps of a network on its test images: what `compare` gives."""
    run = runs[0]
    samples = data.load(data_set.folder, run.split["test"])
    merged = [predictions.load_classes(run, f"{MERGED}/{sample.id}") for sample in samples]
    blended = None
    if not run.of_earlier_version:
        blended = [predictions.load_classes(run, f"{BLENDED}/{sample.id}") for sample in samples]
    if scoring.unit != "image":
        return compare(*patches(samples, merged, scoring.unit == "lesion_patch"))
    return compare(samples, merged, blended)


def patches(
    samples: List[Sample], maps: List[np.ndarray], with_lesion: bool
) -> Tuple[List[Sample], List[np.ndarray]]:
    """Cut ground truth and class maps into the paper's patches, padded with background.

    With `with_lesion`, those alone whose ground truth has a lesion.
    """
    cut_samples, cut_maps = [], []
    for sample, classes in zip(samples, maps):
        true, pred = tiling.split(sample.mask, PATCH), tiling.split(classes, PATCH)
        for number in range(len(true)):
            if true[number].any() or not with_lesion:
                name = f"{sample.id}_{number}"
                cut_samples.append(Sample(name, sample.image, true[number]))
                cut_maps.append(pred[number])
    return cut_samples, cut_maps


def compare(
    samples: List[Sample], merged: List[np.ndarray], blended: Optional[List[np.ndarray]] = None
) -> pandas.DataFrame:
    """Compare predicted class maps, uint8 (H, W), with the ground truth.

    Args:
        samples: the test images.
        merged: predicted from patches side by side, as in the paper.
        blended: predicted from overlapping patches; left out where None.

    Returns:
        One line per image: id, accuracy and IoU of each class in [0, 1], NaN for a class that is
        neither in the ground truth nor in the prediction, and the pixels by true and predicted
        class, all from `merged`; the last again, named blended_…, from `blended`.
    """
    rows = []
    for number, sample in enumerate(samples):
        matrix = dice.confusion(sample.mask, merged[number], len(CLASSES))
        iou = dice.iou(matrix, class_index=None, empty="skip")
        row = {"id": sample.id, "accuracy": dice.accuracy(matrix)}
        row.update({f"iou_{name}": value for name, value in zip(CLASSES, iou)})
        row.update(zip(COUNTS, matrix.ravel()))
        if blended is not None:
            other = dice.confusion(sample.mask, blended[number], len(CLASSES))
            row.update({f"{PREFIX}{name}": n for name, n in zip(COUNTS, other.ravel())})
        rows.append(row)
    return pandas.DataFrame(rows)


def aggregate(
    table: pandas.DataFrame, config: Config, scoring: Scoring = SCORING
) -> Dict[str, float]:
    """Summarise the lines of `compare` over the test images, in percent.

    The table's numbers are means over images, because the paper's cannot be pooled: its mean Dice
    of 83.42 is not the 83.93 that its class IoUs would then give. What is pooled over all pixels
    says so in its name, what comes from overlapping patches says blended. An image counts for a
    class that is in its ground truth or its prediction, so one of the class normal counts for the
    background alone unless a lesion is falsely found in it. A class that is in no image, true or
    predicted, has no score and is left out of the mean over classes. `scoring` has it otherwise.
    """
    merged = _matrices(table, "")
    pooled = _scores(merged, "pooled", scoring)
    scores = pooled if scoring.aggregation == "pooled" else _scores(merged, "per_image", scoring)
    scores = {**scores, **{f"{name}_pooled": value for name, value in pooled.items()}}
    if PREFIX + COUNTS[0] in table:
        by_blending = _scores(_matrices(table, PREFIX), "per_image", scoring)
        scores.update({f"{mean}_blended": by_blending[mean] for _, mean in SCORES.values()})
    return {name: 100 * float(value) for name, value in scores.items() if not np.isnan(value)}


def _scores(matrices: np.ndarray, reduction: str, scoring: Scoring) -> Dict[str, float]:
    scores = {"accuracy": dice.accuracy(matrices, reduction=reduction)}
    for name, (score, mean) in SCORES.items():
        by_class = _by_class(score, matrices, reduction, scoring)
        scores.update({f"{name}_{target}": value for target, value in zip(CLASSES, by_class)})
        lesions_only = name == "dice" and scoring.dice_classes == "lesions"
        averaged = by_class[1:] if lesions_only else by_class
        scores[mean] = np.nanmean(averaged) if not np.isnan(averaged).all() else np.nan
    return scores


def _by_class(
    score: Callable, matrices: np.ndarray, reduction: str, scoring: Scoring
) -> np.ndarray:
    """A score of each class, float (3,), with the policy for absent classes; NaN without any."""
    if reduction == "pooled":
        return score(matrices, class_index=None, reduction="pooled", empty="skip")
    if scoring.absent != "with_class":
        empty = {"skip": "skip", "zero": 0.0, "one": 1.0}[scoring.absent]
        return score(matrices, class_index=None, empty=empty)
    values = score(matrices, class_index=None, reduction=None, empty="skip")
    present = matrices.sum(axis=2) > 0
    counted = np.where(present, values, 0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return counted / present.sum(axis=0)


def _matrices(table: pandas.DataFrame, prefix: str) -> np.ndarray:
    columns = [prefix + name for name in COUNTS]
    return table[columns].to_numpy().reshape(-1, len(CLASSES), len(CLASSES))
