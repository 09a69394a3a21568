"""Slicing, preprocessing and augmentation for tumour nuclei in histology (BreCaHAD data set): every
setting of it.

Paper: Buravsky, Kostyuchenko: "Impact of data preprocessing and augmentation on tumor core
segmentation using convolutional neural networks" (in Russian), Tables 1–3, Figures 5–6.
Command: `make brecahad-table2`; one network alone:
`.venv/bin/python -m reproductions.brecahad_slicing.train --tiles p256_s128`.
Expected time, one network and seed, paper profile: 100 passes over up to 36,450 tiles, which is a
GPU's work; quick profile: 1 to 3 minutes on two CPU cores in mixed_bfloat16.
Expected score, as published: test Dice 0.742 (U-net) and, with ImageNet weights, 0.7458 (ResNet50)
on 256p/128s/zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, Literal, Union

from annotated_types import Gt, Interval, MultipleOf
from typing_extensions import Annotated

from common.training import runs
from common.training.settings import Assumed, Given

# The paper's, and the incomplete copy that is used where a data root lacks it.
DATA_SETS = ("brecahad", "brecahad_30")
# Pixels of a square image; the sizes and radii below are in these, and shrink with Config.side.
SIDE = 1024
# assumed: by eye, the largest disc that stays within most tumour nuclei; 5 in 100 touch another
RADIUS = 12
MATCH_RADIUS = RADIUS  # ours: a prediction finds a nucleus where its centroid lies in the disc
CONNECTIVITY = 8  # assumed: of what counts as one predicted nucleus
# w0 and σ (pixels) of equation 2; assumed: as in the U-Net paper it is taken from
BORDER_WEIGHT, BORDER_SIGMA = 10, 5
RATE_FACTOR = 0.1  # assumed: what a reduced learning rate is multiplied by, Keras' default
MIN_DELTA = 1e-4  # assumed: a loss that falls by less has not improved, Keras' default

# fmt: off
SetName = Literal[
    "original", "quarter", "quarter_zero", "p512_s256", "p512_s256_zero",
    "p256_s128", "p256_s128_zero", "p128_s64", "p128_s64_zero",
]
# Percent of all tiles that the printed sizes of tables 2 (plain) and 3 (resnet50) come to.
PRINTED_PERCENT = {
    "plain": {"quarter": 100, "p512_s256": 17, "p256_s128": 17, "p128_s64": 17},
    "resnet50": {"quarter": 70, "p512_s256": 17, "p256_s128": 15, "p128_s64": 14},
}
# fmt: on


@dataclass(frozen=True)
class Config:
    """One training."""

    encoder: Annotated[Literal["plain", "resnet50"], Given("section 2")] = "plain"
    """Network: U-net as the paper describes it (plain), or U-Net with that encoder."""
    protocol: Literal["published", "corrected"] = "published"
    """Split by tile, with the learning rate following the test loss (published); or with whole
    cases before slicing, following the training loss (corrected).
    """
    profile: Literal["paper", "quick", "smoke"] = "paper"
    """Set of defaults that this configuration starts from."""
    seed: Annotated[int, Interval(ge=0, lt=2**32)] = 0
    """Seed of the split, the initial weights, the order of the tiles and their augmentation."""
    leakage: Literal["off", "with", "without"] = "off"
    """Split of the leakage command: same test images, with or without other images of their
    cases in training.
    """
    encoder_weights: Annotated[
        str,
        Given('section 2: "imagenet"', only=(("encoder", ("resnet50",)),)),
        Assumed("a plain U-net has none"),
    ] = "none"
    """Initial weights of resnet50: imagenet (the paper's), none or a Keras .h5 file without top."""
    precision: Annotated[
        Literal["float32", "mixed_bfloat16", "mixed_float16"],
        Assumed("not mentioned; TensorFlow's default", ("mixed_bfloat16", "mixed_float16")),
    ] = "float32"
    """Keras precision policy."""

    tiles: Annotated[SetName, Given("section 4")] = "original"
    """Set of tiles, p<pixels>_s<stride>; zero: without those that show no tumour nucleus."""
    used_tiles: Annotated[
        Literal["all", "as_printed"],
        Assumed("the printed sizes are int(k % of all tiles)", ("as_printed",)),
    ] = "all"
    """Tiles of the set: all, or the fraction that the printed size comes to, drawn at random."""
    empty_tiles: Annotated[
        Literal["pixel", "centre"],
        Assumed('"if there is markup" (section 4)', ("centre",)),
    ] = "pixel"
    """What keeps a tile in a zero set: any pixel of a nucleus, or an annotated centre."""
    split_unit: Annotated[
        Literal["tile", "image"],
        Assumed('"80 % of the data set" (section 6)', ("image",)),
    ] = "tile"
    """What the published protocol deals out: tiles, or all tiles of an image together."""
    preprocessing: Annotated[bool, Given("section 3")] = True
    """Gaussian 5×5, sharpening 3×3 and median 3 before anything else."""
    augmentation: Annotated[bool, Given("section 4")] = True
    """Rotations by 90° and flips in training."""

    test_fraction: Annotated[float, Interval(gt=0, lt=1), Given("section 6")] = 0.2
    """Fraction of the tiles (published) or, with whole cases, of the images that is tested on."""
    square: Annotated[
        Literal["resize", "crop"],
        Assumed('"converted to square size" (section 4); no nucleus is lost', ("crop",)),
    ] = "resize"
    """How 1360×1024 becomes square: squeezed, or its middle."""
    side: Annotated[int, Gt(0), MultipleOf(32), Given("section 4")] = SIDE
    """Size of the square image in pixels; tiles and discs keep their proportion to it."""
    width: Annotated[int, Gt(0), Assumed("not stated; as in the U-Net paper", (16, 32))] = 64
    """Channels of the plain U-net's first level, doubled at each of the four below it."""
    norm: Annotated[
        Literal["none", "batch"],
        Assumed("section 2 lists no BatchNorm", ("batch",)),
    ] = "none"
    """Normalisation after each convolution of the plain U-net."""

    epochs: Annotated[int, Gt(0), Assumed("neither epochs nor steps are given", (50, 200))] = 100
    """Number of epochs; after each the loss is looked at, and the learning rate may fall."""
    epoch_steps: Annotated[
        Union[int, Literal["one pass"]], Gt(0), Assumed("not given; Keras' meaning of an epoch")
    ] = "one pass"
    """Steps of an epoch; one pass: those that show each training tile once."""
    batch_images: Annotated[
        int,
        Gt(0),
        Assumed("not given; what square images leave room for on a card of 8 GB", (1, 4)),
    ] = 2
    """Images per step; of tiles as many as have the same area."""
    loss: Annotated[
        Literal["weighted_cross_entropy", "cross_entropy", "dice", "bce_dice"],
        Assumed(
            'cross-entropy "can often be met" (section 2), which does not say that it was used',
            ("cross_entropy", "dice", "bce_dice"),
        ),
    ] = "weighted_cross_entropy"
    """Loss: equations 1 and 2, equation 1 alone, the library's Dice, or both."""
    optimiser: Annotated[
        Literal["sgd", "momentum", "adam"],
        Assumed("not named; the only one that trained at 0.1", ("momentum", "adam")),
    ] = "sgd"
    """SGD without momentum, with momentum 0.9, or Adam with Keras' defaults."""
    learning_rate: Annotated[float, Gt(0), Given("section 6")] = 0.1
    """Initial learning rate; it is divided by ten where the loss stops falling."""
    patience: Annotated[int, Gt(0), Assumed("not given; Keras' default", (3, 5))] = 10
    """Epochs without a lower loss after which the learning rate is reduced."""
    norm_momentum: Annotated[
        float, Interval(ge=0, lt=1), Assumed("not given; the library's", (0.9,))
    ] = 0.99
    """Momentum of BatchNorm's moving averages, which need several times 1 / (1 − momentum) steps
    to settle.
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


@dataclass(frozen=True)
class Scoring:
    """How saved maps become scores. The paper leaves all of it open."""

    threshold: Annotated[float, Interval(gt=0, lt=1), Assumed("not stated", (0.3, 0.7))] = 0.5
    """Probability from which a pixel is of a tumour nucleus."""
    masks: Annotated[
        Literal["hard", "soft"],
        Assumed('pixels "assigned to the object" (equation 3) are a hard mask', ("soft",)),
    ] = "hard"
    """Dice and IoU of thresholded masks, or of the probabilities themselves."""
    aggregation: Annotated[
        Literal["tiles", "tiles_with_nuclei", "pooled"],
        Assumed("not stated", ("tiles_with_nuclei", "pooled")),
    ] = "tiles"
    """Over the tiles: their mean, the mean of those that have nuclei or for which some are
    predicted, or all pixels at once.
    """

    def matters(self) -> bool:
        """Whether every choice off its default has an effect beside the others."""
        return self.masks == "hard" or self.threshold == 0.5


SCORING = Scoring()
AGGREGATION = ("aggregation", "masks")  # what needs no new look at the maps
_PAPER = Config()
# Of the profile quick, per epoch: what takes either network about 100 seconds of two CPU cores.
QUICK_STEPS = {"plain": 100, "resnet50": 20}
PROFILES: Dict[str, Config] = {
    "paper": _PAPER,
    # For a CPU: a quarter of the size, so a sixteenth of the pixels; a quarter of the plain
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
