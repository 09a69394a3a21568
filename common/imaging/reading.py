"""Reading pictures and masks strictly, and writing PNG and, for what no memory holds, TIFF files.

Pillow does the decoding: OpenCV returns a truncated PNG as if it were whole, its missing rows
black.
"""

from __future__ import annotations

import io
import itertools
import math
import re
from pathlib import Path
from typing import Iterable, Optional, Sequence, Tuple

import numpy as np
import pydicom
import tifffile
from PIL import Image
from pydicom.filereader import read_dataset
from pydicom.pixel_data_handlers import util as dicom
from pydicom.uid import DeflatedExplicitVRLittleEndian

from common.errors import InputError
from common.files import atomic_path

LARGE = 1 << 26  # pixels: larger TIFFs are read and written piece by piece
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class TooManyPixels(InputError):
    """A picture that is whole, for all one knows, but larger than the caller wants to decode."""


def read_rgb(path: Path | str) -> np.ndarray:
    """Read an 8-bit picture as uint8 (H, W, 3).

    Grey is repeated, a palette is looked up and alpha is dropped without blending, so that RGBA and
    RGB files of one picture load alike. Raises InputError for anything but a whole picture of 8
    bits per channel.
    """
    return _as_rgb(_decode(path), path)


def read_any(path: Path | str) -> np.ndarray:
    """Read a picture of any size from a PNG, JPEG, TIFF or DICOM file as uint8 (H, W, 1, 3 or 4);
    see `to_rgb`.

    A TIFF of more than `LARGE` pixels comes as a memory map of the file or, where that is packed,
    of a temporary one. DICOM images of more than 8 bits are windowed as they ask for and stretched
    to 0–255. Raises InputError as `read_rgb` does, and for DICOM files of several frames and large
    TIFFs that cannot be mapped.
    """
    path = Path(path)
    if path.is_file():
        with path.open("rb") as stream:
            start = stream.read(132)
        if start.endswith(b"DICM") or path.suffix.lower() == ".dcm":
            return _read_dicom(path, path)
        if start.startswith(_TIFF):
            large = _map_large_tiff(path)
            if large is not None:
                return large
    return read_rgb(path)


def decode(content: bytes, name: str, most_pixels: int) -> np.ndarray:
    """Read an untrusted PNG, JPEG, TIFF or DICOM file from memory as uint8 (H, W, 1, 3 or 4); see
    `to_rgb`.

    No other format is tried, nothing is written to disk, and the size is checked before anything is
    unpacked. DICOM images are windowed as by `read_any`; of several TIFF pages the first is read.

    Raises:
        InputError: it is not a whole picture of these formats; the message names it `name`.
        TooManyPixels: it has more than `most_pixels`.
    """
    if content[128:132] == b"DICM":
        if _transfer_syntax(content) == DeflatedExplicitVRLittleEndian:
            raise InputError(f"{name}: a deflated DICOM file; uncompress it first")
        return _read_dicom(io.BytesIO(content), name, most_pixels)
    return _as_rgb(_open(content, name, ("PNG", "JPEG", "TIFF"), most_pixels), name)


def pixel_area(content: bytes) -> Optional[float]:
    """Area of a pixel in mm², where these are the bytes of a DICOM file with a usable PixelSpacing;
    else None.
    """
    if content[128:132] != b"DICM":
        return None
    try:
        dataset = pydicom.dcmread(
            io.BytesIO(content), stop_before_pixels=True, specific_tags=["PixelSpacing"]
        )
        height, width = (float(side) for side in dataset.PixelSpacing)
    except (AttributeError, TypeError, ValueError):  # absent, empty, not two numbers
        return None
    area = height * width
    return area if min(height, width) > 0 and np.isfinite(area) else None


def to_rgb(pixels: np.ndarray) -> np.ndarray:
    """Turn what `read_any` gives, or a part or a stack of it, into (…, 3): repeat grey, drop
    alpha.
    """
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels[..., :3]


