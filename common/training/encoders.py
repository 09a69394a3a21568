"""Segmentation models of qubvel's `segmentation_models`, with a fast ResNeXt encoder and checked
encoder weights.

Any encoder of the library can be built; which of them a paper takes stands in its config.py.

`segmentation_models` is imported here and nowhere else, because the Keras it binds to is chosen by
an environment variable that must be set before its first import.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
from pathlib import Path
from typing import Callable, Iterator, List, Sequence, Tuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from common.errors import InputError
from common.training import weights_files

os.environ["SM_FRAMEWORK"] = "tf.keras"
with contextlib.redirect_stdout(io.StringIO()):  # the library announces itself with a print
    import segmentation_models
from classification_models.models import resnext
from classification_models.weights import WEIGHTS_COLLECTION
from segmentation_models.backbones.backbones_factory import Backbones

bare_encoder = segmentation_models.inject_global_submodules(Backbones.get_backbone)
# Cardinality of ResNeXt (Xie et al. 2017, Aggregated Residual Transformations), fixed in the
# library.
GROUPS = 32


class GroupedConv2D(keras.layers.Layer):
    """A grouped 2-D convolution without bias, as one operation.

    The library slices the input into 32 parts, convolves each and concatenates: 65 layers for one
    convolution. Keras' own `Conv2D(groups=…)` goes through XLA on a CPU, whose backward pass is a
    hundred times slower than `tf.nn.conv2d` with a grouped kernel, which this layer calls.

    Input (batch, height, width, channels), output (batch, height', width', filters), padding
    "valid".
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Tuple[int, int],
        strides=(1, 1),
        groups: int = GROUPS,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = tuple(kernel_size)
        self.strides = tuple(strides)
        self.groups = groups

    def build(self, input_shape):
        """Create the kernel: (height, width, channels / groups, filters), the groups side by side
        on the last axis.
        """
        channels = input_shape[-1] // self.groups
        # Glorot's limit for the kernel of one group, as in the library: the packed kernel's own
        # would be smaller.
        fans = np.prod(self.kernel_size) * (channels + self.filters // self.groups)
        limit = float(np.sqrt(6 / fans))
        self.kernel = self.add_weight(
            "kernel",
            (*self.kernel_size, channels, self.filters),
            initializer=keras.initializers.RandomUniform(-limit, limit),
        )

    def call(self, inputs):
        return tf.nn.conv2d(inputs, self.kernel, self.strides, "VALID")

    def get_config(self):
        own = {
            name: getattr(self, name) for name in ("filters", "kernel_size", "strides", "groups")
        }
        return {**super().get_config(), **own}


def build(
    architecture: str, encoder: str, encoder_weights: str = "none", fast: bool = True, **options
) -> keras.Model:
    """Build a `segmentation_models` network.

    Args:
        architecture: "Linknet", "Unet", … : a model function of `segmentation_models`.
        encoder: one of the library's backbones, e.g. "resnext50", "vgg19".
        encoder_weights: "imagenet" (fetched and cached by the library), "none" (random) or a Keras
            .h5 file.
        fast: give ResNeXt its grouped convolutions as single operations: the same function, far
            fewer layers.
        **options: passed on, e.g. `classes`, `activation`, `input_shape`.

    Returns:
        A model from float images (batch, height, width, 3), prepared by `preprocessing(encoder)`,
        to float32 probabilities (batch, height, width, classes), whatever the precision policy.

    Raises:
        InputError: the weights cannot be fetched, read, or belong to another network.
    """
    packed = fast and encoder.startswith("resnext") and grouped_convolution_trains()
    from_library = encoder_weights == "imagenet" and not packed
    with _grouped_convolutions() if packed else contextlib.nullcontext():
        with names_the_download(encoder):
            model = getattr(segmentation_models, architecture)(
                encoder, encoder_weights="imagenet" if from_library else None, **options
            )
        if not from_library and encoder_weights != "none":
            if encoder_weights == "coco":
                raise InputError(
                    f"COCO weights are of Mask R-CNN, not of {encoder}; give imagenet, none or a "
                    "Keras .h5 file"
                )
            path = _stock_file(encoder) if encoder_weights == "imagenet" else Path(encoder_weights)
            load_encoder_weights(model, encoder, path)
    # Under a mixed policy the library's last activation is half precision, too coarse for
    # probabilities and losses.
    last = model.layers[-1]
    output = keras.layers.Activation(last.activation, dtype="float32", name="probability")(
        last.input
    )
    return keras.Model(model.input, output, name=f"{architecture.lower()}_{encoder}")


def preprocessing(encoder: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return the input preparation that belongs to an encoder: RGB 0–255, any shape (…, 3), to
    float32.

    ResNet and ResNeXt take raw RGB (their first layer is a BatchNorm); VGG takes BGR with the
    ImageNet mean subtracted. Dividing by 255 first breaks both without an error.
    """
    prepare = segmentation_models.get_preprocessing(encoder)
    return lambda images: np.asarray(prepare(np.array(images, dtype=np.float32)), dtype=np.float32)


def load_encoder_weights(model: keras.Model, encoder: str, path: Path) -> None:
    """Load an encoder's weights without top from a Keras .h5 file, in the order of its layers.

    Grouped convolutions take the library's 32 separate kernels, packed into one. Half-precision
    files are widened.

    Raises:
        InputError: not such a file, or its layers are not this encoder's.
    """
    with weights_files.opened(path) as file:
        stored = file.layers()
        for layer in _encoder_layers(model, encoder):
            count = layer.groups if isinstance(layer, GroupedConv2D) else 1
            taken, stored = stored[:count], stored[count:]
            # Of each of the layer's arrays the parts that lie side by side in it.
            parted = list(zip(*(arrays for _, arrays in taken)))
            expected = [weights.shape for weights in layer.get_weights()]
            found = [_joined_shape(parts) for parts in parted]
            if expected != found:
                name = taken[0][0] if taken else "the end of the file"
                raise InputError(
                    f"{path}: not the weights of {encoder}: {layer.name} needs {expected}, {name} "
                    f"has {found}"
                )
            layer.set_weights([_joined(parts) for parts in parted])
    # A file with top is as good as one without.
    if stored and not stored[0][0].startswith(("fc", "predictions")):
        raise InputError(f"{path}: not the weights of {encoder}: {stored[0][0]} is left over")


@functools.lru_cache(maxsize=None)
def grouped_convolution_trains() -> bool:
    """Whether this TensorFlow can differentiate a grouped convolution: on a CPU only with oneDNN.
    Says so if not.
    """
    images, kernel = tf.ones((1, 4, 4, 4)), tf.Variable(tf.ones((3, 3, 2, 4)))
    try:
        with tf.GradientTape() as tape:
            result = tf.nn.conv2d(images, kernel, 1, "VALID")
        tape.gradient(result, kernel)
    except tf.errors.OpError:
        print(
            "grouped convolutions cannot be trained here (oneDNN is off): using the library's "
            "slower ResNeXt"
        )
        return False
    return True


@contextlib.contextmanager
def _grouped_convolutions() -> Iterator[None]:
    """Let the library's ResNeXt builder create `GroupedConv2D` layers, named in order, instead of
    its 32 slices.
    """
    count = 0

    def grouped(filters, kernel_size, strides=(1, 1), **_):
        nonlocal count
        count += 1
        return GroupedConv2D(filters, kernel_size, strides, name=f"grouped_conv{count}")

    stock, resnext.GroupConv2D = resnext.GroupConv2D, grouped
    try:
        yield
    finally:
        resnext.GroupConv2D = stock


def _encoder_layers(model: keras.Model, encoder: str) -> List[keras.layers.Layer]:
    """The layers with weights that `model` took from its encoder, in the library's order."""
    packed = any(isinstance(layer, GroupedConv2D) for layer in model.layers)
    with _grouped_convolutions() if packed else contextlib.nullcontext():
        bare = bare_encoder(encoder, weights=None, include_top=False, input_shape=(None, None, 3))
    count = len([layer for layer in bare.layers if layer.weights])
    return [layer for layer in model.layers if layer.weights][:count]


def _joined_shape(parts: Sequence[weights_files.StoredArray]) -> Tuple[int, ...]:
    """Shape of arrays laid side by side on the last axis; of the first where they do not fit."""
    *sides, width = parts[0].shape or (0,)
    fit = all(part.shape[:-1] == tuple(sides) for part in parts)
    return (*sides, sum(part.shape[-1] for part in parts)) if fit else parts[0].shape


def _joined(parts: Sequence[weights_files.StoredArray]) -> np.ndarray:
    arrays = [part.read() for part in parts]
    return np.concatenate(arrays, axis=-1) if len(arrays) > 1 else arrays[0]


def _stock_file(encoder: str) -> Path:
    """Fetch the library's ImageNet file of a ResNeXt, checked by its md5 and cached as the library
    does.
    """
    entry = next(e for e in WEIGHTS_COLLECTION if e["model"] == encoder and not e["include_top"])
    with names_the_download(encoder):
        return Path(
            keras.utils.get_file(
                entry["name"], entry["url"], cache_subdir="models", md5_hash=entry["md5"]
            )
        )


@contextlib.contextmanager
def names_the_download(encoder: str) -> Iterator[None]:
    """Turn a failed download of ImageNet weights into an InputError that says what to do
    instead.
    """
    try:
        yield
    except Exception as error:
        if "URL fetch failure" not in str(error):
            raise
        raise InputError(
            f"ImageNet weights of {encoder} could not be fetched ({error}); "
            "set ENCODER_WEIGHTS=none, or ENCODER_WEIGHTS=FILE with a copy of that file"
        ) from None
