"""`medseg runs`: the run folders with their state and size; `--prune` frees disk."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Sequence

import tyro

import reproductions
from common import files
from common.datasets.downloads import PARTS, megabytes
from common.errors import exits_cleanly
from common.training import runs


@dataclass(frozen=True)
class Options:
    """List the run folders with their state and size."""

    runs_root: Path = Path("runs")
    """Folder of the run folders."""
    prune: bool = False
    """Remove what no command needs: states of finished runs, halves of files and downloads, and
    smoke runs.
    """


def folders(root: Path) -> Iterator[Path]:
    """All run folders, in order."""
    for paper in reproductions.names():
        yield from (path.parent for path in sorted((root / paper).glob("*/config.json")))


def needless(folder: Path) -> List[Path]:
    """What no command needs of a run folder; the folder itself where it is a smoke run."""
    if runs.read_json(folder / "config.json").get("profile") == "smoke":
        return [folder]
    halves = list(folder.rglob(".partial-*"))
    states = [folder / "state"] if runs.is_complete(folder) and (folder / "state").exists() else []
    return [*states, *halves]


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if not path.is_dir():
        return path.lstat().st_size
    return sum(one.lstat().st_size for one in path.rglob("*") if not one.is_dir())


def prune(root: Path) -> int:
    """Remove what no command needs; give the bytes that this frees. Runs in use stay whole."""
    freed = 0
    for folder in [*folders(root)]:
        with contextlib.suppress(files.InUse), files.locked(folder / ".lock", wait=False):
            freed += sum(_remove(path) for path in needless(folder))
    with files.locked(root / ".fetch.lock"):
        freed += sum(_remove(path) for path in [*root.glob(".partial-*"), root / PARTS])
    return freed


def _remove(path: Path) -> int:
    if not path.exists():
        return 0
    freed = size(path)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    return freed


@exits_cleanly
def main(words: Sequence[str] = ()) -> None:
    """List, or prune, from the command line."""
    options = tyro.cli(Options, prog="medseg runs", args=words or None)
    if options.prune and options.runs_root.is_dir():
        print(f"freed: {megabytes(prune(options.runs_root))}")
    total = 0
    for folder in folders(options.runs_root):
        used = size(folder)
        total += used
        state = "complete" if runs.is_complete(folder) else "to resume"
        print(f"{state:<10} {megabytes(used):>8}  {folder}")
    print(f"all of {options.runs_root}: {megabytes(total)}")


if __name__ == "__main__":
    main()
