"""AJI, AJI+ and PQ as HoVer-Net's evaluation code and what follows it compute them: a full-size
mask per instance, every overlapping pair by itself, and for AJI+ a table of all instances.
"""

from __future__ import annotations

from typing import Dict, Tuple

import numpy as np
from scipy.optimize import linear_sum_assignment

Pairs = Dict[Tuple[int, int], Tuple[int, int]]


def aji_counts(true: np.ndarray, pred: np.ndarray) -> Tuple[int, int]:
    """Do what `common.metrics.aji.aji_counts` does."""
    pairs = _pairs(true, pred)
    best: Dict[int, Tuple[float, int]] = {}
    for (t, p), (intersection, union) in pairs.items():
        best[t] = max(best.get(t, (0, 0)), (intersection / union, p))
    return _aggregate(true, pred, {(t, p): pairs[t, p] for t, (_, p) in best.items()})


def aji_plus_counts(true: np.ndarray, pred: np.ndarray) -> Tuple[int, int]:
    """Do what `common.metrics.aji.aji_plus_counts` does."""
    pairs = _pairs(true, pred)
    rows, columns = list(_labels(true)), list(_labels(pred))
    iou = np.zeros((len(rows), len(columns)))
    for (t, p), (intersection, union) in pairs.items():
        iou[rows.index(t), columns.index(p)] = intersection / union
    matched = [(rows[i], columns[j]) for i, j in zip(*linear_sum_assignment(-iou)) if iou[i, j] > 0]
    return _aggregate(true, pred, {pair: pairs[pair] for pair in matched})


def panoptic_quality(true: np.ndarray, pred: np.ndarray) -> float:
    """Do what the `pq` of `common.metrics.aji.panoptic_quality` does."""
    ious = [intersection / union for intersection, union in _pairs(true, pred).values()]
    matched = [iou for iou in ious if iou > 0.5]
    return sum(matched) / ((len(_labels(true)) + len(_labels(pred))) / 2)


def _pairs(true: np.ndarray, pred: np.ndarray) -> Pairs:
    """Intersection and union, pixels, of every pair of labels that overlaps."""
    pairs = {}
    for t in _labels(true):
        true_mask = np.array(true == t, np.uint8)
        for p in _labels(pred[true_mask > 0]):
            pred_mask = np.array(pred == p, np.uint8)
            intersection = int((true_mask * pred_mask).sum())
            pairs[t, p] = intersection, int((true_mask + pred_mask).sum()) - intersection
    return pairs


def _aggregate(true: np.ndarray, pred: np.ndarray, chosen: Pairs) -> Tuple[int, int]:
    intersection = sum(counts[0] for counts in chosen.values())
    union = sum(counts[1] for counts in chosen.values())
    for labels, taken in ((true, {t for t, _ in chosen}), (pred, {p for _, p in chosen})):
        union += sum(
            int((labels == label).sum()) for label in _labels(labels) if label not in taken
        )
    return intersection, union


def _labels(labels: np.ndarray) -> np.ndarray:
    found = np.unique(labels)
    return found[found > 0]
