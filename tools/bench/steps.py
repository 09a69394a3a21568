"""Training steps to be timed in processes of their own (see tools/bench/child.py): Keras networks,
fast and stock.
"""

from __future__ import annotations

import time
from typing import List

import numpy as np

from common.training import encoders

# isort: split
# TensorFlow comes after the CUDA libraries that `common` prepares.
import tensorflow as tf
from tensorflow import keras

from tools.bench import roofline


def training_step(
    architecture: str,
    encoder: str,
    side: int,
    batch: int,
    fast: bool,
    precision: str = "float32",
    tf32: bool = False,
    xla: bool = False,
    limit_side: int = 0,
):
    """Build and compile a network; the step trains on a batch and gives its loss.

    The facts are the seconds that building took, the number of parameters and, with `limit_side`,
    the operations and bytes of a step and the least seconds that they take on this device (see
    `roofline.training_limit`).
    """
    keras.mixed_precision.set_global_policy(precision)
    tf.config.experimental.enable_tensor_float_32_execution(tf32)
    images, masks = _batch(side, batch)
    began = time.perf_counter()
    network = encoders.build(
        architecture,
        encoder,
        fast=fast,
        classes=1,
        activation="sigmoid",
        input_shape=(side, side, 3),
    )
    network.compile(
        keras.optimizers.Adam(1e-4),
        encoders.segmentation_models.losses.bce_dice_loss,
        jit_compile=xla or None,
    )
    facts = {"build": time.perf_counter() - began, "parameters": network.count_params()}
    _fill(network)
    if limit_side:
        facts.update(roofline.training_limit(network, batch, precision, limit_side)._asdict())
    return lambda: float(network.train_on_batch(images, masks)), facts


def _batch(side: int, batch: int):
    rng = np.random.default_rng(0)
    return (
        tf.constant(rng.uniform(0, 255, (batch, side, side, 3)).astype(np.float32)),
        tf.constant((rng.random((batch, side, side, 1)) < 0.3).astype(np.float32)),
    )


def _fill(network: keras.Model) -> None:
    """Give the kernels of a network the same values whether its grouped convolutions are packed or
    not.
    """
    rng = np.random.default_rng(0)
    for layer in network.layers:
        groups = layer.groups if isinstance(layer, encoders.GroupedConv2D) else 1
        layer.set_weights(
            [_kernel(rng, w.shape, groups) if w.ndim == 4 else w for w in layer.get_weights()]
        )


def _kernel(rng: np.random.Generator, shape, groups: int) -> np.ndarray:
    single = (*shape[:3], shape[3] // groups)
    parts: List[np.ndarray] = [rng.standard_normal(single, np.float32) for _ in range(groups)]
    return np.concatenate(parts, axis=-1) * np.float32((2 / np.prod(shape[:3])) ** 0.5)
