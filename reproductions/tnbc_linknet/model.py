"""LinkNet with an exchangeable encoder, compiled as the paper trains it."""

from __future__ import annotations

import numpy as np
from tensorflow import keras

from common.imaging.tiling import pad_to_multiple
from common.training import encoders
from reproductions.tnbc_linknet import data
from reproductions.tnbc_linknet.config import Config

LOSSES = {
    "bce_dice": encoders.segmentation_models.losses.bce_dice_loss,
    "dice": encoders.segmentation_models.losses.dice_loss,
    "bce": encoders.segmentation_models.losses.binary_crossentropy,
}


def build(config: Config) -> keras.Model:
    """Build and compile the network: images float (batch, H, W, 3) to nuclei probabilities float32
    (batch, H, W, 1).

    H and W are multiples of 32.
    """
    model = encoders.build(
        "Linknet",
        config.encoder,
        config.encoder_weights,
        classes=1,
        activation="sigmoid",
        input_shape=(None, None, 3),
    )
    model.compile(keras.optimizers.Adam(config.learning_rate), LOSSES[config.loss])
    return model


def predict(model: keras.Model, image: np.ndarray, config: Config) -> np.ndarray:
    """Map an equalised image, uint8 (H, W, 3) of any size, to probabilities float32 (H, W)."""
    height, width = image.shape[:2]
    padded = pad_to_multiple(data.network_input(image, config), data.STRIDE)
    return model.predict_on_batch(padded[None])[0, :height, :width, 0]
