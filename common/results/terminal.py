"""The table in the terminal: published beside regenerated, with verdicts, within 80 columns."""

from __future__ import annotations

import math
from typing import Optional

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.published.schema import PublishedTable
from common.results import export, tables

STYLES = {
    "match": "bold green",
    "within": "green",
    "above": "cyan",
    "below": "red",
    "undecided": "yellow",
    "not comparable": "yellow",
    "not run": "dim",
}


def show(
    published: PublishedTable,
    table: pd.DataFrame,
    judged: bool,
    console: Optional[Console] = None,
) -> None:
    """Print a table of one command; `judged` adds the comparison with the published numbers."""
    console = console or Console()
    if judged:
        _show_comparison(published, tables.compare(published, table), console)
        _show_quoted(published, console)
    else:
        console.print(Text(f"{published.id} · {published.title}\n", style="bold"))
    _show_all_metrics(published, table, console)


def _show_comparison(published: PublishedTable, comparison: pd.DataFrame, console: Console) -> None:
    printed = comparison["published"]
    decimals = max(len(value.partition(".")[2]) for value in printed)
    for (protocol, profile), block in comparison.groupby(["protocol", "profile"], sort=False):
        console.print(Text(f"{published.id} · {published.title}", style="bold"))
        readings = [reading for reading in block["reading"].unique() if reading]
        about = [f"protocol {protocol}"]
        if profile:
            about.append(f"profile {profile}")
        about += [f"reading {reading}" for reading in readings]
        console.print(Text(", ".join(about) + "\n"))
        _print_block(published, block, decimals, console)


def _print_block(
    published: PublishedTable, block: pd.DataFrame, decimals: int, console: Console
) -> None:
    # A reason is often shared by many lines, and long: it is printed once, below the block.
    reasons = list(dict.fromkeys(block["reason"]))
    notes = {reason: f"[{number}]" for number, reason in enumerate(reasons, start=1)}
    rows = grid("", "published", "ours", "interval", "n", "verdict", "why")
    for row, lines in block.groupby("row", sort=False):
        rows.add_row(Text(published.rows[row].label, style="bold"))
        for line in lines.itertuples():
            ours = f"{line.regenerated:.{decimals}f}" if line.n_seeds else "–"
            rows.add_row(
                Text(f"  {published.metrics[line.metric].label}"),
                line.published,
                ours,
                _interval(line, decimals),
                str(line.n_seeds),
                Text(line.verdict, style=STYLES[line.verdict]),
                notes[line.reason],
            )
    console.print(rows)
    footnotes = Table.grid(padding=(0, 1))
    for reason, note in notes.items():
        footnotes.add_row(note, Text(reason))
    console.print("", footnotes)
    verdicts = block["verdict"].value_counts()
    counts = ", ".join(f"{verdicts[name]} {name}" for name in STYLES if name in verdicts)
    console.print(Text(f"\n{len(block)} published: {counts}\n", style="bold"))


def _interval(line, decimals: int) -> str:
    return export.interval(line.low, line.high, decimals) or "–"


def _show_quoted(published: PublishedTable, console: Console) -> None:
    quoted = [row for row in published.rows.values() if row.citation]
    if not quoted:
        return
    rows = grid("", *(metric.label for metric in published.metrics.values()))
    for row in quoted:
        values = [row.values.get(metric, "–") for metric in published.metrics]
        rows.add_row(Text(f"{row.label} ({row.citation})"), *values)
    console.print(Text("Quoted by the paper from the literature, not judged\n", style="bold"))
    console.print(rows)
    console.print()


def _show_all_metrics(published: PublishedTable, table: pd.DataFrame, console: Console) -> None:
    for (protocol, profile), block in table.groupby(["protocol", "profile"], sort=False):
        means = block.pivot(index="metric", columns="row", values="mean")
        means = means.loc[block["metric"].unique(), block["row"].unique()]
        labels = []
        for row in means:
            known = row in published.rows
            labels.append(published.rows[row].label if known else f"{row} (ours)")
        rows = grid("", *labels)
        for metric, values in means.iterrows():
            whole = (values.dropna() % 1 == 0).all()
            decimals = 0 if whole else 4
            cells = ["–" if math.isnan(value) else f"{value:.{decimals}f}" for value in values]
            rows.add_row(Text(str(metric)), *cells)
        console.print(Text(f"All metrics · protocol {protocol}, profile {profile}\n", style="bold"))
        console.print(rows)
        console.print()


def grid(*headers: str) -> Table:
    """Make an empty table with these columns, the first of words and the others of numbers."""
    columns = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for number, header in enumerate(headers):
        columns.add_column(Text(header), overflow="fold", justify="right" if number else "left")
    return columns


def print_grid(columns: Table) -> None:
    """Print a table on the terminal."""
    Console().print(columns)
