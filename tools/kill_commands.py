"""Kill what comes after training at random moments, run it again, and compare what it leaves:
`make kill-commands KILLS=40`.

A table, a figure of it, the report, the audit, predictions, and the download and unpacking of a
data set and of a published run, on synthetic images, are each run once undisturbed. Then each is
stopped at any moment of that time by SIGKILL, SIGTERM or Ctrl-C, a few times over, and run to its
end: it has to leave the same files, and nothing beside them. Whoever was asked to stop, and not
killed, has to do so soon and in one line. The exit code is 1 where anything differs. Commands that
need no TensorFlow take a tenth of the time of the others, and get more of the kills.
"""

from __future__ import annotations

import contextlib
import http.server
import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from common.datasets import manifests
from common.errors import InputError, exits_cleanly
from common.files import PROJECT, sha256
from common.training import deposits
from reproductions.polyp_unet import phantom
from tools.kill_and_resume import Progress

PAPER = "polyp_unet"  # the smallest network
DATA = "kvasir_standin"
PLACE = manifests.load_manifest(DATA).folder  # within a data root
DEMO = "results/demo"  # where results of synthetic images go, and their runs
SIGNALS = {-signal.SIGKILL: "killed", 130: "Ctrl-C", 143: "SIGTERM"}  # by exit code
PATIENCE = 30.0  # seconds to end in after a signal, or as many as a busy machine takes for all
KILLS_A_ROUND = 3  # at most, before the command is left to end
SLOW = 150_000  # bytes a second of the server
QUICK = 3  # kills of a command without TensorFlow for each one of the others
# A traceback through these is not one of Python's first moments, before `common` takes signals.
OURS = re.compile(rf'File "{re.escape(str(PROJECT))}/(?!common/(__init__|errors)\.py)')
# Files of each attempt, of a lock, or with a line for each attempt at an image.
OWN = re.compile(r"(^|/)(\.\w*\.?lock|run\.json|environment\.json|\.images\.jsonl)$")
# When, by what code, and how long: of a command in JSON, and so in that file's checksum, and the
# seconds of an image in its line.
TIMES = re.compile(
    rb'"(?:started|commit)": "[^"]+"|(?<=,)\d+\.\d(?=,ROOT|,/)'
    rb"|^[0-9a-f]{64}(?=  provenance/[\w-]+\.json$)",
    re.MULTILINE,
)


class Case(NamedTuple):
    """A command to interrupt: what is there before it, what it is told, and where it writes."""

    name: str
    given: Callable[[Path], None]  # lays out its folder
    words: Callable[[Path], List[str]]  # after the interpreter
    written: str  # folder of its results, within its own
    kills: int = 1  # for each kill of a slow command


@dataclass
class Outcome:
    """What happened to one command."""

    name: str
    seconds: float = 0.0  # undisturbed
    ends: List[int] = field(default_factory=list)  # exit codes of the attempts that were stopped
    slowest: float = 0.0  # seconds from a signal to the end
    compared: int = 0
    problems: List[str] = field(default_factory=list)
    told: str = ""  # how the last attempt ended


@dataclass(frozen=True)
class Options:
    """Kill commands at random moments, run them again, and compare what they leave."""

    kills: int = 40
    """How many, shared out among the commands, most to the quick ones; EXPLORE=1 in the environment
    makes ten times as many.
    """
    seed: int = 0
    """Decides the moments and the signals."""
    commands: Tuple[str, ...] = ()
    """Which; by default all."""
    folder: Path = Path("runs/kill-commands")
    """For what they read and write; emptied first. Where something differs, it stays there."""


def medseg(*words: object) -> List[str]:
    """The words of a `medseg` command."""
    return ["-m", "reproductions.command", *map(str, words)]


def asked(base: Path, folder: Path) -> List[object]:
    """The options of a table: data of `base`, results and runs in `folder`."""
    words = ["--profile", "smoke", "--protocol", "published", "--data-root", base / "data"]
    return [*words, "--results-root", folder / "results"]


