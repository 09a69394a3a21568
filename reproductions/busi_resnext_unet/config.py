"""ResNeXt U-Net with cut and merged patches for breast ultrasound (BUSI data set): every setting of
it.

Paper: Katar, Yıldırım: "Breast Cancer Segmentation from Ultrasound Images Using ResNext-based U-Net
Model", 2023.
Command: `make busi-table3`; one network alone:
`.venv/bin/python -m reproductions.busi_resnext_unet.train --encoder vgg16`.
Expected time, one network and seed, paper profile: 392,500 patches of 256×256, which is a GPU's
work (about 33 hours for ResNeXt50 on two CPU cores in mixed_bfloat16); quick profile there: 6 to
11 minutes.
Expected score with ImageNet weights, as published: mean IoU 73.17 %, 72.24 % and 68.07 %.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, Literal, Tuple, get_args

from annotated_types import Gt, Interval, MultipleOf
from typing_extensions import Annotated

from common.imaging.tiling import Padding
from common.training import runs
from common.training.settings import Assumed, Given

DATA_SETS = ("busi",)
PATCH = 256  # size of the patches, pixels
CLASSES = ("background", "benign", "malignant")  # by their value in a mask
Encoder = Literal["resnext50", "resnext101", "vgg16"]  # in the order of Table 3
ENCODERS: Tuple[Encoder, ...] = get_args(Encoder)
COLOURS = {"benign": (64, 220, 120), "malignant": (255, 80, 64)}  # in figures and overlays
# assumed: zeros, at the bottom and right, as a mode of numpy.pad; the paper only draws it
PADDING: Padding = "constant"


@dataclass(frozen=True)
class Config:
    """One training."""

    encoder: Annotated[Encoder, Given("section 2.3")] = "resnext50"
    """Encoder of the U-Net; vgg16 is the library's default, and what the paper calls U-Net."""
    protocol: Literal["published", "corrected"] = "published"
    """Split by image (published) or with near-duplicate images on one side (corrected)."""
    profile: Literal["paper", "quick", "smoke"] = "paper"
    """Set of defaults that this configuration starts from."""
    seed: Annotated[int, Interval(ge=0, lt=2**32)] = 0
    """Seed of the split, the initial weights and the order of the patches."""
    encoder_weights: Annotated[
        str,
        Given(
            "sections 2.3 and 3.1: pre-trained", only=(("encoder", ("resnext50", "resnext101")),)
        ),
        Assumed("the default U-Net is never called pre-trained; the library's default", ("none",)),
    ] = "imagenet"
    """Initial encoder weights: imagenet, none or a Keras .h5 file without top."""
    precision: Annotated[
        Literal["float32", "mixed_bfloat16", "mixed_float16"],
        Assumed("not mentioned; TensorFlow's default", ("mixed_bfloat16", "mixed_float16")),
    ] = "float32"
    """Keras precision policy."""

    validation_fraction: Annotated[float, Interval(gt=0, lt=1), Given("section 3.1")] = 0.2
    """Fraction of the images for validation, 156 of 780."""
    test_fraction: Annotated[float, Interval(gt=0, lt=1), Given("section 3.1")] = 0.1
    """Fraction of the images for testing, 78 of 780."""
    input_size: Annotated[int, Gt(0), MultipleOf(32), Given("section 3.1")] = PATCH
    """Size of a patch as the network gets it, in pixels; probabilities are enlarged again."""
    input_scaling: Annotated[
        Literal["encoder", "unit"],
        Assumed("not mentioned; the library's own preprocessing", ("unit",)),
    ] = "encoder"
    """Input of the network: the encoder's own preprocessing, or RGB divided by 255."""
    epoch_share: Annotated[float, Interval(gt=0, le=1), Given("section 3.1: 100 epochs")] = 1.0
    """Fraction of the training patches that an epoch shows, drawn anew each time; of the
    validation patches, once.
    """

    epochs: Annotated[int, Gt(0), Given("section 3.1")] = 100
    """Number of passes over the training patches."""
    tested_epoch: Annotated[
        Literal["last", "best_validation"],
        Assumed('weights "obtained after training" (section 3.2)', ("best_validation",)),
    ] = "last"
    """Weights that are tested: of the last epoch, or of the lowest validation loss."""
    learning_rate: Annotated[float, Gt(0), Given("section 3.1")] = 1e-4
    """Learning rate of Adam."""
    batch_size: Annotated[int, Gt(0), Given("section 3.1")] = 16
    """Number of patches per step."""
    loss: Annotated[
        Literal["dice", "dice_as_printed", "dice_focal", "cce_dice"],
        Assumed(
            'named "Dice Loss"; equation 2 has no "1 −", so is no loss',
            ("dice_as_printed", "dice_focal", "cce_dice"),
        ),
    ] = "dice"
    """Loss: the library's Dice; one minus equation 2; Dice + categorical focal loss; Dice +
    categorical cross-entropy.
    """

    @property
    def run_id(self) -> str:
        """Readable name of the run folder; whatever differs from the profile's defaults is part of
        it.
        """
        return runs.readable_id(self, PROFILES[self.profile])


@dataclass(frozen=True)
class Scoring:
    """How saved class maps become scores. The paper leaves all of it open."""

    unit: Annotated[
        Literal["image", "patch", "lesion_patch"],
        Assumed('"on each test sample" (section 3.2)', ("patch", "lesion_patch")),
    ] = "image"
    """What is scored: whole merged images, all patches, or patches that show a lesion; patches
    with their padding.
    """
    absent: Annotated[
        Literal["skip", "zero", "one", "with_class"],
        Assumed("not stated how an absent class counts", ("zero", "one", "with_class")),
    ] = "skip"
    """A class in neither ground truth nor prediction is left out, or counts as 0 or as 1; or only
    units whose ground truth has the class count.
    """
    dice_classes: Annotated[
        Literal["all", "lesions"],
        Assumed("not stated whether the mean Dice has the background", ("lesions",)),
    ] = "all"
    """Classes of the mean Dice: with the background, or benign and malignant alone."""
    aggregation: Annotated[
        Literal["mean", "pooled"], Assumed("not stated; a mean over samples is near", ("pooled",))
    ] = "mean"
    """Over the units: the mean of their scores, or all pixels at once."""

    def matters(self) -> bool:
        """Whether every choice off its default has an effect beside the others."""
        return self.aggregation == "mean" or self.absent == "skip"


SCORING = Scoring()
AGGREGATION = ("absent", "dice_classes", "aggregation")  # what needs no new look at the maps
_PAPER = Config()
PROFILES: Dict[str, Config] = {
    "paper": _PAPER,
    # For a CPU. A patch still shows 256×256 pixels, at a quarter of the resolution, and an epoch
    # shows an eighth of them: 3925 training patches / 8 / 16 × 16 epochs = 496 steps. At the
    # paper's learning rate 372 taught next to nothing. Measured on two cores in mixed_bfloat16, a
    # step of 16 shrunk patches: ResNeXt50 0.5 s, ResNeXt101 0.75 s, VGG16 0.6 s.
    "quick": replace(
        _PAPER, profile="quick", input_size=64, epoch_share=1 / 8, epochs=16, learning_rate=3e-4
    ),
    # Seconds, to see the machinery run; its numbers mean nothing.
    "smoke": replace(
        _PAPER, profile="smoke", input_size=32, epochs=2, learning_rate=1e-3, batch_size=8
    ),
}
