"""Arrays that lie in files, where memory would not hold them."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
from pathlib import Path
from typing import Any, Optional, Tuple

import numpy as np

LARGE = 1 << 26  # pixels: results of larger images are kept in files, and written as tiled TIFF


def empty(shape: Tuple[int, ...], dtype: Any, scratch: Path, name: str) -> np.ndarray:
    """A new array in memory, or in a file in the folder `scratch` where it has many pixels.

    The room of a file is taken at once: a disk that filled later would kill the process.
    """
    if shape[0] * shape[1] <= LARGE:
        return np.empty(shape, dtype)
    path = scratch / name
    with path.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, math.prod(shape) * np.dtype(dtype).itemsize)
    return np.memmap(path, dtype, "r+", shape=shape)


def release(array: np.ndarray) -> None:
    """Let go of the pages of a memory map that have been read or written; the file keeps them."""
    mapping = _mapping(array)
    if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
        with contextlib.suppress(OSError, ValueError):  # only a hint
            mapping.madvise(mmap.MADV_DONTNEED)


def _mapping(array: Optional[np.ndarray]) -> Optional[mmap.mmap]:
    place: Any = array
    while isinstance(place, np.ndarray):
        place = place.base  # of a view, what it is a view of
    return place if isinstance(place, mmap.mmap) else None
