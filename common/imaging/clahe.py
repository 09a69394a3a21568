"""Contrast-limited adaptive histogram equalisation of 8-bit pictures."""

from __future__ import annotations

from typing import Tuple

import cv2
import numpy as np

# For each colour space: conversion there and back, and the channels that carry brightness.
_SPACES = {
    "lab": (cv2.COLOR_RGB2LAB, cv2.COLOR_LAB2RGB, (0,)),
    "hsv": (cv2.COLOR_RGB2HSV_FULL, cv2.COLOR_HSV2RGB_FULL, (2,)),
    "rgb": (None, None, (0, 1, 2)),
}


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
        clip_limit: highest histogram bin, as a multiple of the mean bin; larger means more
            contrast.
        tile_grid: tiles as (rows, columns).
        colour_space: "lab" equalises L of CIELAB, "hsv" equalises V, "rgb" each channel by itself.

    Returns:
        A new uint8 array of the shape of `image`.

    Source: K. Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV,
    1994.
    """
    if (
        image.dtype != np.uint8
        or image.ndim not in (2, 3)
        or image.shape[2:] not in ((), (3,))
        or not image.size
    ):
        raise ValueError(
            f"image must be uint8 (H, W, 3) or (H, W), got {image.dtype} {image.shape}"
        )
    if clip_limit <= 0 or min(tile_grid) < 1:
        raise ValueError(
            f"clip_limit and tile_grid must be positive, got {clip_limit} and {tile_grid}"
        )
    if colour_space not in _SPACES:
        raise ValueError(f"colour_space must be one of {', '.join(_SPACES)}, got {colour_space!r}")
    rows, columns = tile_grid
    equaliser = cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(columns, rows))
    if image.ndim == 2:
        return equaliser.apply(image)
    there, back, channels = _SPACES[colour_space]
    result = image.copy() if there is None else cv2.cvtColor(image, there)
    for channel in channels:
        result[..., channel] = equaliser.apply(np.ascontiguousarray(result[..., channel]))
    return result if back is None else cv2.cvtColor(result, back)
