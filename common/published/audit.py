"""Hold published numbers against arithmetic and against each other: `python -m
common.published.audit [FILE or FOLDER ...]`.

Nothing is read but the YAML files of published tables: no images, no network, no TensorFlow. The
checks know no paper; they follow what a table declares of its metrics and rows (see
`common.published.schema`). The docstring of a check is the reason that is printed with what it
finds. No digit that was not printed is held against anybody (see `common.published.rounding`), and
numbers that a paper quotes from others are left alone.
"""

from __future__ import annotations

import argparse
import inspect
import itertools
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from rich.console import Console

from common.errors import InputError, exits_cleanly
from common.files import PROJECT
from common.published import findings, rounding, schema
from common.published.findings import Finding
from common.published.rounding import Cell
from common.published.schema import COUNTS, SHARES, PublishedTable

REPRODUCTIONS = PROJECT / "reproductions"
OVERLAP = ("dice", "f1", "iou")


class Claim(NamedTuple):
    """A finding without its paper and check."""

    severity: str
    cells: Tuple[Cell, ...]
    message: str
    table: PublishedTable

    @classmethod
    def on(cls, severity: str, message: str, *cells: Cell) -> Claim:
        return cls(severity, cells, f"{cells[0].row_label}: {message}", cells[0].table)


# Checks of one row: `row` holds shares of the same pixels that the paper does not say to have
# averaged differently.


def share_range(row: Sequence[Cell]) -> Iterator[Claim]:
    """A share of pixels lies between 0 and 1, and so does every mean of shares."""
    for cell in row:
        if cell.low > 1 or cell.text.startswith("-"):
            yield Claim.on("impossible", f"{cell} is no share", cell)


def dice_iou(row: Sequence[Cell]) -> Iterator[Claim]:
    """On the same pixels IoU = Dice / (2 - Dice), a convex function that nowhere exceeds Dice. So
    this is the IoU where both are pooled, and the least IoU for any weighted mean over images,
    batches or classes (Jensen's inequality). The most is Dice itself.
    """
    for dice, iou in _pairs(row, ("dice", "f1"), ("iou",)):
        problem = _beyond(
            iou, _jaccard(dice.low), _jaccard(dice.high) if iou.pooled else dice.high, str(dice)
        )
        if problem:
            yield Claim.on("impossible", problem, dice, iou)


def precision_recall(row: Sequence[Cell]) -> Iterator[Claim]:
    """Dice (F1) of an image is the harmonic mean of its precision P and recall R, thus at most (P +
    R) / 2; its IoU is at most the smaller of P and R; both are at least P + R - 1. As these bounds
    are linear or concave, means over images keep to them too. The harmonic mean itself has to be
    met only where all pixels are pooled.
    """
    for precision, recall, overlap in _pairs(row, ("precision",), ("recall",), OVERLAP):
        is_iou = overlap.metric.kind == "iou"
        if overlap.pooled:
            low, high = _harmonic(precision.low, recall.low), _harmonic(precision.high, recall.high)
            low, high = (_jaccard(low), _jaccard(high)) if is_iou else (low, high)
        else:
            low = precision.low + recall.low - 1
            high = (
                min(precision.high, recall.high) if is_iou else (precision.high + recall.high) / 2
            )
        problem = _beyond(overlap, low, high, f"{precision} with {recall}")
        if problem:
            yield Claim.on("impossible", problem, precision, recall, overlap)


def accuracy(row: Sequence[Cell]) -> Iterator[Claim]:
    """With two classes IoU is at most accuracy, because TP / (TP + FP + FN) grows when TN is added
    above and below. So the mean IoU is at most the mean accuracy, and so is Dice / (2 - Dice),
    which the mean IoU cannot be less than.
    """
    for right, overlap in _pairs(row, ("accuracy",), OVERLAP):
        low = overlap.low if overlap.metric.kind == "iou" else _jaccard(overlap.low)
        problem = _beyond(right, low, Fraction(1), str(overlap))
        if problem:
            yield Claim.on("impossible", problem, right, overlap)


