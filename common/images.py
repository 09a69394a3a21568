"""Reading pictures and masks strictly, and writing PNG files.

Pillow does the decoding: OpenCV returns a truncated PNG as if it were whole, its missing rows black.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Tuple

import numpy as np
from PIL import Image

from common.errors import InputError
from common.files import atomic_path


def read_rgb(path: Path | str) -> np.ndarray:
    """Read an 8-bit picture as uint8 (H, W, 3).

    Grey is repeated, a palette is looked up and alpha is dropped without blending, so that RGBA and RGB files of one
    picture load alike. Raises InputError for anything but a whole picture of 8 bits per channel.
    """
    return np.array(_decode(path).convert("RGB"))


def read_mask(path: Path | str) -> np.ndarray:
    """Read a mask with the values 0/255 or 0/1, grey or with equal colour channels, as bool (H, W).

    Raises InputError for any other value, such as the in-between greys of a resized or JPEG-compressed mask.
    """
    channels = np.array(_decode(path).convert("RGB"))
    mask = channels[..., 0]
    if (channels != mask[..., None]).any():
        raise InputError(f"{path}: expected a mask in black and white, got colours")
    values = np.unique(mask)
    if not (np.isin(values, (0, 255)).all() or np.isin(values, (0, 1)).all()):
        shown = ", ".join(map(str, values[:5])) + (", …" if len(values) > 5 else "")
        raise InputError(f"{path}: expected a mask with the values 0/255 or 0/1, got {shown}")
    return mask > 0


def read_pair(image_path: Path | str, mask_path: Path | str) -> Tuple[np.ndarray, np.ndarray]:
    """Read a picture, uint8 (H, W, 3), and its mask, bool (H, W).

    Raises InputError where the mask is missing or of another size, or where either file is unreadable.
    """
    image = read_rgb(image_path)
    if not Path(mask_path).exists():
        raise InputError(f"{mask_path}: no such file, expected the mask of {image_path}")
    mask = read_mask(mask_path)
    if mask.shape != image.shape[:2]:
        sizes = [f"{width}x{height}" for height, width in (mask.shape, image.shape[:2])]
        raise InputError(f"{mask_path}: the mask is {sizes[0]} but its picture {image_path} is {sizes[1]}")
    return image, mask


def write_png(path: Path | str, array: np.ndarray) -> None:
    """Write uint8 (H, W), (H, W, 3) or (H, W, 4), or bool (H, W) as 0/255, to a PNG file atomically."""
    if array.dtype == bool and array.ndim == 2:
        array = array.astype(np.uint8) * 255
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)) or not array.size:
        raise ValueError(f"expected uint8 (H, W[, 3 or 4]) or bool (H, W), got {array.dtype} {array.shape}")
    with atomic_path(path) as temporary:
        Image.fromarray(array).save(temporary, format="PNG")


def _decode(path: Path | str) -> Image.Image:
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file, expected a picture") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, expected a picture") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if not content:
        raise InputError(f"{path}: the file is empty, expected a picture")
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except Image.UnidentifiedImageError:
        raise InputError(f"{path}: not a picture in a known format (PNG, JPEG, TIFF, …)") from None
    except Exception as error:  # whatever the damage leads the decoder to: OSError, SyntaxError, struct.error …
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: damaged or truncated picture ({reason or type(error).__name__})") from None
    # Pillow would clip these to 255 in silence.
    if image.mode.startswith(("I", "F")):
        raise InputError(f"{path}: expected 8 bits per channel, got a picture of mode {image.mode}")
    return image
