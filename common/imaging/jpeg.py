"""What a JPEG stream declares, read from its markers without decoding it (ITU-T T.81, annex B)."""

from __future__ import annotations

import struct
from typing import NamedTuple, Optional

from common.errors import InputError
from common.imaging.limits import MOST_MARKERS, MOST_SCANNED, MOST_SCANS, check_size

# The processes by their start-of-frame marker; 0xF7 is that of JPEG-LS.
_FRAMES = {
    **{0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive", 0xC3: "lossless", 0xC7: "lossless"},
    **{0xC5: "hierarchical", 0xC6: "hierarchical", 0xC9: "arithmetic", 0xCA: "arithmetic"},
    **{0xCB: "lossless", 0xCD: "arithmetic", 0xCE: "arithmetic", 0xCF: "lossless", 0xF7: "JPEG-LS"},
}
_ALONE = (0x01, *range(0xD0, 0xD8))  # markers without a length
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA


class Stream(NamedTuple):
    """Size, number of channels, bits of each, process, and by which markers colours are known."""

    width: int
    height: int
    channels: int
    bits: int
    process: str
    jfif: bool
    adobe: Optional[int]  # the colour transform: 0 none, 1 YCbCr, 2 YCCK
    identifiers: bytes  # of the channels
    scans: int

    @property
    def is_ycbcr(self) -> Optional[bool]:
        """Whether three channels are YCbCr, as the stream itself says; None where it does not."""
        if self.adobe is not None:
            return self.adobe == 1
        if self.jfif:
            return True
        return False if self.identifiers == b"RGB" else None


def measure(content: bytes, name: str) -> Stream:
    """Read the markers of a JPEG or JPEG-LS stream.

    Raises:
        InputError: it has no start of frame, too many markers, or too many scans.
    """
    place, markers, scans = 2, 0, 0
    frame = None
    jfif, adobe = False, None
    while place + 4 <= len(content):
        if content[place] != 0xFF:
            break
        markers += 1
        if markers > MOST_MARKERS:
            raise InputError(f"{name}: a JPEG stream of more than {MOST_MARKERS} markers")
        marker = content[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        if marker == _END:
            break
        if marker == _START or marker in _ALONE:
            place += 2
            continue
        (length,) = struct.unpack(">H", content[place + 2 : place + 4])
        segment = content[place + 4 : place + 2 + length]
        place += 2 + max(length, 2)
        if marker in _FRAMES and frame is None and len(segment) >= 6:
            frame = marker, segment
        elif marker == 0xE0 and segment.startswith(b"JFIF\0"):
            jfif = True
        elif marker == 0xEE and segment.startswith(b"Adobe") and len(segment) >= 12:
            adobe = segment[11]
        elif marker == _SCAN:
            # In the data of scans, 0xFF is followed by 0: these two are markers wherever they are.
            end = content.find(b"\xff\xd9", place)
            scans = 1 + content.count(b"\xff\xda", place, end if end > 0 else len(content))
            break
    if scans > MOST_SCANS:
        raise InputError(f"{name}: a JPEG stream of more than {MOST_SCANS} scans")
    if frame is None:
        raise InputError(f"{name}: damaged or truncated image (a JPEG stream without a frame)")
    marker, segment = frame
    bits, height, width, channels = struct.unpack(">BHHB", segment[:6])
    identifiers = segment[6 : 6 + 3 * channels : 3]
    return Stream(width, height, channels, bits, _FRAMES[marker], jfif, adobe, identifiers, scans)


def check(content: bytes, name: str, most_pixels: int) -> None:
    """Raise InputError for a JPEG file that is not of the kind that is read, or too large."""
    stream = measure(content, name)
    if stream.process not in ("baseline", "extended", "progressive", "arithmetic"):
        raise InputError(f"{name}: a {stream.process} JPEG; convert it to PNG")
    if stream.bits != 8:
        raise InputError(f"{name}: a JPEG of {stream.bits} bits; convert it to PNG or TIFF")
    check_size(name, stream.width, stream.height, most_pixels)
    if stream.width * stream.height * stream.scans > MOST_SCANNED:
        raise InputError(
            f"{name}: a JPEG of {stream.scans} scans, too many for its size; convert it to PNG"
        )
