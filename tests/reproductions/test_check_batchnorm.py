import numpy as np
import tensorflow as tf
from tensorflow import keras

from reproductions.brain_tumour_mask_rcnn import check_batchnorm

layers = keras.layers


def network():
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            layers.BatchNormalization(momentum=0.99, input_shape=(5, 6, 3), name="first"),
            layers.Conv2D(4, 3, name="between"),
            layers.BatchNormalization(momentum=0.97, name="second"),
        ]
    )


def unlike(count):
    """Batches of one image, no two of one scale."""
    images = np.random.default_rng(0).normal(5, 3, (count, 1, 5, 6, 3)).astype(np.float32)
    return images * np.arange(1, count + 1, dtype=np.float32)[:, None, None, None, None]


def normalised(batch, layer):
    return (batch - batch.mean((0, 1, 2))) / np.sqrt(batch.var((0, 1, 2)) + layer.epsilon)


def test_averages_are_those_of_the_moments_of_each_batch_and_nothing_else_changes():
    net, images = network(), unlike(7)
    before = {weight.name: weight.numpy() for weight in net.weights}
    batches = tf.data.Dataset.from_tensor_slices((images,))
    for _ in range(2):  # what came before is forgotten
        check_batchnorm.renew_averages(net, lambda batch: net(batch, training=True), batches)
        first, between, second = net.layers
        inner = [between(normalised(batch, first)).numpy() for batch in images]
        for layer, seen in ((first, list(images)), (second, inner)):
            count = seen[0][..., 0].size  # the variance that Keras keeps is that of a sample
            variances = [batch.var((0, 1, 2)) * count / (count - 1) for batch in seen]
            np.testing.assert_allclose(layer.moving_variance, np.mean(variances, axis=0), rtol=1e-4)
            means = np.mean([batch.mean((0, 1, 2)) for batch in seen], axis=0)
            np.testing.assert_allclose(layer.moving_mean, means, rtol=1e-4, atol=1e-5)
    changed = {w.name for w in net.weights if not np.array_equal(w, before[w.name])}
    assert changed == {
        f"{layer}/moving_{part}:0" for layer in ("first", "second") for part in ("mean", "variance")
    }


def test_under_its_own_statistics_a_network_does_what_it_does_in_training():
    net, images = network(), unlike(3)
    expected = [net(batch, training=True).numpy() for batch in images]
    before = [weight.numpy() for weight in net.weights]
    check_batchnorm.use_own(net)
    use = tf.function(lambda batch: net(batch, training=False))
    for batch, output in zip(images, expected):
        np.testing.assert_allclose(use(batch), output, rtol=1e-5, atol=1e-5)
    for weight, value in zip(net.weights, before):
        np.testing.assert_array_equal(weight, value)
