"""Which Pythons are tried, and what is told of one that fails."""

from __future__ import annotations

import sys

import pytest

from common.files import PROJECT
from tools import interpreters

OWN = ".".join(map(str, sys.version_info[:2]))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Try versions, of which none is set up: the steps are those that a test gives."""

    def run(steps, *versions):
        monkeypatch.setattr(interpreters, "steps", lambda python, tests: steps)
        monkeypatch.setattr(interpreters, "find", {"3.7": sys.executable}.get)
        words = ["x", "--folder", str(tmp_path / "copies"), "--versions", *versions]
        monkeypatch.setattr(sys, "argv", words)
        return interpreters.main()

    return run


def test_its_own_version_is_left_to_make_test_and_others_may_be_missing(run, capsys):
    run([("never", ["false"])], OWN, "3.6")
    told = capsys.readouterr().out
    assert f"Python {OWN}: that of .venv" in told and "Python 3.6: not found here" in told


def test_a_step_sees_the_tracked_files_and_one_that_fails_is_named(run, tmp_path, capsys):
    step = [
        sys.executable,
        "-c",
        "import common, os; print(os.getcwd()); raise SystemExit('it broke')",
    ]
    with pytest.raises(SystemExit) as ended:
        run([("fine", ["true"]), ("broken", step)], "3.7")
    assert ended.value.code == 2
    copy = tmp_path / "copies/3.7"
    assert "broken failed" in capsys.readouterr().err
    assert (copy / "broken.log").read_text().splitlines() == [str(copy), "it broke"]
    assert (copy / "Makefile").read_bytes() == (PROJECT / "Makefile").read_bytes()


def test_pythons_are_found_by_their_version():
    assert interpreters.find("2.0") is None
    assert interpreters.find(OWN) is not None
