"""The driver behind every table: train what is missing, resume what was cut off, leave alone what
is complete; then build the table, compare it with the published one, keep it and show it.
"""

from __future__ import annotations

import inspect
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Callable, Iterable, List, Sequence, Tuple, TypeVar

import pandas

from common import files
from common.cli import Request
from common.datasets.manifests import DataSet
from common.published import schema
from common.results import dask_backend, tables
from common.training import runs

ConfigType = TypeVar("ConfigType")
KEPT = ("config.json", "split.json", "environment.json", "history.csv", "metrics.csv")


def settle(request: Request, data_set: DataSet) -> Request:
    """Keep what comes from synthetic data apart: its runs and results go to demo/ in the results
    folder.
    """
    if not data_set.synthetic:
        return request
    demo = request.results_root / "demo"
    return replace(request, results_root=demo, runs_root=demo / "runs")


def grid(base: ConfigType, request: Request, encoders: Sequence[str]) -> List[ConfigType]:
    """Give the configuration of every training asked for, by protocol, then seed, then encoder.

    Args:
        base: dataclass with the profile's settings.
        request: what to vary.
        encoders: of each protocol and seed, in this order.
    """
    return [
        replace(
            base,
            encoder=encoder,
            encoder_weights=request.weights_for(encoder),
            precision=request.precision,
            protocol=protocol,
            seed=seed,
        )
        for protocol in request.protocols
        for seed in request.seeds
        for encoder in encoders
    ]


def ensure(
    configs: Sequence[ConfigType],
    train: Callable[[ConfigType, DataSet, Path], runs.Run],
    data_set: DataSet,
    request: Request,
) -> List[runs.Run]:
    """Bring the runs of all configurations to completion, saying where we are: here one by one, or
    on a cluster.

    Args:
        configs: each with a `run_id`.
        train: returns the finished run; trains or resumes it where needed. Gets a configuration,
            the data set and the folder of runs; a cluster finds it by its module and name.
        data_set: what to train on.
        request: where runs are kept, and which cluster does them, if any.
    """
    if request.cluster:
        jobs = [_job(config, train, data_set, request) for config in configs]
        dask_backend.finish(jobs, request.cluster)
    finished = []
    for number, config in enumerate(configs, start=1):
        if not request.cluster:
            print(f"[{number}/{len(configs)}] {config.run_id}", flush=True)
        finished.append(train(config, data_set, request.runs_root))
    return finished


def _job(
    config: ConfigType, train: Callable, data_set: DataSet, request: Request
) -> dask_backend.Job:
    """Describe a training as a command for a cluster."""
    paper = inspect.getmodule(train)
    several = paper.PAPER in ("brecahad_slicing", "polyp_unet")  # data sets that it may train on
    name = f"{data_set.name}-{config.run_id}" if several else config.run_id
    words = ["-m", train.__module__, "--profile", config.profile]
    for field in fields(config):
        value = getattr(config, field.name)
        option = field.name.replace("_", "-")
        if value == getattr(paper.configs.PROFILES[config.profile], field.name):
            continue
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        elif isinstance(value, tuple):
            words += [f"--{option}", *map(str, value)]
        else:
            words += [f"--{option}", str(value)]
    words += ["--runs-root", str(request.runs_root.resolve())]
    if request.data_root is not None:
        words += ["--data-root", str(Path(request.data_root).resolve())]
    return dask_backend.Job(name, words, request.runs_root / paper.PAPER / name)


def material_differences(
    config, paper, data_set: DataSet, apart_from: Sequence[str]
) -> Tuple[str, ...]:
    """Say in words what keeps a run from being held against the paper; empty when nothing does.

    Args:
        config: dataclass of the run.
        paper: the same dataclass with the paper's settings.
        data_set: what it was trained and tested on.
        apart_from: fields that may differ, or that the caller words better.
    """
    found = []
    if data_set.synthetic:
        found.append("synthetic images instead of the paper's data")
    for field in fields(config):
        ours, theirs = getattr(config, field.name), getattr(paper, field.name)
        if field.name not in apart_from and ours != theirs:
            found.append(f"{field.name.replace('_', ' ')} {ours} instead of {theirs}")
    return tuple(found)