def cases(base: Path, url: str) -> List[Case]:
    """All commands; `base` holds the folder of data, runs and results, `url` serves it."""

    def copying(*names: str) -> Callable[[Path], None]:
        def given(folder: Path) -> None:
            folder.mkdir(parents=True)
            for name in names:
                shutil.copytree(base / DEMO / name, folder / DEMO / name)

        return given

    def loading(folder: Path) -> List[str]:
        code = (
            "import sys\n"
            "sys.argv[:1] = ['-m']\n"  # as one of the project's commands
            "from pathlib import Path\n"
            "from common.datasets import manifests\n"
            f"manifests.MANIFESTS = Path({str(base / 'manifests')!r})\n"
            f"manifests.DATA = Path({str(folder / 'data')!r})\n"
            f"manifests.main([{DATA!r}])\n"
        )
        return ["-c", code]

    run = next((base / DEMO / "runs" / PAPER).iterdir())
    packed = next((base / "deposit").iterdir())
    images = base / "data" / PLACE / "images"
    return [
        Case(
            "report",
            copying(PAPER),
            lambda folder: medseg("report", "--results", folder / DEMO),
            "results",
            QUICK,
        ),
        Case(
            "audit",
            copying(),
            lambda folder: medseg("audit", "--csv", folder / "results/audit.csv"),
            "results",
            QUICK,
        ),
        Case("data", copying(), loading, "data", QUICK),
        Case(
            "fetch-run",
            copying(),
            lambda folder: medseg(
                *("fetch-run", f"{url}/deposit/{packed.name}", "--runs-root", folder / "runs"),
                *("--checksum", f"sha256:{sha256(packed)}"),
            ),
            "runs",
            QUICK,
        ),
        Case(
            "table",
            copying("runs"),
            lambda folder: medseg("table", PAPER, "table", *asked(base, folder)),
            "results",
        ),
        Case(
            "figure",
            copying("runs"),
            lambda folder: medseg("figure", PAPER, "figure", *asked(base, folder)),
            "results",
        ),
        Case(
            "predict",
            copying("runs"),
            lambda folder: medseg(
                *("predict", PAPER, images, "--skip-existing", "--out", folder / "out"),
                *("--run", folder / DEMO / "runs" / PAPER / run.name),
            ),
            "out",
        ),
    ]


def prepare(base: Path, url: str) -> None:
    """Make what the commands start from: data, their archive and manifest, a run, its table."""
    data = base / "data" / PLACE
    phantom.write_folder(data, images=20)
    attempt(medseg("table", PAPER, "table", *asked(base, base)), base / "log.txt")
    run = next((base / DEMO / "runs" / PAPER).iterdir())
    deposits.pack(run, PAPER, "# card\n", base / "deposit")
    archive = base / "archive.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(data.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(data))
    (base / "manifests").mkdir()
    text = (Path("data_manifests") / f"{DATA}.yaml").read_text(encoding="utf-8")
    kept = text.partition("archives:")[0], "folder:" + text.partition("\nfolder:")[2]
    address = f"  - url: {url}/archive.zip\n    checksum: sha256:{sha256(archive)}\n"
    manifest = re.sub(r"^(rebuild|fingerprint).*\n", "", f"{kept[0]}archives:\n{address}{kept[1]}")
    (base / "manifests" / f"{DATA}.yaml").write_text(manifest, encoding="utf-8")


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder slowly, in parts where one is asked for; give its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = (folder / self.path.lstrip("/")).read_bytes()
            begin = int(self.headers.get("Range", "bytes=0-")[6:-1])
            self.send_response(206 if begin else 200)
            if begin:
                span = f"bytes {begin}-{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", span)
            self.send_header("ETag", '"1"')
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(content) - begin))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                for start in range(begin, len(content), SLOW // 10):
                    self.wfile.write(content[start : start + SLOW // 10])
                    time.sleep(0.1)

        def log_message(self, *words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def attempt(
    words: List[str], log: Path, after: float = -1, number: int = 0, patience: float = PATIENCE
) -> Tuple[int, float]:
    """Run a command, or stop it by a signal after some seconds.

    Returns:
        Its exit code, and how long it took to end after the signal.

    Raises:
        InputError: nobody stopped it and it failed, or it did not end after a signal.
    """
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "100"}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *words], stdout=output, stderr=output, env=environment
        )
    told = time.monotonic()
    try:
        if after >= 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(after)
            process.send_signal(number)
            told = time.monotonic()
            process.wait(patience)
        else:
            process.wait()
    except subprocess.TimeoutExpired:
        raise InputError(f"{' '.join(words[:4])}: still runs {patience:.0f} s later") from None
    finally:
        process.kill()
        process.wait()
    if after < 0 and process.returncode:
        raise InputError(f"{' '.join(words[:4])} failed by itself, see {log}: {last_line(log)}")
    return process.returncode, time.monotonic() - told


def last_line(log: Path) -> str:
    """The last line of a log."""
    return log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]


def interrupt(
    case: Case, kills: int, folder: Path, moments: random.Random, progress: Progress
) -> Outcome:
    """Run a command undisturbed, then stop it `kills` times, and compare what it leaves.

    Where it fails, or does not stop, it is given up with that as its last problem.
    """
    outcome = Outcome(case.name)
    whole = folder / case.name / "whole"
    case.given(whole)
    began = time.monotonic()
    attempt(case.words(whole), whole / "log.txt")
    outcome.seconds = time.monotonic() - began
    expected = tree(whole / case.written, whole)
    try:
        while len(outcome.ends) < kills:
            broken = folder / case.name / f"broken{outcome.compared}"
            case.given(broken)
            for _ in range(min(moments.randint(1, KILLS_A_ROUND), kills - len(outcome.ends))):
                _stop_once(case, broken, outcome, moments)
                progress.tell(case.name, outcome.told)
            attempt(case.words(broken), broken / "log.txt")
            outcome.compared += 1
            found = tree(broken / case.written, broken)
            names = {*expected, *found}
            differing = sorted(name for name in names if expected.get(name) != found.get(name))
            outcome.problems += [f"{broken / case.written}: {name} differs" for name in differing]
            if not differing:
                shutil.rmtree(broken)
    except InputError as failure:
        outcome.problems.append(str(failure))
    return outcome


