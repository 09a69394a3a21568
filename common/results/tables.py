"""The regenerated table, its comparison with the published one, and how both are stored and shown.

The files are `<table>.csv`, which `build` gives, and `<table>_vs_published.csv`, which `compare`
gives. Numbers are rounded to the six decimals of the files when the table is built: a verdict rests
on nothing that the files hide.
"""

from __future__ import annotations

import csv
import dataclasses
import math
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any, Iterable, Optional

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text
from scipy.special import stdtrit

from common import files
from common.errors import InputError
from common.published.schema import PublishedTable

# fmt: off
TABLE_COLUMNS = (
    "row", "metric", "mean", "sd", "n_seeds", "ci_low", "ci_high", "seeds", "protocol", "profile",
    "encoder_weights", "precision", "data", "fingerprint", "in_paper", "differences",
)
COMPARISON_COLUMNS = (
    "row", "metric", "published", "regenerated", "ci_low", "ci_high", "n_seeds", "difference", "verdict", "reason",
    "protocol", "profile",
)
# fmt: on
VERDICTS = {
    "match": "bold green",
    "within": "green",
    "above": "cyan",
    "below": "red",
    "not comparable": "yellow",
    "not run": "dim",
}
_DECIMALS = 6


@dataclasses.dataclass(frozen=True)
class Score:
    """One metric of one run, already aggregated over the test images, in the unit of the published
    table.
    """

    row: str
    metric: str
    value: float
    seed: int


@dataclasses.dataclass(frozen=True)
class Conditions:
    """How a score was made. `differences` are the material reasons why it may not be held against
    the paper.
    """

    protocol: str
    profile: str
    encoder_weights: str
    precision: str
    data: str
    fingerprint: str
    differences: tuple[str, ...] = ()


def build(published: PublishedTable, scores: Iterable[tuple[Score, Conditions]]) -> pd.DataFrame:
    """Collect scores into TABLE_COLUMNS, one line per protocol, profile, row and metric, in the
    published order.

    `sd` (n - 1) and the 95 % Student-t interval of the mean are over seeds, and NaN for a single
    one. Rows and metrics beyond the paper come last and have `in_paper` = no. Raises InputError
    where the seeds of a line ran under different conditions, ValueError for a value that is not
    finite and for a seed given twice.
    """
    groups = {}
    for score, conditions in scores:
        if not math.isfinite(score.value):
            raise ValueError(f"a score must be finite, got {score}")
        key = (conditions.protocol, conditions.profile, score.row, score.metric)
        shared, values = groups.setdefault(key, (conditions, {}))
        for field in dataclasses.fields(Conditions):
            one, other = getattr(shared, field.name), getattr(conditions, field.name)
            if one != other:
                raise InputError(
                    f"{published.id}, {score.row}, protocol {conditions.protocol}: {field.name} is "
                    f"{one!r} for seed "
                    f"{min(values)} and {other!r} for seed {score.seed}; run all seeds of a row "
                    "alike"
                )
        if score.seed in values:
            raise ValueError(f"each seed counts once, got a second {score}")
        values[score.seed] = float(score.value)

    printed = {(row, metric) for row, metric, _ in published.numbers()}
    rows, metrics = list(published.rows), list(published.metrics)

    def reading_order(key: tuple[str, str, str, str]) -> tuple:
        protocol, profile, row, metric = key
        row_place = rows.index(row) if row in rows else len(rows)
        metric_place = metrics.index(metric) if metric in metrics else len(metrics)
        return protocol != "published", protocol, profile, row_place, row, metric_place, metric

    lines = []
    for key in sorted(groups, key=reading_order):
        conditions, values = groups[key]
        seeds, count = sorted(values), len(values)
        by_seed = np.array([values[seed] for seed in seeds])
        mean, sd = by_seed.mean(), by_seed.std(ddof=1) if count > 1 else math.nan
        half_width = stdtrit(count - 1, 0.975) * sd / math.sqrt(count)
        line = dataclasses.asdict(conditions)
        line.update(row=key[2], metric=key[3], mean=mean, sd=sd, n_seeds=count)
        line.update(
            ci_low=mean - half_width, ci_high=mean + half_width, seeds=" ".join(map(str, seeds))
        )
        line.update(
            in_paper="yes" if key[2:] in printed else "no",
            differences="; ".join(conditions.differences),
        )
        lines.append(line)
    return pd.DataFrame(lines, columns=TABLE_COLUMNS).round(_DECIMALS)