def dice_f1(row: Sequence[Cell]) -> Iterator[Claim]:
    """Dice and F1 are one formula, 2 TP / (2 TP + FP + FN). On the same masks they differ only if
    they are aggregated differently, such as one per image and one over all pixels; printed side by
    side, that is the likely reading.
    """
    for dice, f1 in _pairs(row, ("dice",), ("f1",)):
        if not dice.fits(f1.low, f1.high):
            severity = "suspicious" if dice.metric.aggregation == "not stated" else "impossible"
            yield Claim.on(severity, f"{dice} and {f1} differ", dice, f1)


def aji_jaccard(row: Sequence[Cell]) -> Iterator[Claim]:
    """AJI is at most the IoU of the same pixels, thus at most Dice. Over pooled pixels that IoU is
    Dice / (2 - Dice); as a mean over images it is larger, the more so the more the images' Dice
    varies. AJI reaches the IoU where no object touches two of the other side (none merged, none
    split), or where a whole mask counts as one object.
    """
    for aji, overlap in _pairs(row, ("aji",), OVERLAP):
        is_iou = overlap.metric.kind == "iou"
        low, high = (
            (overlap.low, overlap.high)
            if is_iou
            else (_jaccard(overlap.low), _jaccard(overlap.high))
        )
        problem = _beyond(aji, Fraction(0), high if overlap.pooled else overlap.high, str(overlap))
        beyond_pooled = _beyond(aji, Fraction(0), high, f"{overlap} over pooled pixels")
        if problem:
            yield Claim.on("impossible", problem, aji, overlap)
        elif beyond_pooled:
            yield Claim.on("suspicious", beyond_pooled, aji, overlap)
        elif aji.fits(low, high):
            problem = f"{aji} is, as far as it is printed, the pooled IoU that {overlap} gives"
            yield Claim.on("suspicious", problem, aji, overlap)


def batch_size(row: Sequence[Cell]) -> Iterator[Claim]:
    """A sum of batch means that is divided by the number of images, not of batches, is too small by
    the batch size. This is tried where a row is impossible as it stands, on the metrics that are
    taken to be aggregated alike.
    """
    factor = row[0].table.batch_size
    if factor is None or not _impossible(row):
        return
    for reading in dict.fromkeys(cell.metric.assumed_aggregation for cell in row):
        small = [cell for cell in row if cell.metric.assumed_aggregation == reading]
        rest = [cell for cell in row if cell.metric.assumed_aggregation != reading]
        scaled = [cell._replace(low=cell.low * factor, high=cell.high * factor) for cell in small]
        if rest and not _impossible(rest + scaled):
            products = ", ".join(
                f"{cell.metric.label} {Decimal(cell.text) * factor}" for cell in small
            )
            yield Claim.on(
                "note", f"{factor} times as large, {products} contradict nothing", *small
            )


# Checks of a paper: `tables` are all of its tables.


def class_mean(tables: Sequence[PublishedTable]) -> Iterator[Claim]:
    """A mean over classes is the mean of the classes' values, whether these are pooled or means
    over images. It can be another only where images leave out the classes that they do not show.
    """
    for cell in rounding.read_all(tables):
        parts = _all_printed(cell.table, [(cell.row, column) for column in cell.metric.mean_of])
        if parts:
            low, high = (
                sum(ends) / len(parts) for ends in zip(*((part.low, part.high) for part in parts))
            )
            if not cell.fits(low, high):
                severity = "impossible" if all(part.pooled for part in parts) else "suspicious"
                yield Claim.on(
                    severity,
                    f"{cell} is not the mean of {', '.join(map(str, parts))}",
                    cell,
                    *parts,
                )


def total(tables: Sequence[PublishedTable]) -> Iterator[Claim]:
    """A total is the sum of its parts."""
    for cell in rounding.read_all(tables):
        parts = _all_printed(
            cell.table, [(row, cell.column) for row in cell.table.rows[cell.row].sum_of]
        )
        if parts and cell.metric.kind in COUNTS and cell.low != sum(part.low for part in parts):
            terms = " + ".join(part.text for part in parts)
            yield Claim.on(
                "impossible",
                f"{cell} is not {terms}, {sum(part.low for part in parts)}",
                cell,
                *parts,
            )


