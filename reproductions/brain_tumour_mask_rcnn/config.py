"""Mask R-CNN with ResNet-101 for tumours in brain MR images: every setting of it.

Source: "Derin Öğrenme Teknolojisi ile Beyin Tümörü Tespiti ve Segmentasyonu" (in Turkish). What it
leaves open is taken from the usual implementation (Matterport's Mask R-CNN) and from public
notebooks on the same 302 images.
Command: `make brain-table`; one network alone:
`.venv/bin/python -m reproductions.brain_tumour_mask_rcnn.train --help`.
Expected time, one network and seed, paper profile: 1,500 images of 1024×1024, which is a GPU's
work; quick profile on two CPU cores in mixed_bfloat16: an hour.
Expected score: the source publishes none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, Literal

from annotated_types import Ge, Gt, Interval, MultipleOf
from typing_extensions import Annotated

from common.training import runs
from common.training.settings import Assumed, Given

DATA_SETS = ("brain_mri",)
CLASSES = 2  # background and tumour
COLOURS = {"predicted": (255, 80, 64), "truth": (64, 220, 120)}  # in figures and overlays
# assumed, all of them: Matterport's, relative to the size of the image where they are lengths
ANCHOR = 1 / 32  # smallest anchor; it doubles from level to level
PROPOSALS_TRAIN, PROPOSALS_TEST = 2000, 1000
FOREGROUND = 0.33  # largest fraction of the sampled regions that may show a tumour
OVERLAP = 0.3  # IoU from which the lower-scored of two detections goes
CLIP_NORM = 5.0  # of all gradients together
MOST_DETECTIONS = 20  # assumed: no image has more than two tumours
LOWEST_SCORE = 0.05  # of a detection that is kept for average precision and curves
# One of these confidences is chosen on the validation images.
SCORES = tuple(percent / 100 for percent in range(5, 100, 5))

MATCH = 0.5  # assumed: IoU of the masks from which a detection has found a tumour, as in AP50


@dataclass(frozen=True)
class Config:
    """One training."""

    encoder: Annotated[Literal["resnet101", "resnet14"], Given("section on the model")] = (
        "resnet101"
    )
    """Backbone below the pyramid; the source trains resnet101. resnet14, with one block a stage, is
    for tests.
    """
    protocol: Literal["published", "corrected"] = "published"
    """The given split (published), or without training images that show a validation or test tumour
    again (corrected).
    """
    profile: Literal["paper", "quick", "smoke"] = "paper"
    """Set of defaults that this configuration starts from."""
    seed: Annotated[int, Interval(ge=0, lt=2**32)] = 0
    """Seed of the initial weights and the order of the images."""
    encoder_weights: Annotated[
        str, Assumed("no initial weights are named; public notebooks start from COCO's", ("none",))
    ] = "imagenet"
    """Initial weights: imagenet, coco (Matterport's of the whole network), none, or an .h5 file:
    Keras' of the backbone without top, or one like Matterport's.
    """
    weights_layout: Annotated[
        Literal["keras", "matterport"], Assumed("follows from the weights file")
    ] = "keras"
    """Layout of the `encoder_weights` file. matterport also pads the stem as there."""
    precision: Annotated[
        Literal["float32", "mixed_bfloat16", "mixed_float16"],
        Assumed("not mentioned; TensorFlow's default", ("mixed_bfloat16", "mixed_float16")),
    ] = "float32"
    """Keras precision policy."""

    input_size: Annotated[
        int, Gt(0), MultipleOf(64), Assumed("not stated; Matterport's", (512,))
    ] = 1024
    """Size of the square that the network gets, in pixels: the image is resized to fit and
    padded.
    """
    flip: Annotated[bool, Assumed("no augmentation is mentioned", (True,))] = False
    """Mirror half of the training images, left to right."""
    trained_layers: Annotated[
        Literal["auto", "heads", "all"],
        Assumed("not stated; public notebooks train the heads", ("heads", "all")),
    ] = "auto"
    """All but the backbone (heads), or all; auto: heads, but all where the backbone starts from
    random weights.
    """
    min_score: Annotated[
        float,
        Interval(ge=0, le=1),
        Assumed("not stated; public notebooks take 0.7 to 0.85", (0.85,)),
    ] = 0.7
    """Confidence from which a tumour is reported."""

    epochs: Annotated[int, Gt(0), Given("section on the training")] = 15
    """Number of epochs."""
    steps_per_epoch: Annotated[int, Gt(0), Given("section on the training")] = 100
    """Number of steps of an epoch."""
    batch_size: Annotated[int, Gt(0), Assumed("not stated; public notebooks", (2,))] = 1
    """Number of images per step."""
    regions: Annotated[int, Gt(0), Assumed("not stated; Matterport's", (32, 128))] = 200
    """Proposed regions of an image that a step learns from; up to a third of them, those on
    tumours, have masks.
    """
    learning_rate: Annotated[float, Gt(0), Assumed("not stated; Matterport's", (1e-4, 1e-2))] = 1e-3
    """Learning rate of stochastic gradient descent."""
    momentum: Annotated[float, Interval(ge=0, lt=1), Assumed("not stated; Matterport's")] = 0.9
    """Momentum of stochastic gradient descent."""
    weight_decay: Annotated[float, Ge(0), Assumed("not stated; Matterport's")] = 1e-4
    """L2 weight decay coefficient of all kernels, half their squared norm being added to the
    loss.
    """

    @property
    def from_scratch(self) -> bool:
        """Whether all weights start at random. Then BatchNorm learns; else it stays as it is, as in
        Matterport's.
        """
        return self.encoder_weights == "none"

    @property
    def trains_backbone(self) -> bool:
        """Whether the backbone learns."""
        return self.trained_layers == "all" or (self.trained_layers == "auto" and self.from_scratch)

    @property
    def run_id(self) -> str:
        """Readable name of the run folder; whatever differs from the profile's defaults is part of
        it.
        """
        return runs.readable_id(self, PROFILES[self.profile])


_PAPER = Config()
PROFILES: Dict[str, Config] = {
    "paper": _PAPER,
    # For a CPU: half the size; a third of the regions, whose masks cost as much at every size; ten
    # times the learning rate, in the belief that 1,500 steps at 1e-3 are too few for random
    # weights, which was not tried. Measured in mixed_bfloat16 with all layers learning: 4.4
    # processor seconds a step.
    "quick": replace(_PAPER, profile="quick", input_size=512, regions=64, learning_rate=1e-2),
    # Seconds, to see the machinery run; its numbers mean nothing.
    "smoke": replace(
        _PAPER,
        profile="smoke",
        encoder="resnet14",
        input_size=64,
        epochs=2,
        steps_per_epoch=2,
        regions=16,
    ),
}
