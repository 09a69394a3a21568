"""Readings: how far the choices that a paper leaves open could move its published numbers.

Evaluation readings are computed from the saved predictions, all of them crossed. Training readings
move one assumed setting at a time from the default. A reading reaches a number if its value lies
within the resolution of it (docs/verdicts.md); it explains a table only if it reaches all of its
numbers at once. Only the reading that is named in the published YAML gets verdicts.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Set, Tuple

import numpy as np
import pandas

from common import files
from common.cli import Request
from common.datasets.manifests import DataSet
from common.published.schema import PublishedTable
from common.results import dask_backend, tables
from common.results.experiment import Paper, Row, Trained
from common.training import cuda, settings

COLUMNS = (
    "row",
    "metric",
    "reading",
    "kind",
    "value",
    "low",
    "high",
    "published",
    "reaches",
    "n_seeds",
    "seeds",
    "protocol",
    "profile",
)
Values = Dict[Tuple[str, str, str, str, str], Dict[int, float]]


def scorings(paper: Paper) -> Iterator[Any]:
    """Give every combination of the evaluation's open choices, the default first.

    Those that only differ in a choice that the others make void (the connectivity of nuclei that
    are no components) come once, where the scoring has a method `matters` that says so.
    """
    if paper.scoring is None:
        yield None
        return
    options = []
    for name, setting in settings.describe(type(paper.scoring)).items():
        default = getattr(paper.scoring, name)
        others = () if setting.assumed is None else setting.assumed.readings
        options.append([(name, value) for value in (default, *others)])
    for chosen in itertools.product(*options):
        scoring = replace(paper.scoring, **dict(chosen))
        matters = getattr(scoring, "matters", None)
        if matters is None or matters():
            yield scoring


def evaluation_values(
    paper: Paper, trained: Trained, data_set: DataSet
) -> Iterator[Tuple[str, Dict[str, float]]]:
    """Score a trained row under every evaluation reading: the reading's name and its scores."""
    cache: Dict[Any, pandas.DataFrame] = {}
    for scoring in scorings(paper):
        key = scoring
        if scoring is not None:
            same = {name: getattr(paper.scoring, name) for name in paper.aggregation}
            key = replace(scoring, **same)
        if key not in cache:
            cache[key] = paper.score(trained, data_set, key)
        yield (
            paper.reading_of(trained, scoring),
            paper.summarise(cache[key], trained.config, scoring),
        )


def training_alternatives(paper: Paper, row: Row, request: Request) -> List[str]:
    """Name the training readings of a row: each assumed setting at each of its other values."""
    config, default, _ = paper.configs(row.networks[0], request, request.protocols[0], 0)
    names = []
    for name, setting in settings.describe(type(config)).items():
        fixed = any(name in network.fixed for network in row.networks)
        if setting.assumed is None or setting.is_given(config) or fixed:
            continue
        for value in setting.assumed.readings:
            if value != getattr(config, name):
                names.append(settings.pair(name, value))
    return names


def sweep(
    paper: Paper, rows: Sequence[Row], request: Request, data_set: DataSet, train: bool
) -> Tuple[Values, List[str]]:
    """Collect the values of all readings by (row, metric, reading, kind, protocol), then seed.

    With `train`, training readings are trained where they are missing, on a cluster all at once;
    without, those that are there are taken. The second result names those that are not there.
    """
    values: Values = {}
    missing: List[str] = []

    def add(trained: Trained, reading: str, kind: str, scores: Mapping[str, float]) -> None:
        config = trained.config
        for metric, value in scores.items():
            key = (trained.row.id, metric, reading, kind, config.protocol)
            values.setdefault(key, {})[config.seed] = float(value)

    alternatives = _alternatives(paper, rows, request)
    more = list(alternatives.values()) if train else []
    try:
        defaults = paper.train(rows, request, data_set, more)
    except dask_backend.RunsFailed as error:
        if not paper.is_trained(rows, request, data_set):
            raise
        print(f"{error}; without the readings of those that failed")
        defaults = paper.train(rows, request, data_set)
    for trained in defaults:
        for reading, scores in evaluation_values(paper, trained, data_set):
            add(trained, reading, "evaluation", scores)
    for name, (concerned, other) in alternatives.items():
        trains_here = train and not request.cluster
        if not trains_here and not paper.is_trained(concerned, other, data_set):
            missing.append(name)
            continue
        try:
            trainings = paper.train(concerned, other, data_set)
        except cuda.NoKernels:  # another device has them
            missing.append(name)
            continue
        for trained in trainings:
            scores = paper.summarise(paper.score(trained, data_set), trained.config)
            add(trained, paper.reading_of(trained), "training", scores)
    return values, missing


