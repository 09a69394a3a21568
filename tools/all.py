"""Every table and figure of every paper: `make all`, with CLUSTER= as one graph of runs.

With a cluster, the runs behind all tables are gathered first and trained side by side, each once;
then the tables are made one after the other. A table or a run that fails, for lack of its data for
one, does not keep the others from ending.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Callable, Dict, Iterator, List

import tyro

import reproductions
from common import cli
from common.cli import Request
from common.errors import InputError, exits_cleanly
from common.report import html
from common.results import dask_backend, experiment
from common.results.dask_backend import Job
from common.results.experiment import Target
from common.training import runs

KINDS = ("table", "percent_table", "counts", "figure", "breakdown", "readings")


def targets() -> Iterator[Target]:
    """The tables and figures of all papers."""
    for name in reproductions.names():
        paper = importlib.import_module(f"reproductions.{name}.eval").paper
        declared = reproductions.targets(name)
        for target in paper.targets.values():
            command = declared[target.name]
            if command.kind in KINDS:
                yield replace(target, name=command.target)


def each(run: Callable[[Target], None]) -> List[str]:
    """Do something for every target; give those that failed, whose reasons are printed."""
    failed = []
    for target in targets():
        try:
            run(target)
        except InputError as error:
            print(f"{target.name}: {error}", file=sys.stderr)
            failed.append(target.name)
    return failed


def runs_behind(target: Target, request: Request) -> Dict[Path, Job]:
    """The runs of a target, by their folders; training and counting nothing."""
    with experiment.collecting() as jobs, contextlib.suppress(experiment.Collected):
        target.run(replace(request, cluster=None))
    return {folder: job._replace(name=named(folder)) for folder, job in jobs.items()}


def named(folder: Path) -> str:
    """A run's name among those of all papers."""
    return f"{folder.parent.name}/{folder.name}"


def train_all(request: Request) -> None:
    """Train the runs behind all targets on a cluster, each once."""
    jobs: Dict[Path, Job] = {}
    for target in targets():
        with contextlib.suppress(InputError):  # it comes again when the target is made
            jobs.update(runs_behind(target, request))
    missing = [job for folder, job in jobs.items() if not runs.is_complete(folder)]
    print(f"{len(jobs)} runs behind all tables, {len(missing)} of them to train", flush=True)
    if missing and request.cluster:
        try:
            dask_backend.finish(missing, request.cluster)
        except dask_backend.RunsFailed as error:  # the tables of the others are made all the same
            print(error, file=sys.stderr)


@exits_cleanly
def main() -> None:
    """Make all tables and figures, and the report, from the command line."""
    request = tyro.cli(tyro.conf.OmitArgPrefixes[Request], prog=".venv/bin/python -m tools.all")
    cli.check_request(request)
    trained = bool(request.cluster) and not request.plan
    if trained:
        train_all(request)
        request = replace(request, cluster=None, train_readings=False)

    def make(target: Target) -> None:
        print(f"\n{target.name}", flush=True)
        behind = runs_behind(target, request) if trained else {}
        missing = [named(folder) for folder in behind if not runs.is_complete(folder)]
        if missing:  # what the cluster could not train is not tried here
            raise InputError(f"{len(missing)} of its {len(behind)} runs failed: {missing[0]}, …")
        with contextlib.suppress(*([SystemExit] if request.plan else [])):  # a plan ends so
            target.run(request)

    failed = each(make)
    if not request.plan:
        html.main(["--results", str(request.results_root)])
    if failed:
        raise InputError(f"without {', '.join(failed)}, for the reasons above")


if __name__ == "__main__":
    main()
