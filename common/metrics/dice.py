"""Pixel metrics from confusion matrices: counting is done once per image, every score and average
follows from it.

Averaging is never implicit, because it changes the result more than most models do:
`reduction="per_image"` is the mean of the images' scores, `"pooled"` the score of the summed
matrices, and None gives the scores themselves, one row per image.

Where an image has no pixel of a class in its ground truth, libraries disagree. Here a class that is
predicted nevertheless scores 0, as in scikit-learn, and only one that is on neither side is left to
the policy `empty`. MONAI leaves both out by default (NaN) and scores 1 and 0 with
`ignore_empty=False`, which is the default here; tiatoolbox gives NaN where a class is on neither
side, which `empty=math.nan` does.
"""

from __future__ import annotations

import numbers
from typing import Callable

import numpy as np

from common.imaging.checks import refuse_masked, whole_number

_MOST_PIXELS = 2**62  # twice as many fit into an int64


def confusion(true: np.ndarray, pred: np.ndarray, classes: int = 2) -> np.ndarray:
    """Count pixels by true class (rows) and predicted class (columns): int64 (classes, classes).

    `true` and `pred` are class maps of one shape, integer or bool, with labels 0..classes-1.
    Raises ValueError for anything else, also for maps without pixels and for masked arrays.

    >>> confusion(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
    array([[1, 1],
           [0, 2]])
    """
    classes = whole_number(classes, "classes", 1)
    for labels, name in ((true, "true"), (pred, "pred")):
        refuse_masked(labels, name)
    true, pred = np.asarray(true), np.asarray(pred)
    if true.shape != pred.shape or true.size == 0:
        raise ValueError(
            f"class maps must be of equal shape and not empty, got {true.shape} and {pred.shape}"
        )
    for labels in (true, pred):
        if labels.dtype.kind not in "biu":
            raise ValueError(f"class maps must be integer or bool, got {labels.dtype}")
        if labels.min() < 0 or labels.max() >= classes:
            raise ValueError(
                f"labels must lie in 0..{classes - 1}, got {labels.min()}..{labels.max()}"
            )
    pairs = true.ravel().astype(np.intp) * classes + pred.ravel().astype(np.intp)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def dice(
    matrices,
    *,
    class_index: int | None = 1,
    reduction: str | None = "per_image",
    empty: float | str = 1.0,
):
    """Dice similarity coefficient, 2 TP / (2 TP + FP + FN).

    `matrices` is one confusion matrix (C, C) or a stack (n, C, C) of integers. The result is a
    float for one class, a float64 array (C,) for `class_index=None`; with `reduction=None` it is an
    array with an axis of images in front.
    `empty` is the score where a class is in neither the ground truth nor the prediction; "skip"
    leaves these images out of the mean, and what has no score at all is NaN. Raises ValueError for
    arrays that are no confusion matrices (negative counts, or more than 2**62 pixels, too) and for
    an unknown option.

    >>> missed, good = [[9, 0], [1, 0]], [[4, 0], [2, 4]]
    >>> dice([missed, good])  # the mean of 0 and 0.8
    0.4
    >>> dice([missed, good], reduction="pooled")  # 2 * 4 / (2 * 4 + 0 + 3)
    0.7272727272727273
    >>> dice([missed, good], reduction=None)
    array([0. , 0.8])
    >>> dice(good, class_index=None)
    array([0.8, 0.8])
    """
    return _score(
        lambda tp, fp, fn: _divide(2 * tp, 2 * tp + fp + fn),
        matrices,
        class_index,
        reduction,
        empty,
    )


def iou(
    matrices,
    *,
    class_index: int | None = 1,
    reduction: str | None = "per_image",
    empty: float | str = 1.0,
):
    """Intersection over union (Jaccard index), TP / (TP + FP + FN); arguments as for `dice`.

    >>> iou([[4, 0], [2, 4]])
    0.6666666666666666
    """
    return _score(
        lambda tp, fp, fn: _divide(tp, tp + fp + fn), matrices, class_index, reduction, empty
    )


def precision(
    matrices,
    *,
    class_index: int | None = 1,
    reduction: str | None = "per_image",
    empty: float | str = 1.0,
):
    """TP / (TP + FP), 0 where a present class is never predicted; arguments as for `dice`.

    >>> precision([[4, 1], [2, 4]])
    0.8
    """
    return _score(_precision, matrices, class_index, reduction, empty)


