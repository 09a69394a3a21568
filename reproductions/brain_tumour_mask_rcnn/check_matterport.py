"""Compare our network with Matterport's on the same weights and image: backbone, pyramid,
proposals, detections.

Matterport's network comes from the package pixellib, which does not live with our other packages:

    python3.10 -m venv peer
    peer/bin/pip install tensorflow==2.9.3 'numpy<1.24' 'protobuf<3.20' opencv-python-headless
    scikit-image matplotlib \
        imantics labelme2coco imgaug jsonschema && peer/bin/pip install --no-deps pixellib==0.7.1
    peer/bin/python reproductions/brain_tumour_mask_rcnn/check_matterport.py reference FOLDER
    .venv/bin/python -m reproductions.brain_tumour_mask_rcnn.check_matterport compare FOLDER

The first writes weights drawn at random (FOLDER/weights.h5) and what they make of an image of
noise, the second loads them into our network and prints the differences.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

SIZE = 256
ANCHOR = SIZE // 32  # side of the smallest anchor, as large a part of the image as in config.py
LEVELS = (2, 3, 4, 5, 6)
MEAN = np.array([123.7, 116.8, 103.9], np.float32)  # RGB, what Matterport subtracts
QUIET = (
    "rpn_bbox_pred",
    "mrcnn_bbox_fc",
    "mrcnn_class_logits",
)  # without it boxes would fill the image, with certainty


def reference(folder: Path) -> None:
    """Write weights.h5 and reference.npz, with pixellib."""
    from pixellib.instance.config import Config
    from pixellib.instance.mask_rcnn import MaskRCNN
    from scipy.ndimage import gaussian_filter
    from tensorflow import keras

    config = Config("resnet101", 2, ["background", "tumour"], 1, SIZE, SIZE, 0.0, "square", 1)
    config.RPN_ANCHOR_SCALES = tuple(ANCHOR * 2**n for n in range(5))
    peer = MaskRCNN("inference", config, ".")
    network = peer.keras_model
    rng = np.random.default_rng(0)
    for layer in _layers(network, keras):
        weights = layer.get_weights()
        if len(weights) == 4:  # BatchNorm, which must not be the identity
            low, high = (
                (0.1, 0.3) if layer.name.endswith("branch2c") else (0.5, 1.5)
            )  # residuals must not pile up
            n = len(weights[0])
            weights = (
                rng.uniform(low, high, n),
                rng.normal(0, 0.1, n),
                rng.normal(0, 0.1, n),
                rng.uniform(0.5, 1.5, n),
            )
        elif weights:
            weights = weights[0], rng.normal(0, 0.1, weights[1].shape)
        if layer.name in QUIET:
            weights = [0.05 * w for w in weights]
        if layer.name == "mrcnn_class_logits":
            weights[1] = np.array([-1, 1])  # most regions shall show the object
        layer.set_weights(weights)
    network.save_weights(str(folder / "weights.h5"))

    # Smooth, since the heads sample their regions otherwise here, which on noise would be another
    # region.
    image = gaussian_filter(rng.normal(size=(1, SIZE, SIZE, 3)), (0, 12, 12, 0))
    image = np.uint8(255 * (image - image.min()) / np.ptp(image))
    stages = [network.get_layer(f"res{name}_out").output for name in ("2c", "3d", "4w", "5c")]
    pyramid = [network.get_layer(f"fpn_p{level}").output for level in LEVELS]
    features = keras.Model(network.inputs[0], [*stages, *pyramid]).predict_on_batch(image - MEAN)
    found = {"image": image, **dict(zip([f"c{level}" for level in LEVELS[:4]], features))}
    for level, feature in zip(LEVELS, features[4:]):
        logits, _, deltas = network.get_layer("rpn_model").predict_on_batch(feature)
        found.update({f"p{level}": feature, f"logits{level}": logits, f"deltas{level}": deltas})
    moulded, meta, _ = peer.mold_inputs([image[0]])
    outputs = network.predict([moulded, meta, peer.get_anchors(moulded[0].shape)[None]])
    found.update(zip(("detections", "probabilities", "boxes", "masks", "regions"), outputs))
    np.savez(folder / "reference.npz", **found)


def compare(folder: Path) -> None:
    """Print, part by part, the largest difference as a share of the largest value; then compare the
    heads.
    """
    import tensorflow as tf

    from reproductions.brain_tumour_mask_rcnn import matterport, model
    from reproductions.brain_tumour_mask_rcnn.config import Config

    theirs = np.load(folder / "reference.npz", allow_pickle=False)
    weights = folder / "weights.h5"
    config = Config(input_size=SIZE, encoder_weights=str(weights), weights_layout="matterport")
    network = model.build(config).network
    matterport.load_weights(network, weights, outputs=True)
    image = (theirs["image"] - MEAN) / np.array(model.DEVIATIONS, np.float32)
    ours = network(
        tf.constant(image), image_shape=tf.constant([[SIZE, SIZE]], tf.float32), training=False
    )

    def row(name: str, there: np.ndarray, here: np.ndarray) -> None:
        print(
            f"{name:10s} {np.abs(there.reshape(here.shape) - here).max() / np.abs(there).max():.1e}"
        )

    for level in map(str, LEVELS[:4]):
        row(f"backbone {level}", theirs[f"c{level}"], ours["backbone_features"][level].numpy())
    half_pixel = 2 / ANCHOR  # of the pyramid's finest level, in anchors
    moved = np.array(
        [[half_pixel * ratio**0.5, half_pixel * ratio**-0.5, 0, 0] for ratio in (0.5, 1, 2)]
    )
    for level in map(str, LEVELS):
        row(f"pyramid {level}", theirs[f"p{level}"], ours["decoder_features"][level].numpy())
        logits, deltas = (
            theirs[f"logits{level}"],
            ours["rpn_boxes"][level].numpy().reshape(1, -1, 3, 4) + moved,
        )
        row(f"scores {level}", logits[..., 1] - logits[..., 0], ours["rpn_scores"][level].numpy())
        row(f"deltas {level}", theirs[f"deltas{level}"] * matterport.DELTA_STD, deltas)

    # The heads, on their proposals, which they give as parts of side − 1.
    boxes = theirs["regions"][0] * (SIZE - 1) + np.array([0, 0, 1, 1])
    real = (boxes[:, 2:] - boxes[:, :2] > 1).all(axis=1)
    pyramid = {level: tf.constant(theirs[f"p{level}"]) for level in map(str, LEVELS)}
    there = theirs["probabilities"][0, real]
    wanted = np.log(there[:, 1] / there[:, 0]), theirs["boxes"][0, real, 1]
    ways = {
        "sampled as there": _sampled_as_there(
            tf, theirs["regions"][0, real].astype(np.float32), pyramid
        ),
        "sampled as here": network.roi_aligner(pyramid, tf.constant(boxes[real][None], tf.float32)),
    }
    for way, regions in ways.items():
        logits, deltas = (output.numpy()[0] for output in network.detection_head[0](regions))
        found = logits[:, 1] - logits[:, 0], deltas.reshape(-1, 2, 4)[:, 1]
        row("logits", wanted[0], found[0])
        row("boxes", wanted[1], found[1])
        print(f"           {way}, {real.sum()} regions; explained variance", end=" ")
        print(" and ".join(f"{_explained(*pair):.3f}" for pair in zip(wanted, found)))


def _sampled_as_there(tf, boxes: np.ndarray, pyramid: dict):
    """Matterport's PyramidROIAlign: 7×7 points of the level that suits the size, (1, n, 7, 7,
    channels).
    """
    side = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
    level = np.clip(4 + np.round(np.log2(side * SIZE / 224)), 2, 5).astype(int)
    regions = np.empty((len(boxes), 7, 7, pyramid["2"].shape[-1]), np.float32)
    for number in np.unique(level):
        own = boxes[level == number]
        regions[level == number] = tf.image.crop_and_resize(
            pyramid[str(number)], own, np.zeros(len(own), int), (7, 7)
        )
    return tf.constant(regions[None])


def _explained(there: np.ndarray, here: np.ndarray) -> float:
    return 1 - np.mean((there - here) ** 2) / np.mean((there - there.mean(axis=0)) ** 2)


def _layers(network, keras):
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer, keras)
        else:
            yield getattr(layer, "layer", layer)  # of TimeDistributed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("step", choices=("reference", "compare"))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    {"reference": reference, "compare": compare}[arguments.step](arguments.folder)
