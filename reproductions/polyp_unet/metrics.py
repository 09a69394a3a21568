"""Scores of polyp masks: counted per image once, aggregated as the protocol says and in the ways
beside it.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Sequence, Union

import numpy as np
import pandas

from common import files
from common.datasets.manifests import DataSet
from common.metrics import dice
from common.training import predictions
from common.training.runs import Run
from reproductions.polyp_unet import data
from reproductions.polyp_unet.config import SCORING, THRESHOLD, THRESHOLDS, Config, Scoring
from reproductions.polyp_unet.data import Sample

COUNTS = ("tn", "fp", "fn", "tp")
TUNED = "tuned_"  # begins the columns at the threshold that was chosen on the validation images
BY_BATCH: Dict[str, Callable[..., Any]] = {
    "accuracy": dice.accuracy,
    "precision": dice.precision,
    "recall": dice.recall,
}
BY_IMAGE: Dict[str, Callable[..., Any]] = {"f1": dice.f1, "iou": dice.iou}
EMPTY: Dict[str, Union[float, str]] = {"one": 1.0, "zero": 0.0, "skip": "skip"}
# Ends the names of BY_BATCH where the protocol divides by another number.
MEAN_OF_BATCHES = "_mean_of_batches"


def per_image(
    runs: Sequence[Run], config: Config, data_set: DataSet, scoring: Scoring = SCORING
) -> pandas.DataFrame:
    """Score the saved maps of a network: what `compare` gives, for validation and test images."""
    run = runs[0]
    samples = data.load(data_set, config)
    parts = ["validation", "test"]
    if run.of_earlier_version:  # those kept the chosen threshold, and no maps to choose it from
        parts.remove("validation")
    maps = {}
    for part in parts:
        maps[part] = [predictions.load_map(run, sample.id) for sample in samples[part]]
    if run.of_earlier_version:
        kept = pandas.read_csv(files.buffered(run.folder / "metrics.csv"))
        tuned = float(kept[f"{TUNED}threshold"].iloc[0])
    else:
        tuned = best_threshold(samples["validation"], maps["validation"])
    threshold = scoring.threshold
    tables = [compare(part, samples[part], maps[part], tuned, threshold) for part in parts]
    return pandas.concat(tables, ignore_index=True)


def best_threshold(samples: List[Sample], maps: List[np.ndarray]) -> float:
    """Choose from `THRESHOLDS` the one with the highest mean F1; of equals the one nearest to 0.5.

    Give validation images: a threshold that has seen the test images flatters.
    """
    f1 = {}
    for threshold in THRESHOLDS:
        pairs = zip(samples, maps)
        matrices = [dice.confusion(sample.mask, each >= threshold) for sample, each in pairs]
        f1[threshold] = dice.f1(np.stack(matrices))
    return max(THRESHOLDS, key=lambda threshold: (f1[threshold], -abs(threshold - THRESHOLD)))


def compare(
    part: str,
    samples: List[Sample],
    maps: List[np.ndarray],
    tuned: float,
    threshold: float = THRESHOLD,
) -> pandas.DataFrame:
    """Compare probability maps, float (H, W), with the ground truth at both thresholds.

    Returns:
        One line per image, in the order of `samples`: id, part of the data, centre, scores in
        [0, 1] and pixel counts (tn, fp, fn, tp) at the threshold; the other threshold and the pixel
        counts there, named tuned_….
    """
    rows = []
    for sample, probability in zip(samples, maps):
        matrix = dice.confusion(sample.mask, probability >= threshold)
        other = dice.confusion(sample.mask, probability >= tuned)
        rows.append(
            {
                "id": sample.id,
                "part": part,
                "centre": sample.centre,
                "f1": dice.f1(matrix),
                "iou": dice.iou(matrix),
                **{name: score(matrix) for name, score in BY_BATCH.items()},
                **dict(zip(COUNTS, matrix.ravel())),
                f"{TUNED}threshold": tuned,
                **{TUNED + name: count for name, count in zip(COUNTS, other.ravel())},
            }
        )
    return pandas.DataFrame(rows)


def aggregate(
    table: pandas.DataFrame, config: Config, scoring: Scoring = SCORING
) -> Dict[str, float]:
    """Summarise the lines of `compare` over the test images, which must be in the order of
    testing.

    F1 and IoU are means over images. Accuracy, precision and recall are taken over the pixels of
    each batch and summed over the batches; the sum is divided by the number of images (published)
    or of batches (corrected). Also given: the published protocol with the correct denominator,
    and for both protocols the scores pooled over all pixels and those at the tuned threshold.
    Where a mask is empty and nothing is predicted, all scores are 1.
    """
    scores: Dict[str, float] = {}
    validation = table[table["part"] == "validation"]
    if len(validation):
        matrices = _matrices(validation, "")
        scores.update(validation_f1=dice.f1(matrices), validation_iou=dice.iou(matrices))
    table = table[table["part"] == "test"]
    fixed, tuned = _matrices(table, ""), _matrices(table, TUNED)
    starts = np.arange(0, len(table), config.batch_size)
    for name, score in BY_IMAGE.items():
        scores[name] = score(fixed, empty=EMPTY[scoring.empty])
    by_images = scoring.divisor == "images"
    if scoring.divisor == "by_protocol":
        by_images = config.protocol == "published"
    for name, score in BY_BATCH.items():
        if scoring.batch_scores == "pixels":
            values = score(np.add.reduceat(fixed, starts), reduction=None)
        else:
            of_images = score(fixed, reduction=None)
            ends = np.append(starts[1:], len(fixed))
            values = np.add.reduceat(of_images, starts) / (ends - starts)
        if by_images:
            scores[name] = values.sum() / len(table)
            scores[name + MEAN_OF_BATCHES] = values.mean()
        else:
            scores[name] = values.mean()
    for name, score in {**BY_IMAGE, **BY_BATCH}.items():
        scores[f"{name}_pooled"] = score(fixed, reduction="pooled")
    for name, score in BY_IMAGE.items():
        scores[f"{name}_tuned"] = score(tuned)
    scores["threshold_tuned"] = table[f"{TUNED}threshold"].iloc[0]
    return {name: float(value) for name, value in scores.items() if not np.isnan(value)}


def by_centre(table: pandas.DataFrame) -> Dict[str, Dict[str, float]]:
    """Score the lines of `compare` of each known centre: F1 and IoU as means over images, the
    others pooled.
    """
    scores = {}
    for centre, lines in table[table["part"] == "test"].groupby("centre"):
        matrices = _matrices(lines, "")
        scores[centre] = {
            "images": float(len(lines)),
            "f1": dice.f1(matrices),
            "iou": dice.iou(matrices),
        }
        scores[centre].update(
            {n: float(score(matrices, reduction="pooled")) for n, score in BY_BATCH.items()}
        )
    return scores


def _matrices(table: pandas.DataFrame, prefix: str) -> np.ndarray:
    return table[[prefix + name for name in COUNTS]].to_numpy().reshape(-1, 2, 2)
