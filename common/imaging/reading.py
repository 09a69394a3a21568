"""Reading images, in one way for all formats of `formats.FORMATS`.

What a file is, its first bytes say, and not its name. Grey is repeated and alpha dropped without
blending; images are turned as EXIF or TIFF orientation asks for; of several pages or frames one has
to be chosen; values of more than 8 bits become bytes as `levels` and `dicom_grey` say. What is read
in another way than it may have been meant is refused, in one line.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path
from typing import Iterator, Optional, Sequence, Tuple, Union

import numpy as np

from common.errors import InputError
from common.imaging import formats, isolation, limits, readers
from common.imaging.decoding import AS_STORED, Decoded, Frame, Options, Source, open_file
from common.imaging.levels import GreyRange
from common.imaging.limits import TooManyPixels as TooManyPixels
from common.imaging.listing import shown
from common.imaging.orientation import check_upright, upright

_TOGETHER = 1 << 24  # pixels of frames that are read at once


@dataclasses.dataclass(frozen=True)
class LoadedImage:
    """An image as networks take it, and how it came about.

    Attributes:
        pixels: uint8 (H, W, 1, 3 or 4), or (n, H, W, C) of all frames; see `to_rgb`. A memory map
            for a TIFF of more than `limits.LARGE` pixels.
        format: a name of `formats.FORMATS`.
        levels: how grey values became bytes, such as "window 1600/4000".
        frames: how many pages or frames the file has.
        orientation: EXIF orientation that the stored pixels had.
        spacing: distances between the centres of rows and of columns in mm, of DICOM files.
    """

    pixels: np.ndarray
    format: str
    levels: str
    frames: int = 1
    orientation: int = 1
    spacing: Optional[Tuple[float, float]] = None

    @property
    def pixel_area(self) -> Optional[float]:
        """Area of a pixel in mm², where it is known."""
        return self.spacing[0] * self.spacing[1] if self.spacing else None


def read(
    source: Union[Path, str, bytes],
    frame: Frame = None,
    grey_range: Optional[GreyRange] = None,
    *,
    name: str = "",
    most_pixels: Optional[int] = None,
    annotated: bool = False,
) -> LoadedImage:
    """Read an image.

    Args:
        source: a file, or its content.
        frame: the page or frame, from 1, "all", or several in order; None where there is but one.
        grey_range: the values that become black and white, for images of more than 8 bits; None
            for the full range and, in DICOM files, what the file says.
        name: what messages call it; by default the file.
        most_pixels: more are refused with `TooManyPixels`, before they are decoded.
        annotated: it belongs to a data set, with masks or outlines drawn on it: it has to be stored
            upright, see `orientation`, and with 8 bits per channel.

    Raises:
        InputError: it is no whole image of these formats, or one that needs a choice.
    """
    name = name or ("image" if isinstance(source, bytes) else shown(source))
    options = Options(frame, grey_range, most_pixels=most_pixels)
    kind, decoded = decode_source(source, name, options)
    levels = "; ".join(dict.fromkeys(decoded.levels))
    if annotated:
        check_upright(name, decoded.orientation)
        if levels != AS_STORED:
            raise InputError(
                f"{name}: expected 8 bits per channel in an image with annotations, whose mapping "
                f"to bytes nobody would record ({levels}); convert it"
            )
    is_one = frame is None or isinstance(frame, int)
    return _loaded(kind, decoded, decoded.pixels[0] if is_one else decoded.pixels, levels)


def read_frames(
    path: Path, numbers: Sequence[int], grey_range: Optional[GreyRange] = None
) -> Iterator[Union[LoadedImage, InputError]]:
    """Read frames, from 1 and in order, each as `read` does, and give them or what it raises.

    The file is opened for many frames at once, of which memory holds few; and for each where one of
    them cannot be had.
    """
    name, alone = shown(path), False
    rest, together = list(numbers), 1
    while rest:
        chunk, rest = rest[:together], rest[together:]
        try:
            kind, decoded = decode_source(path, name, Options(chunk, grey_range))
        except InputError as error:
            if len(chunk) == 1:
                yield error
            else:
                rest, together, alone = chunk + rest, 1, True
            continue
        for index, pixels in enumerate(decoded.pixels):
            levels = decoded.levels[index if len(decoded.levels) > 1 else 0]
            yield _loaded(kind, decoded, pixels, levels)
        height, width = decoded.pixels.shape[1:3]
        together = 1 if alone else max(_TOGETHER // (height * width), 1)


def _loaded(kind: str, decoded: Decoded, pixels: np.ndarray, levels: str) -> LoadedImage:
    pixels = upright(pixels, decoded.orientation)
    if not isinstance(pixels, np.memmap):
        pixels = np.ascontiguousarray(pixels)
    return LoadedImage(pixels, kind, levels, decoded.frames, decoded.orientation, decoded.spacing)


def read_any(path: Path | str, frame: Frame = None) -> np.ndarray:
    """The pixels that `read` gives: uint8 (H, W, 1, 3 or 4)."""
    return read(path, frame).pixels


def read_rgb(path: Path | str, annotated: bool = False) -> np.ndarray:
    """Read an image as uint8 (H, W, 3). Raises InputError as `read` does."""
    return to_rgb(read(path, annotated=annotated).pixels)


def count_frames(source: Union[Path, str, bytes]) -> int:
    """How many pages or frames a file has, without decoding them. Raises InputError as `read`
    does.
    """
    name = "image" if isinstance(source, bytes) else shown(source)
    return decode_source(source, name, Options(frame="count"))[1].frames


def format_of(source: Source) -> str:
    """The name in `formats.FORMATS` of a file or its content, or ""; raises InputError where it
    cannot be opened.
    """
    name = "image" if isinstance(source, bytes) else shown(source)
    return formats.recognise(_start(source, name))


def to_rgb(pixels: np.ndarray) -> np.ndarray:
    """Turn what `read_any` gives, or a part or a stack of it, into (…, 3): repeat grey, drop
    alpha.
    """
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels[..., :3]


def decode_source(
    source: Union[Path, str, bytes], name: str, options: Options
) -> Tuple[str, Decoded]:
    """Find out the format of a file, and have it read: in this process, or in one of its own."""
    if not isinstance(source, bytes):
        source = Path(os.path.abspath(source))
    start = _start(source, name)
    kind = formats.recognise(start)
    if not kind:
        what = formats.describe(start)
        raise InputError(
            f"{name}: {what}, expected {formats.NAMES}"
            if what
            else f"{name}: not an image in a known format ({formats.NAMES})"
        )
    if kind in readers.TRUSTED:
        return kind, readers.read(kind, source, name, options)
    if kind != "TIFF" or isinstance(source, bytes) or options.raw:
        return kind, isolation.run(kind, source, name, options)
    # A mapped file may be removed: its content is there until nothing maps it any more.
    with tempfile.TemporaryDirectory(prefix="medseg-") as scratch:
        options = dataclasses.replace(options, large=limits.LARGE, scratch=Path(scratch))
        decoded = isolation.run(kind, source, name, options)
        if decoded.mapping:
            path, offset, shape = decoded.mapping
            mapped = np.memmap(path or source, np.uint8, "r", offset, shape)
            decoded = decoded._replace(pixels=mapped)
    return kind, decoded


def _start(source: Source, name: str) -> bytes:
    with open_file(source, name) as stream:
        try:
            start = stream.read(formats.START)
        except OSError as error:
            raise InputError(f"{name}: cannot be read: {error.strerror or error}") from None
    if not start:
        raise InputError(f"{name}: the file is empty, expected an image")
    return start
