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
from reproductions.tnbc_linknet.config import SCORING, Config, Scoring
from reproductions.tnbc_linknet.data import Sample

COUNTS = ("tn", "fp", "fn", "tp")
SPLIT_DISTANCE = 6  # pixels, half the usual width of a nucleus


def per_image(
    runs: Sequence[Run], config: Config, data_set: DataSet, scoring: Scoring = SCORING
) -> pandas.DataFrame:
    """Score the saved maps of one network, or of several by soft voting, on their test images.

    Returns:
        What `compare` gives, one line per test image.
    """
    samples = data.load(data_set.folder, runs[0].split["test"], config)
    maps = [soft_vote(runs, sample.id) for sample in samples]
    return compare(samples, maps, scoring)


def nuclei(mask: np.ndarray, split: bool, scoring: Scoring) -> np.ndarray:
    """Label the nuclei of a mask, bool (H, W), as int32 (H, W) from 1.

    With `split`, at the necks between touching nuclei: watershed of the distance to the background
    from its maxima that are at least `SPLIT_DISTANCE` pixels apart.
    """
    if scoring.instances == "whole_mask":
        return mask.astype(np.int32)
    labels = aji.instances(mask, scoring.connectivity)
    if not split or not mask.any():
        return labels
    from scipy import ndimage  # not at the top: they take as long as a plan of runs
    from skimage.feature import peak_local_max
    from skimage.segmentation import watershed

    distance = ndimage.distance_transform_edt(mask)
    peaks = peak_local_max(distance, min_distance=SPLIT_DISTANCE, labels=labels)
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return watershed(-distance, markers, mask=mask).astype(np.int32)


def soft_vote(runs: Sequence[Run], sample_id: str) -> np.ndarray:
    """Average the networks' probability maps of one image, float32 (H, W).

    The paper sums them (sum rule) and asks for half the number of networks; the mean and 0.5 are
    the same decision.
    """
    maps = [predictions.load_map(run, sample_id) for run in runs]
    return np.mean(maps, axis=0)


def pack(runs: Sequence[Run], packed: Run) -> None:
    """Keep the maps of a network as bytes, which leave its mask at 0.5 as it is, and of several
    networks the mask that they vote for.
    """
    for sample_id in runs[0].split["test"]:
        probability = soft_vote(runs, sample_id)
        if len(runs) > 1:
            probability = (probability >= SCORING.threshold).astype(np.float32)
        predictions.save_map(packed, sample_id, probability)


def compare(
    samples: List[Sample], probabilities: List[np.ndarray], scoring: Scoring = SCORING
) -> pandas.DataFrame:
    """Compare thresholded probability maps, float (H, W), with the ground truth.

    Nuclei are found in both alike, because the ground truth is binary (`nuclei`).

    Returns:
        One line per image: id, pixel counts (tn, fp, fn, tp), numerators and denominators of AJI
        and AJI+ (pixels), true positive, false negative and false positive nuclei at IoU > 0.5, and
        the scores that follow from them, all in [0, 1].
    """
    rows = []
    for sample, probability in zip(samples, probabilities):
        pred = probability >= scoring.threshold
        matrix = dice.confusion(sample.mask, pred)
        true_nuclei = nuclei(sample.mask, scoring.instances == "split_both", scoring)
        pred_nuclei = nuclei(pred, scoring.instances.startswith("split"), scoring)
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


def aggregate(
    table: pandas.DataFrame, config: Config, scoring: Scoring = SCORING
) -> Dict[str, float]:
    """Summarise the lines of `compare` over the test images.

    The paper's DSC and F1 differ although they are one formula, so one of them is a mean over
    images and the other is taken over all pixels. Assumed: F1 is. The other way round carries the
    way in its name.
    """
    matrices = table[list(COUNTS)].to_numpy().reshape(-1, 2, 2)
    pooled = {
        "accuracy": dice.accuracy(matrices, reduction="pooled"),
        "dsc": dice.dice(matrices, reduction="pooled"),
        "f1": dice.f1(matrices, reduction="pooled"),
        "aji": _ratio(table["aji_intersection"].sum(), table["aji_union"].sum()),
    }
    means = {name: table[name].mean() for name in pooled}
    chosen = {
        "f1_pooled": ("f1",),
        "dsc_pooled": ("dsc",),
        "per_image": (),
        "pooled": tuple(pooled),
    }[scoring.aggregation]
    scores = {name: pooled[name] if name in chosen else means[name] for name in pooled}
    scores.update(
        dsc_pooled=pooled["dsc"],
        f1_per_image=means["f1"],
        aji_pooled=pooled["aji"],
        iou=table["iou"].mean(),
        iou_pooled=dice.iou(matrices, reduction="pooled"),
        aji_plus=table["aji_plus"].mean(),
        pq=table["pq"].mean(),
    )
    return scores


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else 1.0
