"""U-Net for polyps in colonoscopy (PolypGen as packed by MedSegBench): every setting of it.

Source: the README of "Medical Image Segmentation with U-Net (PolypHemuSBench)", section Performance
Metrics, and the notebook that belongs to it. Where the two differ, the README is the default and
the notebook an option.
Command: `make polyp-table`; one network alone:
`.venv/bin/python -m reproductions.polyp_unet.train --protocol corrected`.
Expected time, one network and seed, paper profile: 147,600 images of 256×256 through 31 million
weights, which is a GPU's work (about 37 hours on two CPU cores in mixed_bfloat16); quick profile
there: 18 minutes, with the 500 images of the stand-in 8.
Expected score, as published: F1 0.2811, IoU 0.1850.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, Literal, Tuple

from annotated_types import Ge, Gt, Interval, MultipleOf
from typing_extensions import Annotated

from common.training import runs
from common.training.settings import Assumed, Given

# The source's, and the stand-in that is used where a data root lacks it.
DATA_SETS = ("polypgen", "kvasir_standin")
THRESHOLD = 0.5  # assumed: of the probability; the README only suggests tuning it
# Notebook: epochs without a lower validation loss, and the factor of the learning rate after them.
PATIENCE, PLATEAU_FACTOR = 10, 0.5
# Ours: thresholds from which one is chosen on the validation images.
THRESHOLDS = tuple(step / 20 for step in range(1, 20))


@dataclass(frozen=True)
class Config:
    """One training. README and notebook are the source's two; the README comes first."""

    architecture: Annotated[Literal["unet", "attention_unet"], Given("README, Model")] = "unet"
    """Network; the source trains unet and suggests attention_unet."""
    protocol: Literal["published", "corrected"] = "published"
    """The source with its three mistakes (published: masks stay behind when images are turned, the
    last epoch is tested, three metrics are divided by the number of images) or without (corrected).
    """
    profile: Literal["paper", "quick", "smoke"] = "paper"
    """Set of defaults that this configuration starts from."""
    seed: Annotated[int, Interval(ge=0, lt=2**32)] = 0
    """Seed of the initial weights, dropout, the order and augmentation of the images, and the split
    of a folder.
    """
    precision: Annotated[
        Literal["float32", "mixed_bfloat16", "mixed_float16"],
        Assumed("not mentioned; PyTorch's default", ("mixed_bfloat16", "mixed_float16")),
    ] = "float32"
    """Keras precision policy."""

    mask_moves: Annotated[
        Literal["by_protocol", "yes", "no"], Given("notebook: the image alone is transformed")
    ] = "by_protocol"
    """Whether the mask is transformed with its image: no (published) or yes (corrected)."""
    tested_epoch: Annotated[
        Literal["by_protocol", "last", "best_validation"], Given("notebook: the last")
    ] = "by_protocol"
    """Weights that are tested: the last (published), or of the lowest validation loss
    (corrected).
    """
    input_size: Annotated[int, Gt(0), MultipleOf(16), Given("README, Data")] = 256
    """Size of the square that the network gets, in pixels; other images are resized, and their
    probabilities back.
    """
    width: Annotated[int, Gt(0), Given("notebook: 64 to 1024")] = 64
    """Channels of the first level, doubled at each of the four below it."""
    dropout: Annotated[float, Interval(ge=0, lt=1), Given("notebook")] = 0.3
    """Spatial dropout rate of each block."""
    validation_fraction: Annotated[
        float, Interval(gt=0, lt=1), Assumed("of the stand-in alone; PolypGen comes divided")
    ] = 0.1
    """Fraction of a folder of images for validation; PolypGen comes divided."""
    test_fraction: Annotated[
        float, Interval(gt=0, lt=1), Assumed("of the stand-in alone; PolypGen comes divided")
    ] = 0.1
    """Fraction of a folder of images for testing; PolypGen comes divided."""

    rotation: Annotated[float, Ge(0), Given("README, Augmentation")] = 30
    """Largest angle of the random rotation, degrees."""
    affine_rotation: Annotated[float, Ge(0), Given("notebook")] = 20
    """Largest angle of the random affine transform, degrees."""
    affine_scale: Annotated[Tuple[float, float], Gt(0), Given("notebook")] = (0.8, 1.2)
    """Smallest and largest scale of the random affine transform."""
    jitter: Annotated[
        Tuple[float, float, float, float],
        Interval(ge=0, le=1),
        Assumed("ColorJitter without numbers; mild values in common use", ((0.1, 0.1, 0.1, 0.0),)),
    ] = (0.2, 0.2, 0.2, 0.1)
    """Largest change of brightness, contrast and saturation, as factors, and of the hue, as a
    fraction of its circle.
    """

    epochs: Annotated[int, Gt(0), Given("README, Training")] = 150
    """Number of passes over the training images."""
    batch_size: Annotated[int, Gt(0), Given("notebook")] = 16
    """Number of images per step, in testing as well."""
    learning_rate: Annotated[float, Gt(0), Given("README, Training")] = 1e-3
    """Initial learning rate."""
    optimiser: Annotated[
        Literal["adam_step", "adamw_plateau"],
        Assumed("README and notebook contradict each other", ("adamw_plateau",)),
    ] = "adam_step"
    """Adam with the learning rate divided by ten every `rate_step` epochs (README), or AdamW with
    the learning rate halved after ten epochs without a lower validation loss (notebook).
    """
    rate_step: Annotated[int, Gt(0), Given("README, Training")] = 30
    """Epochs between two cuts of the learning rate (adam_step only)."""
    weight_decay: Annotated[
        float, Ge(0), Assumed("not given; PyTorch's default of AdamW", (0.0001,))
    ] = 0.01
    """Weight decay (adamw_plateau only)."""
    loss: Annotated[
        Literal["dice", "bce_dice", "focal", "weighted_bce"], Given("README, Training")
    ] = "dice"
    """Soft Dice over the whole batch; with binary cross-entropy added; focal; cross-entropy with
    balanced classes.
    """

    @property
    def transforms_mask(self) -> bool:
        """Whether the mask is transformed with its image."""
        if self.mask_moves == "by_protocol":
            return self.protocol == "corrected"
        return self.mask_moves == "yes"

    @property
    def tests_best_epoch(self) -> bool:
        """Whether the epoch with the lowest validation loss is tested, not the last."""
        if self.tested_epoch == "by_protocol":
            return self.protocol == "corrected"
        return self.tested_epoch == "best_validation"

    @property
    def run_id(self) -> str:
        """Readable name of the run folder; whatever differs from the profile's defaults is part of
        it.
        """
        return runs.readable_id(self, PROFILES[self.profile])


