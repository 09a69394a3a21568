"""Run folders that are damaged, shared, of another version or from the future, and results that two
commands write.
"""

import json
import os
import pathlib
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pandas
import pytest
import tensorflow as tf
from tensorflow import keras

from common import files
from common.cli import Request
from common.results import tables
from common.training import fit as training
from common.training import predictions, runs
from reproductions.tnbc_linknet import eval as tnbc

CONFIG = {"epochs": 20, "seed": 0}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"epochs": 20}, "seed: None there, 0 asked for"),
        ({**CONFIG, "mixup": 0.2}, "mixup: 0.2 there, None asked for"),
        ({**CONFIG, "epochs": "20"}, "epochs: '20' there, 20 asked for"),
        ([20, 0], "expected a JSON object"),
        (None, "expected a JSON object"),
    ],
    ids=["field missing", "field unknown", "field of another type", "list", "null"],
)
def test_a_run_folder_of_another_version_is_refused_with_the_difference(
    tmp_path, fails, content, words
):
    files.write_json(tmp_path / "config.json", content)
    before = (tmp_path / "config.json").read_bytes()
    fails(lambda: runs.Run(tmp_path, CONFIG), tmp_path, words, "remove")
    assert (tmp_path / "config.json").read_bytes() == before


def replace_by(make):
    def change(path):
        path.unlink()
        make(path)

    return change


DAMAGE = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-3]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no json"),
    "bytes": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "nested too deeply": lambda path: path.write_text("[" * 100_000),
    "folder": replace_by(Path.mkdir),
    "symlink loop": replace_by(lambda path: path.symlink_to(path.name)),
}


@pytest.mark.parametrize("damage", [name for name in DAMAGE if name != "symlink loop"])
@pytest.mark.parametrize("name", ["config.json", "split.json", "environment.json"])
def test_a_damaged_file_of_a_run_is_named_and_kept(tmp_path, fails, name, damage):
    def work():
        run = runs.Run(tmp_path, CONFIG)
        run.save_split({"train": ["a"]})
        run.log_session()

    work()
    DAMAGE[damage](tmp_path / name)
    fails(work, tmp_path / name)
    assert (tmp_path / name).exists()


def test_a_record_of_sessions_from_another_version_is_kept(tmp_path, fails):
    files.write_json(tmp_path / "environment.json", {"commit": "abc"})
    fails(
        lambda: runs.Run(tmp_path, CONFIG).log_session(),
        "environment.json",
        "expected a list `sessions`",
    )
    assert json.loads((tmp_path / "environment.json").read_text()) == {"commit": "abc"}


@pytest.fixture
def predicted(tmp_path):
    """A complete run of two images, in folders as some papers have them."""
    run = runs.Run(tmp_path / "run", CONFIG)
    run.save_split({"test": ["test/a", "test/b"]})
    for number, image_id in enumerate(run.split["test"]):
        predictions.save_map(run, image_id, np.full((4, 4), 0.25 * (number + 1)))
    run.finish(run.split["test"])
    run.check_predictions(run.split["test"])
    return run


@pytest.mark.parametrize(
    "damage", [name for name in DAMAGE if name not in ("symlink loop", "folder")]
)
def test_a_damaged_record_of_predictions_is_named(predicted, fails, damage):
    path = predicted.folder / "predictions.json"
    DAMAGE[damage](path)
    fails(lambda: predicted.check_predictions(predicted.split["test"]), path, "remove")


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_prediction_is_named_with_the_remedy(predicted, fails, damage):
    path = predicted.predictions / "test/a.png"
    DAMAGE[damage](path)
    fails(lambda: predicted.check_predictions(predicted.split["test"]), "remove", "test/a")
    fails(lambda: predictions.load_map(predicted, "test/a"), path, f"remove {predicted.folder} to")


def test_what_a_killed_process_half_wrote_is_cleared_away_by_the_next(tmp_path):
    run = runs.Run(tmp_path, CONFIG)
    (tmp_path / "predictions").mkdir()
    for name in (".partial-a.json", "predictions/.partial-b.npy", "predictions/1.npy"):
        (tmp_path / name).write_bytes(b"half")
    with run.locked():
        assert not list(tmp_path.rglob(".partial-*")) and (tmp_path / "predictions/1.npy").exists()


