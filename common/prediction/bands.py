"""Prediction by overlapping, blended tiles, of which only a band of rows is held in memory.

`common.imaging.tiling.predict_tiled` gives the same numbers, but holds, or writes to a file, the
whole result as floats.
"""

from __future__ import annotations

from typing import Callable, Iterator, List, NamedTuple, Tuple

import numpy as np

from common.imaging.reading import to_rgb
from common.imaging.tiling import Padding
from common.prediction.mapped import release
from common.prediction.predictor import Band

TileFunction = Callable[[np.ndarray], np.ndarray]


class Place(NamedTuple):
    """One axis of a tile: its first pixel, and its weights in the blend, float32 (tile,)."""

    origin: int
    weights: np.ndarray


def places(length: int, tile: int, overlap: int) -> List[Place]:
    """Lay tiles over one axis of an image; the last one ends at its border and may overlap more.

    The weights fall towards the borders of a tile, never to zero (Hann), and those of all tiles
    add up to one in every pixel.

    Example:
        >>> [place.origin for place in places(10, 4, 1)]
        [0, 3, 6]
    """
    if not 0 <= overlap < tile:
        raise ValueError(f"need 0 <= overlap < tile, got {overlap} and {tile}")
    last = max(length - tile, 0)
    origins = [*range(0, last, tile - overlap), last]
    window = np.sin(np.pi * (np.arange(tile) + 0.5) / tile) ** 2
    total = np.zeros(max(length, tile))
    for origin in origins:
        total[origin : origin + tile] += window
    return [
        Place(origin, (window / total[origin : origin + tile]).astype(np.float32))
        for origin in origins
    ]


def count(shape: Tuple[int, int], tile: Tuple[int, int], overlap: float) -> int:
    """How many tiles `blended` predicts of an image of this height and width.

    Example:
        >>> count((512, 512), (256, 256), 0.5)
        9
    """
    axes = zip(shape, tile)
    rows, columns = (len(places(length, size, round(overlap * size))) for length, size in axes)
    return rows * columns


def blended(
    image: np.ndarray,
    predict: TileFunction,
    tile: Tuple[int, int],
    overlap: float,
    batch: int,
    padding: Padding = "symmetric",
) -> Iterator[Tuple[int, np.ndarray]]:
    """Predict an image of any size, and give complete rows from top to bottom.

    Args:
        image: uint8 (H, W, 1, 3 or 4); a memory map stays on disk.
        predict: maps tiles, uint8 (n, h, w, 3), n up to `batch`, to float32 (n, h, w, K).
        tile: height and width of a tile, pixels.
        overlap: of neighbouring tiles, as a fraction of their size, from 0 to below 1.
        batch: tiles at once.
        padding: mode of `numpy.pad` that extends an image which is smaller than a tile.

    Yields:
        The first row, and probabilities, float32 (rows, W, K), a view that the next step changes.
    """
    (height, width), (tall, wide) = image.shape[:2], tile
    rows = places(height, tall, round(overlap * tall))
    columns = places(width, wide, round(overlap * wide))
    buffer, top = None, 0
    for row in rows:
        if buffer is not None and row.origin > top:
            done = row.origin - top
            yield top, buffer[:done, :width]
            buffer[:-done] = buffer[done:].copy()
            buffer[-done:] = 0
            top = row.origin
        for start in range(0, len(columns), batch):
            chunk = columns[start : start + batch]
            tiles = [_cut(image, row.origin, place.origin, tile, padding) for place in chunk]
            outputs = predict(np.stack(tiles))
            if buffer is None:
                across = max(width, wide)
                buffer = np.zeros((tall, across, outputs.shape[-1]), np.float32)
            for place, output in zip(chunk, outputs):
                weights = row.weights[:, None, None] * place.weights[:, None]
                buffer[:, place.origin : place.origin + wide] += output * weights
        release(image)
    assert buffer is not None
    yield top, buffer[: height - top, :width]


def with_threshold(
    rows: Iterator[Tuple[int, np.ndarray]], threshold: float, value: int = 1
) -> Iterator[Band]:
    """Decide rows of the probability of one class, float32 (rows, W, 1)."""
    for top, probabilities in rows:
        labels = (probabilities[..., 0] >= threshold).astype(np.uint8) * np.uint8(value)
        yield Band(top, labels, probabilities)


def with_largest(rows: Iterator[Tuple[int, np.ndarray]]) -> Iterator[Band]:
    """Decide rows of the probabilities of background and classes, float32 (rows, W, 1 + K)."""
    for top, probabilities in rows:
        yield Band(top, probabilities.argmax(axis=-1).astype(np.uint8), probabilities[..., 1:])


def _cut(
    image: np.ndarray, row: int, column: int, tile: Tuple[int, int], padding: Padding
) -> np.ndarray:
    window = to_rgb(np.asarray(image[row : row + tile[0], column : column + tile[1]]))
    missing = [(0, size - length) for size, length in zip(tile, window.shape)]
    if missing == [(0, 0), (0, 0)]:
        return window
    return np.pad(window, [*missing, (0, 0)], mode=padding)
