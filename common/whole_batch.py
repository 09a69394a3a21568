"""Training steps whose batch is divided among devices, equal to those of one device.

The usual data parallelism averages the losses of the devices and lets each one normalise its own images. That is
another function: Dice pools the pixels of a batch, BatchNorm its statistics, and the last batch of an epoch may give
one device more images than the other. Here the outputs are gathered before the loss, and sums before the statistics.
"""

from __future__ import annotations

import threading
from typing import Callable, Tuple

import tensorflow as tf
from tensorflow import keras

from common import devices
from common.errors import InputError

# Of the step that a replica, each in a thread of its own, is in: number of its rows, index of the first, rows of all.
_step = threading.local()


def place(count: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """Give the index of a replica's first row in the batch, and how many rows all have; `count` is its own."""
    return getattr(_step, "place", (tf.zeros_like(count), count))


def gather(value: tf.Tensor) -> tf.Tensor:
    """Give the rows of all replicas, in the order of the batch: as a sum, whose gradient is defined."""
    first, count = _step.place
    after = count - first - tf.shape(value)[0]
    padded = tf.pad(value, [[first, after], *[[0, 0]] * (value.shape.rank - 1)])
    return tf.distribute.get_replica_context().all_reduce("SUM", padded)


class Loss(keras.losses.Loss):
    """A loss (function or object) of the whole batch."""

    def __init__(self, loss: Callable):
        super().__init__()
        self.loss = keras.losses.get(loss)

    def __call__(self, y_true, y_pred, sample_weight=None):
        weights = None if sample_weight is None else gather(sample_weight)
        return super().__call__(gather(y_true), gather(y_pred), weights)

    def call(self, y_true, y_pred):
        return self.loss(y_true, y_pred)


class BatchNormalization(keras.layers.BatchNormalization):
    """BatchNorm with the statistics of the whole batch.

    Keras' SyncBatchNormalization leaves out the correction for the number of values (Bessel) that its fused layer makes
    in the moving variance, and computes the variance as a difference of large numbers.
    """

    def call(self, inputs, training=None):
        context = tf.distribute.get_replica_context()
        if context is None or not self._get_training_value(training):  # there is none while a network is built
            return super().call(inputs, training)
        values = tf.cast(inputs, tf.float32)
        axes = [axis for axis in range(inputs.shape.rank) if axis not in self.axis]
        counts = tf.cast(_step.count > 0, tf.float32)  # else the replica has a row only to have one
        local = tf.cast(tf.size(inputs) // inputs.shape[self.axis[0]], tf.float32)
        sums = context.all_reduce("SUM", counts * tf.concat([tf.reduce_sum(values, axes), local[None]], 0))
        mean, number = sums[:-1] / sums[-1], sums[-1]
        squares = tf.reduce_sum(tf.math.squared_difference(values, mean), axes)
        variance = context.all_reduce("SUM", counts * squares) / number
        unbiased = variance * number / tf.maximum(number - 1, 1) if self.fused else variance
        for moving, current in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            moving.assign_sub((moving - tf.stop_gradient(current)) * (1 - self.momentum))
        outputs = tf.nn.batch_normalization(values, mean, variance, self.beta, self.gamma, self.epsilon)
        return tf.cast(outputs, inputs.dtype)


class Model(keras.Model):
    """A functional model that trains on the parts that `divide` makes of batches."""

    def train_step(self, data):
        """Do as Keras, but keep the place of this replica's rows, and leave out those that stand in for none."""
        images, true, *weights = data
        context = tf.distribute.get_replica_context()
        replica, replicas = context.replica_id_in_sync_group, context.num_replicas_in_sync
        _step.count = tf.shape(true)[0]
        counts = context.all_reduce("SUM", tf.one_hot(replica, replicas, dtype=tf.int32) * _step.count)
        total = tf.reduce_sum(counts)
        first = tf.cumsum(counts, exclusive=True)[replica]
        _step.place = tf.minimum(first, total - 1), total  # a row that stands in for none shares another's place
        try:
            with tf.GradientTape() as tape:
                pred = self(images, training=True)[: _step.count]
                loss = self.compiled_loss(true, pred, *weights, regularization_losses=self.losses)
            self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        finally:
            del _step.place, _step.count
        self.compiled_metrics.update_state(true, pred, *weights)
        return {metric.name: metric.result() for metric in self.metrics}


def spread(model: keras.Model) -> keras.Model:
    """Copy a compiled, untrained model to the devices of `devices.strategy`; without one, it is the model itself.

    Raises:
        InputError: the model has a training step of its own.
    """
    if devices.strategy is None:
        return model
    if type(model).train_step is not keras.Model.train_step:
        raise InputError(
            f"--strategy: the losses of {model.name} are not computed from all outputs of a batch at once, as they "
            "would have to be on several devices; leave it out"
        )
    compiled = model._get_compile_args()
    optimiser = getattr(compiled["optimizer"], "inner_optimizer", compiled["optimizer"])  # compile() scales losses anew
    with devices.strategy.scope():
        copy = keras.models.clone_model(model, clone_function=_clone)
        copy = Model(copy.inputs, copy.outputs, name=model.name)
        copy.set_weights(model.get_weights())
        copy.compile(
            type(optimiser).from_config(optimiser.get_config()),
            Loss(compiled["loss"]),
            metrics=[type(metric).from_config(metric.get_config()) for metric in compiled["metrics"] or ()],
        )
    return copy


def collect(copy: keras.Model, model: keras.Model) -> None:
    """Give `model` the weights of its copy on the devices."""
    if copy is not model:
        model.set_weights(copy.get_weights())


def divide(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Divide each batch, a tuple of images and more, among the replicas: consecutive rows, one more here or there.

    Every worker makes all batches and keeps its own rows of each. A replica for which there is none gets an image all
    the same, because oneDNN's convolution gives a wrong shape without any.
    """
    if devices.strategy is None:
        return batches
    count = devices.strategy.num_replicas_in_sync
    here = count // devices.workers

    def parts(images, *others):
        size = tf.shape(images, tf.int64)[0]

        def part(replica):
            first, end = size * replica // count, size * (replica + 1) // count
            return (images[first : tf.maximum(end, first + 1)], *(other[first:end] for other in others))

        return tf.data.Dataset.range(devices.index * here, (devices.index + 1) * here).map(part)

    return devices.strategy.distribute_datasets_from_function(lambda context: batches.flat_map(parts).prefetch(2))


def _clone(layer: keras.layers.Layer) -> keras.layers.Layer:
    kind = BatchNormalization if type(layer) is keras.layers.BatchNormalization else type(layer)
    return kind.from_config(layer.get_config())