def split_percent(tables: Sequence[PublishedTable]) -> Iterator[Claim]:
    """The parts of a split make up the whole, and each is a whole number of images. Where a
    percentage gives none, it was rounded, or something else than these images was split.
    """
    for table in tables:
        parts = dict(table.split_percent or {})
        images = Fraction(parts.pop("images", 0))
        whole, slack = (
            sum(map(Fraction, parts.values())),
            sum(map(rounding.last_digit, parts.values())),
        )
        shares = {part: images * Fraction(value) / 100 for part, value in parts.items()}
        if parts and not whole - slack / 2 <= 100 <= whole + slack:
            yield Claim("impossible", (), f"{' + '.join(parts.values())} % are not 100 %", table)
        elif any(share.denominator > 1 for share in shares.values()):
            counts = ", ".join(f"{part} {float(share):g}" for part, share in shares.items())
            yield Claim(
                "note", (), f"{'/'.join(parts.values())} % of {images} images are {counts}", table
            )


def repeated(tables: Sequence[PublishedTable]) -> Iterator[Claim]:
    """Two models or two data sets hardly agree in every digit of several scores, here of at least
    two with at least eight digits together. One run may have been printed under two names, or a row
    copied.
    """
    rows: Dict[Tuple, Dict[str, Cell]] = {}
    for cell in rounding.read_all(tables):
        if cell.metric.kind in SHARES:
            rows.setdefault((cell.table.id, cell.table.model, cell.row), {})[cell.column] = cell
    for (one, first), (other, second) in itertools.combinations(rows.items(), 2):
        same = [
            column
            for column in first
            if column in second and first[column].text == second[column].text
        ]
        digits = sum(len(first[column].text.replace(".", "").lstrip("0")) for column in same)
        if one[1:] != other[1:] and len(same) > 1 and digits >= 8:
            scores = ", ".join(str(second[column]) for column in same)
            origin = f"{first[same[0]].row_label!r} of {' with '.join(filter(None, one[:2]))}"
            both = [row[column] for row in (second, first) for column in same]
            yield Claim.on("suspicious", f"{scores}, digit for digit as in {origin}", *both)


def one_value(tables: Sequence[PublishedTable]) -> Iterator[Claim]:
    """What two tables of a paper print under one name has one value: a set one size, a metric of a
    model one score.
    """
    seen: Dict[Tuple, Cell] = {}
    for cell in rounding.read_all(tables):
        model = None if cell.metric.kind == "size" else cell.table.model
        first = seen.setdefault((model, cell.row, cell.column), cell)
        if not cell.fits(first.low, first.high):
            yield Claim.on(
                "suspicious", f"{cell}, but {first.text} in {first.table.id}", cell, first
            )


def filtered(tables: Sequence[PublishedTable]) -> Iterator[Claim]:
    """Leaving things out makes no set larger. Where its size stays the same nothing was left out:
    the two sets are one, and scores on them differ for another reason, such as chance.
    """
    for cell, before in _sizes(tables, lambda row: row.filtered_from):
        source = f"the {before.text} of {before.row_label!r}, which it was filtered from"
        if cell.low > before.low:
            yield Claim.on("impossible", f"{cell} exceeds {source}", cell, before)
        elif cell.low == before.low:
            yield Claim.on("note", f"{cell} equals {source}", cell, before)


