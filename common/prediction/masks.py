"""Masks as files: class maps with a palette, label maps of instances, and maps of probabilities."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence, Tuple

import numpy as np
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from common.files import atomic_path
from common.prediction import mapped
from common.prediction.mapped import release
from common.prediction.predictor import TargetClass

TILE = 512  # of TIFF files, pixels
BACKGROUND = (0, 0, 0)
MOST_IN_PNG = 65535  # instances that 16 bits can number


def legend(classes: Sequence[TargetClass]) -> str:
    """Say what the values of a class map mean.

    Example:
        >>> legend([TargetClass(1, "polyp", (255, 80, 64), ("", ""))])
        '0 background, 1 polyp'
    """
    return ", ".join(["0 background", *(f"{one.value} {one.name}" for one in classes)])


def write_classes(folder: Path, name: str, labels: np.ndarray, classes: Sequence) -> Path:
    """Write a class map, uint8 (H, W), as NAME_mask.png or, of many pixels, .tif.

    The values are those of the classes, the palette shows their colours, and a text in the file
    says what they mean.
    """
    colours = np.zeros((256, 3), np.uint8)
    for target in classes:
        colours[target.value] = target.colour
    if labels.size <= mapped.LARGE:
        image = Image.fromarray(labels)
        image.putpalette(colours.ravel().tolist())
        return _write_png(folder / f"{name}_mask.png", image, legend(classes))
    palette = colours.T.astype(np.uint16) * 257
    path = folder / f"{name}_mask.tif"
    write_tiled(path, labels, "palette", legend(classes), palette)
    return path


def write_levels(folder: Path, name: str, levels: np.ndarray) -> Path:
    """Write quantised probabilities, uint8 (H, W): the byte b stands for b/256 to (b + 1)/256."""
    if levels.size <= mapped.LARGE:
        image = Image.fromarray(np.ascontiguousarray(levels))
        return _write_png(folder / f"{name}.png", image, "probability times 256, rounded down")
    path = folder / f"{name}.tif"
    write_tiled(path, levels, "minisblack")
    return path


def write_instances(folder: Path, name: str, numbers: np.ndarray, count: int) -> Path:
    """Write a label map, int32 (H, W), as a PNG of 16 bits or, of more objects or pixels, a TIFF
    of 32.
    """
    if numbers.size <= mapped.LARGE and count <= MOST_IN_PNG:
        image = Image.fromarray(numbers.astype(np.uint16))
        return _write_png(folder / f"{name}_instances.png", image, "number of the object")
    path = folder / f"{name}_instances.tif"
    write_tiled(path, numbers.view(np.uint32), "minisblack")
    return path


def write_tiled(
    path: Path,
    array: np.ndarray,
    photometric: str,
    description: Optional[str] = None,
    colormap: Optional[np.ndarray] = None,
) -> None:
    """Write (H, W) or (H, W, 3) as a tiled TIFF, zlib inside, atomically and tile by tile."""
    height, width = array.shape[:2]

    def rows() -> Iterator[np.ndarray]:
        for top in range(0, height, TILE):
            yield array[top : top + TILE]
            release(array)

    tiles = cut_rows(rows(), width)
    write_tiles(path, array.shape, array.dtype, tiles, photometric, description, colormap)


def write_tiles(
    path: Path,
    shape: Tuple[int, ...],
    dtype: Any,
    tiles: Iterator[np.ndarray],
    photometric: str,
    description: Optional[str] = None,
    colormap: Optional[np.ndarray] = None,
) -> None:
    """Write tiles of `TILE` pixels, left to right and top to bottom, as a TIFF, atomically."""
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary,
            tiles,
            shape=shape,
            dtype=dtype,
            tile=(TILE, TILE),
            photometric=photometric,
            compression="zlib",
            bigtiff=math.prod(shape) > 2**32 - 2**25,  # else its offsets may not reach the end
            maxworkers=1,  # more of them would queue half a gigabyte of tiles
            description=description,
            colormap=colormap,
        )


def cut_rows(rows: Iterator[np.ndarray], width: int) -> Iterator[np.ndarray]:
    """Cut rows, each (up to TILE, W[, C]), into tiles, the last ones padded with zeros."""
    for band in rows:
        for left in range(0, width, TILE):
            window = band[:, left : left + TILE]
            missing = [(0, TILE - length) for length in window.shape[:2]]
            rest = [(0, 0)] * (window.ndim - 2)
            yield np.ascontiguousarray(np.pad(window, [*missing, *rest]))


def existing(folder: Path, name: str) -> Optional[Path]:
    """The class map of an image, where one has been written."""
    paths = (folder / f"{name}_mask{suffix}" for suffix in (".png", ".tif"))
    return next((path for path in paths if path.exists()), None)


def _write_png(path: Path, image: Image.Image, description: str) -> Path:
    text = PngInfo()
    text.add_text("Description", description)
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG", pnginfo=text)
    return path
