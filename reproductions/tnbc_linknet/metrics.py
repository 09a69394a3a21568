"""Scores of nuclei masks: counted per image once, aggregated over images both ways."""

from __future__ import annotations

from typing import Dict, List, Sequence

import numpy as np
import pandas

from common.datasets.manifests import DataSet
from common.metrics import aji, dice
from common.training import predictions
from common.training.runs import Run
from reproductions.tnbc_linknet import data
from reproductions.tnbc_linknet.config import CONNECTIVITY, THRESHOLD, Config
from reproductions.tnbc_linknet.data import Sample

COUNTS = ("tn", "fp", "fn", "tp")


def per_image(runs: Sequence[Run], config: Config, data_set: DataSet) -> pandas.DataFrame:
    """Score the saved maps of one network, or of several by soft voting, on their test images.

    Returns:
        What `compare` gives, one line per test image.
    """
    samples = data.load(data_set.folder, runs[0].split["test"], config)
    return compare(samples, [soft_vote(runs, sample.id) for sample in samples])


def soft_vote(runs: Sequence[Run], sample_id: str) -> np.ndarray:
    """Average the networks' probability maps of one image, float32 (H, W).

    The paper sums them (sum rule) and asks for half the number of networks; the mean and 0.5 are
    the same decision.
    """
    maps = [predictions.load_map(run, sample_id) for run in runs]
    return np.mean(maps, axis=0)


def compare(
    samples: List[Sample], probabilities: List[np.ndarray], threshold: float = THRESHOLD
) -> pandas.DataFrame:
    """Compare thresholded probability maps, float (H, W), with the ground truth.

    Nuclei are connected components on both sides, because the ground truth is binary.

    Returns:
        One line per image: id, pixel counts (tn, fp, fn, tp), numerators and denominators of AJI
        and AJI+ (pixels), nuclei matched, missed and invented at IoU > 0.5, and the scores that
        follow from them, all in [0, 1].
    """
    rows = []
    for sample, probability in zip(samples, probabilities):
        pred = probability >= threshold
        matrix = dice.confusion(sample.mask, pred)
        true_nuclei, pred_nuclei = (
            aji.instances(mask, CONNECTIVITY) for mask in (sample.mask, pred)
        )
        aji_inter, aji_union = aji.aji_counts(true_nuclei, pred_nuclei)
        plus_inter, plus_union = aji.aji_plus_counts(true_nuclei, pred_nuclei)
        quality = aji.panoptic_quality(true_nuclei, pred_nuclei)
        rows.append(
            {
                "id": sample.id,
                **dict(zip(COUNTS, matrix.ravel())),
                "aji_intersection": aji_inter,
                "aji_union": aji_union,
                "aji_plus_intersection": plus_inter,
                "aji_plus_union": plus_union,
                "nuclei_matched": quality.tp,
                "nuclei_missed": quality.fn,
                "nuclei_invented": quality.fp,
                "accuracy": dice.accuracy(matrix),
                "dsc": dice.dice(matrix),
                "f1": dice.f1(matrix),
                "iou": dice.iou(matrix),
                "aji": _ratio(aji_inter, aji_union),
                "aji_plus": _ratio(plus_inter, plus_union),
                "pq": quality.pq,
            }
        )
    return pandas.DataFrame(rows)


def aggregate(table: pandas.DataFrame, config: Config) -> Dict[str, float]:
    """Summarise the lines of `compare` over the test images.

    The paper's DSC and F1 differ although they are one formula, so one of them is a mean over
    images and the other is taken over all pixels. Assumed here: F1 is pooled, everything else is a
    mean over images. The other way round carries the way in its name.
    """
    matrices = table[list(COUNTS)].to_numpy().reshape(-1, 2, 2)
    return {
        "accuracy": table["accuracy"].mean(),
        "dsc": table["dsc"].mean(),
        "f1": dice.f1(matrices, reduction="pooled"),
        "aji": table["aji"].mean(),
        "dsc_pooled": dice.dice(matrices, reduction="pooled"),
        "f1_per_image": table["f1"].mean(),
        "aji_pooled": _ratio(table["aji_intersection"].sum(), table["aji_union"].sum()),
        "iou": table["iou"].mean(),
        "iou_pooled": dice.iou(matrices, reduction="pooled"),
        "aji_plus": table["aji_plus"].mean(),
        "pq": table["pq"].mean(),
    }


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else 1.0
