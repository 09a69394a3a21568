"""Kill trainings of all papers at random moments, resume them, and compare what they end with:
`make kill-and-resume KILLS=20`.

A training that is killed any number of times has to end with the files of one that was left alone:
weights, history, split and predictions, to the bit, and nothing beside them. In the smoke profile
on synthetic images, on the processor; the exit code is 1 where anything differs. What was measured
stands in docs/reliability.md.
"""

from __future__ import annotations

import importlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

import h5py
import numpy as np
import tyro
from rich import box
from rich.console import Console
from rich.table import Table

import reproductions
from common.errors import InputError, exits_cleanly
from tools.demo import write_phantoms

EPOCHS = 4  # so that most kills meet a state to resume from
OWN = ("environment.json", ".lock")  # of each attempt, and meant to differ


@dataclass(frozen=True)
class Options:
    """Kill trainings at random moments, resume them, and compare what they end with."""

    kills: int = 20
    """How many, shared out among the papers."""
    seed: int = 0
    """Decides the moments."""
    papers: Tuple[str, ...] = tuple(reproductions.names())
    """Whose trainings are killed."""
    folder: Path = Path("runs/kill-and-resume")
    """For synthetic data and runs; emptied first. Where something differs, the runs stay there."""


@dataclass
class Outcome:
    """What happened to the trainings of one paper."""

    paper: str
    seconds: float = 0.0  # of the training that was left alone
    killed: List[str] = field(default_factory=list)  # where each kill struck
    finished: int = 0  # trainings that were killed, or meant to be, and compared
    differences: List[str] = field(default_factory=list)


class Kill(NamedTuple):
    """When to kill: so many seconds after a stage has begun."""

    stage: int
    seconds: float


def kill_and_compare(
    paper: str, kills: int, folder: Path, moments: random.Random, progress: Progress
) -> Outcome:
    """Train once undisturbed; then train, kill and resume until `kills` have struck, comparing each
    end with it.

    Each kill strikes in a stage that the training has before it, all of them equally likely, and at
    any moment in it. A training that was killed after its last epoch is then left to end.
    """
    outcome = Outcome(paper)
    data, folder = folder / "data", folder / paper
    began = time.monotonic()
    lasting = attempt(paper, data, folder / "whole") or {}  # None is only for a killed one
    outcome.seconds = time.monotonic() - began
    expected = run_folder(folder / "whole")
    while True:
        broken = folder / f"broken{outcome.finished}"
        # One kill after training is enough.
        while len(outcome.killed) < kills and stage_of(broken) <= EPOCHS:
            stage = moments.randint(stage_of(broken), EPOCHS + 1)
            kill = Kill(stage, moments.random() * lasting.get(stage, 0))
            if attempt(paper, data, broken, kill) is not None:
                break
            outcome.killed.append(struck(broken))
            progress.tell(paper, outcome.killed[-1])
        if not (run_folder(broken) / "predictions.json").exists():
            attempt(paper, data, broken)
        outcome.finished += 1
        differing = differences(expected, run_folder(broken))
        outcome.differences += [f"{run_folder(broken)}: {name}" for name in differing]
        if not differing:
            shutil.rmtree(broken)
        if len(outcome.killed) >= kills:
            return outcome


def _due(kill: Kill, begun: Dict[int, float]) -> bool:
    """Whether the moment to kill has come, by when each stage has begun."""
    since = [moment for stage, moment in begun.items() if stage >= kill.stage]
    return bool(since) and time.monotonic() - since[0] >= kill.seconds


