"""Turning images upright: the orientation that cameras and scanners store beside the pixels.

EXIF and TIFF share the values 1 to 8. One rule holds for all formats. An image is turned as its
file asks for. A mask, and an image with a mask or outlines, is refused unless it is stored upright:
nobody can tell whether they were drawn on the stored or on the turned pixels.
"""

from __future__ import annotations

import numpy as np

from common.errors import InputError

UPRIGHT = 1
TAG = 274  # in EXIF and in TIFF


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn (…, H, W, C), stored with this EXIF orientation, as it is meant to be seen; a view.

    Unknown orientations leave it as it is, as EXIF wants it.

    >>> upright(np.array([[[1], [2]]]), 6)[..., 0]
    array([[1],
           [2]])
    """
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, -3, -2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[..., :, ::-1, :]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[..., ::-1, :, :]
    return pixels


def check_upright(name: str, orientation: int) -> None:
    """Raise InputError for an orientation under which annotations might not fit the pixels."""
    if orientation in range(2, 9):
        raise InputError(
            f"{name}: stored turned or mirrored (EXIF orientation {orientation}), so that "
            "annotations may not fit it; save it upright"
        )
