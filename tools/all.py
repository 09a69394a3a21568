"""Every table and figure of every paper: `make all`, with CLUSTER= as one graph of runs.

With a cluster, the runs behind all tables are gathered first and trained side by side, each once;
then the tables are made one after the other. A paper that fails, for lack of its data for one, does
not keep the others from ending.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from dataclasses import replace
from typing import Callable, Dict, Iterator, List

import tyro

import reproductions
from common import cli
from common.cli import Request
from common.errors import InputError, exits_cleanly
from common.report import html
from common.results import dask_backend, experiment
from common.results.experiment import Target

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


def train_all(request: Request) -> None:
    """Train the runs behind all targets on a cluster, each once."""

    def note(target: Target) -> None:
        try:
            if target.needs_data:
                target.run(replace(request, cluster=None))
        except experiment.Collected:
            pass

    with experiment.collecting() as jobs:
        each(note)
    todo: Dict[str, dask_backend.Job] = {
        f"{folder.parent.name}/{job.name}": job._replace(name=f"{folder.parent.name}/{job.name}")
        for folder, job in jobs.items()
        if not (folder / "predictions.json").exists()
    }
    print(f"{len(jobs)} runs behind all tables, {len(todo)} of them to train", flush=True)
    if todo and request.cluster:
        dask_backend.finish(list(todo.values()), request.cluster)


@exits_cleanly
def main() -> None:
    """Make all tables and figures, and the report, from the command line."""
    request = tyro.cli(tyro.conf.OmitArgPrefixes[Request], prog=".venv/bin/python -m tools.all")
    cli.check_request(request)
    if request.cluster and not request.plan:
        train_all(request)

    def make(target: Target) -> None:
        print(f"\n{target.name}", flush=True)
        # A plan ends each command, and has none where nothing is trained.
        with contextlib.suppress(*([SystemExit] if request.plan else [])):
            if target.needs_data or not request.plan:
                target.run(replace(request, cluster=None))

    failed = each(make)
    if not request.plan:
        html.main(["--results", str(request.results_root)])
    if failed:
        raise InputError(f"without {', '.join(failed)}, for the reasons above")


if __name__ == "__main__":
    main()
