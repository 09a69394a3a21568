"""Instance metrics: aggregated Jaccard index (AJI), its one-to-one form (AJI+) and panoptic quality
(PQ).

A label map is a 2-D integer array in which 0 is background and every other id is one instance; ids
may have gaps, and a bool map is a single instance. Renaming ids never changes a score, not even
among ties: instances are numbered by their first pixel in raster order before anything is compared.

Every score needs only the areas and the pairwise overlaps of the instances. They come from the runs
of pixels over which both maps stay constant, so time and memory grow with the pixels and with the
pairs that overlap, never with an n_true x n_pred table. A masked array is refused, since its mask
would be lost.
"""

from __future__ import annotations

import numbers
from typing import NamedTuple

import cv2
import numpy as np
import pandas

from common.imaging.checks import refuse_masked
from common.metrics.matching import best_of_each, one_to_one

_LARGEST = 2**31  # two ids below it fit into an int64
_BAND = 2**18  # pixels that are compared and hashed at a time, within the processor's cache


class PanopticQuality(NamedTuple):
    """`pq` = `sq` (mean IoU of the matched pairs) x `dq` (F1 score of detection); `tp`, `fp`, `fn`
    count true positive, false positive and missed instances.
    """

    pq: float
    sq: float
    dq: float
    tp: int
    fp: int
    fn: int


def instances(mask: np.ndarray, connectivity: int = 8) -> np.ndarray:
    """Label the connected components of a binary mask.

    `mask` is (H, W), bool or integers 0 and 1; the result is an int32 (H, W) label map with ids
    1..n. Pixels that touch at a corner belong together with `connectivity` 8 (as in scikit-image
    and MATLAB) and not with 4 (the default of `scipy.ndimage.label`).
    Raises ValueError for another mask or a connectivity other than 4 or 8.

    >>> instances(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]])).max()
    1
    >>> instances(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]]), connectivity=4).max()
    2
    """
    refuse_masked(mask, "mask")
    mask = np.asarray(mask)
    if connectivity not in (4, 8):
        raise ValueError(f"connectivity must be 4 or 8, got {connectivity}")
    if mask.ndim != 2 or mask.size == 0 or mask.dtype.kind not in "biu":
        raise ValueError(
            f"mask must be a non-empty 2-D bool or integer array, got {mask.dtype} {mask.shape}"
        )
    if mask.min() < 0 or mask.max() > 1:
        raise ValueError(f"mask must hold only 0 and 1, got values {mask.min()} to {mask.max()}")
    return cv2.connectedComponents(
        mask.astype(np.uint8), connectivity=int(connectivity), ltype=cv2.CV_32S
    )[1]


def aji(true: np.ndarray, pred: np.ndarray, *, empty: float = 1.0) -> float:
    """Aggregated Jaccard index of two (H, W) label maps, after Kumar et al. 2017 (IEEE TMI 36:1550,
    algorithm 1).

    Each true instance takes the prediction with the highest IoU, and several may take the same one.
    The index is the sum of the intersections over the sum of the unions, to which missed true
    instances and predictions never taken add their areas.

    Where others differ: among equal IoUs the prediction whose first pixel comes first in raster
    order is taken here, the lowest id in MoNuSeg's and HoVer-Net's code. The code published with
    TNBC (Naylor et al.) adds the area of prediction 1 for every missed instance and counts it as
    taken, which lowers the index. Without a prediction those raise an error or give NaN.

    `empty` is the score when neither map has an instance; if only one has none, it is 0.
    Raises ValueError for maps that are not 2-D, of equal shape, of integer or bool dtype and
    without negative ids, and for an `empty` that is no number.

    >>> true = np.array([[1, 1, 2, 2, 0, 3]])  # the prediction merges 1 and 2 and misses 3
    >>> pred = np.array([[7, 7, 7, 7, 7, 0]])
    >>> aji(true, pred)  # (2 + 2) / (5 + 5 + 1)
    0.36363636363636365
    """
    return _ratio(*aji_counts(true, pred), empty)


