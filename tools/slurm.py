"""Workers of Dask as jobs of Slurm, for `CLUSTER=tcp://…` of every table command.

Keep it running on the login node, in `tmux` for instance; docs/scale.md says how to install what it
needs. It prints the address to give as CLUSTER. Queue, account and limits are options:
`.venv/bin/python -m tools.slurm --queue gpu --account ward`.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import tyro

from common.errors import InputError, exits_cleanly


@dataclass(frozen=True)
class Options:
    """Submit workers as jobs of Slurm, and print the address for CLUSTER."""

    queue: str
    """Partition of Slurm."""
    account: str = ""
    """Account that pays, where there are accounts."""
    gpus: int = 1
    """Of a worker, 0 or 1."""
    cores: int = 8
    """Of a worker, which does one training at a time."""
    memory: str = "32GB"
    """Of a worker."""
    hours: int = 12
    """Of a job. A worker leaves an hour earlier; its training goes on elsewhere."""
    interface: str = "ib0"
    """Private network between the machines, by its name in `ip link`."""
    workers: int = 18
    """At most; as many as the table has runs is best."""


@exits_cleanly
def main() -> None:
    """Submit workers until it is stopped."""
    options = tyro.cli(Options, prog=".venv/bin/python -m tools.slurm")
    if options.hours < 2 or options.workers < 1 or options.gpus not in (0, 1):
        raise InputError("--hours: from 2; --workers: from 1; --gpus: 0 or 1")
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise InputError(
            "dask-jobqueue is not installed: .venv/tools/bin/uv pip install --python "
            ".venv/bin/python --no-deps dask-jobqueue"
        ) from None
    resources = ["--resources", "GPU=1"] if options.gpus else []
    cluster = SLURMCluster(
        queue=options.queue,
        account=options.account or None,
        cores=1,  # threads of a worker: one run at a time
        processes=1,
        job_cpu=options.cores,
        memory=options.memory,
        walltime=f"{options.hours:02d}:00:00",
        interface=options.interface,
        python=os.path.abspath(".venv/bin/python"),
        job_extra_directives=["--gres=gpu:1"] if options.gpus else [],
        worker_extra_args=[
            *resources,
            *("--no-dashboard", "--lifetime", f"{options.hours - 1}h"),
            *("--lifetime-stagger", "30m"),
        ],
        scheduler_options={"dashboard_address": "127.0.0.1:0"},
    )
    # The table's command waits for a first worker, to see whether it has a GPU.
    cluster.adapt(minimum_jobs=1, maximum_jobs=options.workers)
    print(f"CLUSTER={cluster.scheduler_address}", flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()
