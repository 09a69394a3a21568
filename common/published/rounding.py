"""Printed numbers, each with the range of numbers that it stands for.

A number may have been rounded or truncated before it was printed, and nothing says which. So a
printed v whose last digit is worth u stands for every number from v - u/2 to v + u.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Iterable, Iterator, NamedTuple, Tuple

from common.published.schema import COUNTS, Metric, PublishedTable, Row


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
    def line(self) -> Row:
        return self.table.rows[self.row]

    @property
    def text(self) -> str:
        return self.line.values[self.column]

    @property
    def row_label(self) -> str:
        return f"{self.line.label} (quoted)" if self.line.citation else self.line.label

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
        return f"{float(value * scale(self.metric)):.{decimals(self.text) + 1}f}"


def interval(printed: str) -> Tuple[Fraction, Fraction]:
    """Give the lowest and highest number that round or truncate to a printed one.

    >>> interval("0.82")
    (Fraction(163, 200), Fraction(83, 100))
    """
    value, unit = Fraction(printed), last_digit(printed)
    if printed.startswith("-"):  # truncation goes towards zero
        return value - unit, value + unit / 2
    return value - unit / 2, value + unit


def read(table: PublishedTable, row: str, column: str) -> Cell:
    """Give one number of a table. Counts stand for themselves."""
    printed, metric = table.rows[row].values[column], table.metrics[column]
    exact = Fraction(printed)
    low, high = (exact, exact) if metric.kind in COUNTS else interval(printed)
    return Cell(table, row, column, low / scale(metric), high / scale(metric))


def read_all(tables: Iterable[PublishedTable], quoted: bool = False) -> Iterator[Cell]:
    """Give every number of a paper's own results, in reading order; with those that it quotes from
    others where `quoted`.
    """
    for table in tables:
        for row, column, _ in table.all_numbers() if quoted else table.numbers():
            yield read(table, row, column)


def last_digit(printed: str) -> Fraction:
    """Give what one more in the last digit is worth: 1/100 for 0.25."""
    return Fraction(1, 10 ** decimals(printed))


def decimals(printed: str) -> int:
    """Count the decimals of a printed number."""
    return len(printed.partition(".")[2])


def scale(metric: Metric) -> int:
    """Give what a fraction is multiplied by in the unit of a metric: 100 in percent, else 1."""
    return 100 if metric.unit == "percent" else 1