def encoder_weights(behind: Iterable[runs.Run]) -> str:
    """Name the encoder weights that runs started from, each once, as they record them (no path of
    this machine).
    """
    return " + ".join(dict.fromkeys(run.config["encoder_weights"] for run in behind))


def conditions(
    config, paper, data_set: DataSet, behind: Iterable[runs.Run], differences: Sequence[str] = ()
) -> tables.Conditions:
    """Describe how a row was made, for its table.

    Args:
        config: dataclass of the (last) network behind the row.
        paper: the same dataclass with the paper's settings.
        data_set: what it was trained and tested on.
        behind: the runs that the row comes from.
        differences: those from the paper in what every run is told apart by; the others are found
            here.
    """
    return tables.Conditions(
        protocol=config.protocol,
        profile=config.profile,
        encoder_weights=encoder_weights(behind),
        precision=config.precision,
        data=data_set.title,
        fingerprint=data_set.fingerprint,
        differences=(
            *differences,
            *material_differences(config, paper, data_set, apart_from=runs.NAMED),
        ),
    )


def heading(config, data_set: DataSet, behind: Iterable[runs.Run]) -> str:
    """Name what a figure is made from: data, protocol, profile, encoder weights and seed."""
    weights = f"encoder weights {encoder_weights(behind)}"
    return f"{data_set.title} · protocol {config.protocol}, profile {config.profile}, {weights}, seed {config.seed}"


def publish(
    yaml_path: Path, scores: Iterable[Tuple[tables.Score, tables.Conditions]], folder: Path
) -> pandas.DataFrame:
    """Write `<table>.csv` and `<table>_vs_published.csv` into `folder`, show the comparison and
    return the table.

    `provenance/<table>.json` there says with what code and libraries, and when.

    Blocks (protocol and profile) that an earlier command left in the file and this one does not
    regenerate stay.
    """
    reference = schema.load(yaml_path)
    table = tables.build(reference, scores)
    with files.one_at_a_time(folder):
        kept = _keep(reference, table, folder)
        tables.write(tables.compare(reference, kept), folder / f"{reference.id}_vs_published.csv")
    tables.show(tables.compare(reference, table), reference)
    tables.show_beyond(table, reference)
    print(f"written: {folder / reference.id}.csv and {reference.id}_vs_published.csv beside it")
    return kept


def publish_beyond(
    reference: schema.PublishedTable,
    scores: Iterable[Tuple[tables.Score, tables.Conditions]],
    folder: Path,
) -> None:
    """Do as `publish` for a table that the paper does not have: `reference` lends labels and order,
    and its id.
    """
    table = tables.build(reference, scores)
    with files.one_at_a_time(folder):
        _keep(reference, table, folder)
    print(f"{reference.id} · {reference.title}\n")
    tables.show_beyond(table, reference)
    print(f"written: {folder / reference.id}.csv")


def _keep(
    reference: schema.PublishedTable, table: pandas.DataFrame, folder: Path
) -> pandas.DataFrame:
    path = folder / f"{reference.id}.csv"
    tables.write(tables.merge(tables.read(path), table) if path.exists() else table, path)
    files.write_json(folder / "provenance" / f"{reference.id}.json", runs.environment())
    return tables.read(path)


def keep_provenance(run: runs.Run, folder: Path) -> None:
    """Copy the small files of a run (settings, ids, environment, history, scores per image) beside
    the results.
    """
    target = folder / "provenance" / run.folder.name
    target.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        with files.atomic_path(target / name) as copy:
            shutil.copyfile(run.folder / name, copy)
