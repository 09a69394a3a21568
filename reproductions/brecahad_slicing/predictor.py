"""Tumour nuclei in histology images of any size, by the paper's chain: preprocess, make square,
slice, predict, and average overlapping tiles.

The paper's images are 1360×1024. By default an own image is taken to have their magnification: it
is cut into overlapping windows of that size, and each goes through the chain. In the paper's way
the image as a whole goes through it, whatever its size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import cv2
import numpy as np
import pandas

from common.errors import InputError
from common.imaging.reading import to_rgb
from common.imaging.tiling import slice_with_step
from common.prediction import bands
from common.prediction.network import describe_scaling, load_member
from common.prediction.predictor import Member, Prediction, Predictor, TargetClass, Tick, Way
from reproductions.brecahad_slicing import data, metrics, model, slicing
from reproductions.brecahad_slicing.config import CONNECTIVITY, SCORING, SIDE, Config

WINDOW = (SIDE, 1360)  # height and width of the paper's images
LARGEST_WHOLE = 1 << 26  # pixels that go through the chain at once
NUCLEUS = TargetClass(1, "tumour nucleus", (255, 80, 64), ("84640000", "Nucleus"), is_anatomy=True)
NAMES = {"plain": "U-net", "resnet50": "U-Net, ResNet50"}


def partners(folder: Path) -> Tuple[Path, ...]:
    """The run folders that vote with this one: it alone."""
    return (folder,)


def load(folders: Sequence[Path]) -> TumourNucleiPredictor:
    """Rebuild the network of a finished run.

    Raises:
        InputError: the folder belongs to another paper, or its weights to another network.
    """
    return TumourNucleiPredictor(load_member(folders[0], Config, model.build))


class TumourNucleiPredictor(Predictor):
    """A U-net that was trained on tiles."""

    paper = "brecahad_slicing"
    classes = (NUCLEUS,)
    connectivity = CONNECTIVITY
    headline = ("test_dice", "test_iou", "nuclei_f1")

    def __init__(self, member: Member):
        self.members = (member,)
        name = NAMES.get(member.config.encoder, member.config.encoder)
        self.title = f"{name} on tiles {member.config.tiles}"

    def predict(self, image: np.ndarray, way: Way, tick: Tick) -> Prediction:
        threshold = SCORING.threshold if way.threshold is None else way.threshold
        return Prediction(bands.with_threshold(self._rows(image, way, tick), threshold))

    def steps(self, shape: Tuple[int, int], way: Way) -> int:
        return 1 if way.as_paper else bands.count(shape, self._window(), self.overlap_of(way))

    def preprocessing(self, member: Member) -> List[Dict[str, Any]]:
        config = member.config
        chain = ["Gaussian 5x5", "sharpening 3x3", "median 3"] if config.preprocessing else []
        return [
            {"step": "filter", "filters": chain},
            {"step": "resize", "size": config.side, "from": list(self._window())},
            {"step": "cut", "size": slicing.tile_size(config)},
            describe_scaling(data.scaled),
        ]

    def aggregate(self, table: pandas.DataFrame) -> Dict[str, float]:
        return metrics.aggregate(table, self.members[0].config)

    def chain(self, image: np.ndarray) -> np.ndarray:
        """Map an image, uint8 (H, W, 3), to probabilities of its pixels, float32 (H, W).

        With `square` = crop only the middle is predicted; the rest has probability 0.
        """
        config = self.members[0].config
        square, window = data.squared(image, config.side, config.square, config.preprocessing)
        tiled = self._merged(square)
        tall, wide = (part.stop - part.start for part in window)
        result = np.zeros(image.shape[:2], np.float32)
        result[window] = cv2.resize(tiled, (wide, tall), interpolation=cv2.INTER_LINEAR)
        return result

    def _merged(self, square: np.ndarray) -> np.ndarray:
        """Predict the tiles of a square image, uint8 (side, side, 3), and average them where they
        overlap: float32 (side, side).
        """
        member = self.members[0]
        size = slicing.tile_size(member.config)
        step = slicing.SETS[member.config.tiles].step * member.config.side // SIDE
        total, counts = np.zeros(square.shape[:2]), np.zeros(square.shape[:2])
        tiles = slice_with_step(square, size, step)
        batch = data.batch_size(member.config)
        for start in range(0, len(tiles), batch):
            chunk = tiles[start : start + batch]
            inputs = data.scaled(np.stack([tile for _, _, tile in chunk]))
            outputs = member.network.predict_on_batch(inputs)[..., 0]
            for (row, column, _), output in zip(chunk, outputs):
                total[row : row + size, column : column + size] += output
                counts[row : row + size, column : column + size] += 1
        return (total / np.maximum(counts, 1)).astype(np.float32)

    def _rows(self, image: np.ndarray, way: Way, tick: Tick) -> Iterator[Tuple[int, np.ndarray]]:
        def on_windows(windows: np.ndarray) -> np.ndarray:
            tick()
            return np.stack([self.chain(window) for window in windows])[..., None]

        if not way.as_paper:
            part = self.overlap_of(way)
            yield from bands.blended(image, on_windows, self._window(), part, batch=1)
            return
        if image.shape[0] * image.shape[1] > LARGEST_WHOLE:
            raise InputError(
                f"--paper-way: the paper takes images whole, here of at most {LARGEST_WHOLE} "
                f"pixels, got {image.shape[1]}x{image.shape[0]}; leave it out"
            )
        yield 0, on_windows(to_rgb(np.asarray(image))[None])[0]

    def _window(self) -> Tuple[int, int]:
        """What one square is made from, in pixels of the image."""
        return (SIDE, SIDE) if self.members[0].config.square == "crop" else WINDOW
