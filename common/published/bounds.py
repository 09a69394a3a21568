"""Bounds between printed numbers that several checks of the audit use."""

from __future__ import annotations

from fractions import Fraction
from typing import List, Optional, Sequence, Tuple

from common.published import rounding
from common.published.rounding import Cell
from common.published.schema import PublishedTable


def jaccard(dice: Fraction) -> Fraction:
    """Give the IoU of masks from their Dice: Dice / (2 - Dice), 1 for a Dice above 1.

    >>> jaccard(Fraction(4, 5))
    Fraction(2, 3)
    """
    return min(dice, Fraction(1)) / (2 - min(dice, Fraction(1)))


def harmonic(precision: Fraction, recall: Fraction) -> Fraction:
    """Give the harmonic mean of two fractions, 0 where both are 0.

    >>> harmonic(Fraction(9, 10), Fraction(1, 2))
    Fraction(9, 14)
    """
    return 2 * precision * recall / (precision + recall) if precision + recall else Fraction(0)


def beyond(cell: Cell, low: Fraction, high: Fraction, given: str) -> Optional[str]:
    """Say on which side of low..high, the range that something given allows, a number lies; None if
    it fits.
    """
    if cell.fits(low, high):
        return None
    side, bound = ("below the least", low) if cell.high < low else ("above the most", high)
    return f"{cell} is {side} that {given} allows, {cell.show(bound)}"


def all_printed(table: PublishedTable, places: Sequence[Tuple[str, str]]) -> List[Cell]:
    """Give the numbers in these rows and columns, or none at all if one of them is not printed."""
    complete = all(column in table.rows[row].values for row, column in places)
    return [rounding.read(table, row, column) for row, column in places] if complete else []
