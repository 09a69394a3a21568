"""Printed numbers, each with the range that it stands for.

From half a unit of its last digit below to a whole one above: the number behind it may have been
rounded or cut off.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Iterable, Iterator, NamedTuple

from common.published.schema import COUNTS, Metric, PublishedTable


class Cell(NamedTuple):
    """A printed number, and the lowest and highest number that it can stand for; percentages become
    fractions.
    """

    table: PublishedTable
    row: str
    column: str
    low: Fraction
    high: Fraction

    @property
    def metric(self) -> Metric:
        return self.table.metrics[self.column]

    @property
    def text(self) -> str:
        return self.table.rows[self.row].values[self.column]

    @property
    def row_label(self) -> str:
        return self.table.rows[self.row].label

    @property
    def where(self) -> str:
        return f"{self.table.id}:{self.row}.{self.column}"

    @property
    def pooled(self) -> bool:
        return self.metric.aggregation.startswith("pooled")

    def __str__(self) -> str:
        return f"{self.metric.label} {self.text}"

    def fits(self, low: Fraction, high: Fraction) -> bool:
        """Whether this can stand for a number in low..high."""
        return self.low <= high and low <= self.high

    def show(self, value: Fraction) -> str:
        """Write `value` in the unit of this number, with one decimal more."""
        return f"{float(value * _scale(self.metric)):.{_decimals(self.text) + 1}f}"


def read(table: PublishedTable, row: str, column: str) -> Cell:
    """Give one number of a table. Counts stand for themselves."""
    printed, metric = table.rows[row].values[column], table.metrics[column]
    last = Fraction(0) if metric.kind in COUNTS else last_digit(printed)
    low, high = Fraction(printed) - last / 2, Fraction(printed) + last
    return Cell(table, row, column, low / _scale(metric), high / _scale(metric))


def read_all(tables: Iterable[PublishedTable]) -> Iterator[Cell]:
    """Give every number of a paper's own results, in reading order."""
    return (read(table, row, column) for table in tables for row, column, _ in table.numbers())


def last_digit(printed: str) -> Fraction:
    """Give what one more in the last digit is worth: 1/100 for 0.25."""
    return Fraction(1, 10 ** _decimals(printed))


def _decimals(printed: str) -> int:
    return len(printed.partition(".")[2])


def _scale(metric: Metric) -> int:
    return 100 if metric.unit == "percent" else 1
