"""One training on several devices, or on several machines ("workers"), each of which runs the same command.

A batch is divided among the devices, and what a loss, BatchNorm or dropout takes from a batch it takes from the whole
one (`common.whole_batch`), so that a step computes what it computes on one device. Of several workers, the first one
leads: it alone writes the run folder and, once trained, predicts and evaluates; the others end there.
"""

from __future__ import annotations

import json
import os
from typing import Optional, Sequence

import numpy as np

from common import errors, gpu
from common.errors import InputError

EXPECTED = '{"cluster": {"worker": ["host:port", "host:port"]}, "task": {"type": "worker", "index": 0}}'
LINGER = 5  # seconds
strategy = None  # tf.distribute.Strategy of this process; None is one device
workers, index = 1, 0  # how many processes train together, and which of them this one is


class Dismissed(SystemExit):
    """A worker that does not lead has done its part. Where nothing catches it, the process ends with success."""

    def __init__(self):
        super().__init__(0)


def use(name: Optional[str]) -> None:
    """Train on all devices of this machine ("mirrored"), on those of all workers ("multiworker"), or on one (None).

    Call it before TensorFlow computes anything; "multiworker" waits for the other workers, which TF_CONFIG names.

    Raises:
        InputError: there are no two devices, or TF_CONFIG is not usable.
    """
    global strategy, workers, index
    if name is None:
        return
    import tensorflow as tf  # not at the top: commands that do not train start without it

    if name == "multiworker":
        workers, index = _place(os.environ.get("TF_CONFIG", ""))
        if not follows():
            print(f"waiting for {workers} workers", flush=True)
        # TensorFlow 2.9 takes its server down while threads of it still run: a worker that is done sometimes aborts
        # ("terminate called without an active exception"), which a scheduler would take for a failure. So it ends
        # without that, but only once the others have fetched its part of what was exchanged last.
        errors.linger = LINGER
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        return
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        raise InputError(f"--strategy mirrored: expected two GPUs or more, found {gpu.device_name()}; leave it out")
    strategy = tf.distribute.MirroredStrategy([device.name for device in devices])


def follows() -> bool:
    """Whether another worker leads."""
    return index > 0


def describe() -> str:
    """Name what a run computes on: the device or, before it, how many of its kind and in how many workers."""
    if strategy is None:
        return gpu.device_name()
    spread = f" in {workers} workers" if workers > 1 else ""
    return f"{strategy.num_replicas_in_sync} devices{spread}, each {gpu.device_name()}"


def exchange(values: Sequence[float]) -> np.ndarray:
    """Give the values of all workers, float64 (workers, n). Each of them has to call this, and waits for the others."""
    rows = np.zeros((workers, len(values)))
    rows[index] = values
    if workers == 1:
        return rows
    import tensorflow as tf

    @tf.function
    def add():
        return strategy.run(lambda: tf.distribute.get_replica_context().all_reduce("SUM", tf.constant(rows)))

    # A worker with several devices has added its values as many times.
    return strategy.experimental_local_results(add())[0].numpy() * workers / strategy.num_replicas_in_sync


def _place(text: str) -> tuple:
    """Read the number of workers and this one's index from the JSON of TF_CONFIG."""
    try:
        stated = json.loads(text)
        found, task = stated["cluster"]["worker"], stated["task"]
        if task["type"] != "worker" or set(stated["cluster"]) != {"worker"} or not 0 <= int(task["index"]) < len(found):
            raise ValueError("other tasks than worker, or no such index")
    except (ValueError, KeyError, TypeError) as error:
        reason = "is not set" if not text else f"is not usable ({' '.join(str(error).split())})"
        raise InputError(f"--strategy multiworker: TF_CONFIG {reason}; expected {EXPECTED}") from None
    return len(found), int(task["index"])
