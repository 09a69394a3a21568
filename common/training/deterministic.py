"""Sums of several tensors in an order of their own, so that a training ends with the same bits
whatever the threads do.

TensorFlow's AddN (core/kernels/aggregate_ops.cc) begins with the first input whose memory it may
reuse, and which one that is depends on what other threads have finished. Where a layer is used at
several places its gradients are added like that, and the last bits of three or more of them differ
from run to run (seen in TensorFlow 2.9 on a processor, operations made deterministic).
"""

from __future__ import annotations

import contextlib
from typing import Iterator

import tensorflow as tf
from tensorflow.python.ops import (
    gen_math_ops,
)  # both the tape and `tf.add_n` call this one, which has no public name


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
