"""Slicing, preprocessing and augmentation for tumour nuclei in histology (BreCaHAD data set): every
setting of it.

Paper: Buravsky, Kostyuchenko: "Impact of data preprocessing and augmentation on tumor core
segmentation using convolutional neural networks" (in Russian), Tables 1–3, Figures 5–6.
Command: `make brecahad-table2`; one network alone: `python -m reproductions.brecahad_slicing.train
--tiles p256_s128`. Expected time, one network and seed, paper profile: 100 passes over up to 36,450
tiles, which is a GPU's work; quick
profile: 1 to 3 minutes on two CPU cores in mixed_bfloat16.
Expected score, as published: test Dice 0.742 (U-net) and, with ImageNet weights, 0.7458 (ResNet50)
on 256p/128s/zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, Literal, Union

from common.training import runs

SIDE = 1024  # pixels of a square image; the sizes and radii below are in these pixels, and shrink with Config.side
RADIUS = 12  # assumed: by eye, the largest disc that stays within most tumour nuclei; 5 in 100 touch another
MATCH_RADIUS = (
    RADIUS  # assumed: a nucleus is found where the middle of what is predicted lies within its disc
)
THRESHOLD = 0.5  # assumed: of the probability
CONNECTIVITY = 8  # assumed: of what counts as one predicted nucleus
BORDER_WEIGHT, BORDER_SIGMA = (
    10,
    5,
)  # w0 and σ (pixels) of equation 2; assumed: as in the U-Net paper it is taken from
RATE_FACTOR = 0.1  # assumed: what a reduced learning rate is multiplied by, Keras' default
MIN_DELTA = 1e-4  # assumed: a loss that falls by less has not improved, Keras' default

# fmt: off
SetName = Literal[
    "original", "quarter", "quarter_zero", "p512_s256", "p512_s256_zero",
    "p256_s128", "p256_s128_zero", "p128_s64", "p128_s64_zero",
]
# fmt: on


@dataclass(frozen=True)
class Config:
    """One training. Fields marked "assumed" are not given by the paper."""

    encoder: Literal["plain", "resnet50"] = "plain"
    """plain: U-net as the paper describes it; resnet50: U-Net with that encoder."""
    protocol: Literal["published", "corrected"] = "published"
    """published: tiles are split, so that those of one image lie on both sides, and the test loss
    lowers the rate;
    corrected: whole cases are split before slicing, and the training loss lowers the rate."""
    profile: Literal["paper", "quick", "smoke"] = "paper"
    """Name of the set of defaults that this configuration started from."""
    seed: int = 0
    """Decides the split, the initial weights, the order of the tiles and their augmentation."""
    encoder_weights: str = "none"
    """Of resnet50: imagenet (the paper's), none or a Keras .h5 file without top; a plain U-net has
    none.
    """
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Keras precision policy."""

    tiles: SetName = "original"
    """Set of tiles: p<pixels>_s<step>; zero: without those that show no tumour nucleus."""
    preprocessing: bool = True
    """Gaussian 5×5, sharpening 3×3 and median 3 before anything else."""
    augmentation: bool = True
    """Rotations by 90° and flips in training."""

    test_fraction: float = 0.2
    """Part of the tiles (published) or, with whole cases, of the images (corrected) that is tested
    on.
    """
    square: Literal["resize", "crop"] = (
        "resize"  # assumed: images are "converted to a square size"; no nucleus is lost
    )
    """How 1360×1024 becomes square: squeezed, or the middle of it."""
    side: int = SIDE
    """Side of the square image; tiles and discs keep their proportion to it."""
    width: int = 64  # assumed: as in the U-Net paper
    """Channels of the plain U-net's first level, doubled at each of the four below it."""

    epochs: int = 100  # assumed: the paper gives neither epochs nor steps
    """Number of epochs; after each the loss is looked at, and the learning rate may fall."""
    epoch_steps: Union[int, Literal["one pass"]] = "one pass"
    """Steps that count as one epoch; one pass: those that show each training tile once."""
    batch_images: int = 2  # assumed: what square images leave room for on a card of 8 GB
    """Images per step; of tiles as many as have the same area."""
    optimiser: Literal["sgd", "momentum", "adam"] = (
        "sgd"  # assumed: the only one that trained at 0.1, see README
    )
    """sgd: without momentum; momentum: SGD with momentum 0.9; adam: with Keras' defaults."""
    learning_rate: float = 0.1
    """At first; it is divided by ten where the loss stops falling."""
    patience: int = 10  # assumed: Keras' default
    """Epochs without a lower loss after which the learning rate is reduced."""
    norm_momentum: float = 0.99  # assumed: the library's
    """Of BatchNorm's moving averages, which need several times 1 / (1 − momentum) steps to settle;
    resnet50 only.
    """

    @property
    def run_id(self) -> str:
        """Readable name of the run folder; whatever differs from the profile's defaults is part of
        it.
        """
        return runs.readable_id(self, PROFILES[self.profile])

    def pixels(self, length: float) -> float:
        """Convert a length in an image of SIDE pixels to the pixels of this configuration's
        images.
        """
        return length * self.side / SIDE


_PAPER = Config()
# Of the profile quick, per epoch: what takes either network about 100 seconds of two CPU cores.
QUICK_STEPS = {"plain": 100, "resnet50": 20}
PROFILES: Dict[str, Config] = {
    "paper": _PAPER,
    # A CPU's share: a quarter of the side, so a sixteenth of the pixels; a quarter of the plain
    # U-net's channels; and the same number of steps for every set. Arithmetic, from single steps
    # measured in mixed_bfloat16, in processor seconds: plain 0.15, resnet50 0.8. 800 and 160 of
    # them are 120 and 128; start, test losses and evaluation add 15 to 25 and, with 225 tiles an
    # image, 75.
    "quick": replace(
        _PAPER,
        profile="quick",
        side=256,
        width=16,
        epochs=8,
        epoch_steps=QUICK_STEPS["plain"],
        batch_images=1,
        patience=2,
        norm_momentum=0.9,
    ),
    # Seconds, to see the machinery run; its numbers mean nothing.
    "smoke": replace(
        _PAPER,
        profile="smoke",
        side=256,
        width=2,
        epochs=2,
        epoch_steps=2,
        batch_images=1,
        patience=1,
        norm_momentum=0.9,
    ),
}