def read_mask(path: Path | str) -> np.ndarray:
    """Read a mask with the values 0/255 or 0/1, grey or with equal colour channels, as bool (H, W).

    Raises InputError for any other value, such as the in-between greys of a resized or
    JPEG-compressed mask.
    """
    channels = _as_rgb(_decode(path), path)
    mask = channels[..., 0]
    if (channels != mask[..., None]).any():
        raise InputError(f"{path}: expected a mask in black and white, got colours")
    values = np.unique(mask)
    if not (np.isin(values, (0, 255)).all() or np.isin(values, (0, 1)).all()):
        shown = ", ".join(map(str, values[:5])) + (", …" if len(values) > 5 else "")
        raise InputError(f"{path}: expected a mask with the values 0/255 or 0/1, got {shown}")
    return mask > 0


def read_pair(image_path: Path | str, mask_path: Path | str) -> Tuple[np.ndarray, np.ndarray]:
    """Read a picture, uint8 (H, W, 3), and its mask, bool (H, W).

    Raises InputError where the mask is missing or of another size, or where either file is
    unreadable.
    """
    image = read_rgb(image_path)
    if not Path(mask_path).exists():
        raise InputError(f"{mask_path}: no such file, expected the mask of {image_path}")
    mask = read_mask(mask_path)
    if mask.shape != image.shape[:2]:
        sizes = [f"{width}x{height}" for height, width in (mask.shape, image.shape[:2])]
        raise InputError(
            f"{mask_path}: the mask is {sizes[0]} but its picture {image_path} is {sizes[1]}"
        )
    return image, mask


def write_png(path: Path | str, array: np.ndarray) -> None:
    """Write uint8 (H, W), (H, W, 3) or (H, W, 4), or bool (H, W) as 0/255, to a PNG file
    atomically.
    """
    if array.dtype == bool and array.ndim == 2:
        array = array.astype(np.uint8) * 255
    if (
        array.dtype != np.uint8
        or array.ndim not in (2, 3)
        or array.shape[2:] not in ((), (3,), (4,))
        or not array.size
    ):
        raise ValueError(
            f"expected uint8 (H, W[, 3 or 4]) or bool (H, W), got {array.dtype} {array.shape}"
        )
    with atomic_path(path) as temporary:
        Image.fromarray(array).save(temporary, format="PNG")


def write_tiff(path: Path | str, shape: Tuple[int, ...], tiles: Iterable[np.ndarray]) -> None:
    """Write a tiled, losslessly compressed TIFF file atomically, holding one tile at a time.

    `shape` is the picture's, (H, W) or (H, W, 3). `tiles` are uint8 and square, in the order of
    `common.imaging.tiling.split`.
    """
    tiles = iter(tiles)
    first = next(tiles)
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary,
            itertools.chain([first], tiles),
            shape=shape,
            dtype=np.uint8,
            tile=first.shape[:2],
            photometric="rgb" if len(shape) == 3 else "minisblack",
            compression="zlib",
            bigtiff=math.prod(shape) > 2**32 - 2**25,  # else its offsets may not reach the end
            maxworkers=1,  # more of them would queue half a gigabyte of tiles
        )


def _transfer_syntax(content: bytes) -> str:
    """How a DICOM file is packed; "" where it does not say. Reads no further than its first group
    of elements.
    """
    stream = io.BytesIO(content)
    stream.seek(132)
    try:
        group = read_dataset(
            stream,
            is_implicit_VR=False,
            is_little_endian=True,
            stop_when=lambda tag, vr, length: tag.group != 2,
        )
        return str(group.get("TransferSyntaxUID", ""))
    except (
        Exception
    ):  # whatever the damage leads the reader to; it will be reported by the one who reads on
        return ""


