"""Sums of tensors do not depend on which of them lies in memory that may be reused."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from common.training.deterministic import ordered_sums

VALUES = [1e8, 1.0, -1e8, 1.0]  # whose float32 sum tells the order


def gradient():
    """The gradient of a weight used at four places, as a tape in a graph adds it up."""
    weight = tf.Variable(0.0)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.add_n(
                [tf.stop_gradient(value) * weight for value in map(tf.constant, VALUES)]
            )
        return tape.gradient(loss, weight)

    return step.get_concrete_function().graph, step().numpy()


def test_gradients_and_sums_are_added_in_order_and_not_by_add_n():
    graph, _ = gradient()
    assert [len(op.inputs) for op in graph.get_operations() if op.type == "AddN"] == [4, 4]
    with ordered_sums():
        graph, found = gradient()
    assert not [op for op in graph.get_operations() if op.type == "AddN"]
    # float32 in some order of the four, and by no other sum than they allow.
    assert found in {0.0, 1.0, 2.0}
    graph, _ = gradient()
    assert [op.type for op in graph.get_operations()].count("AddN") == 2  # back as it was


def test_two_tensors_are_left_to_add_n_which_is_commutative():
    with ordered_sums():

        @tf.function
        def two(a, b):
            return tf.add_n([a, b])

        graph = two.get_concrete_function(tf.constant(1.0), tf.constant(2.0)).graph
    assert [op.type for op in graph.get_operations()].count("AddN") == 1


def test_the_sum_is_that_of_add_n_on_numbers_that_have_no_order():
    values = [np.float32(rng) for rng in np.random.default_rng(0).integers(-9, 9, (5, 3, 4))]
    with ordered_sums():
        summed = tf.function(lambda: tf.add_n(list(map(tf.constant, values))))()
    np.testing.assert_array_equal(summed, sum(values))
