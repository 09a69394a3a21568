"""Readings of a paper and the price of leakage, as charts: rendered by template.html.jinja."""

from __future__ import annotations

import math
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

import pandas
from markupsafe import Markup

from common.published.schema import PublishedTable
from common.report import svg, view
from common.report.collect import Paper
from common.results import export, intervals, readings, tables


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


def sentences(paper: Paper) -> List[str]:
    """Say which choice that the paper does not report moves a number most, and what is reached."""
    reference = _reference(paper)
    if reference is None:
        return []
    told = []
    for profile, block in paper.readings.groupby("profile", sort=False):
        for sentence in readings.sentences(reference, block):
            told.append(f"Profile {profile}, {sentence}")
    return told


def _reference(paper: Paper) -> Optional[PublishedTable]:
    """The published table that the readings are of."""
    places = set(zip(paper.readings["row"], paper.readings["metric"]))
    for judged in paper.overview.judged:
        if places and places <= set(judged.trials):
            return judged.reference
    return None


def strips(paper: Paper) -> Dict[str, List[Strip]]:
    """Draw every published number under all readings, by protocol and profile."""
    row_labels, metric_labels = view.labels(paper)
    bands = _bands(paper)
    found: Dict[str, List[Strip]] = {}
    keys = ["protocol", "profile", "row", "metric"]
    for key, group in paper.readings.groupby(keys, sort=False):
        protocol, profile, row, metric = key
        printed = group["published"].iloc[0]
        band = bands.get(key, (math.nan, math.nan))
        ends = [value for value in band if math.isfinite(value)]
        scale = svg.round_scale([float(printed), *group["value"], *ends])
        chart = svg.strip(float(printed), band, _dots(group), scale)
        label = f"{row_labels.get(row, row)}, {metric_labels.get(metric, metric)}"
        heading = f"Protocol {view.protocol_words(protocol)}, profile {profile}"
        found.setdefault(heading, []).append(Strip(label, _told(printed, group), chart))
    return found


def _dots(group: pandas.DataFrame) -> List[svg.Dot]:
    """A dot per reading; the default last, so that it lies on top."""
    ordered = sorted(group.itertuples(), key=lambda line: line.kind == "default")
    return [
        svg.Dot(line.kind, line.value, title=f"{line.reading or 'default'}: {line.value:.4g}")
        for line in ordered
    ]


def _told(printed: str, group: pandas.DataFrame) -> str:
    decimals = len(printed.partition(".")[2])
    low, high = (f"{end:.{decimals}f}" for end in (group["value"].min(), group["value"].max()))
    reached = int((group["reaches"] == "yes").sum())
    many = f"{reached} of {len(group)} readings" if reached else f"none of {len(group)} readings"
    verb = "reach" if reached > 1 else "reaches"
    return f"published {printed}, ours {low} to {high}; {many} {verb} it"


def _bands(paper: Paper) -> Dict[Tuple[str, str, str, str], Tuple[float, float]]:
    """Where one further run of the judged reading may land, by protocol, profile, row, metric."""
    bands = {}
    for judged in paper.overview.judged:
        chosen = tables.choose_reading(judged.results, judged.reference.reading)
        for line in chosen.itertuples():
            bands[line.protocol, line.profile, line.row, line.metric] = (line.low, line.high)
    return bands


def leakage(paper: Paper) -> List[Difference]:
    """Give the price of leakage in the paper's scores: the measured one or, without it, the
    unpaired difference of the protocols where both have several seeds.
    """
    table = paper.leakage if len(paper.leakage) else _unpaired(paper)
    row_labels, metric_labels = view.labels(paper)
    scored = _scores(paper)
    table = table[[metric in scored for metric in table["metric"]]]
    if table.empty:
        return []
    ends = [*table["low"].dropna(), *table["high"].dropna(), *table["difference"], 0.0]
    scale = svg.round_scale(ends)
    found = []
    for line in table.itertuples():
        decimals = _decimals(line.low, line.high, line.difference)
        dot = svg.Dot("published", line.difference, line.low, line.high)
        found.append(
            Difference(
                row_labels.get(line.row, line.row),
                metric_labels[line.metric],
                view.signed(line.difference, decimals),
                export.interval(line.low, line.high, decimals),
                str(line.n),
                line.paired == "yes",
                svg.dots(0.0, [dot], *scale),
            )
        )
    return found


def _scores(paper: Paper) -> Set[str]:
    """Metrics of the paper that training moves."""
    metrics = [judged.reference.metrics for judged in paper.overview.judged]
    return {name for some in metrics for name, about in some.items() if not about.deterministic}


def _decimals(low: float, high: float, difference: float) -> int:
    width = high - low if high > low else abs(difference)
    return max(0, math.ceil(1 - math.log10(width))) if width > 0 else 2


def _unpaired(paper: Paper) -> pandas.DataFrame:
    lines = []
    for judged in paper.overview.judged:
        chosen = tables.choose_reading(judged.results, judged.reference.reading)
        several = chosen[chosen["n_seeds"] > 1]
        corrected = {}
        for line in several[several["protocol"] == "corrected"].itertuples():
            corrected[line.profile, line.row, line.metric] = line
        for line in several[several["protocol"] == "published"].itertuples():
            other = corrected.get((line.profile, line.row, line.metric))
            if other is not None:
                lines.append(_gap(line, other))
    return pandas.DataFrame(lines, columns=paper.leakage.columns)


def _gap(line: Any, other: Any) -> tuple:
    ours, others = (list(map(float, one.seed_values.split())) for one in (line, other))
    gap = intervals.unpaired_difference(ours, others)
    n = f"{line.n_seeds} and {other.n_seeds}"
    rest = (n, "no", "both", line.profile, line.data)
    return (line.row, line.metric, gap.mean, gap.low, gap.high, *rest)
