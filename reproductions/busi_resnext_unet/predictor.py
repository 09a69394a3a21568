"""Lesions in ultrasound images of any size: patches of 256×256, blended or, as in the paper, side
by side.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import pandas

from common.imaging.reading import to_rgb
from common.prediction import bands
from common.prediction.mapped import release
from common.prediction.network import describe_scaling, load_member
from common.prediction.predictor import Member, Prediction, Predictor, TargetClass, Tick, Way
from reproductions.busi_resnext_unet import data, metrics, model
from reproductions.busi_resnext_unet.config import CLASSES, COLOURS, PADDING, PATCH, Config

LESION = ("52988006", "Lesion")
TARGETS = tuple(
    TargetClass(CLASSES.index(name), name, colour, LESION) for name, colour in COLOURS.items()
)
NAMES = {"resnext50": "ResNeXt50", "resnext101": "ResNeXt101", "vgg16": "VGG16"}


def partners(folder: Path) -> Tuple[Path, ...]:
    """The run folders that vote with this one: it alone."""
    return (folder,)


def load(folders: Sequence[Path]) -> LesionPredictor:
    """Rebuild the network of a finished run.

    Raises:
        InputError: the folder belongs to another paper, or its weights to another network.
    """
    return LesionPredictor(load_member(folders[0], Config, model.build))


class LesionPredictor(Predictor):
    """A U-Net that tells benign and malignant lesions."""

    paper = "busi_resnext_unet"
    classes = TARGETS
    overlap = 0.5  # as the blended predictions of the tables
    has_threshold = False
    headline = ("iou_mean", "dice", "accuracy")

    def __init__(self, member: Member):
        self.members = (member,)
        self.title = f"U-Net, {NAMES.get(member.config.encoder, member.config.encoder)}"

    def predict(self, image: np.ndarray, way: Way, tick: Tick) -> Prediction:
        return Prediction(bands.with_largest(self._rows(image, way, tick)))

    def steps(self, shape: Tuple[int, int], way: Way) -> int:
        if way.as_paper:
            return -(-shape[0] // PATCH) * -(-shape[1] // PATCH)
        return bands.count(shape, (PATCH, PATCH), self.overlap_of(way))

    def preprocessing(self, member: Member) -> List[Dict[str, Any]]:
        config = member.config
        return [
            {"step": "cut", "size": PATCH, "padding": PADDING, "at": "bottom and right"},
            {"step": "resize", "size": config.input_size, "interpolation": "area"},
            describe_scaling(lambda images: data.network_input(images, config)),
        ]

    def aggregate(self, table: pandas.DataFrame) -> Dict[str, float]:
        return metrics.aggregate(table, self.members[0].config)

    def _rows(self, image: np.ndarray, way: Way, tick: Tick) -> Iterator[Tuple[int, np.ndarray]]:
        member = self.members[0]
        on_patches = model.on_patches(member.network, member.config)

        def predict(patches: np.ndarray) -> np.ndarray:
            tick(len(patches))
            return on_patches(to_rgb(patches))

        if not way.as_paper:
            size = (PATCH, PATCH)
            part = self.overlap_of(way)
            yield from bands.blended(image, predict, size, part, model.BATCH, padding=PADDING)
            return
        for top in range(0, image.shape[0], PATCH):
            yield top, model.side_by_side(image[top : top + PATCH], predict)
            release(image)
