"""The objects of a prediction: connected components of its classes, or what a network has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np

from common.prediction.predictor import Found, TargetClass
from common.training.predictions import probabilities

MOST_PIXELS = 100_000_000  # of an image whose objects are told apart
MOST_OBJECTS = 200_000  # of an image; more are noise, and would fill memory
_BAND = 1 << 10  # rows


class Object(NamedTuple):
    """An object in an image.

    Attributes:
        number: in the label map, from 1.
        value: of its class.
        top, left: of the crop that `mask` is.
        mask: bool (h, w).
        probability: mean over its pixels, or the network's own.
    """

    number: int
    value: int
    top: int
    left: int
    mask: np.ndarray
    probability: float

    @property
    def area(self) -> int:
        """Pixels."""
        return int(np.count_nonzero(self.mask))

    @property
    def centroid(self) -> Tuple[float, float]:
        """x and y, where the first pixel's middle is at 0.5."""
        rows, columns = np.nonzero(self.mask)
        return self.left + columns.mean() + 0.5, self.top + rows.mean() + 0.5

    @property
    def box(self) -> Tuple[int, int, int, int]:
        """x, y, width and height."""
        height, width = self.mask.shape
        return self.left, self.top, width, height


@dataclass(frozen=True)
class Instances:
    """The objects of an image: a label map, int32 (H, W) with 0 for background, and a list of them
    that is made as it is gone through.
    """

    labels: np.ndarray
    count: int
    objects: Iterator[Object]


class TooMany(Exception):
    """There are more than `MOST_OBJECTS` objects."""


def components(
    labels: np.ndarray, levels: np.ndarray, classes: Sequence[TargetClass], connectivity: int
) -> Instances:
    """Tell connected components of each class apart.

    Args:
        labels: uint8 (H, W), values of classes.
        levels: uint8 (H, W, K), quantised probabilities of the classes.
        classes: in the order of `levels`.
        connectivity: 4 or 8.

    Raises:
        TooMany: there are too many of them.
    """
    numbers = np.zeros(labels.shape, np.int32)
    parts: List[Tuple[TargetClass, int, np.ndarray, np.ndarray]] = []
    total = 0
    for place, target in enumerate(classes):
        mask = (labels == target.value).view(np.uint8)
        count, found, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=connectivity)
        if total + count - 1 > MOST_OBJECTS:
            raise TooMany
        sums = np.zeros(count)
        for top in range(0, len(labels), _BAND):
            band = np.s_[top : top + _BAND]
            values = probabilities(levels[band][..., place]).ravel()
            sums += np.bincount(found[band].ravel(), values, count)
        means = sums / np.maximum(stats[:, cv2.CC_STAT_AREA], 1)
        inside = found > 0
        numbers[inside] = found[inside] + total
        parts.append((target, total, stats, means))
        total += count - 1
    return Instances(numbers, total, _cut_out(numbers, parts))


def detections(found: Sequence[Found], shape: Tuple[int, int]) -> Instances:
    """Number what a network has found; where objects overlap, the label map shows the likelier."""
    numbers = np.zeros(shape, np.int32)
    objects = [
        Object(number, one.value, one.top, one.left, one.mask, one.probability)
        for number, one in enumerate(sorted(found, key=lambda one: -one.probability), 1)
    ]
    for one in reversed(objects):
        height, width = one.mask.shape
        numbers[one.top : one.top + height, one.left : one.left + width][one.mask] = one.number
    return Instances(numbers, len(objects), iter(objects))


def _cut_out(
    numbers: np.ndarray, parts: Sequence[Tuple[TargetClass, int, np.ndarray, np.ndarray]]
) -> Iterator[Object]:
    for target, before, stats, means in parts:
        for index in range(1, len(stats)):
            left, top, width, height = (int(side) for side in stats[index, :4])
            crop = numbers[top : top + height, left : left + width]
            mask = crop == before + index
            yield Object(before + index, target.value, top, left, mask, float(means[index]))