def tiles(tables: Sequence[PublishedTable]) -> Iterator[Claim]:
    """A square image gives ((image - tile) // step + 1)² tiles, a set of images as many times that.
    Fewer tiles mean that images or tiles were left out, or that the size counts only a part of the
    set; more cannot be.
    """
    for cell, images in _sizes(tables, lambda row: row.cut and row.cut.source):
        cut = cell.table.rows[cell.row].cut
        each = ((cut.image - cut.tile) // cut.step + 1) ** 2
        if cell.low != images.low * each:
            severity = "suspicious" if cell.low < images.low * each else "impossible"
            given = f"{images.text} images × {each} tiles = {images.low * each}"
            yield Claim.on(
                severity,
                f"{cell} is not {given}; it is {float(cell.low / each):.2f} × {each}",
                cell,
                images,
            )


ROW_CHECKS = (share_range, dice_iou, precision_recall, accuracy, dice_f1, aji_jaccard)
PAPER_CHECKS = (class_mean, total, split_percent, repeated, one_value, filtered, tiles)


def audit(paper: str, tables: Sequence[PublishedTable]) -> List[Finding]:
    """Run every check on the tables of one paper; the findings come by check, and in reading order
    within each.
    """
    rows: Dict[Tuple, List[Cell]] = {}
    for cell in rounding.read_all(tables):
        metric = cell.metric
        if metric.kind in SHARES and metric.aggregation.startswith(
            ("mean", "pooled", "not stated")
        ):
            rows.setdefault(
                (cell.table.id, cell.row, metric.split, metric.target, metric.aggregation), []
            ).append(cell)
    claims = [
        (check, claim)
        for check in (*ROW_CHECKS, batch_size)
        for row in rows.values()
        for claim in check(row)
    ]
    claims += [(check, claim) for check in PAPER_CHECKS for claim in check(tables)]
    return [
        Finding(
            paper=paper,
            table=claim.table.id,
            cells=tuple(cell.where for cell in claim.cells),
            check=check.__name__,
            message=claim.message,
            severity=claim.severity,
            reason=" ".join(inspect.getdoc(check).split()),
        )
        for check, claim in claims
    ]


def _impossible(row: Sequence[Cell]) -> bool:
    return any(claim.severity == "impossible" for check in ROW_CHECKS for claim in check(row))


def _beyond(cell: Cell, low: Fraction, high: Fraction, given: str) -> Optional[str]:
    """Say on which side of low..high, the range that something given allows, a number lies; None if
    it fits.
    """
    if cell.fits(low, high):
        return None
    side, bound = ("below the least", low) if cell.high < low else ("above the most", high)
    return f"{cell} is {side} that {given} allows, {cell.show(bound)}"


def _pairs(row: Sequence[Cell], *kinds: Sequence[str]) -> Iterator[Tuple[Cell, ...]]:
    return itertools.product(
        *([cell for cell in row if cell.metric.kind in some] for some in kinds)
    )


def _all_printed(table: PublishedTable, places: Sequence[Tuple[str, str]]) -> List[Cell]:
    """The numbers in these rows and columns, or none at all if one of them is not printed."""
    complete = all(column in table.rows[row].values for row, column in places)
    return [rounding.read(table, row, column) for row, column in places] if complete else []


def _sizes(tables: Iterable[PublishedTable], source: Callable) -> Iterator[Tuple[Cell, Cell]]:
    """Each size with that of the set that it was made from."""
    for cell in rounding.read_all(tables):
        row = source(cell.table.rows[cell.row])
        if cell.metric.kind == "size" and row:
            yield from ((cell, before) for before in _all_printed(cell.table, [(row, cell.column)]))


def _jaccard(dice: Fraction) -> Fraction:
    return min(dice, Fraction(1)) / (2 - min(dice, Fraction(1)))


def _harmonic(precision: Fraction, recall: Fraction) -> Fraction:
    return 2 * precision * recall / (precision + recall) if precision + recall else Fraction(0)


@exits_cleanly
def main(argv: Optional[List[str]] = None) -> None:
    """Check published numbers against arithmetic and each other. Findings do not change the exit
    code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m common.published.audit", description=main.__doc__
    )
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="published tables, or folders with some"
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write the findings to this file as well"
    )
    arguments = parser.parse_args(argv)
    papers: Dict[Path, Dict[Path, PublishedTable]] = {}
    for path in arguments.paths or sorted(REPRODUCTIONS.glob("*/published")):
        yamls = sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
        if not yamls:
            raise InputError(f"{path}: expected a folder with published tables (*.yaml)")
        for yaml in yamls:
            papers.setdefault(yaml.resolve().parent, {})[yaml.resolve()] = schema.load(yaml)
    found, numbers = [], {}
    for folder, tables in papers.items():
        name = folder.parent.name if folder.name == "published" else folder.name
        numbers[name] = sum(1 for _ in rounding.read_all(tables.values()))
        found += audit(name, list(tables.values()))
    findings.show(found, numbers, Console())
    if arguments.csv:
        findings.write(found, arguments.csv)


if __name__ == "__main__":
    main()
