"""Enlarging a small map to the size of a large image, a band of rows at a time."""

from __future__ import annotations

from typing import Iterator, Tuple

import cv2
import numpy as np

_PIXELS = 1 << 23  # of a band


def enlarged(small: np.ndarray, shape: Tuple[int, int]) -> Iterator[Tuple[int, np.ndarray]]:
    """Interpolate float32 (h, w) linearly to (H, W), as `cv2.resize` does with INTER_LINEAR.

    Yields:
        The first row, and float32 (rows, W).
    """
    height, width = shape
    wide = cv2.resize(small, (width, small.shape[0]), interpolation=cv2.INTER_LINEAR)
    count = max(_PIXELS // width, 1)
    for top in range(0, height, count):
        rows = np.arange(top, min(top + count, height))
        place = np.clip((rows + 0.5) * len(small) / height - 0.5, 0, len(small) - 1)
        first = np.minimum(place.astype(int), max(len(small) - 2, 0))
        second = np.minimum(first + 1, len(small) - 1)
        part = (place - first).astype(np.float32)[:, None]
        yield top, wide[first] * (1 - part) + wide[second] * part
