"""How commands end: interrupted at any moment, and in foreign surroundings."""

import errno
import os
import re
import signal
import subprocess
import sys
import time

import pytest

import common
from common.errors import InputError, exits_cleanly, on_one_line
from common.files import PROJECT

LINE = "{}: the same command resumes where this one stopped\n"
ENDS = {signal.SIGINT: ("interrupted", 130), signal.SIGTERM: ("terminated", 143)}
# A command in a package of its own, which imports `common` first as all do, and then for long.
SLOW = """
import time
print("imports", flush=True)
{imports}
from common.errors import exits_cleanly

@exits_cleanly
def main():
    try:
        print("works", flush=True)
        {work}
    finally:
        print("clears", flush=True)

main()
print("done", flush=True)
{after}
"""


@pytest.fixture
def command(tmp_path):
    """Start a command of the project; it says on stdout how far it is."""
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow/__init__.py").write_text("import common\n")
    started = []

    def start(imports="", work="time.sleep(30)", after="", **environment):
        text = SLOW.format(imports=imports, work=work, after=after)
        (tmp_path / "slow/__main__.py").write_text(text)
        (tmp_path / "common").exists() or (tmp_path / "common").symlink_to(PROJECT / "common")
        process = subprocess.Popen(
            [sys.executable, "-m", "slow"],
            cwd=tmp_path,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def until(process, word):
    while process.stdout.readline().strip() != word:
        assert process.poll() is None, process.stderr.read()
    time.sleep(0.2)  # so that it has gone on to what comes after the word


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize("stage", ["imports", "works", "done"])
def test_a_command_ends_in_one_line_at_any_stage(command, number, stage):
    word, code = ENDS[number]
    waits = "time.sleep(30)"
    process = command(
        imports=waits if stage == "imports" else "",
        work=waits if stage == "works" else "pass",
        after=waits if stage == "done" else "",
    )
    until(process, stage)
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (code, LINE.format(word))
    assert ("clears" in out) == (stage == "works")


def test_an_interruption_that_a_library_swallows_or_turns_into_an_error_is_one_all_the_same(
    command,
):
    for work in (
        "\n        try: time.sleep(30)\n        except BaseException: pass",
        "\n        try: time.sleep(30)\n        except BaseException: raise RuntimeError('graph')",
    ):
        process = command(work=work)
        until(process, "works")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
        assert (process.returncode, err) == (130, LINE.format("interrupted"))


def test_a_second_signal_ends_what_does_not_end_by_itself(command):
    process = command(
        work="\n        while True:\n            try: time.sleep(30)\n"
        "            except BaseException: print('goes on', flush=True)"
    )
    until(process, "works")
    process.send_signal(signal.SIGINT)
    until(process, "goes on")
    time.sleep(2.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, LINE.format("interrupted"))


@pytest.mark.parametrize("seconds", [0.5, 1.5])
@pytest.mark.parametrize(
    "module", ["reproductions.tnbc_linknet.train", "common.report.html", "tools.kill_and_resume"]
)
def test_commands_of_the_project_do(tmp_path, module, seconds):
    process = subprocess.Popen(
        [sys.executable, "-m", module, "--help"],
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(seconds)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    # On a busy machine it may have ended before, or Python itself not have begun.
    assert (process.returncode, err) in ((143, LINE.format("terminated")), (0, ""), (-15, ""))


def test_what_was_started_in_the_background_goes_on(tmp_path, command):
    shell = "trap '' INT; exec \"$@\""
    (tmp_path / "slow/__main__.py").write_text("import time; time.sleep(0.5); print('end')")
    (tmp_path / "common").symlink_to(PROJECT / "common")
    process = subprocess.Popen(
        ["sh", "-c", shell, "sh", sys.executable, "-m", "slow"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.communicate()[0] == "end\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PYTHONOPTIMIZE", "2"),
        ("PYTHONWARNINGS", "error"),
        ("PYTHONIOENCODING", "ascii"),
        ("PYTHONPATH", "{elsewhere}"),
        ("PYTHONINSPECT", "1"),
        ("PYTHONUTF8", "0"),
    ],
)
def test_variables_of_python_do_not_reach_a_command(command, tmp_path, name, value):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "pandas.py").write_text("raise SystemExit('shadowed')")
    told = f"print(os.environ.get({name!r}), sys.flags.optimize, {str(elsewhere)!r} in sys.path)"
    process = command(
        imports=f"import os, sys, warnings, pandas; {told}; print('ş', chr(0xdcfe))",
        work="warnings.warn('a', ImportWarning)",
        **{name: value.format(elsewhere=elsewhere)},
    )
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[:4] == ["imports", "None 0 False", "ş \\udcfe", "works"]


def test_who_only_imports_the_package_keeps_variables_and_signals(tmp_path):
    code = (
        "import signal, sys; before = signal.getsignal(2), sys.excepthook; import common; "
        "assert (signal.getsignal(2), sys.excepthook) == before; print(sys.flags.optimize)"
    )
    environment = {**os.environ, "PYTHONOPTIMIZE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True
    )
    assert (result.stdout, result.stderr) == ("1\n", "")
    assert not common.is_command()


def test_the_parts_of_a_command_are_none(tmp_path):
    """A process that multiprocessing starts has the arguments of its parent."""
    (tmp_path / "medseg").write_text(
        "import multiprocessing, sys\n"
        f"sys.path.insert(0, {str(PROJECT)!r})\n"
        "import common\n"
        "if __name__ == '__main__':\n"
        "    print(common.is_command())\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.apply(common.is_command))\n"
    )
    command = [sys.executable, str(tmp_path / "medseg")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("True\nFalse\n", "")


def test_nobody_reads_the_end(tmp_path):
    audit = f"{sys.executable} -m common.published.audit | head -1; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", audit], cwd=PROJECT, capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] in ("1", "141") and result.stderr == ""
    if os.path.exists("/dev/full"):
        full = f"{sys.executable} -m common.published.audit > /dev/full"
        result = subprocess.run(["bash", "-c", full], cwd=PROJECT, capture_output=True, text=True)
        assert result.returncode == 2
        assert re.fullmatch("error: .*No space left on device; make room.*\n", result.stderr)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InputError("a.dcm: without pixels: 1.2\n\x1b[2J3"), "without pixels: 1.2 ?[2J3"),
        (InputError("x" * 5000), "x" * 2000 + " …"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.png"), "a.png: No such file; put it"),
        (OSError(errno.ENOLCK, "No locks available", "a"), "network disk"),
        (OSError(errno.EMFILE, "Too many open files", "a"), "ulimit"),
    ],
)
def test_what_is_told_is_one_line(capsys, error, words):
    @exits_cleanly
    def main():
        raise error

    with pytest.raises(SystemExit) as caught:
        main()
    line = capsys.readouterr().err
    assert caught.value.code == 2 and words in line
    assert line.count("\n") == 1 and line[:-1].isprintable()


def test_on_one_line_leaves_other_texts_alone():
    assert on_one_line("ağırlık: 1×2 “q”") == "ağırlık: 1×2 “q”"
