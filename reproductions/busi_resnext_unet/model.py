"""U-Net with an exchangeable encoder, compiled as the paper trains it, and its use on images of any
size.
"""

from __future__ import annotations

from typing import Callable

import cv2
import numpy as np
import tensorflow as tf
from tensorflow import keras

from common.imaging import tiling
from common.training import encoders
from reproductions.busi_resnext_unet import data
from reproductions.busi_resnext_unet.config import CLASSES, PADDING, PATCH, Config

BATCH = 8  # patches predicted at once
PatchFunction = Callable[[np.ndarray], np.ndarray]


def dice_loss_as_printed(true: tf.Tensor, pred: tf.Tensor) -> tf.Tensor:
    """One minus equation 2 of the paper, whose denominator has squares, per class over the batch;
    then their mean.

    `true` (one-hot) and `pred` are float32 (batch, H, W, classes).
    """
    axes = (0, 1, 2)
    overlap = tf.reduce_sum(true * pred, axes)
    squares = tf.reduce_sum(tf.square(true), axes) + tf.reduce_sum(tf.square(pred), axes)
    return 1 - tf.reduce_mean(2 * overlap / (squares + keras.backend.epsilon()))


LOSSES = {
    "dice": encoders.segmentation_models.losses.dice_loss,
    "dice_as_printed": dice_loss_as_printed,
    "dice_focal": encoders.segmentation_models.losses.categorical_focal_dice_loss,
    "cce_dice": encoders.segmentation_models.losses.cce_dice_loss,
}


def build(config: Config) -> keras.Model:
    """Build and compile the network: images float (batch, size, size, 3) to class probabilities of
    the same size.

    Its metric "iou" is pooled over the patches of an epoch and averaged over the classes: for
    curves, not for tables.
    """
    model = encoders.build(
        "Unet",
        config.encoder,
        config.encoder_weights,
        classes=len(CLASSES),
        activation="softmax",
        input_shape=(config.input_size, config.input_size, 3),
    )
    iou = keras.metrics.OneHotMeanIoU(len(CLASSES), name="iou")
    model.compile(keras.optimizers.Adam(config.learning_rate), LOSSES[config.loss], metrics=[iou])
    return model


def trainable_parameters(model: keras.Model) -> int:
    """Count the weights that training changes."""
    return sum(keras.backend.count_params(weight) for weight in model.trainable_weights)


def on_patches(model: keras.Model, config: Config) -> PatchFunction:
    """Return the function from patches, uint8 (n, 256, 256, 3), to probabilities, float32 (n, 256,
    256, 3).
    """

    def predict(patches: np.ndarray) -> np.ndarray:
        shrunk = data.resize(patches, config.input_size, cv2.INTER_AREA)
        inputs = data.network_input(shrunk, config)
        return data.resize(model.predict_on_batch(inputs), PATCH, cv2.INTER_LINEAR)

    return predict


def side_by_side(image: np.ndarray, predict: PatchFunction) -> np.ndarray:
    """Predict as the paper does: pad, cut into patches, predict in order, merge in that order, cut
    the padding off.

    `predict` maps patches (n, 256, 256[, C]) to (n, 256, 256[, K]), the result is (H, W[, K]).
    """
    height, width = image.shape[:2]
    bands = []
    for top in range(0, height, PATCH):
        patches = tiling.split(image[top : top + PATCH], PATCH, mode=PADDING)
        starts = range(0, len(patches), BATCH)
        outputs = [predict(patches[start : start + BATCH]) for start in starts]
        bands.append(tiling.merge(np.concatenate(outputs), (min(PATCH, height - top), width)))
    return np.concatenate(bands)


def overlapping(image: np.ndarray, predict: PatchFunction) -> np.ndarray:
    """Predict with patches that overlap their neighbours by half their size, blended without seams.

    Arguments and result as for `side_by_side`, but the predictions are floating.
    """
    return tiling.predict_tiled(
        image, predict, PATCH, overlap=PATCH // 2, blend="hann", batch=BATCH
    )
