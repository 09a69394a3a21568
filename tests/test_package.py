"""What a built wheel holds, and the command that it installs."""

import configparser
import email
import re
import subprocess
import sys
import zipfile

import pytest
from tracked import tracked

import reproductions
from common.files import PROJECT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = (
        f"import sys; from setuptools import build_meta; build_meta.build_wheel({str(folder)!r})"
    )
    source = folder / "source"
    for name in tracked():
        if not name.startswith(("results/", "tests/")):
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((PROJECT / name).read_bytes())
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1000:]
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        yield archive


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    present = tracked("common", "reproductions", "tools")
    assert "common/report/template.html.jinja" in present
    assert not set(present) - set(wheel.namelist())


def test_the_wheel_declares_what_it_needs(wheel):
    name = next(name for name in wheel.namelist() if name.endswith("METADATA"))
    needed = email.message_from_string(wheel.read(name).decode()).get_all("Requires-Dist")
    always = [one for one in needed if "extra ==" not in one]
    assert len(always) >= 10
    assert any(one.startswith("tensorflow==2.9.3") for one in always)
    assert any(one.startswith("tf-models-official") and "extra ==" in one for one in needed)


def test_everything_in_the_lock_s_input_is_declared(wheel):
    config = configparser.ConfigParser()
    config.read(PROJECT / "setup.cfg")
    declared = config["options"]["install_requires"] + config["options.extras_require"]["brain"]
    for line in (PROJECT / "requirements/base.in").read_text().splitlines():
        name = line.split("#")[0].split(";")[0].strip()
        for mark in "<>=!":
            name = name.partition(mark)[0]
        # The pin of this one is for a platform's wheels, not a need of the code.
        if name and name != "tensorflow-io-gcs-filesystem":
            assert name.lower() in declared.lower(), name


# Calls `medseg` with each line of words, and ends with those after which TensorFlow is there.
CALLS = """
import contextlib, io, sys
from reproductions import command
imported = []
for line in sys.stdin.read().splitlines():
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as printed:
        command.main(line.split())
    text = printed.getvalue()
    if "tensorflow" in sys.modules:
        sys.exit(f"medseg {line}: imports TensorFlow")
    if "--help" in line and not text.startswith("usage: "):
        sys.exit(f"medseg {line}: {text}")
    print(text)
"""


def test_help_lists_and_wrong_words_come_without_tensorflow():
    lines = ["", "list", "nonsense", "audit --help", "audit", "claims --help", "compare --help"]
    lines += ["report --help", "export --help"]
    for verb in ("train", "table", "figure", "data", "predict", "evaluate", "readings", "leakage"):
        lines += [f"{verb} --help", f"{verb} nonsense"]
    for paper in reproductions.names():
        lines += [f"train {paper} --help", f"train {paper} --epochs x", f"predict {paper} --help"]
        lines += [f"evaluate {paper} --help", f"table {paper} --help", f"table {paper} nonsense"]
        for name, target in reproductions.targets(paper).items():
            if target.kind in ("table", "percent_table", "counts", "breakdown"):
                lines += [f"table {paper} {name} --help", f"table {paper} {name} --seeds x"]
    done = subprocess.run(
        [sys.executable, "-c", CALLS],
        cwd=PROJECT,
        input="\n".join(lines),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert "make tnbc-table1" in done.stdout and "--encoder-weights" in done.stdout


def test_commands_are_written_so_that_they_work_when_copied():
    for name in tracked("*.py", "*.md", "*.mk", "Makefile"):
        if name.startswith("tests/") or name == "common/__init__.py":
            continue
        text = (PROJECT / name).read_text(encoding="utf-8")
        for line in text.splitlines():
            assert not re.search(r"(?<!\.venv/bin/)python -m\b", line), f"{name}: {line}"
