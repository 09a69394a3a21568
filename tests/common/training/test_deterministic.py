"""Sums do not depend on memory that may be reused; upsampling has a gradient on every device."""

import numpy as np
import pytest
import tensorflow as tf

from common.training.deterministic import (
    ordered_sums,
    sum_of_blocks,
    upsampling_gradients,
)

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


@pytest.mark.parametrize("factors", [(2, 2), (1, 3), (4, 2)])
def test_the_sum_of_blocks_is_the_gradient_of_nearest_neighbour_upsampling(factors):
    height, width = 3, 5
    rows, columns = height * factors[0], width * factors[1]
    whole = np.random.default_rng(0).integers(-9, 9, (2, rows, columns, 4))  # sums without rounding
    gradient = tf.constant(whole, tf.float32)
    expected = tf.raw_ops.ResizeNearestNeighborGrad(
        grads=gradient, size=(height, width), half_pixel_centers=True
    )
    np.testing.assert_array_equal(sum_of_blocks(gradient, (height, width)), expected)


def upsampling_step(shape):
    """A training step through Keras' upsampling: its graph and the gradient of the input."""
    layer = tf.keras.layers.UpSampling2D(2)
    weights = tf.random.stateless_uniform((1, 8, 8, 3), (1, 2))

    @tf.function(input_signature=[tf.TensorSpec(shape)])
    def step(image):
        with tf.GradientTape() as tape:
            tape.watch(image)
            loss = tf.reduce_sum(layer(image) * weights)
        return tape.gradient(loss, image)

    graph = step.get_concrete_function().graph
    types = {operation.type for operation in graph.get_operations()}
    return types, step(tf.ones((1, 4, 4, 3))).numpy()


@pytest.mark.parametrize("shape", [(1, 4, 4, 3), (None, None, None, 3)])
def test_a_gpu_is_spared_the_gradient_that_it_has_no_deterministic_kernel_for(shape, monkeypatch):
    types, expected = upsampling_step(shape)
    with upsampling_gradients():  # no GPU: as it is
        untouched, _ = upsampling_step(shape)
    assert "ResizeNearestNeighborGrad" in types and untouched == types
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["a GPU"])
    with upsampling_gradients():
        types, gradient = upsampling_step(shape)
    assert "ResizeNearestNeighborGrad" not in types
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)
    types, _ = upsampling_step(shape)
    assert "ResizeNearestNeighborGrad" in types  # back as it was