def aji_counts(true: np.ndarray, pred: np.ndarray) -> tuple[int, int]:
    """Numerator and denominator of `aji` in pixels; sum both over images for the pooled index.

    >>> aji_counts(np.array([[1, 1, 0, 2]]), np.array([[1, 1, 1, 0]]))
    (2, 4)
    """
    overlaps = _overlaps(true, pred)
    # The pairs are in the order of both raster numbers, so ties go to the first prediction.
    return _aggregate(overlaps, best_of_each(overlaps.true, -overlaps.iou))


def aji_plus(true: np.ndarray, pred: np.ndarray, *, empty: float = 1.0) -> float:
    """AJI over the one-to-one matching with the greatest sum of IoU, as in HoVer-Net's evaluation
    code.

    Not an upper bound of `aji`: one prediction over k equal touching instances scores 1/(2k-1) here
    and 1/k there. Arguments and errors as for `aji`. Where several matchings reach the greatest
    sum, the pixels may depend on which is taken; the choice depends on the instances alone, not on
    their ids.

    >>> aji_plus(np.array([[1, 1, 2, 2]]), np.array([[5, 5, 5, 5]]))  # 2 / (4 + 2)
    0.3333333333333333
    """
    return _ratio(*aji_plus_counts(true, pred), empty)


def aji_plus_counts(true: np.ndarray, pred: np.ndarray) -> tuple[int, int]:
    """Numerator and denominator of `aji_plus` in pixels; sum both over images for the pooled
    index.

    >>> aji_plus_counts(np.array([[1, 1, 2, 2]]), np.array([[5, 5, 5, 5]]))
    (2, 6)
    """
    overlaps = _overlaps(true, pred)
    return _aggregate(overlaps, one_to_one(overlaps.true, overlaps.pred, overlaps.iou))


def panoptic_quality(
    true: np.ndarray, pred: np.ndarray, iou: float = 0.5, *, empty: float = 1.0
) -> PanopticQuality:
    """Panoptic quality of one class (Kirillov et al. 2019, eq. 1-2, `dq` is their RQ) from two (H,
    W) label maps.

    Pairs with an IoU strictly above `iou` match; from 0.5 upwards this is one-to-one by itself, and
    a lower threshold is a ValueError. `empty` is the value of `pq`, `sq` and `dq` when neither map
    has an instance. Without a match all three are 0. Other errors as for `aji`.

    Where others differ: stardist matches at an IoU equal to the threshold, too, and gives 0 where
    neither map has an instance, as MONAI does. HoVer-Net and MONAI add 1e-6 to a denominator.

    >>> true = np.array([[1, 1, 1, 0, 2, 2]])
    >>> panoptic_quality(true, np.array([[4, 4, 0, 0, 0, 9]]))  # IoU 2/3 matches, IoU 1/2 does not
    PanopticQuality(pq=0.3333333333333333, sq=0.6666666666666666, dq=0.5, tp=1, fp=1, fn=1)
    """
    if not 0.5 <= iou < 1:
        raise ValueError(f"iou must be at least 0.5 and below 1, got {iou}")
    empty = _number(empty)
    overlaps = _overlaps(true, pred)
    matched = overlaps.iou[overlaps.iou > iou]
    tp = matched.size
    fp, fn = overlaps.pred_area.size - tp, overlaps.true_area.size - tp
    if tp + fp + fn == 0:
        return PanopticQuality(empty, empty, empty, 0, 0, 0)
    sq = float(matched.mean()) if tp else 0.0
    dq = tp / (tp + fp / 2 + fn / 2)
    return PanopticQuality(sq * dq, sq, dq, tp, fp, fn)


class _Overlaps(NamedTuple):
    """Areas of the instances and the overlapping pairs, sorted by true and then predicted number;
    pixels.
    """

    true_area: np.ndarray
    pred_area: np.ndarray
    true: np.ndarray
    pred: np.ndarray
    intersection: np.ndarray
    union: np.ndarray

    @property
    def iou(self) -> np.ndarray:
        return self.intersection / self.union


