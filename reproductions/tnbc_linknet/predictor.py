"""Nuclei in histology images of any size: the networks of finished runs, which vote.

An image of up to 512×512 pixels is predicted as the tables do: CLAHE, then the whole image. Larger
ones are cut into overlapping tiles of that size, each equalised for itself, so that CLAHE sees as
much tissue at once as in training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import pandas

from common.errors import InputError
from common.imaging.reading import to_rgb
from common.prediction import bands, finished_runs
from common.prediction.network import describe_scaling, load_member
from common.prediction.predictor import Member, Prediction, Predictor, TargetClass, Tick, Way
from reproductions.tnbc_linknet import data, metrics, model
from reproductions.tnbc_linknet.config import ENSEMBLE, SCORING, Config

TILE = 512  # pixels: the size of the data set's images
LARGEST_WHOLE = 1 << 24  # pixels that are predicted at once, the paper's way
NUCLEUS = TargetClass(1, "nucleus", (64, 230, 110), ("84640000", "Nucleus"), is_anatomy=True)
NAMES = {"resnext50": "ResNeXt50", "vgg19": "VGG19", "vgg16": "VGG16"}


def partners(folder: Path) -> Tuple[Path, ...]:
    """The run folders that vote with this one: those of the ensemble, all else being equal."""
    encoder, dash, rest = folder.name.partition("-")
    if encoder not in ENSEMBLE or not dash:
        return (folder,)
    members = tuple(folder.parent / f"{name}-{rest}" for name in ENSEMBLE)
    finished = all(finished_runs.is_finished(member) for member in members)
    return members if finished else (folder,)


def load(folders: Sequence[Path]) -> NucleiPredictor:
    """Rebuild the networks of finished runs.

    Raises:
        InputError: a folder belongs to another paper, or its weights to another network.
    """
    return NucleiPredictor([load_member(folder, Config, model.build) for folder in folders])


class NucleiPredictor(Predictor):
    """One LinkNet, or several whose probabilities are averaged."""

    paper = "tnbc_linknet"
    classes = (NUCLEUS,)
    connectivity = SCORING.connectivity
    headline = ("dsc", "aji", "f1")

    def __init__(self, members: Sequence[Member]):
        self.members = members
        encoders = [NAMES.get(member.config.encoder, member.config.encoder) for member in members]
        self.title = f"LinkNet, {' and '.join(encoders)}"

    def predict(self, image: np.ndarray, way: Way, tick: Tick) -> Prediction:
        threshold = SCORING.threshold if way.threshold is None else way.threshold
        return Prediction(bands.with_threshold(self._rows(image, way, tick), threshold))

    def steps(self, shape: Tuple[int, int], way: Way) -> int:
        if self._is_whole(shape, way):
            return 1
        return bands.count(shape, (TILE, TILE), self.overlap_of(way))

    def preprocessing(self, member: Member) -> List[Dict[str, Any]]:
        config = member.config
        return [
            {
                "step": "clahe",
                "clip_limit": config.clahe_clip_limit,
                "tiles": list(config.clahe_tile_grid),
                "colour_space": config.clahe_colour_space,
                "on": f"windows of at most {TILE}x{TILE}",
            },
            describe_scaling(lambda images: data.network_input(images, config)),
            {"step": "pad", "to_multiple_of": data.STRIDE, "with": 0, "at": "bottom and right"},
        ]

    def aggregate(self, table: pandas.DataFrame) -> Dict[str, float]:
        return metrics.aggregate(table, self.members[0].config)

    def vote(self, image: np.ndarray) -> np.ndarray:
        """Average the networks' probabilities of an image, uint8 (H, W, 3): float32 (H, W)."""
        maps = []
        for member in self.members:
            equalised = data.equalise(image, member.config)
            maps.append(model.predict(member.network, equalised, member.config))
        return np.mean(maps, axis=0)

    def _rows(self, image: np.ndarray, way: Way, tick: Tick) -> Iterator[Tuple[int, np.ndarray]]:
        def on_tiles(tiles: np.ndarray) -> np.ndarray:
            tick()
            return np.stack([self.vote(tile) for tile in tiles])[..., None]

        if not self._is_whole((len(image), image.shape[1]), way):
            yield from bands.blended(image, on_tiles, (TILE, TILE), self.overlap_of(way), batch=1)
            return
        if image.shape[0] * image.shape[1] > LARGEST_WHOLE:
            raise InputError(
                f"--paper-way: the paper predicts whole images, here of at most {LARGEST_WHOLE} "
                f"pixels, got {image.shape[1]}x{image.shape[0]}; leave it out"
            )
        yield 0, on_tiles(np.ascontiguousarray(to_rgb(np.asarray(image)))[None])[0]

    def _is_whole(self, shape: Tuple[int, int], way: Way) -> bool:
        return way.as_paper or max(shape) <= TILE
