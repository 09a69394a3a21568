"""Tumours in brain MR slices of any size: the network sees each image as a whole, resized, and
finds objects by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

import cv2
import numpy as np
import pandas

from common.errors import InputError
from common.imaging.reading import to_rgb
from common.prediction.mapped import release
from common.prediction.predictor import (
    Band,
    Found,
    Member,
    Prediction,
    Predictor,
    TargetClass,
    Tick,
    Way,
)
from reproductions.brain_tumour_mask_rcnn import metrics
from reproductions.brain_tumour_mask_rcnn.config import COLOURS
from reproductions.brain_tumour_mask_rcnn.data import box

LARGEST_WHOLE = 1 << 22  # pixels in which detections are drawn; larger images are shrunk to this
FLATTEST = 100  # ratio of the sides, beyond which nothing of the image is left when it is resized
TUMOUR = TargetClass(1, "tumour", COLOURS["predicted"], ("108369006", "Neoplasm"))


def partners(folder: Path) -> Tuple[Path, ...]:
    """The run folders that vote with this one: it alone."""
    return (folder,)


def load(folders: Sequence[Path]) -> TumourPredictor:
    """Rebuild the network of a finished run.

    Raises:
        InputError: the folder belongs to another paper, or its weights to another network.
    """
    from reproductions.brain_tumour_mask_rcnn import model  # Model Garden takes 15 seconds

    detector = model.load(folders[0])
    return TumourPredictor(Member(folders[0], detector.config, detector))


class TumourPredictor(Predictor):
    """A Mask R-CNN. The probability of a pixel is that of the likeliest detection on it."""

    paper = "brain_tumour_mask_rcnn"
    classes = (TUMOUR,)
    by_tiles = False
    headline = ("dice", "iou", "sensitivity")

    def __init__(self, member: Member):
        self.members = (member,)
        self.title = f"Mask R-CNN, {member.config.encoder.replace('resnet', 'ResNet-')}"

    def predict(self, image: np.ndarray, way: Way, tick: Tick) -> Prediction:
        height, width = image.shape[:2]
        if max(height, width) > FLATTEST * min(height, width):
            raise InputError(
                f"an image of {width}x{height} pixels, expected sides of a ratio up to {FLATTEST}"
            )
        small = _shrunk(image)
        detected = self.members[0].network(small, way.threshold)
        tick()
        found = []
        for mask, score in zip(detected.masks, detected.scores):
            if mask.any():
                found.append(_found(mask, float(score), (height, width)))
        return Prediction(_bands(found, (height, width)), found)

    def steps(self, shape: Tuple[int, int], way: Way) -> int:
        return 1

    def aggregate(self, table: pandas.DataFrame) -> Dict[str, float]:
        return metrics.aggregate(table, self.members[0].config)


def _shrunk(image: np.ndarray) -> np.ndarray:
    """The image as uint8 (h, w, 3), no larger than detections are drawn in."""
    height, width = image.shape[:2]
    scale = (LARGEST_WHOLE / (height * width)) ** 0.5
    if scale >= 1:
        return np.ascontiguousarray(to_rgb(np.asarray(image)))
    size = (max(int(width * scale), 1), max(int(height * scale), 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    release(image)
    return to_rgb(small if small.ndim == 3 else small[..., None])


def _found(mask: np.ndarray, score: float, shape: Tuple[int, int]) -> Found:
    """A detection, cut out and in the pixels of the image: `mask` may be of a shrunk one."""
    y1, x1, y2, x2 = (int(side) for side in box(mask))
    if mask.shape == shape:
        return Found(TUMOUR.value, score, y1, x1, mask[y1:y2, x1:x2])
    scales = [whole / part for whole, part in zip(shape, mask.shape)]
    top, bottom = (round(side * scales[0]) for side in (y1, y2))
    left, right = (round(side * scales[1]) for side in (x1, x2))
    size = (max(right - left, 1), max(bottom - top, 1))
    crop = mask[y1:y2, x1:x2].astype(np.uint8)
    large = cv2.resize(crop, size, interpolation=cv2.INTER_NEAREST)
    return Found(TUMOUR.value, score, top, left, large.astype(bool))


def _bands(found: List[Found], shape: Tuple[int, int]) -> Iterator[Band]:
    height, width = shape
    rows = max((1 << 23) // width, 1)
    for top in range(0, height, rows):
        probabilities = np.zeros((min(rows, height - top), width), np.float32)
        for one in found:
            first = max(one.top, top)
            last = min(one.top + len(one.mask), top + len(probabilities))
            if first >= last:
                continue
            part = one.mask[first - one.top : last - one.top]
            across = slice(one.left, one.left + one.mask.shape[1])
            target = probabilities[first - top : last - top, across]
            np.maximum(target, part * np.float32(one.probability), out=target)
        yield Band(top, (probabilities > 0).astype(np.uint8), probabilities[..., None])
