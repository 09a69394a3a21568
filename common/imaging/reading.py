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
from typing import Optional, Tuple, Union

import numpy as np

from common.errors import InputError
from common.imaging import formats, isolation, limits, readers
from common.imaging.decoding import AS_STORED, Decoded, Frame, Mapping, Options, Source, open_file
from common.imaging.levels import GreyRange
from common.imaging.limits import TooManyPixels
from common.imaging.listing import shown
from common.imaging.orientation import check_upright, upright

__all__ = ["LoadedImage", "TooManyPixels", "count_frames", "decode", "pixel_area", "read"]


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
        frame: the page or frame, from 1, or "all"; None where there is but one.
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
    pixels = decoded.pixels
    if annotated:
        check_upright(name, decoded.orientation)
        if decoded.levels != AS_STORED:
            raise InputError(
                f"{name}: expected 8 bits per channel in an image with annotations, whose mapping "
                f"to bytes nobody would record ({decoded.levels}); convert it"
            )
    pixels = upright(pixels, decoded.orientation)
    if not isinstance(pixels, np.memmap):
        pixels = np.ascontiguousarray(pixels)
    return LoadedImage(
        pixels if frame == "all" else pixels[0],
        kind,
        decoded.levels,
        decoded.frames,
        decoded.orientation,
        decoded.spacing,
    )


def read_any(path: Path | str, frame: Frame = None) -> np.ndarray:
    """The pixels that `read` gives: uint8 (H, W, 1, 3 or 4)."""
    return read(path, frame).pixels


def read_rgb(path: Path | str, annotated: bool = False) -> np.ndarray:
    """Read an image as uint8 (H, W, 3). Raises InputError as `read` does."""
    return to_rgb(read(path, annotated=annotated).pixels)


def decode(content: bytes, name: str, most_pixels: int, frame: Frame = None) -> np.ndarray:
    """The pixels that `read` gives of an untrusted file in memory; nothing is written to disk.

    Raises:
        InputError: as `read` does; the message names it `name`.
        TooManyPixels: it has more than `most_pixels`.
    """
    return read(content, frame, name=name, most_pixels=most_pixels).pixels


def count_frames(source: Union[Path, str, bytes]) -> int:
    """How many pages or frames a file has, without decoding them. Raises InputError as `read`
    does.
    """
    name = "image" if isinstance(source, bytes) else shown(source)
    return decode_source(source, name, Options(frame="count"))[1].frames


def pixel_area(content: bytes) -> Optional[float]:
    """Area of a pixel in mm², where these are the bytes of a DICOM file with a usable PixelSpacing;
    else None.
    """
    if formats.recognise(content[: formats.START]) != "DICOM":
        return None
    try:
        decoded = isolation.run("DICOM", content, "image", Options(frame="count"))
    except InputError:
        return None
    return decoded.spacing[0] * decoded.spacing[1] if decoded.spacing else None


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
        if isinstance(decoded.pixels, Mapping):
            path, offset, shape = decoded.pixels
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
