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


# Calls `medseg` with each line of words; ends where one has imported what the arguments name.
CALLS = """
import contextlib, io, sys
from reproductions import command
unwanted = {*sys.argv[1].split()}
for line in sys.stdin.read().splitlines():
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as printed:
        command.main(line.split())
    text = printed.getvalue()
    imported = unwanted & {*sys.modules}
    if imported:
        sys.exit(f"medseg {line}: imports {imported}")
    begins = "usage: " if "--help" in line else "plan: " if "--plan" in line else ""
    if not any(told.startswith(begins) for told in text.splitlines() or [""]):
        sys.exit(f"medseg {line}: {text}")
    print(text)
"""
NOT_WITHOUT_WORK = "tensorflow keras matplotlib sklearn skimage distributed"


def answered_from_words():
    """Lines whose answer is in the words, the settings, or the tables' names."""
    yield from ("", "list", "nonsense", "runs", "runs --help", "doctor --help", "verify --help")
    yield from ("verify nonsense", "deposit --help", "fetch-run --help")
    for verb in ("train", "table", "figure", "data", "predict", "evaluate", "readings", "leakage"):
        yield from (f"{verb} --help", f"{verb} nonsense")
    for paper in reproductions.names():
        yield from (f"train {paper} --help", f"train {paper} --epochs x", f"table {paper} --help")
        yield from (f"table {paper} nonsense", f"figure {paper} nonsense")
        for verb, name, _ in targets(paper):
            for words in ("--help", "--seeds x", "--seeds -1", "--nonsense"):
                yield f"{verb} {paper} {name} {words}"


def answered_from_records():
    """Lines whose answer needs tables of results, or run folders' names: plans among them."""
    yield from ("audit --help", "audit", "claims --help", "claims", "compare --help")
    yield from ("report --help", "export --help", "export nonsense")
    yield "verify --results-root nonsense"
    for paper in reproductions.names():
        yield from (f"predict {paper} --help", f"predict {paper} a.png --out b --run nonsense")
        yield from (f"evaluate {paper} --help", f"evaluate {paper} nonsense nonsense")
        yield from (f"train {paper} --learning-rate {number}" for number in ("-1", "0", "nan"))
        for verb, name, kind in targets(paper):
            yield f"{verb} {paper} {name} --plan"
            if kind not in ("counts", "command"):
                yield f"{verb} {paper} {name} --reading nonsense=1 --data-root nonsense"


def targets(paper):
    """The verb of `medseg`, the name and the kind of what it regenerates of a paper."""
    verbs = {"figure": "figure", "readings": "readings", "leakage": "leakage"}
    for name, target in reproductions.targets(paper).items():
        if target.kind != "command":
            verb = verbs.get(target.kind, "table")
            yield verb, name if verb in ("table", "figure") else "", target.kind


@pytest.mark.parametrize(
    ("lines", "not_imported"),
    [
        (answered_from_words, f"{NOT_WITHOUT_WORK} pandas scipy requests"),
        (answered_from_records, NOT_WITHOUT_WORK),
    ],
)
def test_what_needs_no_work_comes_without_tensorflow(lines, not_imported):
    done = subprocess.run(
        [sys.executable, "-c", CALLS, not_imported],
        cwd=PROJECT,
        input="\n".join(lines()),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert "make tnbc-table1" in done.stdout or "plan: nothing to train" in done.stdout


def test_commands_are_written_so_that_they_work_when_copied():
    for name in tracked("*.py", "*.md", "*.mk", "Makefile"):
        if name.startswith("tests/") or name == "common/__init__.py":
            continue
        text = (PROJECT / name).read_text(encoding="utf-8")
        for line in text.splitlines():
            assert not re.search(r"(?<!\.venv/bin/)python -m\b", line), f"{name}: {line}"
