"""The kill loop of commands, on something that behaves like one."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from common.errors import InputError
from tools import kill_commands
from tools.kill_and_resume import Progress
from tools.kill_commands import Case, complaints, interrupt, shared_out

CODES = {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}


def case(flaw="none", **changes):
    given = lambda folder: (folder / "out").mkdir(parents=True)  # noqa: E731
    return Case("stand-in", given, lambda folder: [flaw], "out")._replace(**changes)


@pytest.fixture
def stand_in(monkeypatch):
    """A command that writes two files; flaws make what it leaves depend on how often it ran."""

    def attempt(words, log, after=-1, number=0, patience=0):
        folder, (flaw,) = log.parent / "out", words
        count = len(list(folder.iterdir()))
        if flaw == "fails" and count and after < 0:
            raise InputError("failed by itself")
        (folder / ("half" if flaw == "leaves a file" and after >= 0 else "a")).write_text("a")
        log.write_text("Traceback" if flaw == "traceback" else "")
        if after < 0:
            (folder / "b").write_text(str(count) if flaw == "counts" else "b")
            return 0, 1.0
        return 5 if flaw == "odd exit code" else CODES[number], 0.1

    monkeypatch.setattr(kill_commands, "attempt", attempt)


@pytest.mark.parametrize(
    ("flaw", "problem"),
    [
        ("leaves a file", "half differs"),
        ("counts", "b differs"),
        ("odd exit code", "with exit code 5"),
        ("fails", "failed by itself"),
    ],
)
def test_what_a_kill_changes_is_found(tmp_path, stand_in, flaw, problem):
    outcome = interrupt(case(flaw), 4, tmp_path, random.Random(0), Progress(4))
    assert problem in " ".join(outcome.problems)


def test_a_command_that_leaves_the_same_has_no_problem(tmp_path, stand_in):
    outcome = interrupt(case(), 9, tmp_path, random.Random(0), Progress(9))
    assert not outcome.problems and len(outcome.ends) == 9 and outcome.compared >= 3
    assert [path.name for path in (tmp_path / "stand-in").iterdir()] == ["whole"]


def test_a_process_is_stopped_and_told_from_one_that_goes_on_or_fails(tmp_path):
    log = Path(tmp_path / "log.txt")
    sleeps = ["-c", "import time; time.sleep(60)"]
    assert kill_commands.attempt(sleeps, log, 0.1, signal.SIGKILL)[0] == -9
    with pytest.raises(InputError, match=r"still runs 0 s later"):
        kill_commands.attempt(sleeps, log, 0.1, signal.SIGCONT, patience=0.1)
    with pytest.raises(InputError, match="failed by itself, see .*: it broke"):
        kill_commands.attempt(["-c", "raise SystemExit('it broke')"], log)


def test_a_traceback_is_pythons_own_only_before_the_command_begins(tmp_path):
    log = tmp_path / "log.txt"
    own = 'Traceback\n  File "/usr/lib/python3.8/runpy.py", line 1\nKeyboardInterrupt'
    log.write_text(own)
    assert not list(complaints(-signal.SIGINT, log, early=True))
    assert list(complaints(-signal.SIGINT, log, early=False))
    log.write_text(f'{own}\n  File "{kill_commands.PROJECT}/common/results/tables.py", line 1')
    assert list(complaints(-signal.SIGINT, log, early=True))
    log.write_text("interrupted: the same command resumes where this one stopped")
    assert not list(complaints(130, log, early=False))


def test_times_and_what_follows_from_them_are_left_out_and_nothing_else(tmp_path):
    digests = ["0" * 64, "1" * 64]
    for number, digest in enumerate(digests):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "table.json").write_text(f'{{"started": "{number}", "n": 1}}')
        (folder / "images.csv").write_text(f"a,{number}.5,{folder}/a.png\n")
        (folder / "SHA256SUMS").write_text(f"{digest}  provenance/table.json\n")
    trees = [kill_commands.tree(tmp_path / name, tmp_path / name) for name in ("0", "1")]
    assert trees[0] == trees[1] and len(trees[0]) == 3
    (tmp_path / "1/SHA256SUMS").write_text(f"{digests[1]}  provenance/run/metrics.csv\n")
    (tmp_path / "0/SHA256SUMS").write_text(f"{digests[0]}  provenance/run/metrics.csv\n")
    trees = [kill_commands.tree(tmp_path / name, tmp_path / name) for name in ("0", "1")]
    assert [name for name in trees[0] if trees[0][name] != trees[1][name]] == ["SHA256SUMS"]


def test_quick_commands_get_most_of_the_kills():
    known = [case(name="a", kills=3), case(name="b")]
    assert shared_out(20, known) == {"a": 15, "b": 5}
    assert shared_out(1, known) == {"a": 1}
