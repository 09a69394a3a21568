"""The recipe in reproductions/README.md is a paper: its files, taken from the text, run through the
driver.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys

import pandas
import pytest

from common.files import PROJECT

FENCED = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = dict(FENCED.findall((PROJECT / "reproductions/README.md").read_text(encoding="utf-8")))
RUN = "example_unet/resnet18-none-published-smoke-float32-seed0"
ASKED = ("table1", "--profile", "smoke", "--encoder-weights", "none", "--data-root", "local")
PUBLISHED = (*ASKED, "--protocol", "published")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A checkout with the recipe's paper added, and a phantom of its data."""
    root = tmp_path_factory.mktemp("project")
    tracked = ["common", "data_manifests", "reproductions", "tools", "requirements"]
    tracked += ["Makefile", "ruff.toml", "setup.cfg"]
    ignored = shutil.ignore_patterns("__pycache__")
    for name in tracked:
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, root / name, ignore=ignored)
        else:
            shutil.copy(PROJECT / name, root / name)
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "--quiet", "-m", "before")
    for name, text in {**FILES, "reproductions/example_unet/__init__.py": ""}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(
        "example_phantom", root / "reproductions/example_unet/phantom.py"
    )
    phantom = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(phantom)
    phantom.write(root / "local/example")
    return root


def git(root, *words):
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout


def run(project, module, *arguments):
    command = [sys.executable, "-m", module, *arguments]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "COLUMNS": "120"}
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_recipe_regenerates_its_table_and_scores_finished_runs_anew(project):
    shown = run(project, "reproductions.example_unet.eval", *PUBLISHED)
    assert "Results on the test images" in shown
    results = project / "results/demo/example_unet"
    lines = pandas.read_csv(results / "table1_vs_published.csv")
    assert lines[["row", "metric", "verdict"]].to_numpy().tolist() == [
        ["unet", "dice", "not comparable"]
    ]
    assert "synthetic images" in lines["reason"][0]
    name = RUN.partition("/")[2]
    per_image = pandas.read_csv(results / "provenance" / name / "metrics.csv")
    assert lines["regenerated"][0] == pytest.approx(per_image["dice"].mean(), abs=1e-6)
    assert len(per_image) == 4

    # A new metric appears in the table of the finished run, which is left alone.
    weights = project / "results/demo/runs" / RUN / "weights.h5"
    trained = weights.stat().st_mtime_ns
    metrics = project / "reproductions/example_unet/metrics.py"
    text = metrics.read_text()
    metrics.write_text(text.replace(".mean()}", '.mean(), "worst": table["dice"].min()}'))
    run(project, "reproductions.example_unet.eval", *PUBLISHED)
    metrics.write_text(text)
    assert weights.stat().st_mtime_ns == trained
    table = pandas.read_csv(results / "table1.csv").set_index("metric")
    assert table.loc["worst", "mean"] == pytest.approx(per_image["dice"].min(), abs=1e-6)


def test_adding_a_paper_touches_nothing_shared(project):
    changed = git(project, "status", "--porcelain", "--", ":(exclude)local", ":(exclude)results")
    assert changed.split() == [
        "??", "data_manifests/example.yaml", "??", "reproductions/example_unet/",
    ]  # fmt: skip
    help_page = subprocess.run(["make", "help"], cwd=project, capture_output=True, text=True).stdout
    assert "example-table1         U-Net on the example images, table 1" in help_page
    assert "example_unet" in run(project, "reproductions.command", "list")
    assert "example_unet" in run(project, "common.published.audit")
    planned = subprocess.run(
        ["make", "--dry-run", "example-table1"], cwd=project, capture_output=True, text=True
    ).stdout
    assert "reproductions.example_unet.eval table1" in planned


def test_the_two_files_of_the_recipe_are_short_and_follow_the_style(project):
    lines = [
        FILES[f"reproductions/example_unet/{name}.py"].count("\n") for name in ("train", "eval")
    ]
    assert sum(lines) <= 50
    run(project, "ruff", "check", "reproductions/example_unet")
    run(project, "ruff", "format", "--check", "reproductions/example_unet")
