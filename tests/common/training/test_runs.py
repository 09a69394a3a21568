import json
import multiprocessing
import subprocess

import numpy as np
import pandas
import pytest

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


def test_a_damaged_config_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"epochs":')
    with pytest.raises(InputError, match=r"config\.json: not valid JSON"):
        runs.Run(tmp_path, {})


def _hold(folder, ready, release):
    with runs.Run(folder, {}).locked():
        ready.set()
        release.wait(20)


def test_two_processes_cannot_work_in_one_folder(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, ready, release))
    other.start()
    try:
        assert ready.wait(20)
        with pytest.raises(InputError, match="in use by another process"), runs.Run(
            tmp_path, {}
        ).locked():
            pass
    finally:
        other.kill()
        other.join()
    with runs.Run(tmp_path, {}).locked():  # a killed process holds nothing
        pass


def test_metrics_complete_a_run_and_ids_stay_text(tmp_path):
    run = runs.Run(tmp_path, {})
    assert not run.complete
    run.save_metrics(pandas.DataFrame({"id": ["01_1", "007"], "dsc": [0.1, 1 / 3]}))
    assert run.complete
    assert run.load_metrics()["id"].tolist() == ["01_1", "007"]
    assert (tmp_path / "metrics.csv").read_bytes() == b"id,dsc\n01_1,0.1\n007,0.3333333333\n"


def test_predictions_round_trip_and_damage_is_named(tmp_path):
    run = runs.Run(tmp_path, {})
    maps = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    run.save_prediction("01_1", maps)
    np.testing.assert_array_equal(run.load_prediction("01_1"), maps)
    path = tmp_path / "predictions/01_1.npy"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"01_1\.npy: missing or damaged"):
        run.load_prediction("01_1")
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(
        InputError, match=r"01_1\.npy: missing or damaged"
    ):  # pickles are never loaded
        run.load_prediction("01_1")


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
