"""Checks of what a paper concludes: `claims` are all of its claims, `tables` all of its tables. The
docstring of a check is the reason that is printed with its findings.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from common.published import rounding, spread
from common.published.claims import Claim
from common.published.findings import Remark
from common.published.rounding import Cell
from common.published.schema import PublishedTable


class Printed(NamedTuple):
    """Both sides of a comparison, as printed."""

    better: Cell
    worse: Cell

    @property
    def difference(self) -> float:
        """Better less worse, as a fraction."""
        return float(_value(self.better) - _value(self.worse))

    @property
    def sides(self) -> Tuple[str, str]:
        """Names of both sides: their rows, with what else tells them apart."""
        one, other = self.better, self.worse
        if one.table.id != other.table.id:
            return f"{one.row_label} ({one.table.id})", f"{other.row_label} ({other.table.id})"
        if one.row == other.row:
            return f"{one.row_label}, {one.metric.label}", other.metric.label
        return one.row_label, other.row_label


def claim_printed(claims: Sequence[Claim], tables: Sequence[PublishedTable]) -> Iterator[Remark]:
    """What a paper concludes holds for the numbers that it prints: the row that is called better
    has the higher number.
    """
    for claim in claims:
        compared = _printed(claim, tables) if claim.kind == "better" else []
        failed = [pair for pair in compared if pair.better.high < pair.worse.low]
        if failed:
            terms = "; ".join(map(_term, failed))
            message = f"“{claim.text}”, but as printed: {terms}"
            yield Remark("suspicious", _cells(failed), message, failed[0].better.table)


def test_set(
    claims: Sequence[Claim], tables: Sequence[PublishedTable], runs: spread.Runs
) -> Iterator[Remark]:
    """One test set of n images moves a difference of two scores by t(0.975, n - 1) · sd / √n (95
    %), where sd is that of the images' differences, or both variances add where two rows score
    different images. A smaller printed difference is not told from the choice of the test images,
    however the networks were trained. n is the paper's; sd is estimated from our networks on our
    images. Tiles count as independent, which makes this the least.
    """
    groups: Dict[Tuple, List[Printed]] = {}
    for claim in claims:
        for pair in _printed(claim, tables) if claim.kind == "better" else ():
            group = groups.setdefault(_rows(pair), [])
            if pair not in group:
                group.append(pair)
    for pairs in groups.values():
        unresolved = [
            (pair, half)
            for pair in pairs
            for half in [_half_width(pair, tables, runs)]
            if half is not None and 0 < pair.difference < half.value
        ]
        if unresolved:
            yield _unresolved(unresolved, tables)


def test_images(cell: Cell, tables: Sequence[PublishedTable]) -> Optional[int]:
    """Give the number of images or tiles that a paper tested a row on: the size of the row's set
    where one is printed, else that of the data, times the test part of the paper's split. None
    where that is not printed.
    """
    splits = (table.split_percent for table in tables if table.split_percent)
    split = next((split for split in splits if "test" in split), None)
    if split is None or cell.metric.split is not None:
        return None
    every = Fraction(cell.line.values.get("size", split["images"]))
    return int(every * Fraction(split["test"]) / 100)


def _unresolved(
    found: Sequence[Tuple[Printed, spread.HalfWidth]], tables: Sequence[PublishedTable]
) -> Remark:
    terms = []
    for pair, half in found:
        printed, moved = (_shown(value, pair.better) for value in (pair.difference, half.value))
        terms.append(f"{pair.better.metric.label} {printed} ±{moved}")
    pair, half = found[0]
    counts = dict.fromkeys(str(test_images(cell, tables)) for cell in pair)
    unit = "tiles" if pair.better.line.cut or pair.better.line.filtered_from else "images"
    seeds = f"{half.seeds} seed" + ("" if half.seeds == 1 else "s")
    better, worse = pair.sides
    message = (
        f"{better} over {worse}: {', '.join(terms)} (printed difference ± what the choice of "
        f"{' and '.join(counts)} test {unit} does to it; sd from {half.images} of ours, profile "
        f"{half.profile}, {seeds})"
    )
    cells = _cells([pair for pair, _ in found])
    return Remark("unresolved", cells, message, pair.better.table)


def _half_width(
    pair: Printed, tables: Sequence[PublishedTable], runs: spread.Runs
) -> Optional[spread.HalfWidth]:
    sides = []
    for cell in pair:
        count = test_images(cell, tables)
        if count is None:
            return None
        sides.append(spread.Side(cell.table, cell.row, cell.column, count))
    return spread.difference(runs, *sides)


def _printed(claim: Claim, tables: Sequence[PublishedTable]) -> List[Printed]:
    """The comparisons of a claim whose both sides are printed."""
    by_id = {table.id: table for table in tables}

    def cell(table: str, row: str, metric: str) -> Optional[Cell]:
        held = by_id.get(table)
        if held is None or metric not in held.rows[row].values:
            return None
        return rounding.read(held, row, metric)

    pairs = []
    for one in claim.comparisons:
        better = cell(one.table, one.better_row, one.metric)
        worse = cell(one.worse_table, one.worse_row, one.worse_metric)
        if better and worse:
            pairs.append(Printed(better, worse))
    return pairs


def _cells(pairs: Sequence[Printed]) -> Tuple[Cell, ...]:
    """The numbers of several comparisons, each once."""
    return tuple({cell.where: cell for pair in pairs for cell in pair}.values())


def _rows(pair: Printed) -> Tuple:
    one, other = pair
    metrics = () if one.column == other.column else (one.column, other.column)
    return one.table.id, one.row, other.table.id, other.row, metrics


def _term(pair: Printed) -> str:
    if pair.better.column != pair.worse.column:
        return f"{pair.better} of {pair.better.row_label} < {pair.worse}"
    name, other = pair.sides
    return f"{pair.better} of {name} < {pair.worse.text} of {other}"


def _value(cell: Cell) -> Fraction:
    return Fraction(cell.text) / rounding.scale(cell.metric)


def _shown(value: float, like: Cell) -> str:
    """Write a difference with as many decimals as a number is printed with."""
    return f"{value * rounding.scale(like.metric):.{rounding.decimals(like.text)}f}"
