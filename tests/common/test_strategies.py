"""Several devices and several workers against one device, on a small network, in processes of their own."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import h5py
import numpy as np
import pandas
import pytest
import tensorflow as tf
from tensorflow import keras

from common import cli, devices, runs, whole_batch
from common.errors import InputError

PROJECT = Path(__file__).resolve().parents[2]
TOLERANCE = 2e-5  # of weights below 2 after 20 steps of Adam, in float32

# Trains 20 steps: 2 epochs of 37 images in batches of 4, so that the last one, of one image, gives a device none.
# CASES names, in order, what is trained in a folder each; STRATEGY may be empty.
SCRIPT = """
import os, sys, time
from pathlib import Path
import numpy as np, tensorflow as tf
from tensorflow import keras
from common import devices, encoders, training, whole_batch
from common.errors import InputError, exits_cleanly

root, strategy, cases = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
if strategy == "mirrored":
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
devices.use(strategy or None)
print(devices.describe())
layers, library = keras.layers, encoders.segmentation_models.losses

def build(loss, metrics):
    training.start(3)
    inputs = keras.Input((16, 16, 3))
    features = layers.Conv2D(8, 3, padding="same", use_bias=False)(inputs)
    features = layers.ReLU()(layers.BatchNormalization()(features))
    features = training.SpatialDropout2D(0.3, seed=5)(layers.MaxPooling2D()(features))
    features = layers.Conv2DTranspose(8, 2, strides=2, use_bias=False)(features)
    features = layers.ReLU()(layers.BatchNormalization()(features))
    outputs = layers.Conv2D(1, 1, activation="sigmoid")(features)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(1e-2), loss, metrics=metrics)
    return model

def batches(epoch):
    if epoch:
        time.sleep(float(os.environ.get("PAUSE", 0)))
    rng = np.random.default_rng((7, epoch))
    images = rng.random((37, 16, 16, 3), np.float32) * rng.random((37, 1, 1, 1), np.float32)
    masks = (images.mean(-1, keepdims=True) > 0.3).astype(np.float32)
    weights = 1 + 9 * rng.random((37, 16, 16), np.float32)
    parts = (images, masks, weights) if case == "weighted" else (images, masks)
    return tf.data.Dataset.from_tensor_slices(parts).batch(4)

sound = whole_batch.Loss, whole_batch.BatchNormalization
@exits_cleanly
def main():
    global case
    for case in cases:
        whole_batch.Loss, whole_batch.BatchNormalization = sound
        if case == "loss of each device":
            whole_batch.Loss = lambda loss: loss
        if case == "statistics of each device":
            whole_batch.BatchNormalization = keras.layers.BatchNormalization
        loss = "binary_crossentropy" if case == "weighted" else library.bce_dice_loss
        model = build(loss, [] if case == "weighted" else [keras.metrics.BinaryAccuracy(name="accuracy")])
        title = f"{case} {devices.index}" if case == "different" else case
        watched = batches(2)
        validate = lambda model: {"val_loss": np.ravel(model.evaluate(watched, verbose=0))[0]}
        try:
            training.fit(model, batches, 2, root / case, title, validate, keep_lowest="val_loss")
        except InputError as error:
            print(f"error: {error}")
        except devices.Dismissed:
            print(f"dismissed from {case}")