def _overlaps(true: np.ndarray, pred: np.ndarray) -> _Overlaps:
    for labels, name in ((true, "true"), (pred, "pred")):
        refuse_masked(labels, name)
    true, pred = np.asarray(true), np.asarray(pred)
    if true.ndim != 2 or true.shape != pred.shape:
        raise ValueError(
            f"label maps must be 2-D and of equal shape, got {true.shape} and {pred.shape}"
        )
    if true.dtype.kind not in "biu" or pred.dtype.kind not in "biu":
        raise ValueError(f"label maps must be integer or bool, got {true.dtype} and {pred.dtype}")
    pairs, pixels = _count(_bounded(true.ravel()), _bounded(pred.ravel()))
    true, pred = np.divmod(pairs, _LARGEST)
    true, true_area = _renumber(true, pixels)
    pred, pred_area = _renumber(pred, pixels)
    both = np.flatnonzero((true >= 0) & (pred >= 0))
    both = both[np.lexsort((pred[both], true[both]))]
    rows, columns, intersection = true[both], pred[both], pixels[both]
    union = true_area[rows] + pred_area[columns] - intersection
    return _Overlaps(true_area, pred_area, rows, columns, intersection, union)


def _bounded(labels: np.ndarray) -> np.ndarray:
    """Rename the ids of a map where they are not all below `_LARGEST`; the background stays 0."""
    if (
        labels.dtype == bool
        or np.iinfo(labels.dtype).max < _LARGEST
        or labels.max(initial=0) < _LARGEST
    ):
        return labels
    return pandas.factorize(np.concatenate([np.zeros(1, labels.dtype), _checked(labels)]))[0][1:]


def _checked(labels: np.ndarray) -> np.ndarray:
    if labels.min() < 0:
        raise ValueError(f"label maps must hold no negative id, got {labels.min()}")
    return labels


def _count(true: np.ndarray, pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the pairs of ids, true * _LARGEST + pred, in the order of their first pixels, and the
    pixels of each.
    """
    pairs, pixels = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for first in range(0, true.size, _BAND):
        band_true, band_pred = true[first : first + _BAND], pred[first : first + _BAND]
        changes = np.ones(band_true.size, bool)
        changes[1:] = band_true[1:] != band_true[:-1]
        changes[1:] |= band_pred[1:] != band_pred[:-1]
        starts = np.flatnonzero(changes)
        true_ids, pred_ids = _checked(band_true[starts]), _checked(band_pred[starts])
        # Hashing: several times faster than the sorting of np.unique, and already in the order of
        # first appearance.
        pair_of_run, unique = pandas.factorize(
            true_ids.astype(np.int64) * _LARGEST + pred_ids.astype(np.int64)
        )
        pairs.append(unique)
        pixels.append(_sums(pair_of_run, np.diff(starts, append=band_true.size), unique.size))
    pair_of_part, unique = pandas.factorize(np.concatenate(pairs))
    return unique, _sums(pair_of_part, np.concatenate(pixels), unique.size)


def _renumber(ids: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the instances 0..n-1 by first appearance, background -1; and their areas."""
    foreground = ids > 0
    instance_of_run, unique = pandas.factorize(ids[foreground])
    numbers = np.full(ids.size, -1, np.intp)
    numbers[foreground] = instance_of_run
    return numbers, _sums(instance_of_run, pixels[foreground], unique.size)


def _sums(groups: np.ndarray, lengths: np.ndarray, count: int) -> np.ndarray:
    # bincount weighs in float64, which is exact for any pixel count.
    return np.bincount(groups, weights=lengths, minlength=count).astype(np.int64)


def _aggregate(overlaps: _Overlaps, matched: np.ndarray) -> tuple[int, int]:
    """Intersection and union in pixels over the pairs at the positions `matched`, and all that is
    left over.
    """
    chosen = overlaps.pred[matched]
    left_over = np.ones(overlaps.pred_area.size, bool)
    left_over[chosen] = False
    intersection = int(overlaps.intersection[matched].sum())
    areas = (
        overlaps.true_area.sum()
        + overlaps.pred_area[chosen].sum()
        + overlaps.pred_area[left_over].sum()
    )
    return intersection, int(areas) - intersection


def _ratio(intersection: int, union: int, empty: float) -> float:
    empty = _number(empty)
    return intersection / union if union else empty


def _number(empty: float) -> float:
    if not isinstance(empty, numbers.Real):
        raise ValueError(f"empty must be a number, got {empty!r}")
    return float(empty)
