"""Writing PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from common.files import atomic_path


def write_png(path: Path | str, array: np.ndarray) -> None:
    """Write uint8 (H, W), (H, W, 3) or (H, W, 4), or bool (H, W) as 0/255, to a PNG file
    atomically.
    """
    if array.dtype == bool and array.ndim == 2:
        array = array.astype(np.uint8) * 255
    if (
        array.dtype != np.uint8
        or array.ndim not in (2, 3)
        or array.shape[2:] not in ((), (3,), (4,))
        or not array.size
    ):
        raise ValueError(
            f"expected uint8 (H, W[, 3 or 4]) or bool (H, W), got {array.dtype} {array.shape}"
        )
    with atomic_path(path) as temporary:
        Image.fromarray(array).save(temporary, format="PNG")
