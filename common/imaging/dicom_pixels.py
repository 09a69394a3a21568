"""The frames of a DICOM file, unpacked: values as stored, and colours as red, green and blue."""

from __future__ import annotations

import io
from typing import Iterator, List

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixel_data_handlers import util
from pydicom.uid import UID

from common.errors import InputError
from common.imaging import dicom_frames, jpeg, jpeg2000
from common.imaging.dicom_elements import File
from common.imaging.dicom_layout import JPEG, JPEG_2000, JPEG_BYTES, Layout


def frames(file: File, layout: Layout, chosen: List[int], name: str) -> Iterator[np.ndarray]:
    """Unpack frames, one at a time, as (H, W) of values or (H, W, 3) of RGB, of the stored type.

    Raises:
        InputError: a frame is missing, damaged, or not as the file declares.
    """
    wanted = set(chosen)
    for number, content in enumerate(dicom_frames.contents(file, layout, name)):
        if number in wanted:
            wanted.remove(number)
            yield _unpack(file, layout, content, name)
    if wanted:
        raise InputError(f"{name}: truncated DICOM image (frame {min(wanted) + 1} is missing)")


def stored(values: np.ndarray, layout: Layout) -> np.ndarray:
    """The bits of values that hold them: up to the high bit, and with its sign."""
    if values.dtype.kind == "f" or layout.allocated in (1, layout.stored):
        return values
    unsigned = values.view(np.dtype(f"u{values.itemsize}"))
    spare = unsigned.dtype.type(8 * values.itemsize - layout.stored)
    shift = unsigned.dtype.type(layout.high_bit + 1 - layout.stored)
    return ((unsigned >> shift) << spare).view(values.dtype) >> values.dtype.type(spare)


def check_bits(values: np.ndarray, layout: Layout, name: str) -> None:
    """Raise InputError for values of more bits than the file declares, unless it says what those
    are.
    """
    if layout.allocated in (1, layout.stored) or layout.overlays:
        return
    if values.dtype.kind == "f" or layout.high_bit + 1 > layout.stored:
        return
    unsigned = values.view(np.dtype(f"u{values.itemsize}"))
    beyond = unsigned >> unsigned.dtype.type(layout.stored)
    # Negative values may have their sign in all of the bits beyond.
    if ((beyond != 0) & (stored(values, layout) != values)).any():
        raise InputError(
            f"{name}: a DICOM image of values with more than the {layout.stored} bits of BitsStored"
        )


def _unpack(file: File, layout: Layout, content: bytes, name: str) -> np.ndarray:
    if layout.syntax in JPEG_2000:
        packed = jpeg2000.measure(content, name)
        _check_stream(packed.width, packed.height, packed.bits, layout, name)
        if packed.signed and not layout.signed:  # the other way round, pydicom corrects the sign
            raise InputError(
                f"{name}: a DICOM image declared as unsigned that holds signed JPEG 2000 values"
            )
        pixels = _by_pydicom(file, layout, content)
        if packed.transforms_colours:
            return pixels  # what had been transformed for packing, the decoder has turned back
        if layout.photometric == "YBR_RCT":
            raise InputError(f"{name}: a DICOM image of YBR_RCT colours that are not transformed")
    elif layout.syntax in JPEG:
        stream = jpeg.measure(content, name)
        bits = (stream.bits,) * stream.channels
        _check_stream(stream.width, stream.height, bits, layout, name)
        if layout.syntax in JPEG_BYTES and stream.bits == 8:
            return _jpeg_bytes(content, layout, stream)
        pixels = _by_pydicom(file, layout, content)
    else:
        pixels = _by_pydicom(file, layout, content)
    if layout.samples == 1 or layout.photometric == "RGB":
        return pixels
    return util.convert_color_space(pixels, "YBR_FULL", "RGB")


def _check_stream(width: int, height: int, bits: tuple, layout: Layout, name: str) -> None:
    """Raise InputError where a packed frame is not what the file declares."""
    declared = (layout.columns, layout.rows, layout.samples)
    if (width, height, len(bits)) != declared or max(bits) > layout.allocated:
        raise InputError(
            f"{name}: a DICOM image declared as {layout.columns}x{layout.rows}, {layout.samples} "
            f"channels of {layout.allocated} bits, that holds one of {width}x{height}, {len(bits)} "
            f"of {max(bits)}"
        )


def _jpeg_bytes(content: bytes, layout: Layout, stream: jpeg.Stream) -> np.ndarray:
    """A JPEG frame of bytes, RGB where it has colours.

    Whether they are YCbCr in the stream, its own markers say; PhotometricInterpretation is often
    left at what the image was before it was packed, and counts only where there are none.
    """
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        if stream.is_ycbcr is None and layout.photometric == "RGB":
            image.draft("YCbCr", image.size)  # takes the channels as they are
        image.load()
        return np.array(image)


def _by_pydicom(file: File, layout: Layout, content: bytes) -> np.ndarray:
    """Unpack a frame from as few elements as that needs."""
    frame = Dataset()
    frame.file_meta = FileMetaDataset()
    frame.file_meta.TransferSyntaxUID = UID(layout.syntax)
    frame.is_little_endian = file.elements.is_little_endian
    frame.is_implicit_VR = file.elements.is_implicit_VR
    frame.Rows, frame.Columns = layout.rows, layout.columns
    frame.BitsAllocated, frame.BitsStored = layout.allocated, layout.stored
    frame.HighBit = layout.high_bit
    frame.PixelRepresentation = int(layout.signed)
    frame.SamplesPerPixel = layout.samples
    frame.PhotometricInterpretation = "MONOCHROME2"
    if layout.samples > 1:
        frame.PlanarConfiguration = layout.planar
        # As RGB: decoders differ in what they make of other colours, which are converted later.
        frame.PhotometricInterpretation = "YBR_FULL_422" if layout.is_subsampled else "RGB"
    vr = "OB" if layout.allocated == 8 else file.pixels.vr
    frame.add_new(layout.keyword, vr, encapsulate([content]) if layout.is_packed else content)
    frame[layout.keyword].is_undefined_length = layout.is_packed
    pixels = frame.pixel_array
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
