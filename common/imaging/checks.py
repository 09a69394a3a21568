"""Checks of arguments that NumPy would let through, with another result than the caller expects."""

from __future__ import annotations

import operator

import numpy as np


def refuse_masked(array, name: str) -> None:
    """Raise ValueError for a masked array, or a list with one: NumPy would drop the mask in
    silence.

    >>> refuse_masked(np.zeros(3), "image")
    >>> refuse_masked(np.ma.masked_equal([1, 0], 0), "image")
    Traceback (most recent call last):
    ValueError: image must be no masked array, got one: fill it first, since its mask would be lost
    """
    parts = array if isinstance(array, (list, tuple)) else [array]
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):
        raise ValueError(
            f"{name} must be no masked array, got one: fill it first, since its mask would be lost"
        )


def whole_number(number: int, name: str, least: int) -> int:
    """Give `number` as an int; raise ValueError for a fraction, a bool, or one below `least`.

    >>> whole_number(np.int64(3), "size", least=1)
    3
    >>> whole_number(0.5, "overlap", least=0)
    Traceback (most recent call last):
    ValueError: overlap must be a whole number of at least 0, got 0.5
    """
    try:
        whole = operator.index(number)
    except TypeError:
        whole = least - 1
    if whole < least or isinstance(number, bool):
        raise ValueError(f"{name} must be a whole number of at least {least}, got {number!r}")
    return whole
