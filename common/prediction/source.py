"""The images that a user names: files, folders and lists, and what is read of one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Sequence

import numpy as np

from common.errors import InputError
from common.imaging import listing, reading
from common.imaging.decoding import Frame
from common.imaging.levels import GreyRange
from common.imaging.listing import result_name, shown

LISTS = (".txt", ".lst")  # suffixes of files that list images, one path a line


class Item(NamedTuple):
    """One image to predict: its file, the printable name of its results, and its frame from 1 if
    one is chosen.
    """

    path: Path
    name: str
    frame: Optional[int] = None

    @property
    def shown(self) -> str:
        """The file, and its frame, in one printable line."""
        frame = f", frame {self.frame}" if self.frame else ""
        return f"{shown(self.path)}{frame}"


class Loaded(NamedTuple):
    """An image as it was read.

    Attributes:
        pixels: uint8 (H, W, 1, 3 or 4), possibly a memory map.
        levels: how grey values became bytes, in words.
        pixel_area: mm², where it is known.
        is_dicom: whether it comes from a DICOM file.
    """

    pixels: np.ndarray
    levels: str
    pixel_area: Optional[float]
    is_dicom: bool


def find(inputs: Sequence[Path], pattern: str, out: Path) -> Iterator[Item]:
    """Find the images of files, of folders and what is below them, and of lists.

    A file of a folder has the folders in between in its name: `case1/a.png` becomes `case1_a`.
    What lies in the folder of the results is left out.

    Raises:
        InputError: a list cannot be read, or a folder has no image of this pattern.
    """
    for path in inputs:
        if path.suffix.lower() in LISTS and path.is_file():
            yield from (Item(listed, shown(result_name(listed))) for listed in _listed(path))
        elif path.is_dir():
            found = listing.images(path, pattern)
            within = [one for one in found if out.resolve() not in one.resolve().parents]
            if not within:
                raise InputError(f"{shown(path)}: no image matches --pattern {pattern} in it")
            for one in within:
                parents = one.relative_to(path).parent.parts
                yield Item(one, shown("_".join([*parents, result_name(one)])))
        else:
            yield Item(path, shown(result_name(path)))


def frames(item: Item, frame: Frame) -> List[Item]:
    """Give one item for each frame asked for: a number from 1, "all", or None for the only one.

    Raises:
        InputError: the frames cannot be counted.
    """
    if frame is None:
        return [item]
    if isinstance(frame, int):
        return [Item(item.path, f"{item.name}_frame{frame}", frame)]
    total = reading.count_frames(item.path)
    digits = len(str(total))
    return [
        Item(item.path, f"{item.name}_frame{number:0{digits}d}", number)
        for number in range(1, total + 1)
    ]


def load(item: Item, grey_range: Optional[GreyRange] = None) -> Loaded:
    """Read an image.

    Args:
        item: the file, and its frame.
        grey_range: the values that become black and white; None for the format's rule.

    Raises:
        InputError: it is no whole image of a known format, or one that needs a choice.
    """
    image = reading.read(item.path, item.frame, grey_range)
    return Loaded(image.pixels, image.levels, image.pixel_area, image.format == "DICOM")


def _listed(path: Path) -> List[Path]:
    try:
        lines = os.fsdecode(path.read_bytes()).lstrip("\ufeff").splitlines()
    except OSError as error:
        reason = error.strerror
        raise InputError(f"{shown(path)}: a list that cannot be read: {reason}") from None
    named = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return [path.parent / name for name in named]