def attempt(
    paper: str, data: Path, runs_root: Path, kill: Optional[Kill] = None
) -> Optional[Dict[int, float]]:
    """Train or resume in a process of its own, or kill it.

    Returns:
        How long each stage took, in seconds; None where it was killed before its end.

    Raises:
        InputError: it failed by itself.
    """
    runs_root.mkdir(parents=True, exist_ok=True)
    log, before = runs_root / "log.txt", sessions(runs_root)
    begun: Dict[int, float] = {}
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    with log.open("w") as output:
        process = subprocess.Popen(
            command(paper, data, runs_root),
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        while process.poll() is None:
            if sessions(runs_root) != before:  # before that it imports, and has nothing to lose
                begun.setdefault(stage_of(runs_root), time.monotonic())
            if kill and _due(kill, begun):
                process.kill()
                if process.wait() == -signal.SIGKILL:  # else it ended in the last instant
                    return None
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        last = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        raise InputError(f"{paper}: a training that nobody killed failed, see {log}: {last}")
    ends = [*begun.values(), time.monotonic()][1:]
    return {stage: end - moment for (stage, moment), end in zip(begun.items(), ends)}


def stage_of(runs_root: Path) -> int:
    """How many epochs are kept of the only run in a folder of runs; one more than all where its
    weights are written.
    """
    if list(runs_root.glob("*/*/weights.h5")):
        return EPOCHS + 1
    return max(
        (int(path.name[len("epoch_") :]) for path in runs_root.glob("*/*/state/epoch_*")), default=0
    )


def command(paper: str, data: Path, runs_root: Path) -> List[str]:
    """The command line of a training."""
    config = importlib.import_module(f"reproductions.{paper}.config")
    words = [sys.executable, "-m", f"reproductions.{paper}.train", "--profile", "smoke"]
    words += ["--epochs", str(EPOCHS), "--data-root", str(data), "--runs-root", str(runs_root)]
    if hasattr(config.PROFILES["smoke"], "encoder_weights"):
        words += ["--encoder-weights", "none"]
    return words


def sessions(runs_root: Path) -> List[int]:
    """Tell the versions of environment.json apart, which each attempt writes anew when it begins in
    its run folder.
    """
    return [path.stat().st_ino for path in runs_root.glob("*/*/environment.json")]


def run_folder(runs_root: Path) -> Path:
    """The only run in a folder of runs."""
    return next(path.parent for path in runs_root.glob("*/*/config.json"))


def struck(runs_root: Path) -> str:
    """Say how far a killed training had come, by what it left."""
    kept = stage_of(runs_root)
    return f"in epoch {kept + 1}" if kept < EPOCHS else "after training"


def differences(whole: Path, broken: Path) -> List[str]:
    """The files of two run folders that differ, or that only one of them has, as paths in it."""
    paths = {
        path.relative_to(folder)
        for folder in (whole, broken)
        for path in folder.rglob("*")
        if path.is_file()
    }
    names = sorted(path.as_posix() for path in paths if path.name not in OWN)
    return [name for name in names if not alike(whole / name, broken / name)]


def alike(one: Path, other: Path) -> bool:
    """Compare two files: their bytes or, as HDF5 has freedom in its layout, its names and the bytes
    of its arrays.
    """
    if not (one.is_file() and other.is_file()):
        return False
    if one.suffix == ".h5":
        arrays, others = hdf5(one), hdf5(other)
        return {name: a.tobytes() for name, a in arrays.items()} == {
            name: a.tobytes() for name, a in others.items()
        }
    return one.read_bytes() == other.read_bytes()


def hdf5(path: Path) -> Dict[str, np.ndarray]:
    """All arrays of a file, by name."""
    found = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: found.update(
                {name: item[()]} if isinstance(item, h5py.Dataset) else {}
            )
        )
    return found


class Progress:
    """A line per kill, with the time left."""

    def __init__(self, kills: int):
        self.kills, self.done, self.began = kills, 0, time.monotonic()

    def tell(self, paper: str, where: str) -> None:
        """Count a kill."""
        self.done += 1
        left = (time.monotonic() - self.began) / self.done * (self.kills - self.done) / 60
        print(
            f"[{self.done}/{self.kills}] {paper}: killed {where}  ({left:.1f} min left)", flush=True
        )


def table(outcomes: List[Outcome]) -> Table:
    """Summarise what happened, one row a paper."""
    grid = Table(
        "paper",
        "alone",
        "kills",
        "in training",
        "after it",
        "compared",
        "differing files",
        box=box.SIMPLE,
    )
    for outcome in outcomes:
        after = outcome.killed.count("after training")
        counts = (
            len(outcome.killed),
            len(outcome.killed) - after,
            after,
            outcome.finished,
            len(outcome.differences),
        )
        grid.add_row(outcome.paper, f"{outcome.seconds:.0f} s", *map(str, counts))
    return grid


@exits_cleanly
def main() -> None:
    """Kill and compare from the command line."""
    options = tyro.cli(Options, prog=".venv/bin/python -m tools.kill_and_resume")
    unknown = set(options.papers) - set(reproductions.names())
    if unknown:
        raise InputError(f"--papers {' '.join(sorted(unknown))}: no such paper")
    if options.kills < 1 or not options.papers:
        raise InputError(f"--kills {options.kills}: expected at least one, of at least one paper")
    shutil.rmtree(options.folder, ignore_errors=True)
    data = options.folder / "data"
    write_phantoms(data)

    moments, progress = random.Random(options.seed), Progress(options.kills)
    outcomes = []
    for number, paper in enumerate(options.papers):
        share = len(range(number, options.kills, len(options.papers)))
        if share:
            print(f"{paper}: {share} kills", flush=True)
            outcomes.append(kill_and_compare(paper, share, options.folder, moments, progress))
    Console(width=None if sys.stdout.isatty() else 100).print(table(outcomes))
    for line in [difference for outcome in outcomes for difference in outcome.differences]:
        print(f"differs: {line}")
    if any(outcome.differences for outcome in outcomes):
        sys.exit(1)
    print("all trainings ended alike, to the bit")
    shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()