def test_two_commands_that_begin_one_run_at_once_agree(tmp_path, monkeypatch):
    def overtaken(path, value):
        write(path, value)  # the other one was faster, and cleared ours away
        raise FileNotFoundError(".partial-ours")

    write = files.write_json
    monkeypatch.setattr(files, "write_json", overtaken)
    assert runs.Run(tmp_path, CONFIG).config == CONFIG


def scores(protocol):
    conditions = tables.Conditions(protocol, "paper", "imagenet", "float32", "TNBC", "0" * 16)
    metrics = ("accuracy", "dsc", "f1", "aji")
    return [
        (tables.Score(row, m, 0.5, 0), conditions)
        for row in ("resnext50", "vgg19", "ensemble")
        for m in metrics
    ]


def publish(protocol, results_root):
    """Write table 1 as a command with this protocol does."""
    tnbc.paper._publish("table1", scores(protocol), Request(results_root=results_root))
    return results_root / "tnbc_linknet"


def test_two_commands_that_write_one_table_at_once_lose_nothing(tmp_path, monkeypatch):
    def slow(path):
        table = read(path)
        time.sleep(0.1)  # long enough for the other to read the same
        return table

    read = tables.read
    folder = publish("first", tmp_path)
    monkeypatch.setattr(tables, "read", slow)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda protocol: publish(protocol, tmp_path), ("second", "third")))
    for name in ("table1.csv", "table1_vs_published.csv"):
        assert {*pandas.read_csv(folder / name)["protocol"]} == {"first", "second", "third"}


def test_a_damaged_table_of_results_is_refused_and_kept(tmp_path, fails):
    path = publish("published", tmp_path) / "table1.csv"
    path.write_bytes(path.read_bytes()[:-30])
    before = path.read_bytes()
    fails(lambda: publish("corrected", tmp_path), path, "expected a results table")
    assert path.read_bytes() == before


# Training: four epochs of a tiny network


class Stopped(BaseException):
    """What ends a training in these tests."""


