"""Killing and resuming, on a tiny network, in processes of their own."""

import os
import signal
import subprocess
import sys

import h5py
import numpy as np
import pandas
import pytest
import tensorflow as tf

from common.files import PROJECT
from common.training import fit

# Trains for 4 epochs of 3 steps; KILL says where the process kills itself with SIGKILL. EXTRAS adds
# what draws at random within a step, a learning rate that follows the history, and weights that are
# not the last epoch's.
SCRIPT = """
import os, signal, sys
import numpy as np, tensorflow as tf
from tensorflow import keras
from common.training import fit
from common import files

folder, kill, extras, epochs = sys.argv[1], sys.argv[2], sys.argv[3] == "extras", int(sys.argv[4])

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def batches(epoch):
    rng = np.random.default_rng((7, epoch))
    x, y = rng.random((6, 8, 8, 3), np.float32), rng.integers(0, 2, (6, 8, 8, 1)).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(2)


fit.start(3)
layers = keras.layers
model = keras.Sequential([
    layers.Conv2D(4, 3, padding="same", input_shape=(8, 8, 3)),
    layers.BatchNormalization(),
    layers.ReLU(),
    *([fit.SpatialDropout2D(0.5, seed=5)] if extras else []),
    layers.Conv2D(1, 1, activation="sigmoid"),
])
model.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy")

steps = 0
progress_step = fit._Progress.on_train_batch_end
def on_step(self, batch, logs=None):
    global steps
    steps += 1
    progress_step(self, batch, logs)
    if kill == f"step {steps}":
        die()
fit._Progress.on_train_batch_end = on_step

saves = 0
rename = os.replace
def replace(source, target):
    global saves
    if "epoch_" in str(target):
        saves += 1
        if kill == f"before keeping epoch {saves}":
            die()
    rename(source, target)
    if kill == f"after {os.path.basename(target)}":
        die()
os.replace = replace

def validate(model):  # lowest after epoch 2
    return {"val_loss": abs(int(model.optimizer.iterations) - 6)}

def rate(history):
    return 0.01 / 2 ** sum(line["val_loss"] > 2 for line in history)

options = dict(validate=validate, rate=rate, keep_lowest="val_loss") if extras else {}
fit.fit(model, batches, epochs, folder, "tiny", **options)
"""


def train(folder, kill="", extras="", epochs=4):
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), kill, extras, str(epochs)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def arrays(path):
    found = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: found.update(
                {name: item[()]} if isinstance(item, h5py.Dataset) else {}
            )
        )
    return found


@pytest.mark.slow
def test_killed_and_resumed_training_ends_with_the_same_weights_and_history(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    result = train(whole)
    assert result.returncode == 0, result.stderr
    # In the first epoch; in the third; while its state is written; just after; before the weights
    # are written.
    for kill in (
        "step 2",
        "step 5",
        "before keeping epoch 2",
        "after epoch_00003",
        "after history.csv",
    ):
        result = train(broken, kill)
        assert result.returncode == -signal.SIGKILL, (kill, result.stderr)
    result = train(broken)
    assert result.returncode == 0, result.stderr
    assert "resuming after epoch 4 of 4" in result.stdout

    expected, found = arrays(whole / "weights.h5"), arrays(broken / "weights.h5")
    assert expected.keys() == found.keys()
    assert len(expected) == 8
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert (whole / "history.csv").read_bytes() == (broken / "history.csv").read_bytes()
    assert len((whole / "history.csv").read_text().splitlines()) == 5
    assert sorted(path.name for path in broken.iterdir()) == ["history.csv", "weights.h5"]

    before = (broken / "weights.h5").stat().st_mtime_ns
    assert train(broken).returncode == 0  # finished: nothing is trained again
    assert (broken / "weights.h5").stat().st_mtime_ns == before


@pytest.mark.slow
def test_dropout_rate_and_lowest_epoch_survive_a_kill(tmp_path):
    whole, broken, short = tmp_path / "whole", tmp_path / "broken", tmp_path / "short"
    assert train(whole, extras="extras").returncode == 0
    for kill in ("step 5", "after epoch_00003"):
        result = train(broken, kill, "extras")
        assert result.returncode == -signal.SIGKILL, (kill, result.stderr)
    result = train(broken, extras="extras")
    assert "resuming after epoch 3 of 4" in result.stdout, result.stderr
    assert (whole / "history.csv").read_bytes() == (broken / "history.csv").read_bytes()
    assert pandas.read_csv(whole / "history.csv")["learning_rate"].round(6).tolist() == [
        0.01,
        0.005,
        0.005,
        0.0025,
    ]

    # Two epochs end with the weights of the second, which is the lowest of four.
    assert train(short, extras="extras", epochs=2).returncode == 0
    expected = arrays(whole / "weights.h5")
    for folder in (broken, short):
        found = arrays(folder / "weights.h5")
        assert expected.keys() == found.keys()
        assert len(expected) == 8  # dropout adds none
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize(
    ("gpus", "on_gpu", "asked"), [([], True, 1), ([], False, 1), ([1], True, 1), ([1], False, 0)]
)
def test_determinism_is_asked_for_unless_a_gpu_has_none(monkeypatch, gpus, on_gpu, asked):
    calls = []
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: calls.append(1))
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    fit.start(0, deterministic_on_gpu=on_gpu)
    assert len(calls) == asked


def test_dropout_silences_whole_channels_in_training_only():
    inputs = tf.ones((8, 4, 4, 50), tf.bfloat16)
    layer = fit.SpatialDropout2D(0.3, seed=1, dtype="mixed_bfloat16")
    assert layer(inputs, training=False) is inputs
    first, second = (layer(inputs, training=True).numpy().astype(float) for _ in range(2))
    for output in (first, second):
        np.testing.assert_array_equal(output, np.broadcast_to(output[:, :1, :1], output.shape))
        assert sorted(np.unique(output)) == pytest.approx([0, 1 / 0.7], abs=0.01)
    assert 0.2 < (first == 0).mean() < 0.4
    assert (first != second).any()
    again = fit.SpatialDropout2D(0.3, seed=1, dtype="mixed_bfloat16")
    np.testing.assert_array_equal(again(inputs, training=True).numpy().astype(float), first)


@pytest.mark.parametrize(
    ("values", "chosen"),
    [([3, 1, 2], 2), ([1, 1], 1), ([float("nan"), 5, 4], 3), ([float("nan")] * 2, 1)],
)
def test_the_first_of_the_lowest_epochs_is_chosen(values, chosen):
    history = [{"epoch": number, "loss": value} for number, value in enumerate(values, start=1)]
    assert fit._lowest(history, "loss") == chosen


def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path):
    # A limit on the size of files stands in for the disk: the state does not fit, the small files
    # do. It ends with the training, so that what measures coverage can write its own file.
    limit = """
import atexit, resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, largest = resource.getrlimit(resource.RLIMIT_FSIZE)
atexit.register(resource.setrlimit, resource.RLIMIT_FSIZE, (largest, largest))
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, largest))
"""
    script = SCRIPT.replace("fit.fit(", limit + "fit.fit(")
    command = [sys.executable, "-c", script, str(tmp_path), "", "", "4"]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert "InputError" in result.stderr.splitlines()[-1]
    assert (
        "cannot keep epoch 1: File too large; make room, the same command resumes" in result.stderr
    )
    assert list((tmp_path / "state").iterdir()) == []
