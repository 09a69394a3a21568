"""Contrast-limited adaptive histogram equalisation of 8-bit images."""

from __future__ import annotations

from typing import Tuple

import cv2
import numpy as np

from common.imaging.checks import refuse_masked, whole_number

# For each colour space: conversion there and back, and the channels that carry brightness.
_SPACES = {
    "lab": (cv2.COLOR_RGB2LAB, cv2.COLOR_LAB2RGB, (0,)),
    "hsv": (cv2.COLOR_RGB2HSV_FULL, cv2.COLOR_HSV2RGB_FULL, (2,)),
    "rgb": (None, None, (0, 1, 2)),
}
_LEVELS = 256  # no bin can be more than this many times the mean bin
_MOST_TILES = 1024  # along an axis


def clahe(
    image: np.ndarray,
    clip_limit: float = 2.0,
    tile_grid: Tuple[int, int] = (8, 8),
    colour_space: str = "lab",
) -> np.ndarray:
    """Equalise brightness within a grid of tiles, limiting how far contrast may grow (Zuiderveld
    1994).

    Args:
        image: uint8 (H, W, 3) in RGB, or (H, W), for which `colour_space` has no meaning.
        clip_limit: highest histogram bin, as a multiple of the mean bin; above 0, and larger means
            more contrast. From 256 upwards nothing is clipped.
        tile_grid: tiles as (rows, columns), each from 1 to 1024.
        colour_space: "lab" equalises L of CIELAB, "hsv" equalises V, "rgb" each channel by itself.

    Returns:
        A new uint8 array of the shape of `image`.

    Raises:
        ValueError: another image, a masked array, a setting outside its bounds or NaN.

    The defaults are OpenCV's usual values; what a paper takes stands in its config.py.

    Source: K. Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV,
    1994.

    >>> dark = np.tile(np.arange(64, dtype=np.uint8), (64, 1))  # brightness from 0 to 63
    >>> [int(clahe(dark, clip_limit, tile_grid=(1, 1)).max()) for clip_limit in (1, 2, 4)]
    [112, 159, 255]
    """
    refuse_masked(image, "image")
    image = np.asarray(image)
    if (
        image.dtype != np.uint8
        or image.ndim not in (2, 3)
        or image.shape[2:] not in ((), (3,))
        or not image.size
    ):
        raise ValueError(
            f"image must be uint8 (H, W, 3) or (H, W), got {image.dtype} {image.shape}"
        )
    if not clip_limit > 0:  # NaN, too
        raise ValueError(f"clip_limit must be above 0, got {clip_limit}")
    rows, columns = _grid(tile_grid)
    if colour_space not in _SPACES:
        raise ValueError(f"colour_space must be one of {', '.join(_SPACES)}, got {colour_space!r}")
    # OpenCV turns the limit into a number of pixels, in which a huge one overflows to none.
    limit = min(float(clip_limit), _LEVELS)
    equaliser = cv2.createCLAHE(clipLimit=limit, tileGridSize=(columns, rows))
    if image.ndim == 2:
        return equaliser.apply(image)
    there, back, channels = _SPACES[colour_space]
    result = image.copy() if there is None else cv2.cvtColor(image, there)
    for channel in channels:
        result[..., channel] = equaliser.apply(np.ascontiguousarray(result[..., channel]))
    return result if back is None else cv2.cvtColor(result, back)


def _grid(tile_grid: Tuple[int, int]) -> Tuple[int, int]:
    if len(tile_grid) != 2:
        raise ValueError(f"tile_grid must be (rows, columns), got {tile_grid}")
    rows, columns = (whole_number(count, "tile_grid", 1) for count in tile_grid)
    if max(rows, columns) > _MOST_TILES:
        raise ValueError(f"tile_grid must be at most {_MOST_TILES} along an axis, got {tile_grid}")
    return rows, columns