def _read_dicom(
    source: Path | io.BytesIO, name: Path | str, most_pixels: Optional[int] = None
) -> np.ndarray:
    try:
        dataset = pydicom.dcmread(source)
        frames = int(dataset.get("NumberOfFrames") or 1)
        if most_pixels:
            _check_size(name, int(dataset.Columns), int(dataset.Rows), most_pixels)
        if frames == 1:
            pixels, kind = dataset.pixel_array, dataset.PhotometricInterpretation
            if kind == "PALETTE COLOR":
                pixels = dicom.apply_color_lut(pixels, dataset)
            elif kind.startswith("YBR"):
                pixels = dicom.convert_color_space(pixels, kind, "RGB")
            elif kind.startswith("MONOCHROME"):
                pixels = dicom.apply_voi_lut(dicom.apply_modality_lut(pixels, dataset), dataset)
    except TooManyPixels:
        raise
    except MemoryError:
        raise InputError(f"{name}: not enough memory to decode this picture") from None
    except (
        Exception
    ) as error:  # whatever a file that only looks like DICOM, or is damaged, leads the decoder to
        reason = " ".join(str(error).split())
        reason = f"{reason or type(error).__name__}; if it is compressed, uncompress it first"
        raise InputError(f"{name}: not a readable DICOM image ({reason})") from None
    if frames != 1:
        raise InputError(f"{name}: expected a DICOM image of one frame, got {frames} frames")
    if pixels.dtype != np.uint8:
        low, high = float(pixels.min()), float(pixels.max())
        pixels = np.rint((pixels - low) * (255 / max(high - low, 1e-9))).astype(np.uint8)
    if kind == "MONOCHROME1":
        pixels = 255 - pixels
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _map_large_tiff(path: Path) -> Optional[np.ndarray]:
    """The first page of a large TIFF as a memory map; None if it is not large, or not a TIFF after
    all.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0]
            if page.imagelength * page.imagewidth <= LARGE:
                return None
            kind, axes = page.photometric.name, page.axes
            if page.dtype != np.uint8 or (kind, axes) not in (("MINISBLACK", "YX"), ("RGB", "YXS")):
                raise ValueError(
                    f"got {page.dtype} {kind} with the axes {axes}, expected 8-bit grey or RGB"
                )
            pixels = page.asarray(out="memmap")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (
        Exception
    ) as error:  # whatever the damage leads the decoder to, and codecs that are not installed
        raise InputError(
            f"{path}: a damaged TIFF, or a large one of a kind that cannot be mapped ({error})"
        ) from None
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _decode(path: Path | str) -> Image.Image:
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file, expected a picture") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, expected a picture") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    return _open(content, path)


def _open(
    content: bytes,
    name: Path | str,
    formats: Optional[Sequence[str]] = None,
    most_pixels: Optional[int] = None,
) -> Image.Image:
    if not content:
        raise InputError(f"{name}: the file is empty, expected a picture")
    try:
        image = Image.open(io.BytesIO(content), formats=formats)
        packing = str(image.tile)
        if most_pixels:
            _check_size(name, *image.size, most_pixels)
        image.load()
    except TooManyPixels:
        raise
    except MemoryError:
        raise InputError(f"{name}: not enough memory to decode this picture") from None
    except Image.UnidentifiedImageError:
        raise InputError(f"{name}: not a picture in a known format (PNG, JPEG, TIFF, …)") from None
    except Image.DecompressionBombError:
        if most_pixels:
            raise TooManyPixels(
                f"{name}: expected at most {most_pixels} pixels, got far more"
            ) from None
        raise InputError(
            f"{name}: expected at most {2 * Image.MAX_IMAGE_PIXELS} pixels, except in a TIFF"
        ) from None
    except (
        Exception
    ) as error:  # whatever the damage leads the decoder to: OSError, SyntaxError, struct.error …
        reason = " ".join(str(error).split())
        raise InputError(
            f"{name}: damaged or truncated picture ({reason or type(error).__name__})"
        ) from None
    # Of such pictures Pillow would clip the grey ones to 255 and keep the high bytes of the others,
    # both in silence.
    if image.mode.startswith(("I", "F")) or re.search(";16[BLN]", packing):
        raise InputError(
            f"{name}: expected 8 bits per channel, got more, in a picture of mode {image.mode}"
        )
    return image


def _as_rgb(image: Image.Image, name: Path | str) -> np.ndarray:
    try:
        return np.array(image.convert("RGB"))
    except MemoryError:
        raise InputError(
            f"{name}: not enough memory for a picture of {image.width}x{image.height}"
        ) from None


def _check_size(name: Path | str, width: int, height: int, most_pixels: int) -> None:
    if width * height > most_pixels:
        raise TooManyPixels(f"{name}: expected at most {most_pixels} pixels, got {width}x{height}")
