"""Reading masks, alone and with their images."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple

import numpy as np

from common.errors import InputError
from common.imaging.decoding import Options
from common.imaging.listing import shown
from common.imaging.orientation import check_upright
from common.imaging.reading import decode_source, read_rgb


def read_mask(path: Path | str) -> np.ndarray:
    """Read a mask with the values 0/255, 0/1 or, of 16 bits, 0/65535, grey or with equal colour
    channels, as bool (H, W).

    Raises:
        InputError: other values, such as the greys of a resized or JPEG-compressed mask; an alpha
            channel of several values, which may hold the shape; or what `reading.read` refuses of
            annotated images.
    """
    mask, name = read_values(path), shown(path)
    values = np.unique(mask)
    highest = [1, 255] + ([65535] if mask.dtype == np.uint16 else [])
    if not any(np.isin(values, (0, white)).all() for white in highest):
        told = ", ".join(map(str, values[:5])) + (", …" if len(values) > 5 else "")
        raise InputError(f"{name}: expected a mask with the values 0/255 or 0/1, got {told}")
    return mask > 0


def read_values(path: Path | str, numbers: bool = False) -> np.ndarray:
    """Read the values of a mask, grey or with equal colour channels, as they are stored: (H, W).

    Args:
        path: of the mask.
        numbers: those of a palette are wanted, and not its colours.

    Raises:
        InputError: colours, or what `read_mask` refuses.
    """
    name = shown(path)
    kind, decoded = decode_source(path, name, Options(raw=True, numbers=numbers))
    if kind == "DICOM":
        raise InputError(f"{name}: expected a mask as PNG or another plain image, got {kind}")
    check_upright(name, decoded.orientation)
    if decoded.uneven_alpha:
        raise InputError(
            f"{name}: a mask with an alpha channel of several values, which may hold its shape; "
            "save it without alpha"
        )
    channels = decoded.pixels[0]
    if channels.shape[-1] > 1 and (channels != channels[..., :1]).any():
        raise InputError(f"{name}: expected a mask of one channel, got colours")
    return channels[..., 0]


def read_pair(image_path: Path | str, mask_path: Path | str) -> Tuple[np.ndarray, np.ndarray]:
    """Read an image, uint8 (H, W, 3), and its mask, bool (H, W).

    Raises InputError where the mask is missing or of another size, or where either file is
    unreadable or stored turned.
    """
    image = read_rgb(image_path, annotated=True)
    if not Path(mask_path).exists():
        raise InputError(
            f"{shown(mask_path)}: no such file, expected the mask of {shown(image_path)}"
        )
    mask = read_mask(mask_path)
    if mask.shape != image.shape[:2]:
        sizes = [f"{width}x{height}" for height, width in (mask.shape, image.shape[:2])]
        raise InputError(
            f"{shown(mask_path)}: the mask is {sizes[0]} but its image {shown(image_path)} is "
            f"{sizes[1]}"
        )
    return image, mask