def merge(earlier: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Put what `build` gave over what an earlier command left: its blocks (protocol, profile)
    replace those there.
    """
    blocks = set(zip(table["protocol"], table["profile"]))
    kept = [block not in blocks for block in zip(earlier["protocol"], earlier["profile"])]
    both = pd.concat([earlier[kept], table])
    order = both["protocol"].ne("published").astype(str) + both["protocol"] + both["profile"]
    return (
        both.assign(order=order)
        .sort_values("order", kind="stable")
        .drop(columns="order")
        .reset_index(drop=True)
    )


def compare(published: PublishedTable, table: pd.DataFrame) -> pd.DataFrame:
    """Judge every number of the paper's own rows, once per protocol and profile in `table`;
    COMPARISON_COLUMNS.

    Numbers that were not regenerated get the verdict `not run`, all of them if the table is empty.
    """
    found = {
        (line.protocol, line.profile, line.row, line.metric): line for line in table.itertuples()
    }
    lines = []
    for block in dict.fromkeys(key[:2] for key in found) or [("published", "")]:
        for row, metric, printed in published.numbers():
            ours = found.get((*block, row, metric))
            line = {
                "row": row,
                "metric": metric,
                "published": printed,
                "protocol": block[0],
                "profile": block[1],
            }
            if ours is None:
                line.update(n_seeds=0, verdict="not run", reason="no finished run")
            else:
                # Counts have no resolution: they are equal at the printed precision or not.
                tolerance = published.metrics[metric].resolution or Decimal(0)
                verdict, reason = _judge(ours, Decimal(printed), tolerance)
                line.update(
                    regenerated=ours.mean,
                    ci_low=ours.ci_low,
                    ci_high=ours.ci_high,
                    n_seeds=ours.n_seeds,
                )
                line.update(
                    difference=float(_exact(ours.mean) - Decimal(printed)),
                    verdict=verdict,
                    reason=reason,
                )
            lines.append(line)
    return pd.DataFrame(lines, columns=COMPARISON_COLUMNS)


def write(frame: pd.DataFrame, path: Path | str) -> None:
    """Write what `build` or `compare` gave as CSV, atomically; equal frames give equal bytes."""
    files.write_text(
        path, frame.to_csv(index=False, float_format=f"%.{_DECIMALS}f", lineterminator="\n")
    )


def read(path: Path | str) -> pd.DataFrame:
    """Read back what `write` wrote. Raises InputError naming the file and what is wrong with it."""
    try:
        # pandas' own reader would shift or fill the lines that have a field too many or too few.
        with Path(path).open(newline="", encoding="utf-8") as stream:
            header, *lines = list(csv.reader(stream)) or [[]]
        if tuple(header) not in (TABLE_COLUMNS, COMPARISON_COLUMNS):
            raise ValueError(f"got the columns {header}")
        if any(len(line) != len(header) for line in lines):
            raise ValueError("got a line with too many or too few fields")
        frame = pd.DataFrame(lines, columns=header)
        for column in {"mean", "sd", "ci_low", "ci_high", "regenerated", "difference"}.intersection(
            frame.columns
        ):
            frame[column] = frame[column].replace("", "nan").astype(float)
        frame["n_seeds"] = frame["n_seeds"].astype(int)
        if "mean" in frame and not frame["mean"].map(math.isfinite).all():
            raise ValueError("got a mean that is not a finite number")
    except (OSError, ValueError, csv.Error) as error:
        problem = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise InputError(
            f"{path}: expected a results table as this program writes it: {problem}"
        ) from error
    return frame


def show(
    comparison: pd.DataFrame, published: PublishedTable, console: Optional[Console] = None
) -> None:
    """Print the comparison, one block per protocol and profile, then the rows that the paper quotes
    from others.
    """
    console = console or Console()
    decimals = max(len(printed.partition(".")[2]) for printed in comparison["published"])
    for (protocol, profile), block in comparison.groupby(["protocol", "profile"], sort=False):
        # A reason is often shared by many lines, and long: it is printed once, below the block.
        notes = {
            reason: f"[{number}]" for number, reason in enumerate(block["reason"].unique(), start=1)
        }
        grid = _grid("", "published", "regenerated", "n", "diff.", "verdict", "why")
        for row, lines in block.groupby("row", sort=False):
            grid.add_row(Text(published.rows[row].label, style="bold"))
            for line in lines.itertuples():
                ours, difference = "–", "–"
                if line.n_seeds > 0:
                    ours, difference = (
                        f"{line.regenerated:.{decimals}f}",
                        f"{line.difference:+.{decimals}f}",
                    )
                if line.n_seeds > 1:
                    ours += f" ± {(line.ci_high - line.ci_low) / 2:.{decimals}f}"
                label = Text(f"  {published.metrics[line.metric].label}")
                verdict = Text(line.verdict, style=VERDICTS[line.verdict])
                grid.add_row(
                    label,
                    line.published,
                    ours,
                    str(line.n_seeds),
                    difference,
                    verdict,
                    notes[line.reason],
                )
        footnotes = Table.grid(padding=(0, 1))
        for reason, note in notes.items():
            footnotes.add_row(note, Text(reason))
        if (block["n_seeds"] > 1).any():
            footnotes.add_row(
                "±", "half the width of the 95 % Student-t interval of the mean over n seeds"
            )
        console.print(Text(f"{published.id} · {published.title}", style="bold"))
        console.print(Text(f"protocol {protocol}" + (profile and f", profile {profile}") + "\n"))
        _print_whole(console, grid)
        console.print("", footnotes)
        counts = ", ".join(
            f"{(block['verdict'] == verdict).sum()} {verdict}" for verdict in VERDICTS
        )
        console.print(Text(f"\n{len(block)} published: {counts}\n", style="bold"))

    quoted = [row for row in published.rows.values() if row.citation]
    if quoted:
        grid = _grid("", *(metric.label for metric in published.metrics.values()))
        for row in quoted:
            values = (row.values.get(metric, "–") for metric in published.metrics)
            grid.add_row(Text(f"{row.label} ({row.citation})"), *values)
        console.print(Text("Quoted by the paper from the literature, not judged\n", style="bold"))
        _print_whole(console, grid)
        console.print()


def show_beyond(
    table: pd.DataFrame, published: PublishedTable, console: Optional[Console] = None
) -> None:
    """Print what `build` gave beyond the paper's numbers: further metrics, and rows that the paper
    does not have.
    """
    console = console or Console()
    for (protocol, profile), block in table.groupby(["protocol", "profile"], sort=False):
        means = block.pivot(index="metric", columns="row", values="mean").loc[
            block["metric"].unique(), block["row"].unique()
        ]
        labels = [
            published.rows[row].label if row in published.rows else f"{row} (not in paper)"
            for row in means
        ]
        grid = _grid("", *labels)
        for metric, values in means.iterrows():
            decimals = 0 if (values.dropna() % 1 == 0).all() else 4
            grid.add_row(
                metric, *("–" if math.isnan(value) else f"{value:.{decimals}f}" for value in values)
            )
        console.print(Text(f"All metrics · protocol {protocol}, profile {profile}\n", style="bold"))
        _print_whole(console, grid)
        console.print()


def _exact(value: float) -> Decimal:
    return Decimal(f"{value:.{_DECIMALS}f}")


def _judge(ours: Any, printed: Decimal, tolerance: Decimal) -> tuple[str, str]:
    """Verdict and reason for one line of a regenerated table."""
    value = _exact(ours.mean)
    seeds = "one seed" if ours.n_seeds == 1 else f"{ours.n_seeds} seeds"
    side = "above" if value > printed else "below"
    if ours.differences:
        return "not comparable", ours.differences
    if value.quantize(printed, ROUND_HALF_EVEN) == printed:
        return "match", f"equal at the printed precision ({seeds})"
    if ours.n_seeds == 1:
        if abs(value - printed) <= tolerance:
            return "within", f"|difference| ≤ resolution {tolerance} ({seeds})"
        return side, f"|difference| > resolution {tolerance} ({seeds})"
    if _exact(ours.ci_low) <= printed <= _exact(ours.ci_high):
        return "within", f"the published value lies in the 95 % interval ({seeds})"
    return side, f"the 95 % interval lies {side} the published value ({seeds})"


def _grid(*headers: str) -> Table:
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for header in headers:
        grid.add_column(Text(header), no_wrap=True)
    return grid


def _print_whole(console: Console, grid: Table) -> None:
    """Print without shortening any cell: on a terminal that is too narrow, lines run over its edge
    instead.
    """
    width = Measurement.get(console, console.options.update(max_width=1000), grid).maximum
    if width > console.width:
        grid.width = width
    console.print(grid, crop=False)
