"""The least time a training step can take on a device: its operations and bytes over what the
device really reaches.

The device's rates are measured (a large matrix product, a large copy), not taken from a data sheet.
The step's operations are counted by TensorFlow; its bytes are a lower bound, as if all between two
convolutions cost no memory traffic.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

PRECISIONS = {"float32": tf.float32, "mixed_float16": tf.float16, "mixed_bfloat16": tf.bfloat16}
# Forward: written and read. Backward: read again for the kernel's gradient, its own gradient
# written and read.
PASSES_OF_ACTIVATIONS = 5
# Forward and backward: read; its gradient: written and read; Adam: weight and two moments, each
# read and written.
PASSES_OF_WEIGHTS = 10


class Limit(NamedTuple):
    """Floating-point operations and bytes of a step, and the least seconds that each of the two
    takes.
    """

    operations: float
    moved: float
    least_by_operations: float
    least_by_bytes: float


def training_limit(network: keras.Model, batch: int, precision: str, side: int) -> Limit:
    """Work out the limit of one step.

    Args:
        network: with a fixed input size.
        batch: images per step.
        precision: Keras policy name.
        side: of the square matrices whose product and copy give the device's rates.
    """
    kind = PRECISIONS[precision]
    operations = 3 * forward_operations(
        network, batch
    )  # backward: once for the inputs, once for the kernels
    moved = bytes_moved(network, batch, kind.size)
    return Limit(
        operations, moved, operations / product_rate(kind, side), moved / copy_rate(4 * side**2)
    )


def forward_operations(network: keras.Model, batch: int) -> int:
    """Count the floating-point operations of one pass through a network; a multiplication and an
    addition are two.
    """
    spec = tf.TensorSpec((batch, *network.input_shape[1:]), tf.float32)
    graph = tf.function(network).get_concrete_function(spec).graph
    options = (
        tf.compat.v1.profiler.ProfileOptionBuilder(
            tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        )
        .with_empty_output()
        .build()
    )
    return tf.compat.v1.profiler.profile(graph, options=options).total_float_ops


def bytes_moved(network: keras.Model, batch: int, size: int) -> int:
    """Count the bytes that a training step must move at least, with activations of `size` bytes per
    number.
    """

    def has_kernel(layer: keras.layers.Layer) -> bool:
        return any(weight.shape.rank == 4 for weight in layer.weights)

    convolved = list(filter(has_kernel, network.layers))
    activations = sum(batch * int(np.prod(layer.output_shape[1:])) for layer in convolved)
    return (
        PASSES_OF_ACTIVATIONS * size * activations + PASSES_OF_WEIGHTS * 4 * network.count_params()
    )


def product_rate(kind: tf.DType, side: int) -> float:
    """Floating-point operations per second of a product of two square matrices, the best of
    five.
    """
    matrix = tf.cast(tf.random.normal((side, side), seed=0), kind)
    product = tf.function(lambda a: tf.reduce_max(a @ a))
    return 2 * side**3 / _best(lambda: product(matrix).numpy())


def copy_rate(size: int) -> float:
    """Bytes per second, read and written, of adding one to an array of `size` bytes, the best of
    five.
    """
    array = tf.zeros(size // 4)
    return 2 * size / _best(lambda: (array + 1)[0].numpy())


def _best(function) -> float:
    function()
    times = []
    for _ in range(5):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)
