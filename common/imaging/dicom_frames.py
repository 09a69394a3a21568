"""Where the frames of a DICOM file lie: their bytes, packed or not, one at a time."""

from __future__ import annotations

import struct
from typing import BinaryIO, Iterator, List, Tuple

import numpy as np
from pydicom.encaps import generate_pixel_data_frame

from common.errors import InputError
from common.imaging.dicom_elements import File
from common.imaging.dicom_layout import RLE, Layout
from common.imaging.limits import MOST_FRAGMENTS

_UNDEFINED = 0xFFFFFFFF
_ITEM = (0xFFFE, 0xE000)
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")  # of JPEG and of JPEG 2000 streams


def contents(file: File, layout: Layout, name: str) -> Iterator[bytes]:
    """The bytes of all frames, in order.

    Raises:
        InputError: the file is truncated, or has more frames than it declares.
    """
    return _packed(file, layout, name) if layout.is_packed else _plain(file, layout, name)


def _plain(file: File, layout: Layout, name: str) -> Iterator[bytes]:
    start, length = file.pixels.start, file.pixels.length
    size = -(-layout.frame_bits // 8)
    total = -(-layout.frame_bits * layout.frames // 8)
    if layout.frames > 1 and layout.frame_bits % 8:
        raise InputError(f"{name}: DICOM frames of single bits that do not end with a byte")
    end = file.stream.seek(0, 2)
    if length == _UNDEFINED or length < total or start + total > end:
        present = max(min(length, end - start), 0)
        raise InputError(
            f"{name}: truncated DICOM image (expected {total} bytes of pixels, got {present})"
        )
    if length >= total + size and size > 1:
        raise _undeclared(length // size, layout, name)
    # Bytes in words of big endian lie in pairs, each the wrong way round.
    is_swapped = layout.allocated == 8 and file.pixels.vr == "OW"
    is_swapped = is_swapped and not file.elements.is_little_endian
    for number in range(layout.frames):
        first = number * size
        before = first % 2 if is_swapped else 0
        file.stream.seek(start + first - before)
        content = file.stream.read(before + size + size % 2)
        if is_swapped:
            words = np.frombuffer(content[: len(content) // 2 * 2], np.uint16)
            content = words.byteswap().tobytes()
        content = content[before:][:size]
        yield content + b"\0" * (size % 2)


def _packed(file: File, layout: Layout, name: str) -> Iterator[bytes]:
    stream = file.stream
    stream.seek(file.pixels.start)
    (_, offsets_length), *fragments = _fragments(stream, name)
    streams = len(fragments) if layout.syntax == RLE else 0
    for start, _ in fragments:
        stream.seek(start)
        streams += stream.read(4).startswith(_STARTS)
    found = max(streams, offsets_length // 4)
    if found > layout.frames:
        raise _undeclared(found, layout, name)
    stream.seek(file.pixels.start)
    end = sum(fragments[-1])
    yield from generate_pixel_data_frame(stream.read(end - file.pixels.start), layout.frames)


def _fragments(stream: BinaryIO, name: str) -> List[Tuple[int, int]]:
    """Position and length of each item of packed pixels, the first of which holds the offsets of
    frames.

    pydicom looks for the mark of the end instead, whose bytes may occur in what is packed.
    """
    found: List[Tuple[int, int]] = []
    while True:
        header = stream.read(8)
        if len(header) < 8 or struct.unpack("<HH", header[:4]) != _ITEM:
            break
        (length,) = struct.unpack("<I", header[4:])
        found.append((stream.tell(), length))
        if len(found) > MOST_FRAGMENTS:
            raise InputError(f"{name}: a DICOM image of more than {MOST_FRAGMENTS} fragments")
        stream.seek(length, 1)
    if len(found) < 2 or sum(found[-1]) > stream.seek(0, 2):
        raise InputError(f"{name}: truncated DICOM image (its packed pixels end early)")
    return found


def _undeclared(count: int, layout: Layout, name: str) -> InputError:
    return InputError(
        f"{name}: a DICOM image of {count} frames, whose NumberOfFrames is {layout.frames}"
    )
