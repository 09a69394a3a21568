"""Writing PNG files and, for what no memory holds, tiled TIFF files."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Iterable, Tuple

import numpy as np
import tifffile
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


def write_tiff(path: Path | str, shape: Tuple[int, ...], tiles: Iterable[np.ndarray]) -> None:
    """Write a tiled, losslessly compressed TIFF file atomically, holding one tile at a time.

    `shape` is the image's, (H, W) or (H, W, 3). `tiles` are uint8 and square, in the order of
    `common.imaging.tiling.split`.
    """
    tiles = iter(tiles)
    first = next(tiles)
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary,
            itertools.chain([first], tiles),
            shape=shape,
            dtype=np.uint8,
            tile=first.shape[:2],
            photometric="rgb" if len(shape) == 3 else "minisblack",
            compression="zlib",
            bigtiff=math.prod(shape) > 2**32 - 2**25,  # else its offsets may not reach the end
            maxworkers=1,  # more of them would queue half a gigabyte of tiles
        )
