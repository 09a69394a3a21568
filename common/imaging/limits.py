"""Bounds on what one image file may ask for, checked before anything is decoded."""

from __future__ import annotations

from common.errors import InputError

LARGE = 1 << 26  # pixels: larger TIFFs are read and written piece by piece
MOST_PIXELS = 178_956_970  # as Pillow; in memory, all frames asked for together
MOST_MAPPED = 1 << 32  # pixels of a TIFF that is read piece by piece
MOST_BYTES = 1 << 31  # of a file that is read as a whole
MOST_FRAMES = 1_000_000  # or pages, of any file
MOST_INFLATED = 1 << 27  # bytes of a deflated DICOM file
MOST_PAGES = 20_000  # of a TIFF
MOST_SEGMENTS = 1 << 18  # strips or tiles of a TIFF page
MOST_TILES = 1 << 12  # of a JPEG 2000 stream
MOST_READS = 200_000  # two for each element of a DICOM file, also of those inside of sequences
MOST_FRAGMENTS = 500_000  # of packed DICOM pixels
MOST_CHUNKS = 10_000  # of a PNG, and one more for each kilobyte
MOST_MARKERS = 10_000  # of a JPEG stream
MOST_SCANS = 100  # of a progressive JPEG stream
MOST_SCANNED = 1 << 32  # pixels of such a stream, times its scans: each goes over all of them
SECONDS = 10.0  # of computing for one file, and what is added for its size
SECONDS_PER_MEGAPIXEL = 0.5


class TooManyPixels(InputError):
    """An image that is whole, for all one knows, but larger than the caller wants to decode."""


def check_size(name: str, width: int, height: int, most: int = MOST_PIXELS) -> None:
    """Raise InputError for an image without pixels, and TooManyPixels for one with more than
    `most`.
    """
    if width < 1 or height < 1:
        raise InputError(f"{name}: expected an image with pixels, got {width}x{height}")
    if width * height > most:
        raise TooManyPixels(f"{name}: expected at most {most} pixels, got {width}x{height}")
