"""Checks of one row: `row` holds fractions of the same pixels that the paper does not say to have
aggregated differently. The docstring of a check is the reason that is printed with its findings.
"""

from __future__ import annotations

import itertools
from decimal import Decimal
from fractions import Fraction
from typing import Iterator, List, Sequence, Tuple

from common.published.bounds import beyond, harmonic, jaccard
from common.published.findings import Remark
from common.published.rounding import Cell

OVERLAP = ("dice", "f1", "iou")


def fraction_range(row: Sequence[Cell]) -> Iterator[Remark]:
    """A fraction of pixels lies between 0 and 1, and so does every mean of fractions."""
    for cell in row:
        if cell.low > 1 or cell.text.startswith("-"):
            yield Remark.on("impossible", f"{cell} is no fraction", cell)


def dice_iou(row: Sequence[Cell]) -> Iterator[Remark]:
    """On the same thresholded masks IoU = Dice / (2 - Dice), a convex function that nowhere exceeds
    Dice. So this is the IoU where both are pooled, and the least IoU for any weighted mean over
    images, batches or classes (Jensen's inequality). The most is Dice itself. Presumes hard Dice
    and hard IoU: a soft Dice, computed from probabilities, beside a hard IoU breaks the bound.
    """
    for dice, iou in _pairs(row, ("dice", "f1"), ("iou",)):
        high = jaccard(dice.high) if iou.pooled else dice.high
        problem = beyond(iou, jaccard(dice.low), high, str(dice))
        if problem:
            yield Remark.on("impossible", problem, dice, iou)


def precision_recall(row: Sequence[Cell]) -> Iterator[Remark]:
    """Dice (F1) of an image is the harmonic mean of its precision P and recall R, thus at most (P +
    R) / 2; its IoU is at most the smaller of P and R; both are at least P + R - 1. As these bounds
    are linear or concave, means over images keep to them too. The harmonic mean itself has to be
    met only where all pixels are pooled.
    """
    for precision, recall, overlap in _pairs(row, ("precision",), ("recall",), OVERLAP):
        is_iou = overlap.metric.kind == "iou"
        if overlap.pooled:
            low, high = harmonic(precision.low, recall.low), harmonic(precision.high, recall.high)
            low, high = (jaccard(low), jaccard(high)) if is_iou else (low, high)
        else:
            low = precision.low + recall.low - 1
            smaller = min(precision.high, recall.high)
            high = smaller if is_iou else (precision.high + recall.high) / 2
        problem = beyond(overlap, low, high, f"{precision} with {recall}")
        if problem:
            yield Remark.on("impossible", problem, precision, recall, overlap)


def accuracy(row: Sequence[Cell]) -> Iterator[Remark]:
    """With two classes IoU is at most accuracy, because TP / (TP + FP + FN) grows when TN is added
    above and below. So the mean IoU is at most the mean accuracy, and so is Dice / (2 - Dice),
    which the mean IoU cannot be less than.
    """
    for right, overlap in _pairs(row, ("accuracy",), OVERLAP):
        low = overlap.low if overlap.metric.kind == "iou" else jaccard(overlap.low)
        problem = beyond(right, low, Fraction(1), str(overlap))
        if problem:
            yield Remark.on("impossible", problem, right, overlap)


def dice_f1(row: Sequence[Cell]) -> Iterator[Remark]:
    """Dice and F1 are one formula, 2 TP / (2 TP + FP + FN). On the same masks they differ only if
    they are aggregated differently, such as one per image and one over all pixels; printed side by
    side, that is the likely reading.
    """
    for dice, f1 in _pairs(row, ("dice",), ("f1",)):
        if not dice.fits(f1.low, f1.high):
            severity = "suspicious" if dice.metric.aggregation == "not stated" else "impossible"
            yield Remark.on(severity, f"{dice} and {f1} differ", dice, f1)


def aji_jaccard(row: Sequence[Cell]) -> Iterator[Remark]:
    """AJI is at most the IoU of the same pixels, thus at most Dice. Over pooled pixels that IoU is
    Dice / (2 - Dice); as a mean over images it is larger, the more so the more the images' Dice
    varies. AJI reaches the IoU where no object touches two of the other side (none merged, none
    split), or where a whole mask counts as one object.
    """
    for aji, overlap in _pairs(row, ("aji",), OVERLAP):
        is_iou = overlap.metric.kind == "iou"
        low, high = overlap.low, overlap.high
        if not is_iou:
            low, high = jaccard(low), jaccard(high)
        most = high if overlap.pooled else overlap.high
        problem = beyond(aji, Fraction(0), most, str(overlap))
        beyond_pooled = beyond(aji, Fraction(0), high, f"{overlap} over pooled pixels")
        if problem:
            yield Remark.on("impossible", problem, aji, overlap)
        elif beyond_pooled:
            yield Remark.on("suspicious", beyond_pooled, aji, overlap)
        elif aji.fits(low, high):
            problem = f"{aji} is, as far as it is printed, the pooled IoU that {overlap} gives"
            yield Remark.on("suspicious", problem, aji, overlap)


CHECKS = (fraction_range, dice_iou, precision_recall, accuracy, dice_f1, aji_jaccard)


def batch_size(row: Sequence[Cell]) -> Iterator[Remark]:
    """A sum of batch means that is divided by the number of images, not of batches, is too small by
    the batch size. This is tried where a row is impossible as it stands, on the metrics that are
    taken to be aggregated alike.
    """
    factor = row[0].table.batch_size
    if factor is None or not impossible(row):
        return
    for reading in dict.fromkeys(cell.metric.assumed_aggregation for cell in row):
        small = [cell for cell in row if cell.metric.assumed_aggregation == reading]
        rest = [cell for cell in row if cell.metric.assumed_aggregation != reading]
        scaled = [cell._replace(low=cell.low * factor, high=cell.high * factor) for cell in small]
        if rest and not impossible(rest + scaled):
            products = ", ".join(
                f"{cell.metric.label} {Decimal(cell.text) * factor}" for cell in small
            )
            message = f"{factor} times as large, {products} contradict nothing"
            yield Remark.on("note", message, *small)


def impossible(row: Sequence[Cell]) -> bool:
    """Whether a check of one row finds it impossible."""
    return any(remark.severity == "impossible" for check in CHECKS for remark in check(row))


def _pairs(row: Sequence[Cell], *kinds: Sequence[str]) -> Iterator[Tuple[Cell, ...]]:
    def cells_of(some: Sequence[str]) -> List[Cell]:
        return [cell for cell in row if cell.metric.kind in some]

    return itertools.product(*map(cells_of, kinds))
