"""How the pixels of a DICOM file lie in it, and whether they are an image that is read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from common.errors import InputError
from common.imaging.dicom_elements import File, text, whole

_PREFIX = "1.2.840.10008.1.2"
PLAIN = (_PREFIX, f"{_PREFIX}.1", f"{_PREFIX}.2")
RLE = f"{_PREFIX}.5"
JPEG_BYTES = (f"{_PREFIX}.4.50", f"{_PREFIX}.4.51")
JPEG = (*JPEG_BYTES, *(f"{_PREFIX}.4.{number}" for number in (57, 70, 80, 81)))
JPEG_2000 = (f"{_PREFIX}.4.90", f"{_PREFIX}.4.91")
GREY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
_SAMPLES = {
    **dict.fromkeys((*GREY, PALETTE), 1),
    **dict.fromkeys(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"), 3),
}
_NO_IMAGES = {"SEG": "a segmentation", "RTDOSE": "a radiation dose"}
_BITS = {"PixelData": (1, 8, 16, 32), "FloatPixelData": (32,), "DoubleFloatPixelData": (64,)}


@dataclass(frozen=True)
class Layout:
    """How the values of a frame lie in a file."""

    rows: int
    columns: int
    samples: int  # values of a pixel
    frames: int
    allocated: int  # bits that a value takes
    stored: int  # bits that it has
    high_bit: int  # the last of them, from 0
    signed: bool
    planar: int  # 1: one colour after the other
    photometric: str
    syntax: str  # UID of how they are packed
    keyword: str  # of the element that holds them
    overlays: bool  # lie in bits that are not stored

    @property
    def is_packed(self) -> bool:
        """Whether each frame is a stream of its own."""
        return self.syntax not in PLAIN

    @property
    def is_subsampled(self) -> bool:
        """Whether two pixels share their colour, in pixels that are not packed."""
        return self.photometric == "YBR_FULL_422" and not self.is_packed

    @property
    def frame_bits(self) -> int:
        """Bits of a frame that is not packed."""
        samples = 2 if self.is_subsampled else self.samples
        return self.rows * self.columns * samples * self.allocated


def check_kind(file: File, name: str) -> None:
    """Raise InputError for what is no image, or none of a kind that is read."""
    elements = file.elements
    modality = text(elements, "Modality", name)
    if modality in _NO_IMAGES:
        raise InputError(f"{name}: {_NO_IMAGES[modality]} in DICOM, expected an image")
    if not file.pixels.keyword:
        what = elements.get("SOPClassUID") or elements.file_meta.get("MediaStorageSOPClassUID")
        what = getattr(what, "name", "") or modality or "of an unknown kind"
        raise InputError(f"{name}: not a readable DICOM image (without pixels: {what})")
    syntax = elements.file_meta.TransferSyntaxUID
    if syntax not in (*PLAIN, RLE, *JPEG, *JPEG_2000):
        raise InputError(
            f"{name}: a DICOM image packed as {syntax.name}, which is not read; unpack it, or "
            "convert it to JPEG 2000"
        )
    if whole(elements, "TotalPixelMatrixColumns", name, 0) > whole(elements, "Columns", name):
        raise InputError(
            f"{name}: a DICOM slide whose frames are its tiles; export it, or a part, as TIFF"
        )


def read_layout(file: File, frames: int, name: str) -> Layout:
    """Read the layout.

    Raises:
        InputError: an element is missing, or is nothing that it can be.
    """
    elements, pixels = file.elements, file.pixels
    photometric = text(elements, "PhotometricInterpretation", name)
    samples = whole(elements, "SamplesPerPixel", name, 1)
    if photometric not in _SAMPLES:
        raise InputError(
            f"{name}: PhotometricInterpretation of the DICOM file is {photometric[:40]!r}, "
            f"expected one of {', '.join(_SAMPLES)}"
        )
    if samples != _SAMPLES[photometric]:
        raise InputError(
            f"{name}: a DICOM image of {samples} samples per pixel, expected "
            f"{_SAMPLES[photometric]} for {photometric}"
        )
    allocated = whole(elements, "BitsAllocated", name)
    stored = whole(elements, "BitsStored", name, allocated)
    high_bit = whole(elements, "HighBit", name, stored - 1)
    if allocated not in _BITS[pixels.keyword] or not 0 < stored <= high_bit + 1 <= allocated:
        raise InputError(
            f"{name}: a DICOM image of {stored} bits up to bit {high_bit} in {allocated}, which is "
            "not read"
        )
    overlays = (elements.get((group, 0x0102)) for group in range(0x6000, 0x6020, 2))
    layout = Layout(
        rows=whole(elements, "Rows", name),
        columns=whole(elements, "Columns", name),
        samples=samples,
        frames=frames,
        allocated=allocated,
        stored=stored,
        high_bit=high_bit,
        signed=whole(elements, "PixelRepresentation", name, 0) == 1,
        planar=whole(elements, "PlanarConfiguration", name, 0),
        photometric=photometric,
        syntax=str(elements.file_meta.TransferSyntaxUID),
        keyword=pixels.keyword,
        overlays=any(overlay is not None and overlay.value for overlay in overlays),
    )
    if layout.is_subsampled and pixels.length >= 3 * layout.rows * layout.columns * frames:
        return dataclasses.replace(layout, photometric="YBR_FULL")  # each pixel has its colour
    return layout
