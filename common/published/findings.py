"""What the audit of published numbers finds, and how it is stored and shown."""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
import itertools
from pathlib import Path
from typing import Iterable, Mapping, Tuple

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from common import files

COLUMNS = ("paper", "table", "cells", "check", "severity", "message", "reason")
SEVERITIES = {
    "impossible": (
        "no images and predictions give these numbers, whatever the digits that are not "
        "printed, if they come from the "
        "same predictions on the same images and are averaged alike. There is no "
        "contradiction if that does not hold "
        "(one of them was thresholded or pooled and the other was not, or images without "
        "the object score 1 by one and "
        "0 by the other), or if a digit is misprinted."
    ),
    "suspicious": "possible, but it takes an explanation that the paper does not give.",
    "note": "consistent, and says something about how the numbers came about.",
}
_STYLES = {"impossible": "bold red", "suspicious": "yellow", "note": "cyan"}


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that does not fit, in one table of one paper. `cells` are written
    "table:row.metric".
    """

    paper: str
    table: str
    cells: Tuple[str, ...]
    check: str
    message: str
    severity: str
    reason: str  # why the check holds: the same for all findings of a check


def write(findings: Iterable[Finding], path: Path | str) -> None:
    """Write one line per finding as CSV, atomically; equal findings give equal bytes."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {**dataclasses.asdict(finding), "cells": " ".join(finding.cells)} for finding in findings
    )
    files.write_text(path, stream.getvalue())


def show(findings: Iterable[Finding], numbers: Mapping[str, int], console: Console) -> None:
    """Print the findings by paper and check, each paper under one line of summary; `numbers` counts
    those checked.
    """
    findings = list(findings)
    for paper, count in numbers.items():
        own = [finding for finding in findings if finding.paper == paper]
        console.print(Text(f"{paper}: {count} numbers checked, {_summary(own)}", style="bold"))
        for check, group in itertools.groupby(own, key=lambda finding: finding.check):
            group = list(group)
            console.print(
                Padding(Text.assemble((check, "bold"), f": {group[0].reason}"), (1, 0, 0, 2))
            )
            for finding in group:
                severity = (finding.severity, _STYLES[finding.severity])
                text = Text.assemble("- ", severity, f", {finding.table}: {finding.message}")
                console.print(Padding(text, (0, 0, 0, 4)))
        console.print()
    for severity, meaning in SEVERITIES.items():
        console.print(Text.assemble((severity, _STYLES[severity]), f": {meaning}"))


def _summary(findings: Iterable[Finding]) -> str:
    counts = collections.Counter(finding.severity for finding in findings)
    if counts["note"] > 1:
        counts["notes"] = counts.pop("note")
    found = [f"{counts[name]} {name}" for name in (*SEVERITIES, "notes") if counts[name]]
    return ", ".join(found) or "no findings"
