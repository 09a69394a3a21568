"""Checks of sets of tiles: how many there can be, which part of them a printed size is, and how
many of them a filter removes. The docstring of a check is the reason printed with its findings.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from common.published import rounding
from common.published.bounds import all_printed
from common.published.findings import Remark
from common.published.rounding import Cell
from common.published.schema import Cut, PublishedTable, Row

RAREST_CHANCE = Fraction(1, 100)  # of sizes that happen to be a whole percentage: quiet above it
WIDEST_DRAW = 4  # standard errors that two draws of the same tiles may be apart: quiet below it


def filtered(tables: Sequence[PublishedTable]) -> Iterator[Remark]:
    """Leaving tiles out makes no set larger. Where its size stays the same nothing was left out:
    the two sets are one, and scores on them differ for another reason, such as chance.
    """
    for cell, before in _sizes(tables, lambda row: row.filtered_from):
        source = f"the {before.text} of {before.row_label!r}, which it was filtered from"
        if cell.low > before.low:
            yield Remark.on("impossible", f"{cell} exceeds {source}", cell, before)
        elif cell.low == before.low:
            yield Remark.on("note", f"{cell} equals {source}", cell, before)


def tiles(tables: Sequence[PublishedTable]) -> Iterator[Remark]:
    """A square image gives ((image - tile) // step + 1)² tiles, a set of images as many times that.
    Fewer tiles mean that images or tiles were left out, or that the size counts only a part of the
    set; more cannot be.
    """
    for cell, images, cut in _cut_sizes(tables):
        each = cut.tiles_of_an_image
        if cell.low != images.low * each:
            severity = "suspicious" if cell.low < images.low * each else "impossible"
            given = f"{images.text} images × {each} tiles = {images.low * each}"
            message = f"{cell} is not {given}; it is {float(cell.low / each):.2f} × {each}"
            yield Remark.on(severity, message, cell, images)
        if cut.tiles is not None and cut.tiles != each:
            message = f"{cut.tiles} tiles of an image are stated, its sizes give {each}"
            yield Remark.on("impossible", message, cell)


def tile_fraction(tables: Sequence[PublishedTable]) -> Iterator[Remark]:
    """A part of a set that is drawn as a percentage has int(k % of all) tiles. By chance one size
    in all / 100 is such a number for a whole k, so several in one table are hardly chance: these
    networks were trained on a fraction of the tiles.
    """
    for table in tables:
        drawn: List[Tuple[Cell, int, int]] = []
        for cell, images, cut in _cut_sizes([table]):
            every = int(images.low) * cut.tiles_of_an_image
            percent = whole_percentage(int(cell.low), every)
            if percent is not None:
                drawn.append((cell, percent, every))
        chances = [Fraction(100, every) for _, _, every in drawn]
        if drawn and math.prod(chances) <= RAREST_CHANCE:
            terms = [f"{cell.text} = int({k} % of {every})" for cell, k, every in drawn]
            odds = ", ".join(f"{1 / chance:.0f}" for chance in map(float, chances))
            message = f"{', '.join(terms)}; by chance one size in {odds}"
            cells = tuple(cell for cell, _, _ in drawn)
            yield Remark("note", cells, message, table)


def removal(tables: Sequence[PublishedTable]) -> Iterator[Remark]:
    """A filter removes the same tiles wherever it is used. Of a set that holds all tiles it removes
    all that can be removed; of a part drawn at random from the same tiles it removes the same
    fraction, give or take √(p(1 - p)(1/n + 1/m)). Presumes that each set was filtered from the one
    printed above it, as the paper says.
    """
    seen: Dict[str, _Removal] = {}
    for cell, before in _sizes(tables, lambda row: row.filtered_from):
        if cell.low > before.low:
            continue  # nothing that a filter does; `filtered` says so
        own = _Removal(cell, before, _holds_all(before))
        first = seen.setdefault(cell.row, own)
        if first is own:
            continue
        yield from _compare_removals(first, own)


CHECKS = (filtered, tiles, tile_fraction, removal)


def whole_percentage(size: int, every: int) -> Optional[int]:
    """Give the whole percentage k, 1 to 99, with int(k % of every) = size; None without one.

    >>> whole_percentage(1349, 7938), whole_percentage(1350, 7938)
    (17, None)
    """
    for percent in range(1, 100):
        if percent * every // 100 == size:
            return percent
    return None


class _Removal(NamedTuple):
    """A filtered set, the set before, and whether that holds all tiles of its images."""

    cell: Cell
    before: Cell
    of_all: bool

    @property
    def removed(self) -> int:
        return int(self.before.low - self.cell.low)

    @property
    def total(self) -> int:
        return int(self.before.low)

    def __str__(self) -> str:
        percent = 100 * self.removed / self.total
        return f"{self.removed} of {self.before.text} ({percent:.1f} %) in {self.cell.table.id}"


def _compare_removals(first: _Removal, own: _Removal) -> Iterator[Remark]:
    cells = (own.cell, own.before, first.cell, first.before)
    for whole, part in ((first, own), (own, first)):
        if whole.of_all and part.removed > whole.removed:
            message = f"removes {part}, more than the {whole}, which are all that there are"
            yield Remark.on("impossible", message, *cells)
            return
    overall = (first.removed + own.removed) / (first.total + own.total)
    spread = math.sqrt(overall * (1 - overall) * (1 / first.total + 1 / own.total))
    apart = abs(first.removed / first.total - own.removed / own.total)
    if apart > WIDEST_DRAW * spread:
        message = (
            f"removes {own}, but {first}: {100 * apart:.1f} points apart, where a random draw "
            f"makes ±{100 * 1.96 * spread:.1f}"
        )
        if own.cell.low == first.cell.low:
            message += f"; both leave {own.cell.text}"
        yield Remark.on("suspicious", message, *cells)


def _holds_all(cell: Cell) -> bool:
    cut = cell.line.cut
    if cut is None:
        return False
    images = all_printed(cell.table, [(cut.source, cell.column)])
    return bool(images) and cell.low == images[0].low * cut.tiles_of_an_image


def _cut_sizes(tables: Iterable[PublishedTable]) -> Iterator[Tuple[Cell, Cell, Cut]]:
    """Yield each size of a set of tiles, the number of images behind it, and how they were cut."""
    for cell, images in _sizes(tables, lambda row: row.cut.source if row.cut else None):
        if cell.line.cut:
            yield cell, images, cell.line.cut


def _sizes(
    tables: Iterable[PublishedTable], source: Callable[[Row], Optional[str]]
) -> Iterator[Tuple[Cell, Cell]]:
    """Yield each size with that of the set that it was made from."""
    for cell in rounding.read_all(tables):
        row = source(cell.line)
        if cell.metric.kind == "size" and row:
            for before in all_printed(cell.table, [(row, cell.column)]):
                yield cell, before
