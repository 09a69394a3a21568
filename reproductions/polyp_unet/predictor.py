"""Polyps in colonoscopy images of any size: the network sees each image as a whole, resized."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import pandas

from common.imaging.reading import to_rgb
from common.prediction import bands
from common.prediction.enlarged import enlarged
from common.prediction.mapped import release
from common.prediction.network import Network, describe_scaling, load_weights
from common.prediction.predictor import Member, Prediction, Predictor, TargetClass, Tick, Way
from common.training import fit, runs
from reproductions.polyp_unet import data, metrics, model
from reproductions.polyp_unet.config import THRESHOLD, Config

LARGEST_WHOLE = 1 << 24  # pixels whose probabilities are enlarged at once
POLYP = TargetClass(1, "polyp", (255, 80, 64), ("68496003", "Polyp of colon"))
NAMES = {"unet": "U-Net", "attention_unet": "Attention U-Net"}


def partners(folder: Path) -> Tuple[Path, ...]:
    """The run folders that vote with this one: it alone."""
    return (folder,)


def load(folders: Sequence[Path]) -> PolypPredictor:
    """Rebuild the network of a finished run.

    Raises:
        InputError: the folder belongs to another paper, or its weights to another network.
    """
    config = runs.load_config(folders[0], Config)
    fit.start(config.seed, config.precision)
    network = model.build(config)
    load_weights(network, folders[0])
    return PolypPredictor(Member(folders[0], config, Network(network)))


class PolypPredictor(Predictor):
    """A U-Net for whole colonoscopy images."""

    paper = "polyp_unet"
    classes = (POLYP,)
    by_tiles = False
    headline = ("f1", "iou", "recall")

    def __init__(self, member: Member):
        self.members = (member,)
        self.title = NAMES[member.config.architecture]

    def predict(self, image: np.ndarray, way: Way, tick: Tick) -> Prediction:
        threshold = THRESHOLD if way.threshold is None else way.threshold
        return Prediction(bands.with_threshold(self._rows(image, tick), threshold))

    def steps(self, shape: Tuple[int, int], way: Way) -> int:
        return 1

    def preprocessing(self, member: Member) -> List[Dict[str, Any]]:
        size = member.config.input_size
        return [
            {"step": "resize", "size": size, "interpolation": "area, or linear to enlarge"},
            describe_scaling(data.scaled),
        ]

    def aggregate(self, table: pandas.DataFrame) -> Dict[str, float]:
        return metrics.aggregate(table, self.members[0].config)

    def _rows(self, image: np.ndarray, tick: Tick) -> Iterator[Tuple[int, np.ndarray]]:
        member = self.members[0]
        if image.shape[0] * image.shape[1] <= LARGEST_WHOLE:
            images = [np.ascontiguousarray(to_rgb(np.asarray(image)))]
            yield 0, model.predict(member.network, images, member.config)[0][..., None]
        else:
            small = data.resized(image, member.config.input_size)
            release(image)
            small = small[..., None] if small.ndim == 2 else small  # as OpenCV gives one channel
            found = model.predict(member.network, [to_rgb(small)], member.config)[0]
            for top, rows in enlarged(found, (len(image), image.shape[1])):
                yield top, rows[..., None]
        tick()
