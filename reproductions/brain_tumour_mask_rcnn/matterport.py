"""Weights in the layout of Matterport's Mask R-CNN, such as `mask_rcnn_coco.h5`, brought into Model
Garden's network.

Both networks compute the same function of an image up to the region proposals once these
differences are folded away:

- BatchNorm adds 1e-3 to the variance there, and Keras' ResNet adds 1.001e-5;
- the stem's max-pool is padded at the end there, and on both sides in Keras (`pad_stem_at_end`);
- colours come as RGB there, and as BGR here;
- P6 is every other pixel of P5 there, and a strided 3×3 convolution of it here;
- Model Garden has BatchNorm behind each output of the pyramid and in the region proposal network;
- anchors are scored by a logit for each of background and object there, by the logit of object
here;
- box deltas are in standard deviations there;
- anchors lie on the corners of the pyramid's pixels there, and on their middles here.

The heads take the same weights, but look at regions sampled otherwise: 7×7 and 14×14 points there,
means of four here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import numpy as np
from tensorflow import keras

from common.errors import InputError
from common.training import weights_files

EPSILON = 1e-3  # of their BatchNorm
DELTA_STD = (0.1, 0.1, 0.2, 0.2)  # of (dy, dx, log dh, log dw)
LEVELS = (2, 3, 4, 5)
# Their names of a residual block's convolutions, by Keras' numbers.
BRANCHES = {0: "branch1", 1: "branch2a", 2: "branch2b", 3: "branch2c"}


def pad_stem_at_end(backbone: keras.Model) -> None:
    """Let the stem's max-pool of a Keras ResNet see what it sees there; for images of even height
    and width.

    Zeros serve as padding as well as minus infinity, because they follow a ReLU.
    """
    backbone.get_layer("pool1_pad").padding = ((0, 1), (0, 1))


def load_weights(network: keras.Model, path: Path, outputs: bool = False) -> None:
    """Set the weights of a built Model Garden Mask R-CNN (Keras ResNet, pyramid levels 2 to 6) from
    a Matterport file.

    Args:
        network: with `pad_stem_at_end` done; for images whose sides are multiples of 64.
        path: .h5 file, for instance `mask_rcnn_coco.h5`.
        outputs: also the last layers for classes, boxes and masks, which are of other classes in
            the file for COCO.

    Raises:
        InputError: not such a file, or a layer is missing or of another shape.
    """
    source = _Source(path)
    for name, target in _pairs(network, outputs):
        values = source.of(name)
        if name == "conv1":
            values[0] = values[0][:, :, ::-1]  # RGB → BGR
        elif name == "rpn_class_raw":
            values = [v[..., 1::2] - v[..., ::2] for v in values]
        elif name == "rpn_bbox_pred":
            values = _rpn_boxes(values, network)
        elif name == "mrcnn_class_conv1":
            values[0] = values[0].reshape(-1, values[0].shape[-1])
        elif name == "mrcnn_class_conv2":
            values[0] = values[0][0, 0]
        elif hasattr(target, "moving_variance"):
            values[3] = values[3] + EPSILON - target.epsilon
        source.check(name, values, target)
        target.set_weights(values)
    for layer in _without_counterpart(network):
        gamma, *_ = layer.get_weights()
        identity = np.full_like(gamma, np.sqrt(1 + layer.epsilon))
        layer.set_weights(
            [identity, np.zeros_like(gamma), np.zeros_like(gamma), np.ones_like(gamma)]
        )
    _subsample(_pyramid(network)[-1])


class _Source:
    """The arrays of a file, by layer and then by kind, wherever in it they lie."""

    KINDS = {"kernel": 0, "gamma": 0, "bias": 1, "beta": 1, "moving_mean": 2, "moving_variance": 3}

    def __init__(self, path: Path):
        self.path = path
        self.layers: Dict[str, Dict[int, np.ndarray]] = {}

        with weights_files.opened(path) as file:
            for array in file.arrays():
                layer, kind = ["", *array.name.split("/")][-2:]
                order = self.KINDS.get(kind.split(":")[0])
                if order is not None:
                    self.layers.setdefault(layer, {})[order] = array.read()

    def of(self, name: str) -> List[np.ndarray]:
        if name not in self.layers:
            raise InputError(
                f"{self.path}: expected Matterport's Mask R-CNN with such a backbone, {name} is "
                "missing"
            )
        return [self.layers[name][order].astype(np.float32) for order in sorted(self.layers[name])]

    def check(self, name: str, values: List[np.ndarray], target: keras.layers.Layer) -> None:
        shapes, expected = [v.shape for v in values], [tuple(w.shape) for w in target.weights]
        if shapes != expected:
            raise InputError(
                f"{self.path}: layer {name}: expected the shapes {expected}, got {shapes}"
            )


def _pairs(network: keras.Model, outputs: bool) -> Iterator[Tuple[str, keras.layers.Layer]]:
    """Name of each layer there, and the layer here."""
    layer = network.backbone.get_layer
    yield "conv1", layer("conv1_conv")
    yield "bn_conv1", layer("conv1_bn")
    for here in network.backbone.layers:
        place = re.fullmatch(r"conv(\d)_block(\d+)_(\d)_conv", here.name)
        if place:
            stage, block, number = map(int, place.groups())
            there = f"{stage}{chr(ord('a') + block - 1)}_{BRANCHES[number]}"
            yield f"res{there}", here
            yield f"bn{there}", layer(here.name.replace("_conv", "_bn"))
    pyramid = _pyramid(network)
    for level, lateral, output in zip(LEVELS, pyramid[:4], pyramid[4:8]):
        yield f"fpn_c{level}p{level}", lateral
        yield f"fpn_p{level}", output
    heads = {
        **_by_name(network.rpn_head),
        **_by_name(network.detection_head[0]),
        **_by_name(network.mask_head),
    }
    yield "rpn_conv_shared", heads["rpn-conv_0"]
    yield "rpn_class_raw", heads["rpn-scores"]
    yield "rpn_bbox_pred", heads["rpn-boxes"]
    for number in range(2):
        yield f"mrcnn_class_conv{number + 1}", heads[f"detection-fc_{number}"]
        yield f"mrcnn_class_bn{number + 1}", heads[f"detection-fc-bn_{number}"]
    for number in range(4):
        yield f"mrcnn_mask_conv{number + 1}", heads[f"mask-conv_{number}"]
        yield f"mrcnn_mask_bn{number + 1}", heads[f"mask-conv-bn_{number}"]
    yield "mrcnn_mask_deconv", heads["mask-upsampling"]
    if outputs:
        yield "mrcnn_class_logits", heads["detection-scores"]
        yield "mrcnn_bbox_fc", heads["detection-boxes"]
        yield "mrcnn_mask", heads["mask-logits"]


def _by_name(head: keras.layers.Layer) -> Dict[str, keras.layers.Layer]:
    return {part.name: part for part in head.submodules if isinstance(part, keras.layers.Layer)}


def _pyramid(network: keras.Model) -> List[keras.layers.Layer]:
    """The convolutions of the pyramid as Model Garden makes them: laterals 2 to 5, outputs 2 to 5,
    and P6.
    """
    convolutions = [
        layer for layer in network.decoder.layers if isinstance(layer, keras.layers.Conv2D)
    ]
    # Keras numbers unnamed layers in the order of their making, and orders them by depth.
    return sorted(
        convolutions,
        key=lambda layer: int((layer.name.split("_") + ["0"])[1] if "_" in layer.name else 0),
    )


def _without_counterpart(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """Model Garden's further BatchNorms."""
    heads = {
        **_by_name(network.rpn_head),
        "mask-deconv-bn": _by_name(network.mask_head)["mask-deconv-bn"],
    }
    for layer in [*network.decoder.layers, *heads.values()]:
        if hasattr(
            layer, "moving_variance"
        ):  # the synchronised kind is no BatchNormalization to Keras
            yield layer


def _rpn_boxes(values: List[np.ndarray], network: keras.Model) -> List[np.ndarray]:
    """Scale deltas to Model Garden's unit, the anchor's size, and let them start from its
    anchors.
    """
    config = network.get_config()
    kernel, bias = (v * np.tile(DELTA_STD, v.shape[-1] // 4).astype(np.float32) for v in values)
    for number, ratio in enumerate(config["aspect_ratios"]):
        # Half a pixel of the pyramid, in heights and widths of the anchor, which are the same on
        # every level.
        bias[4 * number] -= 0.5 / (config["anchor_size"] * ratio**-0.5)
        bias[4 * number + 1] -= 0.5 / (config["anchor_size"] * ratio**0.5)
    return [kernel, bias]


def _subsample(convolution: keras.layers.Conv2D) -> None:
    """Let a 3×3 convolution of stride 2, padded at the end as for even sizes, take every other
    pixel.
    """
    kernel, bias = (np.zeros_like(w) for w in convolution.get_weights())
    kernel[0, 0] = np.eye(kernel.shape[2])
    convolution.set_weights([kernel, bias])
