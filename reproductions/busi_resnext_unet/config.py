"""ResNeXt U-Net with cut and merged patches for breast ultrasound (BUSI data set): every setting of
it.

Paper: Katar, Yıldırım: "Breast Cancer Segmentation from Ultrasound Images Using ResNext-based U-Net
Model", 2023.
Command: `make busi-table3`; one network alone: `python -m reproductions.busi_resnext_unet.train
--encoder vgg16`. Expected time, one network and seed, paper profile: 392,500 patches of 256×256,
which is a GPU's work (about 33 hours for ResNeXt50 on two CPU cores in mixed_bfloat16); quick
profile there: 6 to 11 minutes. Expected score with ImageNet weights, as published: mean IoU 73.17
%, 72.24 % and 68.07 %.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, Literal

from common.training import runs

PATCH = 256  # side of the patches
CLASSES = ("background", "benign", "malignant")  # by their value in a mask
ENCODERS = ("resnext50", "resnext101", "vgg16")  # in the order of Table 3
COLOURS = {"benign": (64, 220, 120), "malignant": (255, 80, 64)}  # in figures and overlays
PADDING = "constant"  # assumed: zeros, at the bottom and right, as a mode of numpy.pad; the paper only draws it


@dataclass(frozen=True)
class Config:
    """One training. Fields marked "assumed" are not given by the paper."""

    encoder: Literal["resnext50", "resnext101", "vgg16"] = "resnext50"
    """Encoder of the U-Net; vgg16 is the library's default, and what the paper calls U-Net."""
    protocol: Literal["published", "corrected"] = "published"
    """published: split by image; corrected: near-duplicate images stay on one side."""
    profile: Literal["paper", "quick", "smoke"] = "paper"
    """Name of the set of defaults that this configuration started from."""
    seed: int = 0
    """Decides the split, the initial weights and the order of the patches."""
    encoder_weights: str = (
        "imagenet"  # assumed for vgg16, as it is the library's default; given for the other two
    )
    """imagenet, none or a Keras .h5 file without top."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Keras precision policy."""

    validation_fraction: float = 0.2
    """Part of the images that is watched during training, 156 of 780."""
    test_fraction: float = 0.1
    """Part of the images that is tested on, 78 of 780."""
    input_size: int = PATCH
    """Side of a patch as the network gets it; smaller ones are shrunk, and their probabilities
    enlarged again.
    """
    epoch_share: float = 1.0
    """Share of the training patches that an epoch shows, drawn anew each time; of the validation
    patches, once.
    """

    epochs: int = 100
    """Passes over the training patches."""
    learning_rate: float = 1e-4
    """Of Adam."""
    batch_size: int = 16
    """Patches per step."""
    loss: Literal["dice", "dice_as_printed", "dice_focal"] = (
        "dice"  # assumed: equation 2 has no "1 −", so is no loss
    )
    """dice: as the library has it; dice_as_printed: equation 2 from one; dice_focal: dice +
    categorical focal loss.
    """

    @property
    def run_id(self) -> str:
        """Readable name of the run folder; whatever differs from the profile's defaults is part of
        it.
        """
        return runs.readable_id(self, PROFILES[self.profile])


_PAPER = Config()
PROFILES: Dict[str, Config] = {
    "paper": _PAPER,
    # A CPU's share. A patch still shows 256×256 pixels, at a quarter of the resolution, and an
    # epoch shows an eighth of them: 3925 training patches / 8 / 16 × 16 epochs = 496 steps. At the
    # paper's rate 372 taught next to nothing. Measured on two cores in mixed_bfloat16, a step of 16
    # shrunk patches: ResNeXt50 0.5 s, ResNeXt101 0.75 s, VGG16 0.6 s.
    "quick": replace(
        _PAPER, profile="quick", input_size=64, epoch_share=1 / 8, epochs=16, learning_rate=3e-4
    ),
    # Seconds, to see the machinery run; its numbers mean nothing.
    "smoke": replace(
        _PAPER, profile="smoke", input_size=32, epochs=2, learning_rate=1e-3, batch_size=8
    ),
}
