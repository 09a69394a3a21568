"""Readings of a paper and the price of leakage, as charts: rendered by template.html.jinja."""

from __future__ import annotations

import math
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import pandas
from markupsafe import Markup

from common.report import svg, view
from common.report.collect import Paper
from common.results import export, intervals, tables


class Strip(NamedTuple):
    """One published number under all readings."""

    label: str
    told: str
    chart: Markup


class Difference(NamedTuple):
    """How much a score gains where test patients, cases or near-duplicates are trained on."""

    label: str
    metric: str
    value: str
    interval: str
    n: str
    paired: bool
    chart: Markup


def sentence(readings: pandas.DataFrame) -> str:
    """Say which choice that the paper does not report moves a number most, and whether any reading
    reaches the published numbers.
    """
    names = readings["reading"].nunique()
    numbers = len(readings.groupby(["row", "metric"]))
    reached = readings[_reaches(readings)]
    sentence = f"{names} readings of what the paper does not say were tried."
    moves = _largest_move(readings)
    if moves:
        reading, row, metric, change = moves
        sentence += f" {reading} moves a number most: {metric} of {row} by {view.signed(change)}."
    if reached.empty:
        return f"{sentence} None reaches any published number."
    places = reached.assign(place=reached["row"] + "/" + reached["metric"])
    together = places.groupby(["protocol", "profile", "reading"])["place"].nunique()
    anyhow = places["place"].nunique()
    return (
        f"{sentence} {anyhow} of {numbers} published numbers are reached by some reading, and at "
        f"most {together.max()} of {numbers} by one reading at once."
    )


def _reaches(readings: pandas.DataFrame) -> pandas.Series:
    return readings["reaches"].astype(str).str.lower().isin(("true", "yes", "1", "reaches"))


def _default(readings: pandas.DataFrame) -> Any:
    """The line of the reading that the others depart from: the one with the fewest parts."""
    parts = readings["reading"].map(lambda reading: len(_parts(reading)))
    return next(readings.iloc[[int(np.argmin(parts.to_numpy()))]].itertuples())


def _parts(reading: str) -> frozenset:
    return frozenset(filter(None, reading.split(",")))


def _largest_move(readings: pandas.DataFrame) -> Optional[Tuple[str, str, str, float]]:
    """Of readings that change one choice: the one with the largest effect, as a fraction of the
    published number, with what it does.
    """
    best: Optional[Tuple[float, Tuple[str, str, str, float]]] = None
    for _, group in readings.groupby(["protocol", "profile", "row", "metric"], sort=False):
        default = _default(group)
        for line in group.itertuples():
            changed = {
                part.partition("=")[0] for part in _parts(line.reading) ^ _parts(default.reading)
            }
            if len(changed) != 1:
                continue
            change = line.value - default.value
            size = abs(change) / (abs(float(line.published)) if line.published else 1.0)
            if best is None or size > best[0]:
                name = ",".join(sorted(_parts(line.reading) - _parts(default.reading)))
                best = size, (name or "default", line.row, line.metric, change)
    return best[1] if best else None


def strips(paper: Paper) -> Dict[str, List[Strip]]:
    """Draw every published number under all readings, by protocol and profile."""
    row_labels, metric_labels = view.labels(paper)
    found: Dict[str, List[Strip]] = {}
    keys = ["protocol", "profile", "row", "metric"]
    for (protocol, profile, row, metric), group in paper.readings.groupby(keys, sort=False):
        printed = group["published"].iloc[0]
        if not printed:
            continue
        default = _default(group)
        ours = [
            svg.Dot(line.kind, line.value, title=f"{line.reading or 'default'}: {line.value:.4g}")
            for line in group.itertuples()
        ]
        ends = [value for value in (default.low, default.high) if not math.isnan(value)]
        scale = svg.round_scale([float(printed), *group["value"], *ends])
        reached = int(_reaches(group).sum())
        decimals = len(printed.partition(".")[2])
        told = (
            f"published {printed}, ours {group['value'].min():.{decimals}f} to "
            f"{group['value'].max():.{decimals}f} in {len(group)} readings; "
            f"{reached or 'none'} {'reach' if reached > 1 else 'reaches'} it"
        )
        label = f"{row_labels.get(row, row)}, {metric_labels.get(metric, metric)}"
        chart = svg.strip(float(printed), (default.low, default.high), ours, scale)
        heading = f"Protocol {view.protocol_words(protocol)}, profile {profile}"
        found.setdefault(heading, []).append(Strip(label, told, chart))
    return found


def leakage(paper: Paper) -> List[Difference]:
    """Give the price of leakage: the measured one or, without it, the unpaired difference of the
    protocols where both have several seeds.
    """
    table = paper.leakage if len(paper.leakage) else _unpaired(paper)
    if table.empty:
        return []
    row_labels, metric_labels = view.labels(paper)
    ends = [*table["low"].dropna(), *table["high"].dropna(), *table["difference"], 0.0]
    scale = svg.round_scale(ends)
    found = []
    for line in table.itertuples():
        width = abs(line.high - line.low) if line.high > line.low else abs(line.difference)
        decimals = max(0, math.ceil(1 - math.log10(width))) if width > 0 else 2
        between = export.interval(line.low, line.high, decimals)
        dot = svg.Dot("published", line.difference, line.low, line.high)
        found.append(
            Difference(
                row_labels.get(line.row, line.row),
                metric_labels.get(line.metric, line.metric),
                view.signed(line.difference, decimals),
                between,
                str(line.n),
                str(line.paired).lower() in ("true", "yes", "1", "paired"),
                svg.dots(0.0, [dot], *scale),
            )
        )
    return found


def _unpaired(paper: Paper) -> pandas.DataFrame:
    lines = []
    for judged in paper.overview.judged:
        reference = judged.reference
        chosen = tables.choose_reading(judged.results, reference.reading)
        by_protocol = {}
        for line in chosen.itertuples():
            by_protocol[line.protocol, line.profile, line.row, line.metric] = line
        for (protocol, profile, row, metric), line in by_protocol.items():
            other = by_protocol.get(("corrected", profile, row, metric))
            scored = metric in reference.metrics and not reference.metrics[metric].deterministic
            if protocol != "published" or other is None or not scored:
                continue
            if min(line.n_seeds, other.n_seeds) < 2:
                continue
            values = [[float(v) for v in one.seed_values.split()] for one in (line, other)]
            gap = intervals.unpaired_difference(*values)
            n = f"{line.n_seeds} and {other.n_seeds}"
            rest = (n, "no", "both", profile, line.data)
            lines.append((row, metric, gap.mean, gap.low, gap.high, *rest))
    return pandas.DataFrame(lines, columns=paper.leakage.columns)
