"""The images in an uploaded file: its frames or pages, each as a file with one image.

So `common.imaging.reading` reads every one by the same rules. Frames of an enhanced DICOM file
take along what its functional groups say about window, rescaling, spacing and place.
"""

from __future__ import annotations

import copy
import io
from typing import Optional, Tuple

import pydicom
from PIL import Image
from pydicom.encaps import encapsulate, generate_pixel_data_frame

from common.errors import InputError
from common.imaging import reading

FORMATS = ("PNG", "JPEG", "TIFF")
MOST = 500  # frames of one file that are counted
# What a functional group says about a frame is kept in the group's only item.
GROUPS = (
    "PixelMeasuresSequence",
    "FrameVOILUTSequence",
    "PixelValueTransformationSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
)


GROUP_TAGS = (
    b"\x00\x52\x29\x92",
    b"\x00\x52\x30\x92",
)  # (5200,9229), (5200,9230): shared, per frame


def is_dicom(content: bytes) -> bool:
    """Whether these are the bytes of a DICOM file."""
    return content[128:132] == b"DICM"


def count(content: bytes) -> int:
    """Number of images in a file, at most `MOST`; 1 where it is damaged, which reading it tells."""
    try:
        if is_dicom(content):
            tags = ["NumberOfFrames"]
            dataset = pydicom.dcmread(
                io.BytesIO(content), stop_before_pixels=True, specific_tags=tags
            )
            return min(max(int(dataset.get("NumberOfFrames") or 1), 1), MOST)
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        if image.format == "JPEG":
            return 1
        return _pages(image)
    except Exception:  # whatever the damage leads a reader to
        return 1


def single(content: bytes, index: int, frames: int, name: str, most_pixels: int) -> bytes:
    """Give the image with this index, from 0, as a file of its own.

    Raises:
        InputError: the file is damaged.
        TooManyPixels: the page is larger than `most_pixels`.
    """
    try:
        if is_dicom(content):
            return _dicom_frame(content, index, frames)
        return content if frames == 1 else _page(content, index, name, most_pixels)
    except reading.TooManyPixels:
        raise
    except Exception as error:  # whatever the damage leads a reader to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name}: frame {index + 1} cannot be read ({reason})") from None


def spacing(content: bytes) -> Optional[Tuple[float, float]]:
    """Height and width of a pixel in mm, where these are the bytes of a DICOM file of one image
    with a usable PixelSpacing; else None.
    """
    if reading.pixel_area(content) is None:
        return None
    height, width = (float(side) for side in _header(content, "PixelSpacing").PixelSpacing)
    return height, width


def _header(content: bytes, *tags: str) -> pydicom.Dataset:
    """Read single elements of a DICOM file."""
    stream = io.BytesIO(content)
    return pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=list(tags))


def _pages(image: Image.Image) -> int:
    """Count the pages by walking through them: a damaged file may have them in a circle."""
    pages = 1
    while pages < MOST:
        try:
            image.seek(pages)
        except EOFError:
            break
        pages += 1
    return pages


def _page(content: bytes, index: int, name: str, most_pixels: int) -> bytes:
    image = Image.open(io.BytesIO(content), formats=FORMATS)
    image.seek(index)
    if image.width * image.height > most_pixels:
        raise reading.TooManyPixels(
            f"{name}: expected at most {most_pixels} pixels, got {image.width}x{image.height}"
        )
    stream = io.BytesIO()
    image.save(stream, format=image.format)
    return stream.getvalue()


def _dicom_frame(content: bytes, index: int, frames: int) -> bytes:
    grouped = any(tag in content for tag in GROUP_TAGS)
    if frames == 1 and not grouped:
        return content
    dataset = pydicom.dcmread(io.BytesIO(content))
    for sequence, position in (
        ("SharedFunctionalGroupsSequence", 0),
        ("PerFrameFunctionalGroupsSequence", index),
    ):
        items = dataset.get(sequence) or []
        if position < len(items):
            _lift(items[position], dataset)
    if frames > 1:
        _cut_out(dataset, index, frames)
    for sequence in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        if sequence in dataset:
            del dataset[sequence]
    dataset.NumberOfFrames = 1
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def _lift(groups: pydicom.Dataset, dataset: pydicom.Dataset) -> None:
    """Write what functional groups say about a frame where a file of one image has it."""
    for group in GROUPS:
        for item in groups.get(group) or []:
            for element in item:
                dataset[element.tag] = copy.deepcopy(element)


def _cut_out(dataset: pydicom.Dataset, index: int, frames: int) -> None:
    """Leave one frame of the pixels."""
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        found = generate_pixel_data_frame(dataset.PixelData, frames)
        frame = next(part for number, part in enumerate(found) if number == index)
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].is_undefined_length = True
        return
    samples = int(dataset.Rows) * int(dataset.Columns) * int(dataset.SamplesPerPixel)
    length = samples * int(dataset.BitsAllocated) // 8
    frame = dataset.PixelData[index * length : (index + 1) * length]
    if len(frame) != length:
        raise ValueError("its pixels end before this frame")
    dataset.PixelData = frame + b"\0" * (length % 2)
