"""The one list of image formats that are read, and how a file is recognised by its first bytes."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple, Tuple

START = 512  # bytes from which a format is recognised


class Format(NamedTuple):
    """An image format: its name, the suffixes of its files (lower case) and its media type."""

    name: str
    suffixes: Tuple[str, ...]
    media_type: str


FORMATS = (
    Format("PNG", (".png",), "image/png"),
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), "image/jpeg"),
    Format("TIFF", (".tif", ".tiff", ".btf", ".svs"), "image/tiff"),
    Format("BMP", (".bmp",), "image/bmp"),
    Format("GIF", (".gif",), "image/gif"),
    Format("WebP", (".webp",), "image/webp"),
    Format("DICOM", (".dcm", ".dicom", ".dic"), "application/dicom"),
)
SUFFIXES = tuple(suffix for known in FORMATS for suffix in known.suffixes)
# For the `accept` attribute of an upload field.
ACCEPT = ",".join((*SUFFIXES, *(known.media_type for known in FORMATS)))

_STARTS = (
    ("PNG", rb"\x89PNG\r\n\x1a\n"),
    ("JPEG", rb"\xff\xd8\xff"),
    ("TIFF", rb"II[*+]\0|MM\0[*+]"),
    ("BMP", rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"),
    ("GIF", rb"GIF8[79]a"),
    ("WebP", rb"RIFF.{4}WEBP"),
)
# What people have beside these, so that it can be refused by what it is.
_OTHERS = (
    ("an SVG drawing", rb"\s*(<\?xml.*?)?(<!--.*?-->\s*)?(<!DOCTYPE svg.*?>\s*)?<svg[\s>]"),
    ("a web page", rb"\s*<(!doctype html|html|head|body)"),
    ("a PDF document", rb"%PDF"),
    ("a PostScript drawing", rb"%!PS|\xc5\xd0\xd3\xc6"),
    ("a Photoshop file", rb"8BPS"),
    ("a JPEG 2000 image", rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
    ("a JPEG XL image", rb"\xff\x0a|\0\0\0\x0cJXL "),
    ("a HEIC or AVIF image", rb".{4}ftyp(heic|heix|hevc|heim|mif1|msf1|avif|avis)"),
    ("a video", rb".{4}ftyp|RIFF.{4}AVI |\x1aE\xdf\xa3"),
    ("a PNM image", rb"P[1-7]\s"),
    ("an icon", rb"\0\0[\x01\x02]\0.\0"),
    ("a NIfTI volume", rb"\x5c\x01\0\0|\0\0\x01\x5c|.{344}(n\+1|ni1)\0"),
    ("an NRRD volume", rb"NRRD0"),
    ("a MetaImage volume", rb"(ObjectType|NDims) *="),
    ("a CZI slide", rb"ZISRAWFILE"),
    ("an HDF5 file", rb"\x89HDF\r\n\x1a\n"),
    ("a MATLAB file", rb"MATLAB 5\.0"),
    ("a NumPy array", rb"\x93NUMPY"),
    ("a zip archive", rb"PK\x03\x04"),
    ("a gzip archive", rb"\x1f\x8b"),
)
_PREAMBLE = 128  # bytes before the letters DICM
_VRS = b"AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OL OW PN SH SL SQ SS ST TM UI UL UN US UT UV"


def listed(conjunction: str = "or") -> str:
    """The names of all formats, in a sentence."""
    *names, last = (known.name for known in FORMATS)
    return f"{', '.join(names)} {conjunction} {last}"


NAMES = listed()


def recognise(start: bytes) -> str:
    """Give the name in FORMATS of a file that begins with these bytes (`START` of them or the
    whole file), or "".

    >>> recognise(b"GIF89a...")
    'GIF'
    """
    if start[_PREAMBLE : _PREAMBLE + 4] == b"DICM":
        return "DICOM"
    for name, pattern in _STARTS:
        if re.match(pattern, start, re.DOTALL):
            return name
    return "DICOM" if _begins_with_elements(start) else ""


def describe(start: bytes) -> str:
    """Say what a file is that is not read, such as "a PDF document"; "" where that is unknown."""
    matches = (what for what, pattern in _OTHERS if re.match(pattern, start, re.DOTALL | re.I))
    return next(matches, "")


def _begins_with_elements(start: bytes) -> bool:
    """Whether a file without preamble begins with a DICOM element of the group 2 or 8."""
    if len(start) < 12:
        return False
    for order in "<>":
        group, element, vr, short = struct.unpack(f"{order}HH2sH", start[:8])
        (long,) = struct.unpack(f"{order}I", start[4:8])
        if group not in (2, 8) or element > 0x2000:
            continue
        if vr in _VRS.split() and short < 1024:
            return True
        if order == "<" and long < 1024 and element <= 0x1000:  # implicit VR
            return True
    return False
