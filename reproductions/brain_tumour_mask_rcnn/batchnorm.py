"""The averages of BatchNorm, taken anew when training is over.

A step has one image, and the averages that Keras keeps look back on some hundred steps. Those of a training at a high
rate describe weights that are long gone, and with them the network finds little of what it found while it was trained.
"""

from __future__ import annotations

from typing import Callable, Tuple

import numpy as np
import tensorflow as tf
from tensorflow import keras
from tqdm import tqdm


def renew_averages(
    network: keras.layers.Layer, forward: Callable[..., object], batches: tf.data.Dataset, title: str = ""
) -> None:
    """Replace the mean and variance of each BatchNorm that learns by their averages over these batches.

    Source: PreciseBN, Wu and Johnson, "Rethinking 'Batch' in BatchNorm", arXiv 2105.07576.

    Args:
        network: whose layers are changed; its other weights stay.
        forward: called with what a batch consists of; has to run the network with `training=True`.
        batches: of known length.
        title: shown on the progress bar.
    """
    layers = [
        layer for layer in network.submodules if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0  # so that a batch leaves its own mean and variance, which are then read
    own = tf.function(forward)  # traced under that momentum
    sums = [np.zeros((2, layer.moving_mean.shape[0])) for layer in layers]
    for batch in tqdm(batches, desc=f"{title}: averages of BatchNorm", unit="batch", disable=None, dynamic_ncols=True):
        own(*batch)
        for total, layer in zip(sums, layers):
            total += moments(layer)
    for total, layer, momentum in zip(sums, layers, momenta):
        mean, variance = total / len(batches)
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)
        layer.momentum = momentum


def moments(layer: keras.layers.BatchNormalization) -> Tuple[np.ndarray, np.ndarray]:
    """The mean and variance that a layer uses when it is not training, float32 (channels,)."""
    return layer.moving_mean.numpy(), layer.moving_variance.numpy()
