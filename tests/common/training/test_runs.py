import hashlib
import json
import subprocess
from dataclasses import dataclass
from typing import Tuple

import pandas
import pytest

from common import files
from common.errors import InputError
from common.training import runs


def test_a_folder_belongs_to_one_configuration(tmp_path):
    runs.Run(tmp_path / "a", {"epochs": 20, "size": (8, 8)})
    runs.Run(tmp_path / "a", {"size": [8, 8], "epochs": 20})  # a tuple and a list are one in JSON
    with pytest.raises(
        InputError, match=r"epochs: 20 there, 21 asked for; rate: None there, 0.1 asked for"
    ):
        runs.Run(tmp_path / "a", {"epochs": 21, "size": [8, 8], "rate": 0.1})
    assert json.loads((tmp_path / "a/config.json").read_text())["epochs"] == 20


@pytest.fixture
def predicted(tmp_path):
    """A complete run of three images."""
    run = runs.Run(tmp_path / "run", {"epochs": 20})
    for name in IDS:
        files.write_bytes(run.predictions / f"{name}.png", name.encode())
    run.finish(IDS)
    return run


IDS = ["01_1", "007", "test/benign (1).a"]


def test_predictions_complete_a_run(predicted):
    predicted.check_predictions(IDS)
    predicted.check_predictions(reversed(IDS))
    assert predicted.complete and not predicted.of_earlier_version
    again = runs.Run(predicted.folder, {"epochs": 20})
    assert again.complete and runs.is_complete(again.folder)
    record = json.loads((predicted.folder / "predictions.json").read_text())
    assert set(record["sha256"]) == set(IDS)
    assert record["sha256"]["007"] == hashlib.sha256(b"007").hexdigest()


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        (IDS[:2], r"test/benign \(1\)\.a has a prediction and is not in the split"),
        ([*IDS, "2"], "2 has no prediction"),
        ([*IDS, "2", "3", "4"], r"2 \(and 2 more\) has no prediction"),
        ([*IDS, "007"], "007 stands twice in the split"),
        ([], r"007 \(and 2 more\) has a prediction and is not in the split"),
    ],
)
def test_predictions_of_other_images_are_named_and_complete_nothing(predicted, ids, problem):
    for ask in (predicted.check_predictions, predicted.finish):
        with pytest.raises(InputError, match=f"predictions: {problem}; remove .*run to redo"):
            ask(ids)
    (predicted.folder / "predictions.json").unlink()
    with pytest.raises(InputError, match=problem):
        predicted.finish(ids)
    assert not predicted.complete


def test_two_predictions_of_one_image_are_named(predicted):
    files.write_bytes(predicted.predictions / "007.npy", b"")
    with pytest.raises(InputError, match=r"007\.png: a second prediction of 007"):
        predicted.check_predictions(IDS)


def test_a_prediction_that_has_changed_is_named_with_the_remedy(predicted):
    path = predicted.predictions / "test/benign (1).a.png"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(InputError, match=r"a\.png: damaged or changed .* remove .*json to predict"):
        predicted.check_predictions(IDS)
    (predicted.folder / "predictions.json").unlink()
    predicted.finish(IDS)  # as when it was predicted again
    predicted.check_predictions(IDS)


@pytest.mark.parametrize("content", ["{}", '{"sha256": []}', '{"sha256": {"007": "a"}}'])
def test_a_record_that_names_other_files_is_refused(predicted, content):
    (predicted.folder / "predictions.json").write_text(content)
    with pytest.raises(InputError, match=r"predictions\.json does not name the files in"):
        predicted.check_predictions(IDS)


def test_half_written_predictions_are_none(predicted):
    (predicted.predictions / ".partial-abc.png").write_bytes(b"half")
    predicted.check_predictions(IDS)


def test_a_folder_of_an_earlier_version_counts_as_complete(tmp_path):
    run = runs.Run(tmp_path, {})
    assert not run.complete
    runs.write_csv(tmp_path / "metrics.csv", pandas.DataFrame({"id": ["007"], "dsc": [1 / 3]}))
    assert run.complete and run.of_earlier_version
    assert (tmp_path / "metrics.csv").read_bytes() == b"id,dsc\n007,0.3333333333\n"


def test_fields_that_an_earlier_version_lacked_have_their_defaults(tmp_path):
    files.write_json(tmp_path / "config.json", {"epochs": 20})
    now = {"epochs": 20, "loss": "bce", "grid": (8, 8)}
    runs.Run(tmp_path, now, defaults=now)
    with pytest.raises(InputError, match=r"\(loss: 'bce' there, 'dice' asked for\)"):
        runs.Run(tmp_path, {**now, "loss": "dice"}, defaults=now)
    assert json.loads((tmp_path / "config.json").read_text()) == {"epochs": 20}


@dataclass(frozen=True)
class Config:
    epochs: int = 20
    grid: Tuple[int, int] = (8, 8)


def test_a_config_is_rebuilt_from_its_folder(tmp_path):
    run = runs.Run(tmp_path, {"epochs": 3, "grid": (4, 4), "data": "0" * 16})
    assert runs.load_config(run.folder, Config) == Config(3, (4, 4))
    files.write_json(tmp_path / "config.json", {"epochs": 3})
    assert runs.load_config(run.folder, Config) == Config(3)
    files.write_json(tmp_path / "config.json", {"epochs": 3, "tiles": "all"})
    with pytest.raises(InputError, match="tiles: no setting of this paper"):
        runs.load_config(run.folder, Config)
    with pytest.raises(InputError, match=r"nowhere/config\.json: no such file"):
        runs.load_config(tmp_path / "nowhere", Config)


def test_a_changed_split_is_refused(tmp_path):
    run = runs.Run(tmp_path, {})
    run.save_split({"train": ["a"], "test": ["b"]})
    run.save_split({"train": ["a"], "test": ["b"]})
    assert run.split == {"train": ["a"], "test": ["b"]}
    with pytest.raises(InputError, match=r"split\.json: the data give another split"):
        run.save_split({"train": ["b"], "test": ["a"]})


def test_every_session_of_a_run_is_on_record(tmp_path):
    run = runs.Run(tmp_path, {})
    run.log_session(device="CPU")
    run.log_session(device="GPU")
    sessions = json.loads((tmp_path / "environment.json").read_text())["sessions"]
    assert [session["device"] for session in sessions] == ["CPU", "GPU"]
    assert sessions[0]["libraries"]["tensorflow"].startswith("2.9")


def test_commit_tells_uncommitted_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "PROJECT", tmp_path)
    assert runs.commit() == "unknown"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "results").mkdir()
    for name in ("a", "results/b.csv", "README.md"):
        (tmp_path / name).write_text("1")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "a"], check=True)
    clean = runs.commit()
    assert len(clean) == 12
    for name in (
        "results/b.csv",
        "README.md",
        "new",
    ):  # what commands write, and what is not part of the project
        (tmp_path / name).write_text("2")
    assert runs.commit() == clean
    (tmp_path / "a").write_text("2")
    assert runs.commit() == f"{clean}+changes"
