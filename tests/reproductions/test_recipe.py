"""The recipe in reproductions/README.md is a paper: its files, taken from the text, run through the
driver.
"""

import os
import re
import shutil
import subprocess
import sys

import pandas
import pytest

from common.files import PROJECT
from reproductions.polyp_unet import phantom as polyp_phantom

FENCED = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = "example_unet/resnet18-none-published-smoke-float32-seed0"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project that has no paper but the recipe's, with a phantom of its data."""
    root = tmp_path_factory.mktemp("project")
    for folder in ("common", "data_manifests"):
        shutil.copytree(
            PROJECT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    files = dict(FENCED.findall((PROJECT / "reproductions/README.md").read_text(encoding="utf-8")))
    for name, text in {
        **files,
        "reproductions/__init__.py": "",
        "reproductions/example_unet/__init__.py": "",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    polyp_phantom.write_folder(root / "local/example")
    return root


def run(project, module, *arguments):
    command = [sys.executable, "-m", module, *arguments]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "COLUMNS": "120"}
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_recipe_regenerates_its_table(project):
    asked = ("table1", "--profile", "smoke", "--encoder-weights", "none", "--data-root", "local")
    shown = run(project, "reproductions.example_unet.eval", *asked, "--protocol", "published")
    assert "Results on the test images" in shown
    results = project / "results/demo/example_unet"
    lines = pandas.read_csv(results / "table1_vs_published.csv")
    assert lines[["row", "metric", "verdict"]].to_numpy().tolist() == [
        ["unet", "dice", "not comparable"]
    ]
    assert "synthetic images" in lines["reason"][0]
    weights = project / "results/demo/runs" / RUN / "weights.h5"
    per_image = pandas.read_csv(weights.parent / "metrics.csv")
    assert lines["regenerated"][0] == pytest.approx(per_image["dice"].mean(), abs=1e-6)
    assert len(per_image) == 4

    trained = weights.stat().st_mtime_ns
    run(project, "reproductions.example_unet.eval", *asked, "--protocol", "published")
    assert weights.stat().st_mtime_ns == trained  # what is complete is left alone


def test_the_recipe_is_found_by_the_audit_and_follows_the_style(project):
    assert "example_unet" in run(project, "common.published.audit")
    run(project, "ruff", "check", "--config", str(PROJECT / "ruff.toml"), "reproductions")
    run(
        project,
        "ruff",
        "format",
        "--check",
        "--config",
        str(PROJECT / "ruff.toml"),
        "reproductions",
    )
