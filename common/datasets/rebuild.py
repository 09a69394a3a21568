"""Data sets that are made here from published ones, because nobody offers them for download.

Which images a set has stands in `data_manifests/`. The files come out alike, not the same to the
byte: how the copies in use were resampled is not known, and JPEG files differ between versions of
the encoder.
"""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Tuple

import imagehash
import numpy as np
from PIL import Image
from scipy.optimize import linear_sum_assignment

from common.errors import InputError
from common.files import read_bytes
from common.imaging.reading import read_rgb

MOST_LIST_BYTES = 1 << 20
SIDE = 256  # of the stand-in's images, in pixels
# Largest differences between an image and itself after another resampling and JPEG encoder: bits of
# the 64 of a perceptual hash, and pixels of the mask of SIDE × SIDE.
MOST_BITS = 6
MOST_MASK_PIXELS = 1000


class Listed(NamedTuple):
    """An image of a list: what it is called in the set, and what it looks like."""

    id: str
    hash: str  # perceptual hash, 16 hex digits
    mask_pixels: int  # of the foreground


def kvasir_standin(source: Path, target: Path, lists: Path) -> None:
    """Take 500 images of Kvasir-SEG and resize them to 256×256.

    The copy in use numbers its images instead of naming them, so they are recognised by how they
    look.

    Args:
        source: unpacked archive, with images/*.jpg and masks/*.jpg of the same names.
        target: new folder for images/<id>.jpg and masks/<id>.png.
        lists: folder with kvasir_standin.csv.

    Raises:
        InputError: an image of the list is not among them, or a file is damaged.
    """
    wanted = list(_read_list(lists / "kvasir_standin.csv"))
    paths = sorted(source.glob("**/images/*.jpg"))
    described = [describe(*_resized(path)) for path in paths]
    for listed, number in zip(wanted, _matched(wanted, described, source)):
        image, mask = _resized(paths[number])
        _save(image, target / "images" / f"{listed.id}.jpg", quality=93)
        _save(Image.fromarray(mask), target / "masks" / f"{listed.id}.png")


def brecahad_30(source: Path, target: Path, lists: Path) -> None:
    """Take 30 images of BreCaHAD as JPEG, and all annotations as they are published.

    Args:
        source: unpacked archive, with images/*.tif and groundTruth/*.json.
        target: new folder for images/<id>.jpg and groundTruth/<id>.json.
        lists: folder with brecahad_30.csv.

    Raises:
        InputError: an image of the list is missing, or damaged.
    """
    folder = next((path.parent for path in sorted(source.glob("**/groundTruth"))), source)
    for row in _rows(lists / "brecahad_30.csv"):
        pixels = read_rgb(folder / "images" / f"{row['id']}.tif")
        _save(Image.fromarray(pixels), target / "images" / f"{row['id']}.jpg", quality=95)
    (target / "groundTruth").mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob("groundTruth/*.json")):
        shutil.copyfile(path, target / "groundTruth" / path.name)


# By the names that manifests use.
PROCEDURES: Dict[str, Callable[[Path, Path, Path], None]] = {
    "kvasir_standin": kvasir_standin,
    "brecahad_30": brecahad_30,
}


def describe(image: Image.Image, mask: np.ndarray) -> Tuple[str, int]:
    """What an image of SIDE × SIDE is recognised by: perceptual hash and pixels of its mask."""
    return str(imagehash.phash(image)), int(mask.sum())


def _read_list(path: Path) -> Iterator[Listed]:
    for row in _rows(path):
        yield Listed(row["id"], row["hash"], int(row["mask_pixels"]))


def _rows(path: Path) -> Iterator[Dict[str, str]]:
    return csv.DictReader(io.StringIO(read_bytes(path, MOST_LIST_BYTES).decode("utf-8")))


def _resized(path: Path) -> Tuple[Image.Image, np.ndarray]:
    """An image of SIDE × SIDE, and its mask as bool."""
    mask_path = path.parent.parent / "masks" / path.name
    size = (SIDE, SIDE)
    image = Image.fromarray(read_rgb(path)).resize(size, Image.Resampling.BICUBIC)
    mask = Image.fromarray(read_rgb(mask_path)).convert("L").resize(size, Image.Resampling.BILINEAR)
    return image, np.asarray(mask) > 127


def _matched(wanted: List[Listed], described: List[Tuple[str, int]], source: Path) -> List[int]:
    """For each image of the list the number of the one that looks like it, no two alike."""
    bits = _bits([listed.hash for listed in wanted])[:, None]
    differing = (bits != _bits([value for value, _ in described])[None]).sum(-1)
    pixels = np.array([listed.mask_pixels for listed in wanted])[:, None]
    surplus = abs(pixels - np.array([count for _, count in described], int)[None])
    possible = (differing <= MOST_BITS) & (surplus <= MOST_MASK_PIXELS)
    cost = np.where(possible, differing + surplus / MOST_MASK_PIXELS, 1e6)
    rows, columns = linear_sum_assignment(cost)
    pairs = {row: column for row, column in zip(rows, columns) if possible[row, column]}
    missing = [listed.id for row, listed in enumerate(wanted) if row not in pairs]
    if missing:
        raise InputError(
            f"{source}: {len(missing)} of {len(wanted)} images of the list are not among these "
            f"{len(described)}, the first is {missing[0]}"
        )
    return [pairs[row] for row in range(len(wanted))]


def _bits(hashes: List[str]) -> np.ndarray:
    """Hashes as bool (n, 64)."""
    values = np.array([list(bytes.fromhex(value)) for value in hashes], np.uint8).reshape(-1, 8)
    return np.unpackbits(values, axis=-1).astype(bool)


def _save(image: Image.Image, path: Path, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
