"""Hold published numbers against arithmetic and against each other: `medseg audit [PATH …]`.

The checks know no paper; they follow what a table declares of its metrics and rows (see
`common.published.schema`) and what a paper claims (`common.published.claims`). They need no images,
no network and no TensorFlow. One check asks how far a test set moves a score: it reads the scores
per image of finished runs in results/, and its findings say so. A number that may have been rounded
or truncated stands for all numbers that print like it (see `common.published.rounding`). Numbers
that a paper quotes from others are held against arithmetic like its own.
"""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from rich.console import Console

from common import files
from common.errors import InputError, exits_cleanly
from common.files import PROJECT
from common.published import (
    claim_checks,
    claims,
    findings,
    rounding,
    row_checks,
    schema,
    spread,
    table_checks,
    tile_checks,
)
from common.published.claims import Claim
from common.published.findings import Finding, Remark
from common.published.rounding import Cell
from common.published.schema import FRACTIONS, PublishedTable

REPRODUCTIONS, RESULTS = PROJECT / "reproductions", PROJECT / "results"
WIDTH = 80  # columns of the report at most


class _Paper(NamedTuple):
    name: str
    tables: Sequence[PublishedTable]
    claims: Sequence[Claim]


def audit(
    paper: str,
    tables: Sequence[PublishedTable],
    claimed: Sequence[Claim] = (),
    runs: Optional[spread.Runs] = None,
) -> List[Finding]:
    """Run every check on one paper; the findings come by check, and in reading order within each.

    Args:
        paper: its name in the findings.
        tables: all of its published tables.
        claimed: its claims.
        runs: our finished runs, from which the effect of a test set is estimated; without them no
            such finding is made.
    """
    made: List[Tuple[Callable, Remark]] = []
    for of_row in (*row_checks.CHECKS, row_checks.batch_size):
        made += [(of_row, remark) for row in _rows(tables) for remark in of_row(row)]
    for of_tables in (*table_checks.CHECKS, *tile_checks.CHECKS):
        made += [(of_tables, remark) for remark in of_tables(tables)]
    printed = claim_checks.claim_printed(claimed, tables)
    made += [(claim_checks.claim_printed, remark) for remark in printed]
    if runs is not None:
        unresolved = claim_checks.test_set(claimed, tables, runs)
        made += [(claim_checks.test_set, remark) for remark in unresolved]
    return [_finding(paper, check, remark) for check, remark in made]


def _rows(tables: Sequence[PublishedTable]) -> List[List[Cell]]:
    """Give the numbers that can be held against each other: of one row, one part of the data and
    one class, aggregated as one text says.
    """
    rows: Dict[Tuple, List[Cell]] = {}
    for cell in rounding.read_all(tables, quoted=True):
        metric = cell.metric
        known = metric.aggregation.startswith(("mean", "pooled", "not stated"))
        if metric.kind in FRACTIONS and known:
            beside = (metric.split, metric.target, metric.aggregation)
            rows.setdefault((cell.table.id, cell.row, *beside), []).append(cell)
    return list(rows.values())


def _finding(paper: str, check: Callable, remark: Remark) -> Finding:
    return Finding(
        paper=paper,
        table=remark.table.id,
        cells=tuple(cell.where for cell in remark.cells),
        check=check.__name__,
        message=remark.message,
        severity=remark.severity,
        reason=" ".join((inspect.getdoc(check) or "").split()),
    )


def _gather(paths: Sequence[Path]) -> List[_Paper]:
    """Read what is named: published tables, or folders with some. Claims are those beside them, so
    far as all their tables are named.
    """
    files: Dict[Path, List[Path]] = {}
    for path in paths:
        folder = path / "published" if (path / "published").is_dir() else path
        yamls = sorted(folder.rglob("*.yaml")) if path.is_dir() else [path]
        of_tables = [yaml for yaml in yamls if yaml.name != schema.CLAIMS_FILE]
        if not of_tables:
            raise InputError(f"{path}: expected a folder with published tables (*.yaml)")
        for yaml in of_tables:
            named = files.setdefault(yaml.resolve().parent, [])
            named += [yaml.resolve()] if yaml.resolve() not in named else []
    papers = []
    for folder, named in files.items():
        name = folder.parent.name if folder.name == "published" else folder.name
        whole = set(named) >= {path.resolve() for path in schema.table_files(folder)}
        tables = [schema.load(yaml) for yaml in named]
        claimed = claims.load_folder(folder, tables) if whole else ()
        papers.append(_Paper(name, tables, claimed))
    return papers


@exits_cleanly
def main(argv: Optional[List[str]] = None) -> None:
    """Check published numbers against arithmetic and each other. Findings do not change the exit
    code.
    """
    parser = argparse.ArgumentParser(prog="medseg audit", description=main.__doc__)
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="published tables, or folders with some"
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write the findings to this file as well"
    )
    parser.add_argument(
        "--check", action="store_true", help="print nothing; fail if that file is not current"
    )
    arguments = parser.parse_args(argv)
    papers = _gather(arguments.paths or sorted(REPRODUCTIONS.glob("*/published")))
    made: List[Finding] = []
    numbers: Dict[str, int] = {}
    for paper in papers:
        runs = spread.Runs(RESULTS / paper.name)
        made += audit(paper.name, paper.tables, paper.claims, runs)
        numbers[paper.name] = len(list(rounding.read_all(paper.tables, quoted=True)))
    if arguments.check:
        written = files.read_text(arguments.csv) if arguments.csv else ""
        if written != findings.as_csv(made):
            raise InputError(f"{arguments.csv}: not what the audit finds; run `make audit`")
        return
    console = Console()
    console.width = min(WIDTH, console.width)
    findings.show(made, numbers, console)
    if arguments.csv:
        findings.write(made, arguments.csv)
        print(f"written: {arguments.csv}")


if __name__ == "__main__":
    main()
