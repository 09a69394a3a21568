"""The images that a user names: files, folders and lists, and what is read of one file."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Sequence, Set, Union

from common import files
from common.errors import InputError
from common.imaging import listing, reading
from common.imaging.decoding import Frame
from common.imaging.levels import GreyRange
from common.imaging.listing import result_name, shown
from common.imaging.reading import LoadedImage
from common.prediction.journal import JOURNAL

LISTS = (".txt", ".lst")  # suffixes of files that list images, one path a line
PART = ".part.json"  # end of a list that divides a folder: paths, and the names of their results


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


def find(inputs: Sequence[Path], pattern: str, out: Path) -> Iterator[Item]:
    """Find the images of files, of folders and what is below them, and of lists: each once.

    A file of a folder has the folders in between in its name: `case1/a.png` becomes `case1_a`.
    What lies in the folder of the results, or in other results below a folder, is left out.

    Raises:
        InputError: a list cannot be read, or a folder has no image of this pattern.
    """
    places: Set[str] = set()
    for item in _find(inputs, pattern, out):
        place = os.path.abspath(item.path)
        if place not in places:
            places.add(place)
            yield item


def _find(inputs: Sequence[Path], pattern: str, out: Path) -> Iterator[Item]:
    for path in inputs:
        if path.name.endswith(PART):
            for file, name in json.loads(files.read_text(path)):
                yield Item(Path(file), name)
        elif path.suffix.lower() in LISTS and path.is_file():
            yield from (Item(listed, shown(result_name(listed))) for listed in _listed(path))
        elif path.is_dir():
            found = listing.images(path, pattern)
            results = {out.resolve(), *_results(path, found)}
            within = [one for one in found if results.isdisjoint(one.resolve().parents)]
            if not within:
                raise InputError(f"{shown(path)}: no image matches --pattern {pattern} in it")
            for one in within:
                parents = one.relative_to(path).parent.parts
                yield Item(one, shown("_".join([*parents, result_name(one)])))
        else:
            yield Item(path, shown(result_name(path)))


def _results(folder: Path, found: Sequence[Path]) -> List[Path]:
    """The folders below `folder`, and above what was found there, that hold earlier results."""
    parents = {parent for one in found for parent in one.parents if folder in parent.parents}
    return [parent.resolve() for parent in parents if (parent / JOURNAL).exists()]


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


def digest(path: Path) -> str:
    """SHA-256 of a file. Raises InputError where it cannot be read."""
    try:
        return _digest(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise InputError(f"{shown(path)}: cannot be read: {error.strerror}") from None


@functools.lru_cache(maxsize=1)  # the frames of a file come one after the other
def _digest(path: Path, _changed: int) -> str:
    return files.sha256(path)


def load(
    items: Sequence[Item], grey_range: Optional[GreyRange] = None
) -> Iterator[Union[LoadedImage, InputError]]:
    """Read an image, or frames of one file, and give each, or why it cannot be read.

    Args:
        items: of one file.
        grey_range: the values that become black and white; None for the format's rule.
    """
    if items and items[0].frame is None:
        try:
            yield reading.read(items[0].path, None, grey_range)
        except InputError as error:
            yield error
        return
    numbers = [item.frame for item in items if item.frame]
    yield from reading.read_frames(items[0].path, numbers, grey_range) if items else ()


def _listed(path: Path) -> List[Path]:
    try:
        lines = os.fsdecode(files.read_bytes(path, files.MOST_BYTES)).lstrip("\ufeff").splitlines()
    except OSError as error:
        reason = error.strerror
        raise InputError(f"{shown(path)}: a list that cannot be read: {reason}") from None
    named = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return [path.parent / name for name in named]
