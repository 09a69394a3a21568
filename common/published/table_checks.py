"""Checks of a paper's tables against each other: `tables` are all of its tables. The docstring of a
check is the reason that is printed with its findings.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Dict, Iterator, Sequence, Tuple

from common.published import rounding
from common.published.bounds import all_printed
from common.published.findings import Remark
from common.published.rounding import Cell
from common.published.schema import COUNTS, FRACTIONS, PublishedTable

FEWEST_SCORES, FEWEST_DIGITS = 2, 8  # that two rows share before they count as repeated


def class_mean(tables: Sequence[PublishedTable]) -> Iterator[Remark]:
    """A mean over classes is the mean of the classes' values, whether these are pooled or means
    over images. It can be another only where images leave out the classes that they do not show.
    """
    for cell in rounding.read_all(tables, quoted=True):
        parts = all_printed(cell.table, [(cell.row, column) for column in cell.metric.mean_of])
        if not parts:
            continue
        low = sum((part.low for part in parts), Fraction(0)) / len(parts)
        high = sum((part.high for part in parts), Fraction(0)) / len(parts)
        if not cell.fits(low, high):
            severity = "impossible" if all(part.pooled for part in parts) else "suspicious"
            message = f"{cell} is not the mean of {', '.join(map(str, parts))}"
            yield Remark.on(severity, message, cell, *parts)


def total(tables: Sequence[PublishedTable]) -> Iterator[Remark]:
    """A total is the sum of its parts."""
    for cell in rounding.read_all(tables, quoted=True):
        places = [(row, cell.column) for row in cell.line.sum_of]
        parts = all_printed(cell.table, places)
        if parts and cell.metric.kind in COUNTS and cell.low != sum(part.low for part in parts):
            terms = " + ".join(part.text for part in parts)
            message = f"{cell} is not {terms}, {sum(part.low for part in parts)}"
            yield Remark.on("impossible", message, cell, *parts)


def split_percent(tables: Sequence[PublishedTable]) -> Iterator[Remark]:
    """The parts of a split make up the whole, and each is a whole number of images. Where a
    percentage gives none, it was rounded, or something else than these images was split.
    """
    for table in tables:
        parts = dict(table.split_percent or {})
        images = Fraction(parts.pop("images", 0))
        whole = sum(map(Fraction, parts.values()))
        slack = sum(map(rounding.last_digit, parts.values()))
        sizes = {part: images * Fraction(value) / 100 for part, value in parts.items()}
        if parts and not whole - slack / 2 <= 100 <= whole + slack:
            yield Remark("impossible", (), f"{' + '.join(parts.values())} % are not 100 %", table)
        elif any(size.denominator > 1 for size in sizes.values()):
            counts = ", ".join(f"{part} {float(size):g}" for part, size in sizes.items())
            message = f"{'/'.join(parts.values())} % of {images} images are {counts}"
            yield Remark("note", (), message, table)


def repeated(tables: Sequence[PublishedTable]) -> Iterator[Remark]:
    """Two models or two data sets hardly agree in every digit of several scores, here of at least
    two with at least eight digits together. One run may have been printed under two names, or a row
    copied.
    """
    for one, other, columns in _repeats(tables):
        scores = ", ".join(str(other[column]) for column in columns)
        first = one[columns[0]]
        names = filter(None, (first.table.id, first.table.model))
        origin = f"{first.row_label!r} of {' with '.join(names)}"
        both = [row[column] for row in (other, one) for column in columns]
        yield Remark.on("suspicious", f"{scores}, digit for digit as in {origin}", *both)


def row_count(tables: Sequence[PublishedTable]) -> Iterator[Remark]:
    """A stated number of different results is the number of rows in the tables that print them,
    less those that repeat another row digit for digit.
    """
    by_id = {table.id: table for table in tables}
    for cell in rounding.read_all(tables):
        counted = [by_id[name] for name in cell.line.rows_of if name in by_id]
        if not counted or len(counted) < len(cell.line.rows_of):
            continue
        rows = sum(row.citation is None for table in counted for row in table.rows.values())
        copies = {(other[c[0]].table.id, other[c[0]].row) for _, other, c in _repeats(counted)}
        different = rows - len(copies)
        if cell.low != different:
            repeats = "repeats" if len(copies) == 1 else "repeat"
            message = (
                f"{cell.text} {cell.metric.label} are stated; {', '.join(cell.line.rows_of)} have "
                f"{rows} rows, of which {len(copies)} {repeats} another: {rows} - {len(copies)} = "
                f"{different}"
            )
            yield Remark.on("suspicious", message, cell)


def one_value(tables: Sequence[PublishedTable]) -> Iterator[Remark]:
    """What two tables of a paper print under one name has one value: a set one size, a metric of a
    model one score.
    """
    seen: Dict[Tuple, Cell] = {}
    for cell in rounding.read_all(tables):
        model = None if cell.metric.kind == "size" else cell.table.model
        first = seen.setdefault((model, cell.row, cell.column), cell)
        if not cell.fits(first.low, first.high):
            message = f"{cell}, but {first.text} in {first.table.id}"
            yield Remark.on("suspicious", message, cell, first)


def stated_size(tables: Sequence[PublishedTable]) -> Iterator[Remark]:
    """What a text says of its data set is what the data set holds. The data's values were counted
    in the data set itself; they are ours, not the paper's.
    """
    for cell in rounding.read_all(tables):
        counted = cell.line.in_data.get(cell.column)
        if counted is not None and not cell.fits(Fraction(counted), Fraction(counted)):
            yield Remark.on("suspicious", f"{cell}, but {counted} in the data", cell)


def omitted(tables: Sequence[PublishedTable]) -> Iterator[Remark]:
    """A comparison with the literature holds the best results that the paper itself quotes on the
    same data. One that the text quotes and the comparison leaves out is better than what it calls
    best.
    """
    by_id = {table.id: table for table in tables}
    for cell in rounding.read_all(tables, quoted=True):
        comparison = by_id.get(cell.line.omitted_from or "")
        if comparison is None or cell.metric.kind not in FRACTIONS:
            continue
        own = [c for c in rounding.read_all([comparison]) if c.column == cell.column]
        best = max(own, key=lambda c: c.low, default=None)
        if best is not None and cell.low > best.high:
            difference = Fraction(cell.text) - Fraction(best.text)
            message = (
                f"{cell} is not in {comparison.id}, whose best is {best.text} of "
                f"{best.row_label!r}: {cell.text} - {best.text} = {float(difference):.2f}"
            )
            yield Remark.on("suspicious", message, cell, best)


CHECKS = (class_mean, total, split_percent, repeated, row_count, one_value, stated_size, omitted)


def _repeats(
    tables: Sequence[PublishedTable],
) -> Iterator[Tuple[Dict[str, Cell], Dict[str, Cell], Sequence[str]]]:
    """Yield two rows, as cells by column, and the columns in which they agree digit for digit."""
    rows: Dict[Tuple, Dict[str, Cell]] = {}
    for cell in rounding.read_all(tables):
        if cell.metric.kind in FRACTIONS:
            rows.setdefault((cell.table.id, cell.table.model, cell.row), {})[cell.column] = cell
    for (one, first), (other, second) in itertools.combinations(rows.items(), 2):
        same = [c for c in first if c in second and first[c].text == second[c].text]
        digits = sum(len(first[column].text.replace(".", "").lstrip("0")) for column in same)
        if one[1:] != other[1:] and len(same) >= FEWEST_SCORES and digits >= FEWEST_DIGITS:
            yield first, second, same
