"""Findings of the audit of published numbers, how they are stored and shown."""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
import itertools
from pathlib import Path
from typing import Iterable, List, Mapping, NamedTuple, Tuple

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from common import files
from common.published.rounding import Cell
from common.published.schema import PublishedTable

COLUMNS = ("paper", "table", "cells", "check", "severity", "message", "reason")
SEVERITIES = {
    "impossible": (
        "No data and predictions give these numbers, rounded or truncated, as long as the scores "
        "of a row come from the same thresholded masks (hard Dice, hard IoU), on the same images, "
        "aggregated alike. There is no contradiction if one of them is soft (computed from "
        "probabilities), if one is pooled and the other a mean, if an image without the object "
        "scores 1 in one and 0 in the other, or if a digit is misprinted."
    ),
    "suspicious": "Possible, but it takes an explanation that the paper does not give.",
    "unresolved": (
        "A difference that the paper draws a conclusion from, smaller than what the choice of the "
        "test images does. Estimated from our networks on our test images, not from the paper's."
    ),
    "note": "Consistent, and tells something about how the numbers came about.",
}
_STYLES = {
    "impossible": "bold red",
    "suspicious": "yellow",
    "unresolved": "magenta",
    "note": "cyan",
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One finding in one table of one paper. `cells` are written "table:row.metric"."""

    paper: str
    table: str
    cells: Tuple[str, ...]
    check: str
    message: str
    severity: str
    reason: str  # why the check holds: the same for all findings of a check


class Remark(NamedTuple):
    """A finding before its paper and check are known: what a check yields."""

    severity: str
    cells: Tuple[Cell, ...]
    message: str
    table: PublishedTable

    @classmethod
    def on(cls, severity: str, message: str, *cells: Cell) -> Remark:
        """Make a remark that begins with the row of the first cell."""
        return cls(severity, cells, f"{cells[0].row_label}: {message}", cells[0].table)


def write(findings: Iterable[Finding], path: Path | str) -> None:
    """Write one line per finding as CSV, atomically; equal findings give equal bytes."""
    files.write_text(path, as_csv(findings))


def as_csv(findings: Iterable[Finding]) -> str:
    """Write one line per finding as the text of a CSV file."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {**dataclasses.asdict(finding), "cells": " ".join(finding.cells)} for finding in findings
    )
    return stream.getvalue()


def show(findings: Iterable[Finding], numbers: Mapping[str, int], console: Console) -> None:
    """Print the findings by paper and check, each paper below one line of summary, and the totals
    last; `numbers` is how many were checked of each paper.
    """
    findings = list(findings)
    for paper, count in numbers.items():
        own = [finding for finding in findings if finding.paper == paper]
        console.print(Text(f"{paper}: {count} numbers checked, {summary(own)}", style="bold"))
        for check, group in itertools.groupby(own, key=lambda finding: finding.check):
            _show_check(check, list(group), console)
        console.print()
    for severity, meaning in SEVERITIES.items():
        console.print(Text.assemble((severity, _STYLES[severity]), f": {meaning}"))
    papers = f"{len(numbers)} paper" + ("" if len(numbers) == 1 else "s")
    total = f"\n{papers}, {sum(numbers.values())} numbers checked: {summary(findings)}"
    console.print(Text(total, style="bold"))


def summary(findings: Iterable[Finding]) -> str:
    """Count findings by severity, such as "2 impossible, 1 note"."""
    counts = collections.Counter(finding.severity for finding in findings)
    if counts["note"] > 1:
        counts["notes"] = counts.pop("note")
    parts = [f"{counts[name]} {name}" for name in (*SEVERITIES, "notes") if counts[name]]
    return ", ".join(parts) or "no findings"


def _show_check(check: str, group: List[Finding], console: Console) -> None:
    heading = Text.assemble((check, "bold"), f": {group[0].reason}")
    console.print(Padding(heading, (1, 0, 0, 2), expand=False))
    for finding in group:
        severity = (finding.severity, _STYLES[finding.severity])
        text = Text.assemble("- ", severity, f", {finding.table}: {finding.message}")
        console.print(Padding(text, (0, 0, 0, 4), expand=False))