def _stop_once(case: Case, broken: Path, outcome: Outcome, moments: random.Random) -> None:
    """Stop a command at a random moment by a random signal, and note how it ended."""
    number = moments.choice((signal.SIGKILL, signal.SIGINT, signal.SIGTERM))
    after = moments.random() * outcome.seconds
    log = broken / "log.txt"
    patience = max(PATIENCE, outcome.seconds)
    code, seconds = attempt(case.words(broken), log, after, number, patience)
    outcome.ends.append(code)
    outcome.slowest = max(outcome.slowest, seconds)
    outcome.told = f"after {after:.1f} s: {SIGNALS.get(code, f'exit {code}')}"
    early = after < max(1, outcome.seconds / 10)  # Python itself may not have begun the command
    stopped = f"{case.name}: stopped after {after:.1f} s"
    outcome.problems += [f"{stopped} {words}" for words in complaints(code, log, early)]


def complaints(code: int, log: Path, early: bool) -> Iterator[str]:
    """Say what is wrong with how a command ended that was stopped; `early` in its first moments."""
    text = log.read_text(encoding="utf-8", errors="replace")
    # Python itself answers in its first moments, with a traceback, and as it shuts down, with none.
    by_python = (-signal.SIGINT, -signal.SIGTERM, *([1] if early else []))
    if code not in (*SIGNALS, *by_python, 0):
        yield f"with exit code {code}: {last_line(log)}"
    if "Traceback" in text and (not early or OURS.search(text)):
        yield f"with a traceback: {last_line(log)}"


def shared_out(kills: int, chosen: Sequence[Case]) -> Counter:
    """Say how many kills each command gets, by its name.

    >>> quick, slow = (Case(name, print, print, "", kills) for name, kills in (("a", 2), ("b", 1)))
    >>> shared_out(5, [quick, slow])
    Counter({'a': 4, 'b': 1})
    """
    names = [case.name for case in chosen for _ in range(case.kills)]
    return Counter(itertools.islice(itertools.cycle(names), kills))


def tree(folder: Path, root: Path) -> Dict[str, bytes]:
    """All files below a folder, by their paths in it, without what each attempt has of its own.

    The folder's own place, which some files name, is taken out of them.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not OWN.search(name):
            found[name] = TIMES.sub(b"", path.read_bytes().replace(str(root).encode(), b"ROOT"))
    return found


def table(outcomes: List[Outcome]) -> Table:
    """Summarise what happened, one row a command."""
    titles = ("command", "alone", "stopped", *SIGNALS.values(), "had ended", "slowest", "compared")
    grid = Table(*titles, "problems", box=box.SIMPLE)
    for one in outcomes:
        counts = Counter(one.ends)
        others = len(one.ends) - sum(counts[code] for code in SIGNALS)
        numbers = [len(one.ends), *(counts[code] for code in SIGNALS), others]
        grid.add_row(
            one.name,
            f"{one.seconds:.1f} s",
            *map(str, numbers),
            f"{one.slowest:.1f} s",
            str(one.compared),
            str(len(one.problems)),
        )
    return grid


@exits_cleanly
def main() -> None:
    """Interrupt and compare from the command line."""
    options = tyro.cli(Options, prog=".venv/bin/python -m tools.kill_commands")
    kills = options.kills * (10 if os.environ.get("EXPLORE") == "1" else 1)
    if kills < 1:
        raise InputError(f"--kills {options.kills}: expected at least one")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as of what runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)  # or the commands ignore it too
    folder = options.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    base = folder / "base"
    base.mkdir(parents=True)
    moments, outcomes = random.Random(options.seed), []
    with serving(base) as url:
        print("a training, and what the commands start from", flush=True)
        prepare(base, url)
        known = cases(base, url)
        chosen = [case for case in known if case.name in (options.commands or [case.name])]
        if not chosen:
            raise InputError(f"--commands: expected some of {', '.join(c.name for c in known)}")
        progress = Progress(kills)
        shares = shared_out(kills, chosen)
        for case in chosen:
            if shares[case.name]:
                outcomes.append(interrupt(case, shares[case.name], folder, moments, progress))
    Console(width=None if sys.stdout.isatty() else 110).print(table(outcomes))
    problems = [problem for outcome in outcomes for problem in outcome.problems]
    for problem in problems:
        print(f"problem: {problem}")
    if problems:
        sys.exit(1)
    print("all commands left the same files")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