@dataclass(frozen=True)
class Scoring:
    """How saved maps become scores."""

    threshold: Annotated[
        float, Interval(gt=0, lt=1), Assumed("the README only suggests tuning it", (0.3, 0.7))
    ] = THRESHOLD
    """Probability from which a pixel is of a polyp."""
    divisor: Annotated[
        Literal["by_protocol", "images", "batches"],
        Assumed("the notebook sums over batches and divides by images", ("images", "batches")),
    ] = "by_protocol"
    """Divisor of the sums over batches of accuracy, precision and recall: images (published) or
    batches (corrected).
    """
    batch_scores: Annotated[
        Literal["pixels", "images"],
        Assumed("not stated how a batch is scored", ("images",)),
    ] = "pixels"
    """Accuracy, precision and recall of a batch: of all its pixels, or the mean of its images."""
    empty: Annotated[Literal["one", "zero", "skip"], Assumed("not stated", ("zero", "skip"))] = (
        "one"
    )
    """Score of an image without polyp for which none is predicted: 1, 0 or none."""


SCORING = Scoring()
AGGREGATION = ("divisor", "batch_scores", "empty")  # what needs no new look at the maps
_PAPER = Config()
PROFILES: Dict[str, Config] = {
    "paper": _PAPER,
    # For a CPU: half the size and a quarter of the channels, 1/64 of the work per image, and a
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
