"""The command behind `make …-leakage`: what other images of the test groups in training are worth.

Where the Config has a field `leakage`, it is paired: each seed draws the test images once. Two
networks train on equally many images, one of them on other images of the same patients or cases as
well; both are scored on the same test images. Shown is the mean of their differences over seeds,
with a t interval. Elsewhere the two protocols stand side by side, on test images of their own:
unpaired, with Welch's interval.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import pandas
from rich.console import Console
from rich.text import Text

from common import files
from common.cli import Request
from common.datasets.manifests import DataSet
from common.results import intervals, tables, terminal
from common.results.experiment import Paper, Row, Trained

COLUMNS = (
    "row",
    "metric",
    "difference",
    "low",
    "high",
    "n",
    "paired",
    "protocol",
    "profile",
    "data",
)
BySeed = Dict[Tuple[str, str], Dict[int, float]]


def show(paper: Paper, rows: Sequence[Row], request: Request, data_set: DataSet) -> None:
    """Train both networks of every row and seed, and write `leakage.csv`."""
    paired = hasattr(paper.trainer.profiles["paper"], "leakage")
    if paired:
        request = replace(request, protocol="published")
        leaky: Tuple[Sequence[Row], Request] = (_with(rows, "leakage", "with"), request)
        clean = (_with(rows, "leakage", "without"), request)
    else:
        leaky = (list(rows), replace(request, protocol="published"))
        clean = (list(rows), replace(request, protocol="corrected"))
    with_leak = _scores(paper, paper.train(*leaky, data_set, [clean]), data_set)
    without = _scores(paper, paper.train(*clean, data_set), data_set)
    lines = []
    for (row, metric), values in with_leak.items():
        others = without.get((row, metric), {})
        both = sorted(set(values) & set(others))
        if not both:
            continue
        a = {seed: values[seed] for seed in both}
        b = {seed: others[seed] for seed in both}
        line = {"row": row, "metric": metric, **_difference(a, b, paired)}
        line.update(profile=request.profile, data=data_set.title)
        lines.append(line)
    table = pandas.DataFrame(lines, columns=COLUMNS)
    path = request.results_root / paper.name / "leakage.csv"
    _write(table, path, request.profile)
    _print(table)
    print(f"written: {path}")


def _difference(a: Dict[int, float], b: Dict[int, float], paired: bool) -> Dict[str, object]:
    values: Dict[str, object] = {
        "difference": sum(a.values()) / len(a) - sum(b.values()) / len(b),
        "low": math.nan,
        "high": math.nan,
        "n": len(a),
        "paired": "yes" if paired else "no",
        "protocol": "published" if paired else "published − corrected",
    }
    if len(a) > 1:
        compare = intervals.paired_difference if paired else intervals.unpaired_difference
        difference = compare(a, b)
        values.update(low=difference.low, high=difference.high)
    return values


def _with(rows: Sequence[Row], name: str, value: str) -> List[Row]:
    return [replace(row, fixed={**row.fixed, name: value}) for row in rows]


def _scores(paper: Paper, rows: Sequence[Trained], data_set: DataSet) -> BySeed:
    scores: BySeed = {}
    for trained in rows:
        table = paper.score(trained, data_set)
        for metric, value in paper.summarise(table, trained.config).items():
            by_seed = scores.setdefault((trained.row.id, metric), {})
            by_seed[trained.config.seed] = float(value)
    return scores


def _write(table: pandas.DataFrame, path: Path, profile: str) -> None:
    if path.exists():
        earlier = tables.read_columns(path, COLUMNS)
        stays = earlier["profile"].ne(profile)
        table = pandas.concat([earlier[stays], table])
    text = table.to_csv(index=False, float_format=f"%.{tables.DECIMALS}f", lineterminator="\n")
    files.write_text(path, text)


def _print(table: pandas.DataFrame) -> None:
    console = Console()
    grid = terminal.grid("", "difference", "95 % interval", "n")
    for line in table.itertuples():
        interval = "–" if math.isnan(line.low) else f"{line.low:+.4f} to {line.high:+.4f}"
        grid.add_row(
            Text(f"{line.row}, {line.metric}"), f"{line.difference:+.4f}", interval, str(line.n)
        )
    paired = table["paired"].eq("yes").all()
    where = "on the same test images (paired)" if paired else "on test sets of their own (unpaired)"
    console.print(Text(f"With the leak or mistakes − without, {where}\n", style="bold"))
    console.print(grid)