main()
"""


def start(folder, strategy, *cases, cluster=None, index=0, pause=0):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "PAUSE": str(pause)}
    if cluster:
        environment["TF_CONFIG"] = json.dumps(
            {"cluster": {"worker": cluster}, "task": {"type": "worker", "index": index}}
        )
    command = [sys.executable, "-c", SCRIPT, str(folder), strategy, *cases]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=PROJECT, env=environment, **pipes)


def train(folder, strategy, *cases):
    process = start(folder, strategy, *cases)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return output


def start_workers(folder, *cases, pause=0):
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    cluster = [f"127.0.0.1:{port}" for port in ports]
    return [start(folder, "multiworker", *cases, cluster=cluster, index=index, pause=pause) for index in range(2)]


def finish(processes):
    ended = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    return [output for output, _ in ended]


def weights(folder):
    found = {}
    with h5py.File(folder / "weights.h5", "r") as file:
        file.visititems(lambda name, item: found.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    assert len(found) == 12  # two convolutions, two BatchNorms of four, one convolution with bias
    return list(found.values())


def largest_difference(one, other):
    return max(np.abs(a - b).max() for a, b in zip(weights(one), weights(other)))


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    root = tmp_path_factory.mktemp("one")
    train(root, "", "pooled", "weighted")
    return root


@pytest.mark.slow
def test_two_devices_end_with_the_weights_of_one(one, tmp_path):
    output = train(tmp_path, "mirrored", "pooled", "weighted", "loss of each device", "statistics of each device")
    assert "2 devices, each CPU" in output
    for case in ("pooled", "weighted"):
        assert largest_difference(one / case, tmp_path / case) < TOLERANCE
        ours, theirs = (pandas.read_csv(root / case / "history.csv") for root in (one, tmp_path))
        pandas.testing.assert_frame_equal(ours, theirs, rtol=1e-5)
    # What is usual in data parallelism is another function: without either part, the weights are far off.
    for case in ("loss of each device", "statistics of each device"):
        assert largest_difference(one / "pooled", tmp_path / case) > 100 * TOLERANCE


@pytest.mark.slow
def test_two_workers_killed_and_started_again_end_with_the_weights_of_one_device(one, tmp_path):
    group = start_workers(tmp_path, "pooled", pause=3)  # so that the kill comes between two epochs
    kept = tmp_path / "pooled" / "state" / "epoch_00001"
    while not kept.exists() and all(process.poll() is None for process in group):
        time.sleep(0.05)
    group[1].kill()
    output, _ = group[0].communicate()  # the other one does not wait for ever
    assert "error: another worker is gone: start all workers again" in output
    assert group[1].wait() == -signal.SIGKILL
    assert kept.exists()

    first, second = finish(start_workers(tmp_path, "pooled", "different"))
    assert "2 devices in 2 workers" in first
    for output in (first, second):
        assert "resuming after epoch 1 of 2" in output
        assert "the workers see different states of it, or train different things" in output
    assert "dismissed from pooled" in second
    assert "dismissed" not in first
    assert largest_difference(one / "pooled", tmp_path / "pooled") < TOLERANCE
    assert sorted(path.name for path in (tmp_path / "pooled").iterdir()) == ["history.csv", "weights.h5"]


@pytest.mark.parametrize("end, status", [("return", 0), ("raise devices.Dismissed", 0), ("raise InputError", 2)])
def test_a_worker_ends_with_its_status_whatever_its_libraries_do_last(end, status):
    lines = f"""
        import atexit, os
        from common import devices, errors
        from common.errors import InputError, exits_cleanly
        atexit.register(os.abort)
        errors.linger = 0
        @exits_cleanly
        def main():
            print("kept", end="")
            {end}
        main()
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(lines)], cwd=PROJECT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (status, "kept"), ended.stderr


@pytest.mark.parametrize(
    "stated",
    [
        None,
        "{",
        '{"cluster": {"worker": []}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}}',
    ],
)
def test_an_unusable_tf_config_is_shown_what_is_expected(stated, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if stated:
        monkeypatch.setenv("TF_CONFIG", stated)
    with pytest.raises(InputError, match='TF_CONFIG is not .*expected {"cluster": {"worker"'):
        devices.use("multiworker")


def test_one_device_is_not_two():
    with pytest.raises(InputError, match="expected two GPUs or more, found"):
        devices.use("mirrored")


def test_a_training_step_of_its_own_is_refused(monkeypatch):
    class Own(keras.Model):
        def train_step(self, data):
            return {}

    assert whole_batch.spread(Own()).train_step([]) == {}  # on one device
    monkeypatch.setattr(devices, "strategy", tf.distribute.get_strategy())
    with pytest.raises(InputError, match="--strategy: .* leave it out"):
        whole_batch.spread(Own(name="own"))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_a_batch_is_divided_into_consecutive_rows(count, monkeypatch):
    class Three:  # replicas of one worker
        num_replicas_in_sync = 3

        @staticmethod
        def distribute_datasets_from_function(function):
            return function(None)

    monkeypatch.setattr(devices, "strategy", Three)
    images, masks = np.arange(count), np.arange(count) + 100
    parts = list(whole_batch.divide(tf.data.Dataset.from_tensors((images, masks))).as_numpy_iterator())
    assert len(parts) == 3
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), masks)
    lengths = [len(part[1]) for part in parts]
    assert max(lengths) - min(lengths) <= 1
    for shown, truth in parts:
        assert len(shown) == max(len(truth), 1)
        np.testing.assert_array_equal(shown[: len(truth)] + 100, truth)


def test_a_worker_that_follows_neither_locks_nor_logs(tmp_path, monkeypatch):
    run = runs.Run(tmp_path / "run", {"seed": 0})
    with run.locked():
        monkeypatch.setattr(devices, "index", 1)
        with run.locked():
            run.log_session(data="none")
            run.save_split({"test": ["1"]})
    assert sorted(path.name for path in run.folder.iterdir()) == [".lock", "config.json"]


def test_a_cluster_and_a_strategy_exclude_each_other():
    command = cli._accepting_request(lambda request: pytest.fail("called"))
    with pytest.raises(InputError, match="expected one of the two"):
        command(cli.Request(cluster="2", strategy="mirrored"))
