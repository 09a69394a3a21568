"""`medseg compare`: judge scores that another program made against a paper's published table.

The CSV has a line per row, metric and seed, in the unit of the paper: row, metric, value, seed.
Where the test set was drawn at random, `image_se` (standard error over test images) and `images`
(their number) may be added; without them the test set counts as given.
"""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from common import files
from common.errors import InputError, exits_cleanly
from common.files import PROJECT
from common.published import schema
from common.published.schema import PublishedTable
from common.results import tables, terminal

NEEDED = ("row", "metric", "value", "seed")


def read(path: Path, reference: PublishedTable) -> List[Tuple[tables.Score, tables.Conditions]]:
    """Read the scores of a CSV file.

    Raises:
        InputError: the file is not of the documented form; the message names line and column.
    """
    try:
        text = files.read_bytes(path, files.MOST_BYTES).decode("utf-8-sig")
        lines = list(csv.DictReader(io.StringIO(text, newline="")))
        header = tuple(lines[0]) if lines else ()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected a CSV file: {error}") from None
    missing = [name for name in NEEDED if name not in header]
    if missing:
        raise InputError(
            f"{path}: expected the columns {', '.join(NEEDED)}; {', '.join(missing)} missing"
        )
    conditions = tables.Conditions("published", "paper", "any", "any", path.name, "none")
    scores = []
    seen = set()
    for number, line in enumerate(lines, start=2):
        score = _score(line, f"{path}, line {number}", reference)
        key = (score.row, score.metric, score.seed)
        if key in seen:
            raise InputError(
                f"{path}, line {number}: a second value of {score.row}, {score.metric}, seed "
                f"{score.seed}"
            )
        seen.add(key)
        scores.append((score, conditions))
    return scores


def _score(line: Dict[str, str], place: str, reference: PublishedTable) -> tables.Score:
    for column, known in (("row", reference.rows), ("metric", reference.metrics)):
        if line[column] not in known:
            raise InputError(
                f"{place}: {column} {line[column]!r}: expected one of {', '.join(known)}"
            )
    value = _number(line, "value", place)
    seed = _number(line, "seed", place)
    if seed < 0 or seed != int(seed):
        raise InputError(f"{place}: seed {line['seed']!r}: expected a whole number from 0")
    bounds = tables.bounds(reference, line["metric"])
    if not bounds[0] <= value <= bounds[1]:
        unit = reference.metrics[line["metric"]].unit
        raise InputError(
            f"{place}: value {line['value']}: expected {bounds[0]:g} to {bounds[1]:g}, in the "
            f"paper's unit ({unit})"
        )
    image_se = _number(line, "image_se", place) if line.get("image_se") else None
    images = _number(line, "images", place) if line.get("images") else None
    if (image_se is None) != (images is None):
        raise InputError(f"{place}: expected image_se and images together")
    if image_se is not None and images is not None and (image_se < 0 or images < 1):
        raise InputError(f"{place}: expected image_se from 0 and images from 1")
    return tables.Score(
        line["row"],
        line["metric"],
        value,
        int(seed),
        image_se,
        None if images is None else int(images),
    )


def _number(line: Dict[str, str], column: str, place: str) -> float:
    text = line[column] or ""
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if number != number or number in (float("inf"), float("-inf")):
        raise InputError(f"{place}: {column} {text!r}: expected a number")
    return number


@exits_cleanly
def main(argv: Optional[List[str]] = None) -> None:
    """Judge the scores of a CSV file against a published table."""
    parser = argparse.ArgumentParser(prog="medseg compare", description=main.__doc__)
    parser.add_argument("file", type=Path, help="CSV: row, metric, value, seed[, image_se, images]")
    parser.add_argument("--paper", required=True, help="folder in reproductions/")
    parser.add_argument("--table", required=True, help="published table, such as table1")
    parser.add_argument("--out", type=Path, help="write the comparison as CSV, too")
    options = parser.parse_args(argv)
    folder = PROJECT / "reproductions" / options.paper / "published"
    known = [path.stem for path in schema.table_files(folder)]
    if options.table not in known:
        papers = sorted(path.parent.name for path in PROJECT.glob("reproductions/*/published"))
        expected = ", ".join(known) if known else f"a paper of {', '.join(papers)}"
        raise InputError(f"{options.paper} {options.table}: expected {expected}")
    reference = schema.load(folder / f"{options.table}.yaml")
    table = tables.build(reference, read(options.file, reference))
    terminal.show(reference, table, judged=True)
    if options.out:
        tables.write(tables.compare(reference, table), options.out)
        print(f"written: {options.out}")


if __name__ == "__main__":
    main()
