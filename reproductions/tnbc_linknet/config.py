"""LinkNet ensemble for nuclei segmentation in breast-cancer histology (TNBC data set): every
setting of it.

Paper: "LinkNet Model Based on Ensemble Learning for Breast Cancer Segmentation" (in Turkish),
Tables 1–2, Figure 2. Line numbers are those of its text.
Command: `make tnbc-table1`; one network alone:
`.venv/bin/python -m reproductions.tnbc_linknet.train --encoder vgg19`.
Expected time, one network and seed, paper profile in mixed_bfloat16 on two CPU cores: 71 minutes
for ResNeXt50 (measured on busy cores); VGG19 takes about twice as long.
Expected score, as published: DSC 0.822 and 0.824, AJI 0.689 and 0.685; the ensemble 0.825, 0.702.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, Literal, Tuple

from annotated_types import Gt, Interval, MultipleOf
from typing_extensions import Annotated

from common.training import runs
from common.training.settings import Assumed, Given

DATA_SETS = ("tnbc",)
Encoder = Literal["resnext50", "vgg19", "vgg16"]  # vgg16 is not in the paper
ENSEMBLE: Tuple[Encoder, ...] = ("resnext50", "vgg19")  # the members, in the paper's order
CONTROL: Encoder = "vgg16"  # with and without ImageNet weights, it shows what they are worth


@dataclass(frozen=True)
class Config:
    """One training."""

    encoder: Annotated[Encoder, Given("section 3.5")] = "resnext50"
    """Encoder of the LinkNet; the paper trains resnext50 and vgg19."""
    protocol: Literal["published", "corrected"] = "published"
    """Split by image (published) or with whole patients (corrected)."""
    profile: Literal["paper", "quick", "smoke"] = "paper"
    """Set of defaults that this configuration starts from."""
    seed: Annotated[int, Interval(ge=0, lt=2**32)] = 0
    """Seed of the split, the initial weights, the order of the images and the crops."""
    leakage: Literal["off", "with", "without"] = "off"
    """Split of the leakage command: same test images, with or without other images of their
    patients in training.
    """
    encoder_weights: Annotated[
        str,
        Assumed("no initial weights are named; 20 epochs on 40 images are few", ("none",)),
    ] = "imagenet"
    """Initial encoder weights: imagenet, none or a Keras .h5 file without top."""
    precision: Annotated[
        Literal["float32", "mixed_bfloat16", "mixed_float16"],
        Assumed("not mentioned; TensorFlow's default", ("mixed_bfloat16", "mixed_float16")),
    ] = "float32"
    """Keras precision policy."""

    test_fraction: Annotated[float, Interval(gt=0, lt=1), Given("section 3.1")] = 0.2
    """Fraction of the images that is tested on, 10 of 50."""
    clahe_clip_limit: Annotated[
        float, Gt(0), Assumed("CLAHE without parameters; OpenCV's usual value", (4.0, 40.0))
    ] = 2.0
    """Clip limit of CLAHE, as a multiple of the mean histogram bin."""
    clahe_tile_grid: Annotated[
        Tuple[int, int],
        Gt(0),
        Assumed("CLAHE without parameters; OpenCV's default", ((4, 4), (16, 16))),
    ] = (8, 8)
    """Rows and columns of CLAHE's tiles."""
    clahe_colour_space: Annotated[
        Literal["lab", "hsv", "rgb"],
        Assumed("not stated; equalising lightness keeps the stain's hue", ("hsv", "rgb")),
    ] = "lab"
    """Channel of CLAHE: L of CIELAB, V of HSV, or each colour channel."""

    augmentation: Annotated[
        Literal["copies", "on_the_fly"],
        Assumed('augmentation "increases the number of images" (section 3.2.2)', ("on_the_fly",)),
    ] = "copies"
    """Each image five times an epoch (as is, flipped x, y, xy, cropped), or one of these at
    random.
    """
    smallest_crop: Annotated[
        float,
        Interval(gt=0, le=1),
        Assumed('crops "by randomly chosen pixel values", without a range', (0.25, 0.75)),
    ] = 0.5
    """Shortest side of the random crop as a fraction of the image; it is resized back."""
    crop_axes: Annotated[
        Literal["same", "independent"],
        Assumed("not stated whether x and y are drawn together", ("independent",)),
    ] = "same"
    """Size of the crop: one scale for both axes, or one drawn for each."""
    input_scaling: Annotated[
        Literal["encoder", "unit"],
        Assumed("not mentioned; the library's own preprocessing", ("unit",)),
    ] = "encoder"
    """Input of the network: the encoder's own preprocessing, or RGB divided by 255."""
    input_size: Annotated[
        int, Gt(0), MultipleOf(32), Assumed("not stated; that of the images (section 3.1)")
    ] = 512
    """Size of the square trained on, in pixels; below the image's, a random window of each copy."""

    epochs: Annotated[int, Gt(0), Given("section 4")] = 20
    """Number of passes over the augmented training images."""
    tested_epoch: Annotated[
        Literal["last", "best_test"],
        Assumed("no validation part is mentioned", ("best_test",)),
    ] = "last"
    """Weights that are tested: of the last epoch, or of the one with the lowest test loss (a
    leak).
    """
    learning_rate: Annotated[float, Gt(0), Given("section 4")] = 1e-4
    """Learning rate of Adam."""
    batch_size: Annotated[
        int, Gt(0), Assumed("not stated; what fits the paper's card of 8 GB", (1, 4, 8))
    ] = 2
    """Number of images per step."""
    loss: Annotated[
        Literal["bce_dice", "dice", "bce"],
        Assumed("none is named; usual with this library for a small foreground", ("dice", "bce")),
    ] = "bce_dice"
    """Loss: binary cross-entropy + Dice, or one of them."""

    @property
    def run_id(self) -> str:
        """Readable name of the run folder; what differs from the profile's defaults is part of
        it.
        """
        return runs.readable_id(self, PROFILES[self.profile])