def _alternatives(
    paper: Paper, rows: Sequence[Row], request: Request
) -> Dict[str, Tuple[List[Row], Request]]:
    """Give the rows that each training reading concerns, and the request that trains it."""
    concerned: Dict[str, List[Row]] = {}
    for row in rows:
        for name in training_alternatives(paper, row, request):
            concerned.setdefault(name, []).append(row)
    alternatives = {}
    for name, some in concerned.items():
        asked = ",".join(filter(None, (_without(request.reading, name), name)))
        alternatives[name] = (some, _without_shorthand(replace(request, reading=asked), name))
    return alternatives


def _without(reading: str, name: str) -> str:
    setting = name.partition("=")[0]
    pairs = filter(None, reading.split(","))
    return ",".join(pair for pair in pairs if pair.partition("=")[0] != setting)


def _without_shorthand(request: Request, name: str) -> Request:
    """A shorthand would win over the reading that sets the same."""
    setting = name.partition("=")[0]
    if setting == "encoder_weights":
        return replace(request, encoder_weights=None)
    return replace(request, precision=None) if setting == "precision" else request


def frame(
    reference: PublishedTable, values: Values, default: Mapping[Tuple[str, str], str], profile: str
) -> pandas.DataFrame:
    """Lay the values out as COLUMNS, those of the published numbers only.

    `default` names the default reading by row and protocol; its interval over seeds stands in low
    and high of its line.
    """
    printed = {(row, metric): text for row, metric, text in reference.numbers()}
    lines = []
    for (row, metric, reading, kind, protocol), by_seed in values.items():
        if (row, metric) not in printed:
            continue
        numbers = np.array([by_seed[seed] for seed in sorted(by_seed)])
        resolution = float(reference.metrics[metric].resolution or 0)
        distance = abs(numbers.mean() - float(printed[row, metric]))
        is_default = default.get((row, protocol)) == reading and kind == "evaluation"
        lines.append(
            {
                "row": row,
                "metric": metric,
                "reading": reading,
                "kind": "default" if is_default else kind,
                "value": numbers.mean(),
                "low": numbers.min(),
                "high": numbers.max(),
                "published": printed[row, metric],
                "reaches": "yes" if distance <= resolution + 1e-9 else "no",
                "n_seeds": len(numbers),
                "seeds": " ".join(str(seed) for seed in sorted(by_seed)),
                "protocol": protocol,
                "profile": profile,
            }
        )
    return pandas.DataFrame(lines, columns=COLUMNS)


def sentences(reference: PublishedTable, table: pandas.DataFrame) -> List[str]:
    """Say, per protocol, which open choice moves the numbers most and what is reached."""
    told = []
    for protocol, block in table.groupby("protocol", sort=False):
        numbers = block.groupby(["row", "metric"], sort=False)
        total = numbers.ngroups
        reached = int(numbers["reaches"].apply(lambda column: (column == "yes").any()).sum())
        by_reading = block[block["reaches"] == "yes"].groupby("reading").size()
        readings = block["reading"].nunique()
        best = int(by_reading.max()) if len(by_reading) else 0
        moved = _largest_move(block)
        text = (
            f"protocol {protocol}: of {readings} readings, none explains the table (the best "
            f"reaches {best} of {total} numbers at once); {reached} of {total} numbers are "
            "reached by some reading."
        )
        if best == total:
            explaining = by_reading[by_reading == total].index
            text = (
                f"protocol {protocol}: of {readings} readings, {len(explaining)} reach all "
                f"{total} numbers at once, for example {explaining[0] or 'the default'}."
            )
        if moved is not None:
            setting, metric, size = moved
            label = reference.metrics[metric].label
            text += f" The choice that moves a number most is {setting} ({label} by {size:.3g})."
        told.append(text)
    return told


def _largest_move(block: pandas.DataFrame) -> Any:
    """Setting, metric and size of the largest move by one choice alone, from the default."""
    best = None
    for (_, metric), lines in block.groupby(["row", "metric"], sort=False):
        default = lines[lines["kind"] == "default"]
        if default.empty:
            continue
        base: Set[str] = set(filter(None, default["reading"].iloc[0].split(",")))
        for line in lines.itertuples():
            choices: Set[str] = set(filter(None, line.reading.split(",")))
            changed = choices - base
            if len(changed) != 1:
                continue
            move = abs(line.value - default["value"].iloc[0])
            if best is None or move > best[2]:
                best = (changed.pop(), metric, move)
    return best


def write(table: pandas.DataFrame, path: Path) -> None:
    """Write the readings as CSV; other protocols and profiles in the file stay."""
    if path.exists():
        types = {"published": str, "seeds": str}
        earlier = tables.read_columns(path, COLUMNS, dtype=types).fillna({"reading": ""})
        new = set(zip(table["protocol"], table["profile"]))
        blocks = zip(earlier["protocol"], earlier["profile"])
        stays = [block not in new for block in blocks]
        table = pandas.concat([earlier[stays], table])
    text = table.to_csv(index=False, float_format=f"%.{tables.DECIMALS}f", lineterminator="\n")
    files.write_text(path, text)