def recall(
    matrices,
    *,
    class_index: int | None = 1,
    reduction: str | None = "per_image",
    empty: float | str = 1.0,
):
    """TP / (TP + FN), 0 where a class is predicted but absent; arguments as for `dice`.

    >>> recall([[4, 1], [2, 4]])
    0.6666666666666666
    """
    return _score(_recall, matrices, class_index, reduction, empty)


def f1(
    matrices,
    *,
    class_index: int | None = 1,
    reduction: str | None = "per_image",
    empty: float | str = 1.0,
):
    """Harmonic mean of precision and recall, which on the same pixels equals `dice`; arguments as
    there.

    >>> f1([[4, 0], [2, 4]])
    0.8
    """

    def harmonic_mean(tp, fp, fn):
        p, r = _precision(tp, fp, fn), _recall(tp, fp, fn)
        return _divide(2 * p * r, p + r)

    return _score(harmonic_mean, matrices, class_index, reduction, empty)


def accuracy(matrices, *, reduction: str | None = "per_image"):
    """Fraction of the pixels with the right class, over all classes; `matrices` and `reduction` as
    for `dice`.

    >>> accuracy([[4, 0], [2, 4]])
    0.8
    """
    stack = _stack(matrices, reduction)
    values = np.trace(stack, axis1=1, axis2=2) / stack.sum(axis=(1, 2))
    return values if reduction is None else float(values.mean())


def _score(
    formula: Callable, matrices, class_index: int | None, reduction: str | None, empty: float | str
):
    if empty != "skip" and not isinstance(empty, numbers.Real):
        raise ValueError(f'empty must be a number or "skip", got {empty!r}')
    stack = _stack(matrices, reduction)
    if class_index is not None:
        class_index = whole_number(class_index, "class_index", 0)
        if class_index >= stack.shape[-1]:
            raise ValueError(f"class_index must be below {stack.shape[-1]}, got {class_index}")
    tp = np.diagonal(stack, axis1=1, axis2=2)
    fp, fn = stack.sum(axis=1) - tp, stack.sum(axis=2) - tp
    absent = tp + fp + fn == 0
    values = formula(tp, fp, fn)
    values[absent] = np.nan if empty == "skip" else empty
    if reduction is not None:
        counted = ~absent if empty == "skip" else np.ones_like(absent)
        total = np.where(counted, values, 0).sum(axis=0)
        values = _divide(total, counted.sum(axis=0), otherwise=np.nan)
    if class_index is None:
        return values
    return values[:, class_index] if reduction is None else float(values[class_index])


def _precision(tp, fp, fn):
    return _divide(tp, tp + fp)


def _recall(tp, fp, fn):
    return _divide(tp, tp + fn)


def _divide(a: np.ndarray, b: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
    return np.divide(a, b, out=np.full(np.shape(b), otherwise), where=b != 0)


def _stack(matrices, reduction: str | None) -> np.ndarray:
    """Check the matrices and give them as (n, C, C), n = 1 when they are to be pooled."""
    refuse_masked(matrices, "matrices")
    matrices = np.asarray(matrices)
    if (
        matrices.ndim not in (2, 3)
        or matrices.shape[-1] != matrices.shape[-2]
        or matrices.dtype.kind not in "iu"
    ):
        raise ValueError(
            f"matrices must be integer (C, C) or (n, C, C), got {matrices.dtype} {matrices.shape}"
        )
    if reduction not in ("per_image", "pooled", None):
        raise ValueError(f'reduction must be "per_image", "pooled" or None, got {reduction!r}')
    if matrices.size and matrices.min() < 0:
        raise ValueError(f"matrices must hold no negative count, got {matrices.min()}")
    if matrices.sum(dtype=np.float64) > _MOST_PIXELS:
        raise ValueError(
            f"matrices must count at most 2**62 pixels, got {matrices.sum(dtype=np.float64):.3g}"
        )
    # Narrower sums would overflow.
    stack = matrices.reshape(-1, *matrices.shape[-2:]).astype(np.int64)
    if stack.size == 0 or not stack.sum(axis=(1, 2)).all():
        raise ValueError(
            f"every matrix must count at least one pixel, got an empty one among {len(stack)}"
        )
    return stack.sum(axis=0, keepdims=True) if reduction == "pooled" else stack