@dataclass(frozen=True)
class Scoring:
    """How saved maps become scores. The paper leaves all of it open."""

    threshold: Annotated[
        float,
        Interval(gt=0, lt=1),
        Assumed(
            '"a determined threshold", met by at least half of the models (section 4)',
            (0.3, 0.4, 0.6, 0.7),
        ),
    ] = 0.5
    """Probability from which a pixel is of a nucleus; of the ensemble, the mean probability."""
    instances: Annotated[
        Literal["components", "split_prediction", "split_both", "whole_mask"],
        Assumed(
            "not described; the ground truth is binary",
            ("split_prediction", "split_both", "whole_mask"),
        ),
    ] = "components"
    """Nuclei of AJI: connected components, split at the necks between them (watershed of the
    distance) in the prediction or on both sides, or each mask as one object.
    """
    connectivity: Annotated[
        Literal[8, 4], Assumed("not stated; 8 gives 4028 nuclei, 4 gives 4056, printed 4022", (4,))
    ] = 8
    """Connectivity of the components."""
    aggregation: Annotated[
        Literal["f1_pooled", "dsc_pooled", "per_image", "pooled"],
        Assumed(
            "DSC and F1 are one formula but differ, so one of them is pooled",
            ("dsc_pooled", "per_image", "pooled"),
        ),
    ] = "f1_pooled"
    """Over the test images: F1 over all pixels and the rest as means, DSC over all pixels and the
    rest as means, all as means, or all over all pixels.
    """

    def matters(self) -> bool:
        """Whether every choice off its default has an effect beside the others."""
        return self.connectivity == 8 or self.instances == "components"


SCORING = Scoring()
AGGREGATION = ("aggregation",)  # what needs no new look at the maps
_PAPER = Config()
PROFILES: Dict[str, Config] = {
    "paper": _PAPER,
    # An evening on a CPU: everything as in the paper except that each augmented copy contributes
    # one 192×192 window, a seventh of the work. Epochs, images and optimiser steps stay.
    "quick": replace(_PAPER, profile="quick", input_size=192),
    # Seconds, to see the machinery run; its numbers mean nothing.
    "smoke": replace(
        _PAPER, profile="smoke", input_size=64, epochs=2, learning_rate=1e-3, batch_size=4
    ),
}
