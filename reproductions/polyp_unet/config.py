"""U-Net for polyps in colonoscopy (PolypGen as packed by MedSegBench): every setting of it.

Source: the README of "Medical Image Segmentation with U-Net (PolypHemuSBench)", section Performance
Metrics, and the notebook that belongs to it. Where the two differ, the README is the default and
the notebook an option.
Command: `make polyp-table`; one network alone: `python -m reproductions.polyp_unet.train --protocol
corrected`. Expected time, one network and seed, paper profile: 147,600 images of 256×256 through 31
million weights, which is a GPU's work (about 37 hours on two CPU cores in mixed_bfloat16); quick
profile there: 18 minutes, with the 500 images of the stand-in 8.
Expected score, as published: F1 0.2811, IoU 0.1850.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, Literal, Tuple

from common.training import runs

THRESHOLD = 0.5  # of the probability
PATIENCE, PLATEAU_FACTOR = (
    10,
    0.5,
)  # epochs without a lower validation loss, and what the rate is then multiplied by
THRESHOLDS = tuple(
    step / 20 for step in range(1, 20)
)  # from which one is chosen on the validation images


@dataclass(frozen=True)
class Config:
    """One training. Fields marked "assumed" are given neither by the README nor by the notebook."""

    architecture: Literal["unet", "attention_unet"] = "unet"
    """The source trains unet and suggests attention_unet."""
    protocol: Literal["published", "corrected"] = "published"
    """published: flips and rotations leave the mask behind, the last epoch is tested, three metrics
    are divided by the number of images; corrected: image and mask move together, best validation
    epoch, divided by the right number."""
    profile: Literal["paper", "quick", "smoke"] = "paper"
    """Name of the set of defaults that this configuration started from."""
    seed: int = 0
    """Decides the initial weights, dropout, the order and augmentation of the images, and the split
    of a folder.
    """
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Keras precision policy."""

    input_size: int = 256
    """Side of the square that the network gets; images of another size are resized, and their
    probabilities back.
    """
    width: int = 64
    """Channels of the first level, doubled at each of the four below it (notebook: 64 to 1024)."""
    dropout: float = 0.3
    """Share of the channels that each block silences in training (notebook)."""
    validation_fraction: float = 0.1  # assumed: that of PolypGen's file, which comes divided
    """Part of a folder of images that is watched during training."""
    test_fraction: float = 0.1  # assumed: as many as for validation
    """Part of a folder of images that is tested on."""

    rotation: float = 30
    """Largest angle of the random rotation, degrees."""
    affine_rotation: float = 20
    """Largest angle of the random affine transform, degrees (notebook)."""
    affine_scale: Tuple[float, float] = (0.8, 1.2)
    """Smallest and largest scale of the random affine transform (notebook)."""
    jitter: Tuple[float, float, float, float] = (
        0.2,
        0.2,
        0.2,
        0.1,
    )  # assumed: mild values in common use
    """Largest change of brightness, contrast and saturation, as factors, and of the hue, as a part
    of its circle.
    """

    epochs: int = 150
    """Passes over the training images."""
    batch_size: int = 16
    """Images per step, in testing as well (notebook)."""
    learning_rate: float = 1e-3
    """Of the optimiser, at first."""
    optimiser: Literal["adam_step", "adamw_plateau"] = "adam_step"
    """adam_step: Adam, rate divided by ten every `rate_step` epochs (README); adamw_plateau: AdamW,
    rate halved after ten epochs in which the validation loss did not fall (notebook)."""
    rate_step: int = 30
    """Epochs between two cuts of the learning rate under adam_step."""
    weight_decay: float = 0.01  # assumed: what PyTorch's AdamW takes if nothing is said
    """Of adamw_plateau."""
    loss: Literal["dice", "bce_dice", "focal", "weighted_bce"] = "dice"
    """soft Dice over the whole batch; with binary cross-entropy added; focal; cross-entropy with
    balanced classes.
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
    # A CPU's share: half the side and a quarter of the channels, 1/64 of the work per image, and a
    # third of the epochs, with the cuts of the rate at the same parts of the training. Arithmetic,
    # from single steps of 16 images measured in mixed_bfloat16, in processor seconds: 0.54 for this
    # network (2.1 at 256×256; the whole network there 1.8 for one image). 400 images / 16 × 50
    # epochs = 1250 steps are 675 s on one core, 6 minutes on two; 8 were measured with validation
    # and test. 984 images take 18. In float32 a step takes 0.93 s.
    "quick": replace(_PAPER, profile="quick", input_size=128, width=16, epochs=50, rate_step=10),
    # Seconds, to see the machinery run; its numbers mean nothing.
    "smoke": replace(
        _PAPER, profile="smoke", input_size=32, width=4, epochs=3, rate_step=1, batch_size=4
    ),
}
