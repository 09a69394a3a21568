"""What a finished network finds in the test images with other means and variances in its BatchNorm.

    python -m reproductions.brain_tumour_mask_rcnn.check_batchnorm RUN --data-root DATA

A step has one image: BatchNorm learns under that image's mean and variance, and is used with
averages over those of earlier steps. Compared are these averages, new ones over training images
with the final weights (PreciseBN, Wu and Johnson, "Rethinking 'Batch' in BatchNorm", arXiv
2105.07576), and each image's own mean and variance. The weights stay.
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Optional

import numpy as np
import tyro
from rich import box
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from common.datasets import manifests
from common.errors import InputError, exits_cleanly
from common.training import cuda, runs
from reproductions.brain_tumour_mask_rcnn import config as constants
from reproductions.brain_tumour_mask_rcnn import data, metrics, predict

SHOWN = ("mask_ap", "mask_ap50", "dice", "sensitivity", "false_positives_per_image")


@dataclass(frozen=True)
class Options:
    """Compare what a finished network finds with other means and variances in its BatchNorm."""

    run: tyro.conf.Positional[Path]
    """Folder of a finished training from random weights, runs/brain_tumour_mask_rcnn/…"""
    data_root: Optional[Path] = None
    """Folder with local copies of the data sets."""


def norms(network) -> List:
    """The layers of a network, Keras', that normalise by a batch while they learn."""
    from tensorflow import keras

    return [
        layer for layer in network.submodules if isinstance(layer, keras.layers.BatchNormalization)
    ]


def renew_averages(network, forward: Callable, batches) -> None:
    """Replace the mean and variance of every BatchNorm by their averages over these batches.

    Args:
        network: whose averages are changed.
        forward: called with what a batch consists of; has to run the network with `training=True`.
        batches: tf.data.Dataset of known length.
    """
    import tensorflow as tf

    layers = norms(network)
    for layer in layers:
        layer.momentum = (
            0.0  # so that a batch leaves its own mean and variance, which are then read
        )
    forward = tf.function(forward)  # traced under that momentum
    sums = [np.zeros((2, layer.moving_mean.shape[0])) for layer in layers]
    for batch in tqdm(batches, desc="averages", unit="batch", disable=None):
        forward(*batch)
        for total, layer in zip(sums, layers):
            total += layer.moving_mean.numpy(), layer.moving_variance.numpy()
    for total, layer in zip(sums, layers):
        layer.moving_mean.assign(total[0] / len(batches))
        layer.moving_variance.assign(total[1] / len(batches))


def use_own(network) -> None:
    """Let every BatchNorm normalise by the batch that it sees, whatever it is told; its averages
    stay.
    """

    def call(layer, inputs, training=None):
        return type(layer).call(layer, inputs, training=True)

    for layer in norms(network):
        layer.momentum = 1.0
        layer.call = types.MethodType(call, layer)


@exits_cleanly
def main() -> None:
    """Compare from the command line."""
    options = tyro.cli(
        Options, prog="python -m reproductions.brain_tumour_mask_rcnn.check_batchnorm"
    )
    cuda.announce()
    detector = predict.load(options.run)
    config, network = detector.config, detector.network
    if not config.from_scratch:
        raise InputError(
            f"{options.run}: its BatchNorm stayed as it was loaded; expected a run from random "
            "weights"
        )
    from reproductions.brain_tumour_mask_rcnn import (
        model,
    )  # not at the top: Model Garden takes 15 seconds

    split = runs.read_json(options.run / "split.json")
    folder = manifests.find("brain_mri", options.data_root).folder
    seen, tested = (data.load(folder, split[part]) for part in ("train", "test"))
    table = Table("mean and variance", *SHOWN, box=box.SIMPLE)

    def forward(images, labels):
        truth = {
            name: labels[name] for name in ("anchor_boxes", "gt_boxes", "gt_classes", "gt_masks")
        }
        return network(images, image_shape=labels["image_info"][:, 1], training=True, **truth)

    def add(name: str) -> None:
        finds = model.Detector(network, config)  # traced anew
        shown = tqdm(tested, desc=name, unit="image", disable=None)
        found = [finds(sample.image, constants.LOWEST_SCORE) for sample in shown]
        scores = metrics.aggregate(tested, found, config.min_score, config.min_score)
        table.add_row(name, *(f"{scores[metric]:.4f}" for metric in SHOWN))

    add("averages of training")
    batches = model.inputs(data.examples(seen, config, config.epochs), config, config.epochs)
    renew_averages(network, forward, batches)
    add(f"averages over {len(batches)} training images")
    use_own(network)
    add("each image's own")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
