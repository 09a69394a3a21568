"""LinkNet ensemble for nuclei segmentation in breast-cancer histology (TNBC data set): every
setting of it.

Paper: "LinkNet Model Based on Ensemble Learning for Breast Cancer Segmentation" (in Turkish),
Tables 1–2, Figure 2.
Command: `make tnbc-table1`; one network alone: `python -m reproductions.tnbc_linknet.train
--encoder vgg19`. Expected time, one network and seed, paper profile: on two CPU cores about 70 min
for ResNeXt50 and 150 min for VGG19 in mixed_bfloat16, estimated from single steps.
Expected score with ImageNet weights, as published: DSC 0.822 and 0.824, AJI 0.689 and 0.685; the
ensemble 0.825, 0.702.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, Literal, Tuple

from common.training import runs

ENSEMBLE = ("resnext50", "vgg19")  # the members, in the paper's order
THRESHOLD = 0.5  # of the (mean) probability: "half the number of models" for the summed maps
CONNECTIVITY = (
    8  # assumed: gives 4028 nuclei in the true masks, 4 gives 4056; the paper counts 4022
)
CONTROL = (
    "vgg16"  # not in the paper; with and without ImageNet weights, it shows what they are worth
)


@dataclass(frozen=True)
class Config:
    """One training. Fields marked "assumed" are not given by the paper."""

    encoder: Literal["resnext50", "vgg19", "vgg16"] = "resnext50"
    """Encoder of the LinkNet; the paper trains resnext50 and vgg19."""
    protocol: Literal["published", "corrected"] = "published"
    """published: split by image; corrected: no patient on both sides."""
    profile: Literal["paper", "quick", "smoke"] = "paper"
    """Name of the set of defaults that this configuration started from."""
    seed: int = 0
    """Decides the split, the initial weights, the order of the images and the crops."""
    encoder_weights: str = (
        "imagenet"  # assumed: the paper trains 20 epochs on 40 images, too few from random weights
    )
    """imagenet, none or a Keras .h5 file without top."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Keras precision policy."""

    test_fraction: float = 0.2
    """Part of the images that is tested on, 10 of 50."""
    clahe_clip_limit: float = (
        2.0  # assumed: OpenCV's usual value; the paper names CLAHE without parameters
    )
    """Clip limit of CLAHE, as a multiple of the mean histogram bin."""
    clahe_tile_grid: Tuple[int, int] = (8, 8)  # assumed: OpenCV's default
    """Rows and columns of CLAHE's tiles."""
    clahe_colour_space: Literal["lab", "hsv", "rgb"] = (
        "lab"  # assumed: equalising lightness keeps the stain's hue
    )
    """Where CLAHE works: on L of CIELAB, on V of HSV, or on each colour channel."""

    augmentation: Literal["copies", "on_the_fly"] = (
        "copies"  # assumed: augmentation "increases the number of images"
    )
    """copies: each image five times an epoch (as is, flipped x, y, xy, cropped); on_the_fly: one of
    these at random.
    """
    smallest_crop: float = 0.5  # assumed: the paper crops "by randomly chosen pixel values"
    """Shortest side of the random crop, relative to the image; the crop is resized back to the
    image's size.
    """
    input_size: int = 512
    """Side of the square that is trained on; smaller than the image, it is a random window of each
    copy.
    """

    epochs: int = 20
    """Passes over the augmented training set."""
    learning_rate: float = 1e-4
    """Of Adam."""
    batch_size: int = 2  # assumed: what 512×512 LinkNets with these encoders leave room for on the paper's 8 GB card
    """Images per step."""
    loss: Literal["bce_dice", "dice", "bce"] = (
        "bce_dice"  # assumed: usual with this library for a small foreground
    )
    """binary cross-entropy + Dice loss, or one of them."""

    @property
    def run_id(self) -> str:
        """Readable name of the run folder; whatever differs from the profile's defaults is part of
        it.
        """
        return runs.readable_id(self, PROFILES[self.profile])


_PAPER = Config()
PROFILES: Dict[str, Config] = {
    "paper": _PAPER,
    # A CPU's share: everything as in the paper except that each augmented copy contributes one
    # 192×192 window, a seventh of the work. The number of epochs, images and optimiser steps stays.
    "quick": replace(_PAPER, profile="quick", input_size=192),
    # Seconds, to see the machinery run; its numbers mean nothing.
    "smoke": replace(
        _PAPER, profile="smoke", input_size=64, epochs=2, learning_rate=1e-3, batch_size=4
    ),
}
