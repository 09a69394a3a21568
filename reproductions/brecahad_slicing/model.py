"""U-net as the paper describes it and U-Net with a ResNet50 encoder, compiled as it trains them,
and their use.
"""

from __future__ import annotations

from typing import Iterator, List, Tuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from common.training import encoders
from reproductions.brecahad_slicing import data, slicing
from reproductions.brecahad_slicing.config import Config
from reproductions.brecahad_slicing.data import Sample
from reproductions.brecahad_slicing.slicing import Tile

LEVELS = 4  # times that the plain U-net halves the image; assumed: as in the U-Net paper

layers = keras.layers
LOSSES = {
    "weighted_cross_entropy": "binary_crossentropy",
    "cross_entropy": "binary_crossentropy",
    "dice": encoders.segmentation_models.losses.dice_loss,
    "bce_dice": encoders.segmentation_models.losses.bce_dice_loss,
}


def build(config: Config) -> keras.Model:
    """Build and compile the network: float images (batch, H, W, 3) in [0, 1] to float32 maps
    (batch, H, W, 1).

    The maps hold probabilities of tumour nucleus. H and W are multiples of 16 (plain) or 32
    (resnet50).
    """
    if config.encoder == "plain":
        model = _plain(config)
    else:
        model = encoders.build(
            "Unet",
            config.encoder,
            config.encoder_weights,
            classes=1,
            activation="sigmoid",
            input_shape=(None, None, 3),
        )
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = config.norm_momentum
    optimiser = {
        "sgd": keras.optimizers.SGD(config.learning_rate),
        "momentum": keras.optimizers.SGD(config.learning_rate, momentum=0.9),
        "adam": keras.optimizers.Adam(config.learning_rate),
    }[config.optimiser]
    # The weights of the pixels (equation 2) come with the batches.
    model.compile(optimiser, LOSSES[config.loss], weighted_metrics=[])
    return model


def predict(
    model: keras.Model, samples: List[Sample], tiles: List[Tile], config: Config
) -> Iterator[Tuple[Tile, np.ndarray]]:
    """Give each tile with its probabilities of tumour nucleus, float32 (size, size); one batch is
    held at a time.
    """
    size, count = slicing.tile_size(config), data.batch_size(config)
    call = tf.function(
        lambda images: model(images, training=False),
        input_signature=[tf.TensorSpec((None, size, size, 3))],
    )
    for start in range(0, len(tiles), count):
        chunk = tiles[start : start + count]
        images = np.stack([data.cut(samples[tile.number].image, tile, size) for tile in chunk])
        yield from zip(chunk, call(data.scaled(images)).numpy()[..., 0])


def _plain(config: Config) -> keras.Model:
    """U-net of section 2: two 3×3 convolutions with ReLU a level, 2×2 up-convolutions,
    concatenation, and a 1×1.
    """
    width = config.width
    inputs = features = keras.Input((None, None, 3))
    skips = []
    for level in range(LEVELS):
        skips.append(_convolutions(features, width * 2**level, config.norm))
        features = layers.MaxPooling2D()(skips[-1])
    features = _convolutions(features, width * 2**LEVELS, config.norm)
    for level in reversed(range(LEVELS)):
        features = layers.Conv2DTranspose(width * 2**level, 2, strides=2)(features)
        joined = layers.Concatenate()([skips[level], features])
        features = _convolutions(joined, width * 2**level, config.norm)
    # Under a mixed policy half precision would be too coarse for probabilities and losses.
    outputs = layers.Activation("sigmoid", dtype="float32", name="probability")(
        layers.Conv2D(1, 1)(features)
    )
    return keras.Model(inputs, outputs, name="unet")


def _convolutions(features: tf.Tensor, width: int, norm: str) -> tf.Tensor:
    for _ in range(2):
        convolution = layers.Conv2D(width, 3, padding="same", kernel_initializer="he_normal")
        if norm == "batch":
            features = layers.ReLU()(layers.BatchNormalization()(convolution(features)))
        else:
            convolution.activation = keras.activations.relu
            features = convolution(features)
    return features
