"""U-Net and Attention U-Net, compiled as the source trains them, and their use on images of any
size.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Sequence

import cv2
import numpy as np
import tensorflow as tf
from tensorflow import keras

from common.training import encoders
from common.training.fit import SpatialDropout2D
from reproductions.polyp_unet import data
from reproductions.polyp_unet.config import Config

LEVELS = 4  # times that the image is halved
# Of BatchNorm and Adam: PyTorch's defaults, because the source uses PyTorch. Keras' 0.99 would need
# more steps than the first epochs have before validation sees what training sees.
MOMENTUM, NORM_EPSILON, ADAM_EPSILON = 0.9, 1e-5, 1e-8

layers, library = keras.layers, encoders.segmentation_models.losses


class AdamW(keras.optimizers.Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2).

    Keras 2.9's experimental AdamW multiplies weights by learning rate × decay, not by
    1 − learning rate × decay.
    """

    def __init__(self, learning_rate: float, weight_decay: float, name: str = "AdamW", **kwargs):
        super().__init__(learning_rate, name=name, **kwargs)
        self.weight_decay = weight_decay

    def _resource_apply_dense(self, grad, var, apply_state=None):
        fraction = self._get_hyper("learning_rate", var.dtype.base_dtype) * self.weight_decay
        with tf.control_dependencies([var.assign_sub(fraction * var)]):
            return super()._resource_apply_dense(grad, var, apply_state)

    def get_config(self):
        return {**super().get_config(), "weight_decay": self.weight_decay}


def build(config: Config, foreground: float = 0.5) -> keras.Model:
    """Build and compile the network: float images (batch, H, W, 3) in [0, 1] to float32 maps
    (batch, H, W, 1).

    The maps hold probabilities of polyp. H and W are multiples of 16. `foreground` is the fraction
    of polyp pixels in the training masks, by which the loss weighted_bce balances the classes.
    """
    widths = [config.width * 2**level for level in range(LEVELS + 1)]
    inputs = features = keras.Input((None, None, 3))
    skips = []
    for level, width in enumerate(widths):
        features = _block(features, width, config, level)
        if level < LEVELS:
            skips.append(features)
            features = layers.MaxPooling2D()(features)
    for level in reversed(range(LEVELS)):
        features = layers.Conv2DTranspose(widths[level], 2, strides=2)(features)
        skip = skips[level]
        if config.architecture == "attention_unet":
            skip = _attend(skip, features, widths[level] // 2)
        features = _block(
            layers.Concatenate()([skip, features]), widths[level], config, 2 * LEVELS - level
        )
    # Under a mixed policy half precision would be too coarse for probabilities and losses.
    outputs = layers.Activation("sigmoid", dtype="float32", name="probability")(
        layers.Conv2D(1, 1)(features)
    )
    model = keras.Model(inputs, outputs, name=config.architecture)
    if config.optimiser == "adam_step":
        optimiser = keras.optimizers.Adam(config.learning_rate, epsilon=ADAM_EPSILON)
    else:
        optimiser = AdamW(config.learning_rate, config.weight_decay, epsilon=ADAM_EPSILON)
    model.compile(optimiser, losses(foreground)[config.loss])
    return model


def losses(foreground: float) -> Dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]:
    """Give the losses of masks, 0 or 1, and probabilities, both float32 (batch, H, W, 1), by
    name.
    """

    def weighted_bce(true, pred):
        weights = true * (0.5 / foreground) + (1 - true) * (0.5 / (1 - foreground))
        return tf.reduce_mean(weights * keras.backend.binary_crossentropy(true, pred))

    dice = library.DiceLoss(smooth=1e-6)
    return {
        "dice": dice,
        "bce_dice": library.BinaryCELoss() + dice,
        "focal": library.BinaryFocalLoss(),  # alpha 0.25, gamma 2, as Lin et al. 2017 recommend
        "weighted_bce": weighted_bce,
    }


def predict(model: keras.Model, images: Sequence[np.ndarray], config: Config) -> List[np.ndarray]:
    """Map images, uint8 (H, W, 3) of any size, to probabilities of polyp, float32 (H, W)."""
    maps = []
    for image in images:
        inputs = data.scaled(data.resized(image, config.input_size))
        output = model.predict_on_batch(inputs[None])[0, ..., 0]
        maps.append(cv2.resize(output, image.shape[1::-1], interpolation=cv2.INTER_LINEAR))
    return maps


def _block(features: tf.Tensor, width: int, config: Config, number: int) -> tf.Tensor:
    for _ in range(2):
        features = layers.Conv2D(width, 3, padding="same")(features)
        features = layers.BatchNormalization(momentum=MOMENTUM, epsilon=NORM_EPSILON)(features)
        features = layers.ReLU()(features)
    # Seeds of two blocks must differ, in one run and between runs.
    return SpatialDropout2D(config.dropout, seed=1000 * config.seed + number)(features)


def _attend(skip: tf.Tensor, gate: tf.Tensor, width: int) -> tf.Tensor:
    """Additive attention (Oktay et al. 2018, arXiv 1804.03999, equation 1), gated at the resolution
    of the skip.
    """
    both = layers.Add()(
        [layers.Conv2D(width, 1, use_bias=False)(skip), layers.Conv2D(width, 1)(gate)]
    )
    weights = layers.Conv2D(1, 1, activation="sigmoid")(layers.ReLU()(both))
    return layers.Multiply()([skip, weights])