def fit(
    folder,
    stop=None,
    epochs=4,
    filters=4,
    more_layers=0,
    memory=0,
    learning_rate=1e-2,
    loss_factor=1,
):
    def batches(epoch):
        if epoch == stop:
            raise Stopped
        rng = np.random.default_rng(epoch)
        x = rng.random((4, 8, 8, 1), np.float32)
        return tf.data.Dataset.from_tensor_slices((x, x)).batch(2)

    training.start(3)
    layers = [
        keras.layers.Conv2D(filters, 3, padding="same", input_shape=(8, 8, 1)),
        keras.layers.Conv2D(1, 1),
    ]
    layers += [keras.layers.Conv2D(1, 1) for _ in range(more_layers)]
    if memory:
        layers.append(keras.layers.Lambda(lambda x: x + tf.reduce_max(tf.random.uniform([memory]))))
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(learning_rate), "mse", loss_weights=loss_factor)
    history = training.fit(model, batches, epochs, folder)
    return history, model.get_weights()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What a training that was left alone ends with, and a folder in which another was stopped
    after two epochs.
    """
    folder = tmp_path_factory.mktemp("whole")
    stopped = tmp_path_factory.mktemp("stopped")
    with pytest.raises(Stopped):
        fit(stopped, stop=2)
    return folder, fit(folder), stopped


@pytest.fixture
def stopped(whole, tmp_path):
    return Path(shutil.copytree(whole[2], tmp_path / "run"))


@pytest.mark.parametrize("when", [0, 4e9], ids=["files from 1970", "files from 2096"])
def test_a_clock_that_goes_back_or_was_wrong_changes_nothing(whole, stopped, monkeypatch, when):
    _, (history, weights), _ = whole
    for path in sorted(stopped.rglob("*"), reverse=True):
        os.utime(path, (when, when))
    began = time.time()
    monkeypatch.setattr(time, "time", lambda: began - 3600 * (time.monotonic() % 7))
    resumed, found = fit(stopped)
    pandas.testing.assert_frame_equal(resumed, history)
    assert all((a == b).all() for a, b in zip(weights, found))


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: (state / "checkpoint.index").unlink(),
        lambda state: (state / "checkpoint.index").write_bytes(b""),
        lambda state: next(state.glob("checkpoint.data*")).unlink(),
        lambda state: next(state.glob("checkpoint.data*")).write_bytes(b"half"),
        lambda state: (state / "history.json").unlink(),
        lambda state: (state / "history.json").write_text('[{"epoch": 1'),
        shutil.rmtree,
    ],
    ids=[
        "no index",
        "empty index",
        "no data",
        "truncated data",
        "no history",
        "truncated history",
        "not a folder",
    ],
)
def test_a_damaged_state_is_named_with_the_remedy(stopped, fails, damage):
    state = stopped / "state/epoch_00002"
    damage(state)
    if not state.exists():
        state.write_text("")
    fails(lambda: fit(stopped), state, f"remove {stopped / 'state'} to train anew")
    assert state.exists()


@pytest.mark.parametrize(
    "other", [{"filters": 5}, {"more_layers": 1}], ids=["other shapes", "one more layer"]
)
def test_a_state_of_another_network_is_refused_and_kept(stopped, fails, other):
    fails(
        lambda: fit(stopped, **other), stopped / "state/epoch_00002", "of another version", "remove"
    )
    assert (stopped / "state/epoch_00002").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "weights.h5").write_bytes(
            (folder / "weights.h5").read_bytes()[:900]
        ),
        lambda folder: (folder / "weights.h5").write_bytes(b""),
        lambda folder: replace_by(pathlib.Path.mkdir)(folder / "weights.h5"),
        lambda folder: h5py.File(folder / "weights.h5", "w").close(),
        lambda folder: (folder / "history.csv").unlink(),
        lambda folder: (folder / "history.csv").write_text(""),
    ],
    ids=[
        "truncated weights",
        "no weights in it",
        "folder",
        "something else",
        "no history",
        "empty history",
    ],
)
def test_damaged_weights_or_history_are_named_with_the_remedy(whole, tmp_path, fails, damage):
    folder = Path(shutil.copytree(whole[0], tmp_path / "run"))
    damage(folder)
    fails(lambda: fit(folder), folder, "remove the folder to train anew")
    assert (folder / "weights.h5").exists()


def test_weights_of_another_network_are_refused(whole, tmp_path, fails):
    folder = Path(shutil.copytree(whole[0], tmp_path / "run"))
    fails(
        lambda: fit(folder, filters=5),
        folder,
        "of another network",
        "remove the folder to train anew",
    )


def test_too_little_memory_for_a_step_is_one_line_and_keeps_the_state(stopped, fails):
    shutil.rmtree(stopped / "state")
    fails(
        lambda: fit(stopped, memory=1 << 40), "not enough memory for a step", "take smaller batches"
    )
    assert not (stopped / "weights.h5").exists()


@pytest.mark.parametrize("learning_rate", [1e12, 1e30, 3.4e38])
def test_a_training_that_diverges_ends_and_keeps_nothing(tmp_path, fails, learning_rate):
    fails(
        lambda: fit(tmp_path, learning_rate=learning_rate),
        "the loss is",
        f"in epoch 1, with --learning-rate {learning_rate:g}: training has diverged; lower it",
    )
    assert not list(tmp_path.iterdir())


def test_a_training_that_diverges_later_keeps_the_epochs_before(stopped, fails):
    before = (stopped / "state/epoch_00002/history.json").read_bytes()
    fails(lambda: fit(stopped, loss_factor=1e30), "in epoch 3", "--learning-rate 0.01")
    assert [path.name for path in stopped.glob("state/*")] == ["epoch_00002"]
    assert (stopped / "state/epoch_00002/history.json").read_bytes() == before
    assert not (stopped / "weights.h5").exists()


def test_a_run_in_use_is_refused_while_the_other_goes_on(tmp_path, fails):
    entered, release = threading.Event(), threading.Event()

    def hold():
        with runs.Run(tmp_path, CONFIG).locked():
            entered.set()
            release.wait(20)
            runs.Run(tmp_path, CONFIG).save_split({"train": ["a"]})

    with ThreadPoolExecutor() as pool:
        other = pool.submit(hold)
        assert entered.wait(20)
        fails(
            lambda: runs.Run(tmp_path, CONFIG).locked().__enter__(),
            tmp_path,
            "in use by another process",
        )
        release.set()
        other.result()
    assert runs.Run(tmp_path, CONFIG).split == {"train": ["a"]}
