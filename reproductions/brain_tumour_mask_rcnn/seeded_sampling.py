"""Seeded replacements for Model Garden's random sampling, so that a training can be repeated.

Its samplers shuffle all anchors and all proposals and take the first. Their generators start anew
in every process, no checkpoint keeps them, and in the input pipeline several threads take from one
in whatever order they come.
"""

from __future__ import annotations

import contextlib
import itertools
from typing import Iterator

import tensorflow as tf

# Purposes of sampling: the targets of an image, and the proposals that a step learns from.
ANCHORS, REGIONS = 0, 1


@contextlib.contextmanager
def seeded(seed: int, purpose: int, number: tf.Tensor) -> Iterator[None]:
    """Let `tf.random.shuffle` and `tf.random.uniform`, where a graph is traced inside, depend on
    the arguments alone.

    Args:
        seed: of the training.
        purpose: ANCHORS or REGIONS, which draw apart from each other.
        number: of the example or of the step, an integer scalar; it may be a tensor of the graph.

    Calls inside are told apart by their order. Both functions are those of the whole process while
    the context lasts.
    """
    start = tf.random.experimental.stateless_fold_in(
        tf.constant([seed, purpose], tf.int64), tf.cast(number, tf.int64)
    )
    calls = itertools.count()

    def uniform(shape, minval=0, maxval=None, dtype=tf.float32, seed=None, name=None):
        drawn_from = tf.random.experimental.stateless_fold_in(start, next(calls))
        return tf.random.stateless_uniform(shape, drawn_from, minval, maxval, dtype, name)

    def shuffle(value, seed=None, name=None):
        keys = uniform(tf.shape(value)[:1], None, None, tf.int32)  # from all of its range
        return tf.gather(value, tf.argsort(keys, stable=True), name=name)

    before = tf.random.uniform, tf.random.shuffle
    tf.random.uniform, tf.random.shuffle = uniform, shuffle
    try:
        yield
    finally:
        tf.random.uniform, tf.random.shuffle = before
