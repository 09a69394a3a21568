"""`.venv/bin/python -m tools.bench.profile`: where the time of a training step and of an evaluation
goes, on this machine.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, Dict

import tyro

from common.training import encoders
from reproductions.tnbc_linknet import data, metrics, model
from reproductions.tnbc_linknet import phantom as tnbc_phantom
from reproductions.tnbc_linknet.config import PROFILES

# isort: split
# TensorFlow comes after the CUDA libraries that `common` prepares.
import tensorflow as tf
from tensorflow.core.profiler.protobuf import xplane_pb2


@dataclass(frozen=True)
class Options:
    """Profile a training step by TensorFlow operation, and an evaluation by its parts, of the TNBC
    LinkNet.
    """

    encoder: str = "resnext50"
    """Encoder of the network."""
    precision: str = "float32"
    """Keras precision policy."""
    side: int = 512
    """Size of the images."""
    images: int = 4
    """Phantoms to evaluate."""
    stock: bool = False
    """The library's ResNeXt instead of the one with grouped convolutions."""


def by_operation(step: Callable[[], object]) -> Dict[str, float]:
    """Run `step` under TensorFlow's profiler and give the seconds of each type of operation, summed
    over threads.
    """
    with TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            step()
        (path,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    seconds: Counter = Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                # Kernels are named "node:Type", everything else is the runtime's own bookkeeping
                # around them; oneDNN's carry a mark of their own.
                found = re.fullmatch(
                    r"[^:]+:(?:_Mkl(?:Native)?)?(\w+)", plane.event_metadata[event.metadata_id].name
                )
                if found:
                    seconds[found[1]] += event.duration_ps * 1e-12
    return dict(seconds.most_common())


def main() -> None:
    """Profile from the command line."""
    options = tyro.cli(
        Options, prog=".venv/bin/python -m tools.bench.profile", description=Options.__doc__
    )
    config = replace(
        PROFILES["paper"], encoder=options.encoder, encoder_weights="none", input_size=options.side
    )
    tf.keras.mixed_precision.set_global_policy(options.precision)
    network = _built(config, fast=not options.stock)
    with TemporaryDirectory() as folder:
        tnbc_phantom.write(folder, patients=1, images_per_patient=options.images, size=options.side)
        ids = sorted(data.patients(Path(folder)))
        loading, samples = _clocked(lambda: data.load(Path(folder), ids, config))

    images, masks = next(iter(data.batches(samples, config, epoch=0)))
    network.train_on_batch(images, masks)
    whole, _ = _clocked(lambda: network.train_on_batch(images, masks))
    operations = by_operation(lambda: network.train_on_batch(images, masks))
    total = sum(operations.values())
    print(
        f"one training step, batch {config.batch_size}: {whole:.3f} s; {total:.3f} s in "
        "operations, over all threads"
    )
    for name, seconds in list(operations.items())[:10]:
        print(f"  {name:40} {seconds:8.3f} s {seconds / total:6.1%}")

    model.predict(network, samples[0].image, config)
    prediction, maps = _clocked(
        lambda: [model.predict(network, sample.image, config) for sample in samples]
    )
    scoring, _ = _clocked(lambda: metrics.per_image(samples, maps))
    print(f"evaluation of {len(samples)} images")
    for name, seconds in (
        ("read and CLAHE", loading),
        ("predict", prediction),
        ("all scores", scoring),
    ):
        print(f"  {name:40} {seconds:8.3f} s {seconds / (loading + prediction + scoring):6.1%}")


def _built(config, fast: bool) -> tf.keras.Model:
    network = encoders.build(
        "Linknet",
        config.encoder,
        fast=fast,
        classes=1,
        activation="sigmoid",
        input_shape=(None, None, 3),
    )
    network.compile(tf.keras.optimizers.Adam(config.learning_rate), model.LOSSES[config.loss])
    return network


def _clocked(function: Callable[[], object]):
    began = time.perf_counter()
    result = function()
    return time.perf_counter() - began, result


if __name__ == "__main__":
    main()
