"""Training that can be killed at any moment and, run again, ends with the same weights.

Everything random is a function of (seed, epoch) and nothing else, so a resumed epoch sees the
batches that it would have seen; what is drawn within a step has its state kept
(`SpatialDropout2D`). The state (weights, optimiser, loss scale, random generators, history) is kept
in one folder per epoch, renamed into place.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional

import pandas
import tensorflow as tf
from tensorflow import keras
from tqdm import tqdm

from common import files
from common.errors import InputError
from common.training import deterministic, runs, weights_files

# Mean loss of an epoch from which a training has diverged. Those of segmentation begin between 0.1
# and 100; a huge learning rate may end in 1e30, which is finite, instead of in NaN.
LARGEST_LOSS = 1e9


def start(seed: int, precision: str = "float32", deterministic_on_gpu: bool = True) -> None:
    """Put TensorFlow into the state that every run starts from: seeded, deterministic, with this
    precision.

    Args:
        seed: for Python, numpy and TensorFlow.
        precision: "float32", "mixed_bfloat16" or "mixed_float16" (Keras policy names).
        deterministic_on_gpu: False for a network some of whose gradients have no deterministic
            kernel there.
    """
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    if deterministic_on_gpu or not tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
    keras.mixed_precision.set_global_policy(precision)


class SpatialDropout2D(keras.layers.Layer):
    """Dropout of whole channels (Tompson et al. 2015, arXiv 1411.4280) that goes on where it was
    when a run resumes.

    Keras 2.9 keeps the state of its own dropout layers out of checkpoints. Input and output (batch,
    height, width, channels); `rate` is the share of channels that a training step silences.
    """

    def __init__(self, rate: float, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.seed = rate, seed
        self.generator = tf.random.Generator.from_seed(
            seed
        )  # as an attribute it is part of checkpoints

    def call(self, inputs, training=None):
        if not training:
            return inputs
        shape = tf.shape(inputs)
        drawn = self.generator.make_seeds()[:, 0]
        kept = tf.nn.experimental.stateless_dropout(
            tf.ones((shape[0], 1, 1, shape[3]), inputs.dtype), self.rate, drawn
        )
        return inputs * kept

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


def fit(
    model: keras.Model,
    batches: Callable[[int], tf.data.Dataset],
    epochs: int,
    folder: Path,
    title: str = "",
    validate: Optional[Callable[[keras.Model], Dict[str, float]]] = None,
    rate: Optional[Callable[[List[dict]], float]] = None,
    keep_lowest: Optional[str] = None,
) -> pandas.DataFrame:
    """Train a compiled model for `epochs`, resuming from whatever `folder` holds.

    Args:
        model: compiled and freshly built under `start(seed)`.
        batches: gives the data of an epoch (counted from 0); must depend on nothing but the epoch.
        epochs: total number, those done before an interruption included.
        folder: of the run; receives state/ while training, then history.csv and weights.h5.
        title: shown on the progress bar and in messages; by default the name of the folder.
        validate: called after each epoch; what it returns joins the epoch's line. It must draw
            nothing at random.
        rate: called before each epoch with the lines of history so far; gives the learning rate,
            which else stays.
        keep_lowest: column of the history; the first epoch with its lowest value gives the weights,
            else the last does.

    Returns:
        The history, one line per epoch: epoch (from 1), learning_rate, the model's metrics and
        those of `validate`.
    """
    folder = Path(folder)
    title = title or folder.name
    weights, history_file = folder / "weights.h5", folder / "history.csv"
    if weights.exists():
        shutil.rmtree(folder / "state", ignore_errors=True)  # a kill may have come between the two
        remedy = "remove the folder to train anew"
        weights_files.load(model, weights, remedy)
        try:
            return pandas.read_csv(files.buffered(history_file))
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{history_file}: missing or damaged ({reason}); {remedy}") from None

    checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
    history = _restore(checkpoint, folder / "state")
    progress = _Progress(title, epochs, done=len(history))
    for epoch in range(len(history), epochs):
        data = batches(epoch)
        progress.steps = len(data)
        if rate:
            keras.backend.set_value(model.optimizer.learning_rate, rate(history))
        try:
            with deterministic.ordered_sums(), deterministic.upsampling_gradients():
                logs = model.fit(
                    data,
                    steps_per_epoch=len(data),
                    epochs=epoch + 1,
                    initial_epoch=epoch,
                    verbose=0,
                    callbacks=[progress],
                ).history
        except tf.errors.ResourceExhaustedError as error:
            raise InputError(
                f"{title}: not enough memory for a step "
                f"({error.message.splitlines()[0]:.120}); "
                "take smaller batches, or a device with more, where the same command resumes"
            ) from None
        used = float(keras.backend.get_value(model.optimizer.learning_rate))
        _require_no_divergence(logs["loss"][0], epoch + 1, used, title)
        scores = {name: float(values[0]) for name, values in logs.items()}
        if validate:
            scores.update({name: float(value) for name, value in validate(model).items()})
        history.append({"epoch": epoch + 1, "learning_rate": used, **scores})
        _save(checkpoint, history, folder / "state", keep_lowest)
    progress.close()
    if keep_lowest:
        checkpoint.read(str(folder / "state" / _name(_lowest(history, keep_lowest)) / "checkpoint"))

    table = pandas.DataFrame(history)
    runs.write_csv(history_file, table)
    with files.atomic_path(weights) as path:
        model.save_weights(str(path), save_format="h5")
    shutil.rmtree(folder / "state", ignore_errors=True)
    return table


def _save(
    checkpoint: tf.train.Checkpoint, history: List[dict], state: Path, keep_lowest: Optional[str]
) -> None:
    """Keep the state of this epoch; only then forget the one before, unless its weights may be
    wanted.
    """
    state.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=state))
    kept = state / _name(len(history))
    try:
        checkpoint.write(
            str(partial / "checkpoint")
        )  # what workers hold in parts takes all of them
        files.write_json(partial / "history.json", history)
        os.replace(partial, kept)
    except tf.errors.OpError as error:  # how TensorFlow reports a full disk
        reason = error.message.split(";")[-1].split("[")[0].strip()
        raise InputError(
            f"{state}: cannot keep epoch {len(history)}: {reason}; make room, the same command "
            "resumes"
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    wanted = {kept.name, _name(_lowest(history, keep_lowest))} if keep_lowest else {kept.name}
    for other in state.iterdir():
        if other.name not in wanted:
            shutil.rmtree(other, ignore_errors=True)


def _restore(checkpoint: tf.train.Checkpoint, state: Path) -> List[dict]:
    """Load the newest kept state and return its history; an empty one when there is none."""
    kept = sorted(state.glob("epoch_*")) if state.exists() else []
    if not kept:
        return []
    try:
        # The optimiser's slots do not exist before the first step and are filled when they are
        # created; where that step never comes, nothing has to warn of them.
        checkpoint.read(
            str(kept[-1] / "checkpoint")
        ).expect_partial().assert_existing_objects_matched()
        return json.loads(files.read_text(kept[-1] / "history.json"))
    except (
        tf.errors.OpError,
        AssertionError,
        IndexError,
        OSError,
        ValueError,
        RecursionError,
    ) as error:  # TensorFlow's, in its ways
        reason = " ".join(str(error).split())
        raise InputError(
            f"{kept[-1]}: a damaged state, or one of another version ({reason:.200}); remove "
            f"{state} to train anew"
        ) from None


def _require_no_divergence(loss: float, epoch: int, learning_rate: float, title: str) -> None:
    if not abs(loss) < LARGEST_LOSS:  # which no NaN is either
        raise InputError(
            f"{title}: the loss is {loss:g} in epoch {epoch}, with --learning-rate "
            f"{learning_rate:g}: training has diverged; lower it, or train in --precision float32"
        )


def _name(epoch: int) -> str:
    return f"epoch_{epoch:05d}"


def _lowest(history: List[dict], column: str) -> int:
    """The first epoch with the lowest value; one that is not a number counts as the highest."""
    return min(history, key=lambda line: (line[column] != line[column], line[column]))["epoch"]


class _Progress(keras.callbacks.Callback):
    """One bar for the whole training with the time left; one line an epoch when the output is not a
    terminal.
    """

    def __init__(self, title: str, epochs: int, done: int):
        super().__init__()
        self.title, self.total, self.done, self.steps = title, epochs, done, 0
        self.bar, self.began = None, time.monotonic()
        self.resumed_at = done
        if done:
            print(f"{title}: resuming after epoch {done} of {epochs}")

    def on_epoch_begin(self, epoch, logs=None):
        if self.bar is None:
            self.bar = tqdm(
                total=self.total * self.steps,
                initial=self.done * self.steps,
                desc=self.title,
                unit="step",
                disable=None,
                dynamic_ncols=True,
            )

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update()
        self.bar.set_postfix(loss=f"{logs['loss']:.4f}", refresh=False)

    def on_epoch_end(self, epoch, logs=None):
        if not sys.stderr.isatty():
            left = (
                (time.monotonic() - self.began)
                / (epoch + 1 - self.resumed_at)
                * (self.total - epoch - 1)
            )
            numbers = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
            print(
                f"{self.title}: epoch {epoch + 1} of {self.total}  {numbers}  ({left / 60:.1f} min "
                "left)",
                flush=True,
            )

    def close(self):
        if self.bar is not None:
            self.bar.close()
