import numpy as np
import tensorflow as tf
from tensorflow import keras

from reproductions.brain_tumour_mask_rcnn import batchnorm

layers = keras.layers


def network():
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            layers.BatchNormalization(momentum=0.99, input_shape=(5, 6, 3), name="first"),
            layers.Conv2D(4, 3, name="between"),
            layers.BatchNormalization(momentum=0.97, name="second"),
            layers.BatchNormalization(trainable=False, name="frozen"),
        ]
    )


def data(count=7):
    images = np.random.default_rng(0).normal(5, 3, (count, 1, 5, 6, 3)).astype(np.float32)
    images *= np.arange(1, count + 1)[:, None, None, None, None]  # no two images alike
    return images, tf.data.Dataset.from_tensor_slices((images,))


def renew(net, batches):
    batchnorm.renew_averages(net, lambda images: net(images, training=True), batches)


def test_averages_are_those_of_the_moments_of_each_batch():
    net, (images, batches) = network(), data()
    renew(net, batches)
    first, between, second, _ = net.layers
    inner = []
    for image in images:
        mean, variance = image.mean((0, 1, 2)), image.var((0, 1, 2))
        inner.append(between((image - mean) / np.sqrt(variance + first.epsilon)).numpy())
    for layer, seen in ((first, list(images)), (second, inner)):
        count = seen[0][..., 0].size  # the variance that Keras keeps is that of a sample
        expected = [np.var(batch, axis=(0, 1, 2)) * count / (count - 1) for batch in seen]
        np.testing.assert_allclose(layer.moving_variance, np.mean(expected, axis=0), rtol=1e-4)
        means = np.mean([batch.mean((0, 1, 2)) for batch in seen], axis=0)
        np.testing.assert_allclose(layer.moving_mean, means, rtol=1e-4, atol=1e-5)


def test_nothing_but_the_averages_changes_and_what_came_before_is_forgotten():
    net, (_, batches) = network(), data()
    before = {weight.name: weight.numpy() for weight in net.weights}
    renew(net, batches)
    once = {weight.name: weight.numpy() for weight in net.weights}
    changed = {name for name, value in once.items() if not np.array_equal(value, before[name])}
    assert changed == {f"{layer}/moving_{part}:0" for layer in ("first", "second") for part in ("mean", "variance")}
    assert [layer.momentum for layer in net.layers[::2]] == [0.99, 0.97]
    renew(net, batches)
    for weight in net.weights:
        np.testing.assert_array_equal(weight, once[weight.name])
