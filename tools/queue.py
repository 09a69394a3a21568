"""Train a list of runs one after the other: `make queue`, and `make queue STATUS=1` beside it.

The list is tools/queue.txt. Finished runs are skipped and a cut-off one resumes, so the same
command goes on after any interruption. Trainings run at the lowest priority.
"""

from __future__ import annotations

import importlib
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import List, Optional, Tuple

import tyro

import reproductions
from common import cli, files
from common.datasets import manifests
from common.errors import InputError, exits_cleanly
from common.files import PROJECT
from common.results import terminal
from common.results.commands import short_name
from common.training import runs


@dataclass(frozen=True)
class Options:
    """Train a list of runs one after the other, or show how far it is."""

    status: bool = False
    """Show the state of every entry, the time left and the disk used; train nothing."""
    list: Path = PROJECT / "tools" / "queue.txt"
    """File with a run a line: PAPER and the options of its training."""
    data_root: Optional[Path] = None
    """Folder that holds the data sets."""
    runs_root: Path = Path("runs")
    """Folder of the run folders."""


@dataclass(frozen=True)
class Entry:
    """A run of the list."""

    paper: str
    words: Tuple[str, ...]
    epochs: int
    folder: Path

    @property
    def done(self) -> int:
        """Epochs that are kept."""
        if runs.is_complete(self.folder) or (self.folder / "weights.h5").exists():
            return self.epochs
        kept = sorted(self.folder.glob("state/epoch_*"))
        return int(kept[-1].name.rpartition("_")[2]) if kept else 0

    @property
    def state(self) -> str:
        """complete, training, cut off or missing."""
        if runs.is_complete(self.folder):
            return "complete"
        if _is_held(self.folder):
            return "training"
        return "cut off" if (self.folder / "environment.json").exists() else "missing"

    def seconds_per_epoch(self) -> Optional[float]:
        """Measured on this run's last session, from its start to its newest kept epoch."""
        record = self.folder / "environment.json"
        kept = sorted(self.folder.glob("state/epoch_*"), key=lambda path: path.stat().st_mtime)
        newest = self.folder / "weights.h5" if runs.is_complete(self.folder) else None
        if newest is None or not newest.exists():
            newest = kept[-1] if kept else None
        if newest is None or not record.exists():
            return None
        sessions = runs.read_json(record)["sessions"]
        if len(sessions) != 1:
            return None  # the epochs of the last session alone are not told
        began = datetime.fromisoformat(sessions[0]["started"]).astimezone(timezone.utc)
        lasted = newest.stat().st_mtime - began.timestamp()
        return lasted / self.done if self.done and lasted > 0 else None


def read(options: Options) -> List[Entry]:
    """Read the list.

    Raises:
        InputError: a line names no paper, or options that its training does not have.
    """
    entries = []
    text = options.list.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if words[0] not in reproductions.names():
            raise InputError(
                f"{options.list}, line {number}: {words[0]!r}: expected one of "
                f"{', '.join(reproductions.names())}"
            )
        entries.append(_entry(words[0], words[1:], options))
    return entries


def _entry(paper: str, words: List[str], options: Options) -> Entry:
    module = importlib.import_module(f"reproductions.{paper}.config")
    parsed = cli.parse_training(module.PROFILES, f"medseg train {paper}", words)
    name = parsed.config.run_id
    if len(module.DATA_SETS) > 1:
        name = f"{manifests.first_present(module.DATA_SETS, options.data_root)}-{name}"
    folder = options.runs_root / paper / name
    return Entry(paper, tuple(words), parsed.config.epochs, folder)


def show(entries: List[Entry]) -> None:
    """Print the state of every entry, the time left and the disk used."""
    grid = terminal.grid("run", "state", "epochs", "left", "disk")
    known = {}
    for entry in entries:
        key = (entry.paper, tuple(w for w in entry.words if not w.isdigit()))
        seconds = entry.seconds_per_epoch()
        if seconds:
            known[key] = seconds
    total, unknown = 0.0, 0
    for entry in entries:
        key = (entry.paper, tuple(w for w in entry.words if not w.isdigit()))
        left = "–"
        if entry.state != "complete":
            if key in known:
                hours = known[key] * (entry.epochs - entry.done) / 3600
                total += hours
                left = f"{hours:.1f} h"
            else:
                unknown += 1
                left = "?"
        used = sum(path.stat().st_size for path in entry.folder.rglob("*") if path.is_file())
        grid.add_row(
            f"{short_name(entry.paper)} {entry.folder.name}",
            entry.state,
            f"{entry.done}/{entry.epochs}",
            left,
            f"{used / 2**20:.0f} MB" if used else "–",
        )
    terminal.print_grid(grid)
    states = [entry.state for entry in entries]
    more = f", and {unknown} runs of unknown length" if unknown else ""
    print(f"{states.count('complete')} of {len(entries)} complete; {total:.1f} h left{more}")


def run(entries: List[Entry], options: Options) -> int:
    """Train what is not complete; return how many failed."""
    failed = 0
    for number, entry in enumerate(entries, start=1):
        name = f"[{number}/{len(entries)}] {entry.paper} {entry.folder.name}"
        if entry.state == "complete":
            print(f"{name}: complete", flush=True)
            continue
        print(name, flush=True)
        command = [sys.executable, "-m", f"reproductions.{entry.paper}.train", *entry.words]
        command += ["--runs-root", str(options.runs_root)]
        if options.data_root is not None:
            command += ["--data-root", str(options.data_root)]
        ended = subprocess.run(command, preexec_fn=lambda: os.nice(19))
        if ended.returncode in (130, -2):
            raise KeyboardInterrupt
        failed += ended.returncode != 0
    return failed


def _is_held(folder: Path) -> bool:
    lock = folder / ".lock"
    if not lock.exists():
        return False
    try:
        with files.locked(lock, wait=False):
            return False
    except files.InUse:
        return True


@exits_cleanly
def main() -> None:
    """Run or show the queue from the command line."""
    options = tyro.cli(Options, prog=".venv/bin/python -m tools.queue")
    entries = read(options)
    if options.status:
        show(entries)
        return
    failed = run(entries, options)
    if failed:
        raise InputError(f"{failed} of {len(entries)} runs failed; their reasons are above")
    print(f"all {len(entries)} runs are complete")


if __name__ == "__main__":
    main()
