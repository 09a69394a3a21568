"""What the readers of single formats are asked for and what they give, and which of them decodes a
file.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from common.errors import InputError
from common.imaging.levels import GreyRange
from common.imaging.limits import LARGE, MOST_FRAMES, MOST_PIXELS

AS_STORED = "as stored"  # instead of a mapping to 8 bits
Source = Union[Path, bytes]  # a file, or its content
Frame = Union[int, str, Sequence[int], None]


@dataclass(frozen=True)
class Options:
    """What is wanted of a file.

    Args:
        frame: number from 1, several of them in order, "all", None for the only one, or "count" for
            none but their number.
        grey_range: for values of more than 8 bits; None for the format's rule.
        raw: values as stored instead of bytes, for masks; colours are converted all the same.
        numbers: with `raw`, the numbers of a palette instead of its colours.
        most_pixels: of all frames together; None for the format's own limit.
        large: pixels from which a TIFF page is mapped, with `scratch`.
        scratch: an existing folder for such a page that has to be unpacked.
    """

    frame: Frame = None
    grey_range: Optional[GreyRange] = None
    raw: bool = False
    numbers: bool = False
    most_pixels: Optional[int] = None
    large: int = LARGE
    scratch: Optional[Path] = None

    def most(self, limit: int = MOST_PIXELS) -> int:
        """The most pixels that all frames asked for may have together."""
        return limit if self.most_pixels is None else min(limit, self.most_pixels)

    def choose(self, count: int, name: str, kind: str = "frames", more: str = "") -> List[int]:
        """Which of `count` frames are wanted, from 0.

        Raises:
            InputError: there are several and none has been chosen, or it is not there.
        """
        if count > MOST_FRAMES:
            raise InputError(f"{name}: a file of {count} {kind}, expected at most {MOST_FRAMES}")
        hint = f"choose one with --frame N, N from 1 to {count}, or --frame all"
        hint = "save one apart" if self.raw else hint
        if self.frame == "count":
            return []
        if self.frame == "all":
            return list(range(count))
        if self.frame is None:
            if count != 1:
                raise InputError(f"{name}: expected one image, got {count} {kind}{more}; {hint}")
            return [0]
        numbers = self.frame if isinstance(self.frame, (list, tuple)) else [self.frame]
        for number in numbers:
            if not isinstance(number, int) or not 1 <= number <= count:
                raise InputError(f"{name}: no frame {number} among its {count} {kind}; {hint}")
        return [number - 1 for number in numbers]


class Mapping(NamedTuple):
    """Pixels that lie in a file."""

    path: str
    offset: int
    shape: Tuple[int, ...]


class Decoded(NamedTuple):
    """What a reader gives.

    `pixels` are (n, H, W, C) for n chosen frames, with C 1 or 3, or 4 for a mapped file, as stored:
    not turned by `orientation`. Those of a large file lie where `mapping` says. `levels` says how
    their values became bytes, for each or for all.
    """

    pixels: np.ndarray
    frames: int
    levels: Tuple[str, ...] = (AS_STORED,)
    orientation: int = 1
    uneven_alpha: bool = False
    spacing: Optional[Tuple[float, float]] = None  # of rows and of columns, in mm
    mapping: Optional[Mapping] = None


def count_only(frames: int) -> Decoded:
    """What a reader gives that was asked for nothing but the number of frames."""
    return Decoded(np.zeros((0, 0, 0, 1), np.uint8), frames)


def check_background(colour: Sequence[int], name: str) -> None:
    """Raise InputError where the first colour of a mask's palette is none of a background."""
    if any(colour):
        raise InputError(
            f"{name}: a mask with a palette whose colour 0 is not black, so that 0 may not be its "
            "background; save its values as grey"
        )


def stacked(images: List[np.ndarray]) -> np.ndarray:
    """Images (H, W, C) as (n, H, W, C), without a copy where there is one."""
    return np.stack(images) if len(images) > 1 else images[0][None]


def open_file(source: Source, name: str) -> BinaryIO:
    """Open a regular file, or the content of one, for reading.

    Nothing else is opened: a named pipe would wait for a writer forever.

    Raises:
        InputError: there is no such file, it is no regular file, or it cannot be read.
    """
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        mode = os.stat(source).st_mode
        if not stat.S_ISREG(mode):
            raise InputError(f"{name}: {_kind(mode)}, expected an image")
        return source.open("rb")
    except FileNotFoundError:
        raise InputError(f"{name}: no such file, expected an image") from None
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        raise InputError(f"{name}: cannot be read: {_reason(error)}") from None


@contextlib.contextmanager
def names_damage(name: str, kind: str = "damaged or truncated image") -> Iterator[None]:
    """Turn whatever a damaged file leads a decoder to into one line: libraries raise OSError,
    SyntaxError, struct.error, KeyError, RecursionError and more.
    """
    try:
        yield
    except InputError:
        raise
    except MemoryError:
        raise InputError(f"{name}: not enough memory to decode this image") from None
    except OSError as error:
        if error.errno is not None:
            raise InputError(f"{name}: cannot be read: {_reason(error)}") from None
        raise InputError(f"{name}: {kind} ({_reason(error)})") from None
    except Exception as error:
        raise InputError(f"{name}: {kind} ({_reason(error)})") from None


def _reason(error: BaseException) -> str:
    """The message of an error in one short line, without the names of objects in memory."""
    text = getattr(error, "strerror", None) or re.sub(r" <[^<>]* at 0x\w+>", "", str(error))
    return " ".join(text.split())[:200] or type(error).__name__


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISDIR, "is a folder"),
        (stat.S_ISFIFO, "is a named pipe"),
        (stat.S_ISSOCK, "is a socket"),
    )
    return next((kind for test, kind in kinds if test(mode)), "is a device")
