"""What a JPEG 2000 stream declares, read from its header without decoding it (ITU-T T.800, annex
A).
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Tuple

from common.errors import InputError
from common.imaging.limits import MOST_TILES

_START = b"\xff\x4f\xff\x51"  # start of a stream and its size
_LONGEST = 1 << 16  # bytes of boxes around a stream in which its start is looked for


class Stream(NamedTuple):
    """Size, the bits of each channel, and whether its colours are transformed for packing."""

    width: int
    height: int
    bits: Tuple[int, ...]
    signed: bool
    transforms_colours: bool


def measure(content: bytes, name: str) -> Stream:
    """Read the header of a JPEG 2000 stream, also of one in JP2 boxes.

    Raises:
        InputError: it has none, or too many tiles.
    """
    start = content.find(_START, 0, _LONGEST)
    try:
        if start < 0:
            raise ValueError
        place = start + 8  # behind the markers, a length and the capabilities
        right, bottom, left, top, *tile = struct.unpack(">8I", content[place : place + 32])
        (channels,) = struct.unpack(">H", content[place + 32 : place + 34])
        described = content[place + 34 : place + 34 + 3 * channels]
        if len(described) < 3 * channels or not channels:
            raise ValueError
        tile_width, tile_height, tile_left, tile_top = tile
        if not (tile_width and tile_height and right > left and bottom > top):
            raise ValueError
        style = content.index(b"\xff\x52", place + 34 + 3 * channels)
        transforms_colours = content[style + 8] == 1
    except (ValueError, IndexError, struct.error):
        raise InputError(
            f"{name}: damaged or truncated image (a JPEG 2000 stream without a header)"
        ) from None
    across = -(-(right - tile_left) // tile_width)
    down = -(-(bottom - tile_top) // tile_height)
    if across * down > MOST_TILES:
        raise InputError(f"{name}: a JPEG 2000 stream of {across * down} tiles")
    bits = tuple((byte & 0x7F) + 1 for byte in described[::3])
    signed = bool(described[0] & 0x80)
    return Stream(right - left, bottom - top, bits, signed, transforms_colours)
