"""The elements of a DICOM file, read within bounds. What is empty counts as absent."""

from __future__ import annotations

import io
import math
import zlib
from typing import Any, BinaryIO, List, NamedTuple, Optional, Tuple, cast

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from common.errors import InputError
from common.imaging.limits import MOST_INFLATED, MOST_READS

_PIXELS = {
    0x7FE00008: "FloatPixelData",
    0x7FE00009: "DoubleFloatPixelData",
    0x7FE00010: "PixelData",
}
_LONG_VRS = ("OB", "OD", "OF", "OL", "OV", "OW", "UN")  # with a length of 4 bytes, after 2 others
_SPACINGS = (1e-6, 1000)  # mm: from single molecules to a body


class PixelData(NamedTuple):
    """Where the pixels lie in a stream: their element, VR, position and length in bytes."""

    keyword: str
    vr: str
    start: int
    length: int


NO_PIXELS = PixelData("", "", 0, 0)


class File(NamedTuple):
    """A parsed DICOM file: its elements before the pixels, and where the pixels lie."""

    elements: Dataset
    pixels: PixelData
    stream: BinaryIO


class _Bounded:
    """A stream that is read a limited number of times: pydicom reads twice for each element."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.count = stream, 0
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        self.count += 1
        if self.count > MOST_READS:
            raise EOFError
        return self._stream.read(size)


def parse(stream: BinaryIO, name: str) -> File:
    """Read all elements up to the pixels.

    Raises:
        InputError: there are too many, or a deflated file holds too much.
    """
    stream, meta = _inflated(stream, name)
    bounded = _Bounded(stream)
    source = cast(BinaryIO, bounded)  # of which pydicom uses what there is
    found: List[Tuple[int, Optional[str], int]] = []

    def stop_when(tag: BaseTag, vr: Optional[str], length: int) -> bool:
        if int(tag) in _PIXELS:
            found.append((int(tag), vr, length))
        return bool(found)

    try:
        elements: Dataset
        if meta is None:
            elements = read_partial(source, stop_when, force=True)
        else:
            elements = read_dataset(source, False, True, stop_when=stop_when)
            elements.file_meta = meta
            elements.is_implicit_VR, elements.is_little_endian = False, True
    finally:  # pydicom takes the end for that of the file, or for damage
        if bounded.count > MOST_READS:
            raise InputError(f"{name}: a DICOM file of more than {MOST_READS // 2} elements")
    if not elements.file_meta.get("TransferSyntaxUID"):
        plain = ExplicitVRLittleEndian if elements.is_little_endian else ExplicitVRBigEndian
        plain = ImplicitVRLittleEndian if elements.is_implicit_VR else plain
        elements.file_meta.TransferSyntaxUID = plain
    if not found:
        return File(elements, NO_PIXELS, stream)
    tag, vr, length = found[0]
    start = stream.tell() + (12 if vr in _LONG_VRS else 8)
    return File(elements, PixelData(_PIXELS[tag], vr or "OW", start, length), stream)


def numbers(elements: Dataset, keyword: str, name: str) -> List[float]:
    """The values of an element as finite numbers; none where it is absent or empty.

    Raises:
        InputError: it cannot be read, or a value is no finite number.
    """
    value = _value(elements, keyword, name)
    values = value if isinstance(value, (list, tuple, pydicom.multival.MultiValue)) else [value]
    found = []
    for single in values:
        if single is None or str(single).strip() == "":
            continue
        try:
            number = float(single)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise InputError(
                f"{name}: {keyword} of the DICOM file is {str(single)[:40]!r}, expected a number"
            )
        found.append(number)
    return found


def number(elements: Dataset, keyword: str, name: str) -> Optional[float]:
    """The first of `numbers`, or None."""
    return next(iter(numbers(elements, keyword, name)), None)


def whole(elements: Dataset, keyword: str, name: str, default: Optional[int] = None) -> int:
    """A whole number. Raises InputError where it is absent without a default."""
    found = number(elements, keyword, name)
    if found is not None:
        return int(found)
    if default is None:
        raise InputError(f"{name}: not a readable DICOM image ({keyword} is missing)")
    return default


def text(elements: Dataset, keyword: str, name: str) -> str:
    """A text in capitals without spaces around it; "" where it is absent."""
    value = _value(elements, keyword, name)
    return "" if value is None else str(value).strip().upper()


def group(elements: Dataset, keyword: str, frame: int, name: str) -> Dataset:
    """The elements of a functional group of a frame, from 0: its own, or all frames'; else those of
    the file.
    """
    for sequence, place in (
        ("PerFrameFunctionalGroupsSequence", frame),
        ("SharedFunctionalGroupsSequence", 0),
    ):
        groups = items(elements, sequence, name)
        inner = items(groups[place], keyword, name) if place < len(groups) else []
        if inner:
            return inner[0]
    return elements


def items(elements: Dataset, keyword: str, name: str) -> List[Dataset]:
    """The items of a sequence; none where it is absent."""
    return list(_value(elements, keyword, name) or [])


def spacing(elements: Dataset, name: str) -> Optional[Tuple[float, float]]:
    """Distances between the centres of rows and of columns in mm; None where they are not given.

    Raises:
        InputError: they are no such distances.
    """
    measures = group(elements, "PixelMeasuresSequence", 0, name)
    found = numbers(measures, "PixelSpacing", name)
    if not found or 0 in found:
        return None
    least, most = _SPACINGS
    if len(found) != 2 or not all(least <= distance <= most for distance in found):
        told = "\\".join(f"{distance:g}" for distance in found)
        raise InputError(
            f"{name}: PixelSpacing of the DICOM file is {told}, expected two distances in mm"
        )
    return found[0], found[1]


def _value(elements: Dataset, keyword: str, name: str) -> Any:
    try:
        return elements.get(keyword)
    except Exception as error:  # unknown VRs, values that are none of their VR, damaged sequences
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{name}: {keyword} of the DICOM file cannot be read ({reason})") from None


def _inflated(stream: BinaryIO, name: str) -> Tuple[BinaryIO, Optional[FileMetaDataset]]:
    """The elements of a deflated file, and those of its group 2; other files as they are, and
    None.
    """
    start = stream.read(132)
    if start[128:] != b"DICM":
        stream.seek(0)
        return stream, None
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        stream.seek(0)
        return stream, None
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    content = inflater.decompress(stream.read(), MOST_INFLATED)
    if inflater.unconsumed_tail:
        raise InputError(f"{name}: a deflated DICOM file of more than {MOST_INFLATED} bytes")
    meta = FileMetaDataset(meta)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return io.BytesIO(content), meta
