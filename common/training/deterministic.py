"""Operations in a form that ends with the same bits whatever the threads do.

TensorFlow's AddN (core/kernels/aggregate_ops.cc) begins with the first input whose memory it may
reuse, and which one that is depends on what other threads have finished. Where a layer is used at
several places its gradients are added like that, and the last bits of three or more of them differ
from run to run (seen in TensorFlow 2.9 on a processor, operations made deterministic).

The gradient of nearest-neighbour upsampling (core/kernels/image/resize_nearest_neighbor_op.cc) has
no deterministic kernel on a GPU, so that TensorFlow refuses to train any decoder with Keras'
`UpSampling2D` there.
"""

from __future__ import annotations

import contextlib
from typing import Iterator, Sequence, Union

import tensorflow as tf

# What the tape calls has no public name.
from tensorflow.python.ops import gen_image_ops, gen_math_ops


@contextlib.contextmanager
def ordered_sums() -> Iterator[None]:
    """Let sums of three or more tensors, where a graph is traced inside, be made in the order of
    the tensors.

    The function is replaced for the whole process while the context lasts.
    """
    add_n = gen_math_ops.add_n

    def in_order(inputs, name=None):
        return (
            add_n(inputs, name)
            if len(inputs) < 3
            else tf.reduce_sum(tf.stack(inputs), axis=0, name=name)
        )

    gen_math_ops.add_n = in_order
    try:
        yield
    finally:
        gen_math_ops.add_n = add_n


@contextlib.contextmanager
def upsampling_gradients() -> Iterator[None]:
    """Let gradients of nearest-neighbour upsampling by whole factors, where a graph is traced
    inside, be sums over blocks; without a GPU everything stays as it is.

    The function is replaced for the whole process while the context lasts.
    """
    if not tf.config.list_physical_devices("GPU"):
        yield
        return
    resize_gradient = gen_image_ops.resize_nearest_neighbor_grad

    def in_blocks(grads, size, align_corners=False, half_pixel_centers=False, name=None):
        return sum_of_blocks(grads, size)

    gen_image_ops.resize_nearest_neighbor_grad = in_blocks
    try:
        yield
    finally:
        gen_image_ops.resize_nearest_neighbor_grad = resize_gradient


def sum_of_blocks(gradient: tf.Tensor, size: Union[tf.Tensor, Sequence[int]]) -> tf.Tensor:
    """Sum a gradient over the block of pixels that each pixel of the smaller image became.

    Args:
        gradient: of the upsampled image, (batch, factor × height, factor × width, channels).
        size: (height, width) of the image before upsampling; each divides the size after it.

    Returns:
        (batch, height, width, channels), of the same dtype.

    >>> sum_of_blocks(tf.ones((1, 4, 6, 1)), (2, 2)).numpy()[0, :, :, 0].tolist()
    [[6.0, 6.0], [6.0, 6.0]]
    """
    batch, rows, columns, channels = tf.unstack(tf.shape(gradient))
    height, width = size[0], size[1]
    blocks = tf.reshape(
        gradient, (batch, height, rows // height, width, columns // width, channels)
    )
    summed = tf.reduce_sum(blocks, axis=(2, 4))
    summed.set_shape((gradient.shape[0], None, None, gradient.shape[3]))
    return summed
