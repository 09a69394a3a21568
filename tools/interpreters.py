"""The smoke path on every other Python that is promised: `make interpreters`.

For each of 3.8, 3.9 and 3.10 that is found here, a copy of the tracked files is set up in
.cache/interpreters, audits the published numbers, regenerates a table on synthetic images in the
smoke profile, and runs the tests of common/ but for the slow ones. The version of .venv itself is
left out: `make test` runs all tests with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from common import files
from common.errors import InputError, exits_cleanly
from common.files import PROJECT

VERSIONS = ("3.8", "3.9", "3.10")
PAPER = "polyp_unet"  # has the smallest network


@dataclass(frozen=True)
class Options:
    """Set up, audit, regenerate a table and test, with every Python that is found."""

    versions: Tuple[str, ...] = VERSIONS
    """Which of them."""
    tests: bool = True
    """Run the tests of common/ too."""
    folder: Path = Path(".cache/interpreters")
    """For the copies; what is there is updated."""


def find(version: str) -> Optional[str]:
    """The path of this Python, as the set-up would find it; None where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    places = [f"python{version}", *sorted(map(str, pyenv.glob(f"{version}.*/bin/python")))]
    code = "import sys, ssl; print(sys.executable, '%d.%d' % sys.version_info[:2])"
    for place in places:
        try:
            ended = subprocess.run([place, "-c", code], capture_output=True, text=True)
        except OSError:
            continue
        path, _, found = ended.stdout.strip().rpartition(" ")
        if ended.returncode == 0 and found == version:
            return path
    return None


def copy_tracked(target: Path) -> None:
    """Copy the tracked files, as they are here, and remove others of an earlier copy."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        check=True,
    )
    names = [os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]
    for old in [path for path in target.glob("*") if path.name != ".venv"]:
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    for name in names:
        source = PROJECT / name
        if source.is_file() and not source.is_symlink():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)


def steps(python: str, tests: bool) -> Iterator[Tuple[str, List[str]]]:
    """The commands of a copy, by what they are for."""
    interpreter = ".venv/bin/python"
    yield "set-up", ["make", "--silent", "setup", f"PYTHON={python}"]
    yield "list", [".venv/bin/medseg", "list"]
    yield "audit", [".venv/bin/medseg", "audit"]
    phantoms = (
        "from pathlib import Path\n"
        f"from reproductions.{PAPER} import config, phantom\n"
        "phantom.write(Path('phantoms') / config.DATA_SETS[0])"
    )
    yield "phantoms", [interpreter, "-c", phantoms]
    words = f"table {PAPER} table --profile smoke --protocol published --data-root phantoms"
    yield "table", [".venv/bin/medseg", *words.split()]
    if tests:
        options = ["-q", "--numprocesses", "2", "--dist", "loadfile", "-m"]
        in_browser = "--ignore=tests/common/report/test_html_in_browser.py"
        yield (
            "tests",
            [interpreter, "-m", "pytest", *options, "not slow", in_browser, "tests/common"],
        )


def run(python: str, version: str, options: Options) -> Dict[str, float]:
    """Take all steps with one Python; give the seconds of each.

    Raises:
        InputError: a step failed; the message names its log.
    """
    target = options.folder.resolve() / version
    target.mkdir(parents=True, exist_ok=True)
    copy_tracked(target)
    took: Dict[str, float] = {}
    clean = ("PYTHON", "GPU", "BUNDLE", "DATA_ROOT", "MAKEFLAGS", "MAKELEVEL", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in clean}
    for name, words in steps(python, options.tests):
        print(f"Python {version}: {name}", flush=True)
        log, began = target / f"{name}.log", time.monotonic()
        with log.open("w") as output:
            ended = subprocess.run(
                words,
                cwd=target,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        took[name] = time.monotonic() - began
        if ended.returncode:
            last = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
            raise InputError(f"Python {version}: {name} failed, see {log}: {last}")
    return took


@exits_cleanly
def main() -> None:
    """Try every Python from the command line; exit code 2 if a step failed."""
    options = tyro.cli(Options, prog=".venv/bin/python -m tools.interpreters")
    failures = []
    grid = Table("Python", "step", "seconds", box=box.SIMPLE)
    options.folder.mkdir(parents=True, exist_ok=True)
    with files.locked(options.folder / ".lock", wait=False):
        for version in options.versions:
            if version == ".".join(map(str, sys.version_info[:2])):
                print(f"Python {version}: that of .venv; make test runs all tests with it")
                continue
            python = find(version)
            if python is None:
                print(f"Python {version}: not found here")
                continue
            try:
                for name, seconds in run(python, version, options).items():
                    grid.add_row(version, name, f"{seconds:.0f}")
            except InputError as failure:
                failures.append(str(failure))
                print(f"error: {failure}", file=sys.stderr)
    Console(width=None if sys.stdout.isatty() else 100).print(grid)
    if failures:
        raise InputError(f"{len(failures)} of {len(options.versions)} failed: {failures[0]}")


if __name__ == "__main__":
    main()
