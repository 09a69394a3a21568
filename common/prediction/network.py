"""A trained Keras network that is traced once, whatever it is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict

import numpy as np
import tensorflow as tf
from tensorflow import keras

from common.errors import InputError
from common.prediction.finished_runs import WEIGHTS
from common.prediction.predictor import Member
from common.training import fit, runs, weights_files


class Network:
    """A network as one `tf.function` of one signature.

    `keras.Model.predict_on_batch` traces again for every new number of images; with one open
    signature there is one trace. The method has Keras' name, so that the code of the papers, which
    calls it, takes either.

    Attributes:
        traces: how often TensorFlow has traced the network.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        self.traces = 0
        signature = tf.TensorSpec(model.input_shape, tf.float32)
        self._call = tf.function(self._forward, input_signature=[signature])

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """Map float32 images (n, H, W, 3), prepared for the network, to its output."""
        try:
            return self._call(tf.convert_to_tensor(images, tf.float32)).numpy()
        except tf.errors.ResourceExhaustedError:
            raise InputError(
                "not enough memory on the device; end other programs there, or use --device cpu"
            ) from None

    def _forward(self, images: tf.Tensor) -> tf.Tensor:
        self.traces += 1  # Python comes by here only while TensorFlow traces
        return self.model(images, training=False)


def load_weights(model: keras.Model, folder: Path) -> None:
    """Load the weights of a finished run into a freshly built network.

    Raises:
        InputError: they are missing, damaged or of another network.
    """
    weights_files.load(model, folder / WEIGHTS, "name another run, or train it anew")


def load_member(folder: Path, config_type: Any, build: Callable[[Any], keras.Model]) -> Member:
    """Rebuild the network of a finished run.

    Args:
        folder: of the run.
        config_type: the paper's Config.
        build: makes the network of a Config.

    Raises:
        InputError: the folder belongs to another paper, or its weights to another network.
    """
    config = runs.load_config(folder, config_type)
    fit.start(config.seed, config.precision)
    untrained = {"encoder_weights": "none"} if hasattr(config, "encoder_weights") else {}
    model = build(replace(config, **untrained))
    load_weights(model, folder)
    return Member(folder, config, Network(model))


def describe_scaling(scale: Callable[[np.ndarray], np.ndarray]) -> Dict[str, Any]:
    """Say in numbers what a linear preparation does to uint8 RGB (…, 3): output channel i is
    factor[i] times the input channel channels[i], plus offset[i].

    Example:
        >>> describe_scaling(lambda images: images[..., ::-1] / 2 - 1)["channels"]
        [2, 1, 0]
    """
    probes = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype(np.uint8)
    outputs = np.asarray(scale(probes.reshape(4, 1, 1, 3)), np.float64).reshape(4, 3)
    slopes = (outputs[1:] - outputs[0]) / 255
    channels = np.abs(slopes).argmax(axis=0)
    return {
        "step": "scale",
        "channels": channels.tolist(),
        "factor": [round(float(slopes[c, i]), 9) for i, c in enumerate(channels)],
        "offset": [round(float(value), 6) for value in outputs[0]],
    }
