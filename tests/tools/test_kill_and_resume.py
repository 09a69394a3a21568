"""The kill loop, on something that behaves like a training and takes a second."""

import importlib
import random
import shutil
import sys

import h5py
import numpy as np
import pytest

from common import cli
from common.errors import InputError
from common.files import PROJECT
from tools import kill_and_resume

# Four epochs, each kept; flaws make what it ends with depend on the kills.
TRAINING = """
import json, os, sys, time
from pathlib import Path
import h5py

folder, flaw = Path(sys.argv[1]) / "paper/run", sys.argv[2]
state = folder / "state"
state.mkdir(parents=True, exist_ok=True)
(folder / "config.json").write_text("{}")
count = len(list(folder.glob("session*")))
(folder / "new.json").write_text(str(count))
os.replace(folder / "new.json", folder / "environment.json")
if flaw == "fails" and list(state.iterdir()):
    sys.exit("it broke")
for epoch in range(len(list(state.iterdir())) + 1, 5):
    time.sleep(0.05)
    (state / f"epoch_{epoch:05d}").mkdir(exist_ok=True)  # as a kill may come while they are removed
    if flaw == "leaves a file":
        (folder / f".partial-{os.getpid()}").touch()
    if flaw == "counts steps of its own" :
        (folder / "steps").write_text(str(os.getpid()))
with h5py.File(folder / "weights.h5", "w") as file:
    file["kernel"] = [os.getpid() if flaw == "draws anew" else 1.0]
(folder / "history.csv").write_text("epoch,learning_rate,loss\\n1,0.1,2\\n")
for path in state.iterdir():
    path.rmdir()
state.rmdir()
time.sleep(0.05)
(folder / "predictions.json").write_text("{}")
"""


def run(tmp_path, monkeypatch, flaw="none", kills=4):
    def command(paper, data, runs_root):
        return [sys.executable, "-c", TRAINING, str(runs_root), flaw]

    monkeypatch.setattr(kill_and_resume, "command", command)
    return kill_and_resume.kill_and_compare(
        "polyp_unet", kills, tmp_path, random.Random(0), kill_and_resume.Progress(kills)
    )


def test_an_honest_training_ends_alike_however_often_it_is_killed(tmp_path, monkeypatch, capsys):
    outcome = run(tmp_path, monkeypatch)
    assert len(outcome.killed) == 4 and outcome.finished >= 1 and outcome.differences == []
    assert {*outcome.killed} <= {
        "after training",
        *(f"in epoch {number}" for number in range(1, 5)),
    }
    assert "[4/4] polyp_unet: killed" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "polyp_unet").iterdir()] == [
        "whole"
    ]  # what is alike is not kept


@pytest.mark.parametrize(
    ("flaw", "name"),
    [
        ("draws anew", "weights.h5"),
        ("leaves a file", ".partial-"),
        ("counts steps of its own", "steps"),
    ],
)
def test_what_differs_is_found_and_kept(tmp_path, monkeypatch, flaw, name):
    outcome = run(tmp_path, monkeypatch, flaw, kills=1)
    assert outcome.differences and all(name in line for line in outcome.differences)
    assert (tmp_path / "polyp_unet/broken0").is_dir()


def test_a_training_that_fails_by_itself_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(
        InputError,
        match=r"polyp_unet: a training that nobody killed failed, see .*log\.txt: it broke",
    ):
        for _ in range(9):  # until a kill leaves a state
            shutil.rmtree(tmp_path)
            run(tmp_path, monkeypatch, "fails")


@pytest.fixture
def pair(tmp_path):
    """Two run folders that are alike."""
    for name in ("whole", "broken"):
        folder = tmp_path / name
        (folder / "predictions").mkdir(parents=True)
        (folder / "predictions/1.npy").write_bytes(b"1")
        (folder / "history.csv").write_text("epoch,learning_rate,loss\n1,0.1,2\n2,0.1,1\n")
        (folder / "predictions.json").write_text('{"sha256": {"1": "a"}}')
        (folder / "split.json").write_text("{}")
        (folder / "environment.json").write_text(name)
        with h5py.File(folder / "weights.h5", "w") as file:
            file["layer/kernel"] = np.float32([1, 2])
    return tmp_path / "whole", tmp_path / "broken"


def rewrite(path, kernel):
    with h5py.File(path, "w") as file:
        file["layer/kernel"] = kernel


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda f: rewrite(f / "weights.h5", np.nextafter(np.float32([1, 2]), 3)), "weights.h5"),
        (lambda f: rewrite(f / "weights.h5", np.float32([-0.0, 2])), "weights.h5"),
        (lambda f: rewrite(f / "weights.h5", np.float32([1, 2, 3])), "weights.h5"),
        (lambda f: (f / "weights.h5").unlink(), "weights.h5"),
        (
            lambda f: (f / "history.csv").write_text("epoch,learning_rate,loss\n1,0.1,2\n"),
            "history.csv",
        ),
        (lambda f: (f / "predictions.json").write_text("{}"), "predictions.json"),
        (lambda f: (f / "predictions/1.npy").write_bytes(b"2"), "predictions/1.npy"),
        (lambda f: (f / "predictions/1.npy").unlink(), "predictions/1.npy"),
        (lambda f: (f / "split.json").write_text("[]"), "split.json"),
        (lambda f: (f / ".partial-1").touch(), ".partial-1"),
    ],
)
def test_differences_are_found_to_the_bit(pair, change, name):
    whole, broken = pair
    assert kill_and_resume.differences(whole, broken) == []
    change(broken)
    assert kill_and_resume.differences(whole, broken) == [name]


def test_every_paper_is_in_the_loop(monkeypatch):
    folders = {path.parent.name for path in (PROJECT / "reproductions").glob("*/train.py")}
    assert {*kill_and_resume.Options().papers} == folders
    for paper in folders:
        words = kill_and_resume.command(paper, PROJECT / "data", PROJECT / "runs")
        config = importlib.import_module(f"reproductions.{paper}.config")
        smoke = config.PROFILES["smoke"]
        assert ("--encoder-weights" in words) == hasattr(smoke, "encoder_weights")
        monkeypatch.setattr("sys.argv", words[2:])
        asked = cli.parse_training(config.PROFILES, paper).config
        assert (asked.profile, asked.epochs) == ("smoke", kill_and_resume.EPOCHS)
