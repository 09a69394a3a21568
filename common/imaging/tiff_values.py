"""The values of TIFF pages as bytes: in memory or, of large pages, in a mapped file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, Callable, List, Tuple

import numpy as np
import tifffile
from PIL import Image

from common.errors import InputError
from common.imaging import levels
from common.imaging.decoding import AS_STORED, Mapping, Options, check_background, stacked

if TYPE_CHECKING:
    from common.imaging.tiff import Frame

_CHANNELS = {"MINISBLACK": 1, "MINISWHITE": 1, "PALETTE": 1, "RGB": 3, "YCBCR": 3}
_SAY_COLOURS = (6, 7, 33003, 33004, 33005, 33007, 34712, 34892)  # packed with their own conversion
_FAX = (2, 3, 4)  # CCITT, which libtiff unpacks, by way of Pillow
_TIFFFILE = "tifffile.py"  # as value of Software
_ALPHA = ((1,), (2,))  # values of ExtraSamples
_BAND = 1 << 24  # values converted, and bytes of tiles read, at once


def in_memory(
    frames: List[Frame], stream: BinaryIO, name: str, options: Options
) -> Tuple[np.ndarray, Tuple[str, ...], bool]:
    """Read pages of one size and type.

    Returns:
        (n, H, W, 1 or 3), uint8 or, if raw, as stored; how the values of each became bytes; and
        whether an alpha channel has several values.
    """
    if frames[0].page.compression in _FAX:
        return stacked([_fax(frame.page, stream) for frame in frames]), (AS_STORED,), False
    images, told, uneven = [], [], False
    for frame in frames:
        page = frame.page
        _check_kind(page, name)
        values = _values(frame, stream)
        seen, extra = np.split(values, [_CHANNELS[_kind(page)]], axis=-1)
        if tuple(page.extrasamples)[:1] in _ALPHA:
            uneven = uneven or bool(extra.min() != extra.max())
        if options.raw:
            if options.numbers and _is_palette(page):
                check_background(np.asarray(page.colormap)[:, 0].tolist(), name)
                images.append(seen)
            else:
                images.append(_as_shown(seen, page))
            continue
        convert, how = _conversion(seen, page, name, options)
        images.append(convert(seen))
        told.append(how)
    return stacked(images), tuple(told) or (AS_STORED,), uneven


def mapped(page: tifffile.TiffPage, name: str, options: Options) -> Tuple[Mapping, str]:
    """Map a page where it lies, or unpack it into a file and map that; (1, H, W, C)."""
    _check_kind(page, name)
    if page.compression in _FAX:
        raise InputError(f"{name}: a large TIFF packed for fax; save it with deflate or LZW")
    height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
    plain = page.dtype == np.uint8 and page.bitspersample == 8 and not _is_palette(page)
    plain = plain and _kind(page) != "MINISWHITE"
    interleaved = samples == 1 or page.planarconfig == 1
    if plain and interleaved and page.is_contiguous and page.compression == 1:
        if page.dataoffsets[0] + height * width * samples > page.parent.filehandle.size:
            raise InputError(f"{name}: damaged or truncated image (its last rows are missing)")
        return Mapping("", page.dataoffsets[0], (1, height, width, samples)), AS_STORED
    assert options.scratch
    stored, converted_to = options.scratch / "unpacked", options.scratch / "converted"
    unpacked = _new_file(stored, _dtype(page), page.shape)
    tifffile.TIFF.BUFFERSIZE = _BAND  # as an argument, not all versions take it
    page.asarray(out=unpacked, maxworkers=1)
    values = _interleaved(unpacked, page)
    if plain and interleaved:
        return Mapping(str(stored), 0, (1, *values.shape)), AS_STORED
    seen = values[:, :, : _CHANNELS[_kind(page)]]
    convert, told = _conversion(seen, page, name, options)
    shape = (height, width, 3 if _is_palette(page) else seen.shape[-1])
    converted = _new_file(converted_to, np.dtype(np.uint8), shape)
    rows = max(_BAND // (width * samples), 1)
    for start in range(0, height, rows):
        converted[start : start + rows] = convert(seen[start : start + rows])
    os.unlink(stored)
    return Mapping(str(converted_to), 0, (1, *shape)), told


def _check_kind(page: tifffile.TiffPage, name: str) -> None:
    """Raise InputError for a page whose values are not read as grey values or colours."""
    colours = _kind(page)
    bits = page.bitspersample
    if colours not in _CHANNELS:
        kinds = {"SEPARATED": "colours for printing (CMYK)", "CIELAB": "L*a*b* colours"}
        colours = kinds.get(colours, f"photometric interpretation {colours}")
        raise InputError(f"{name}: a TIFF of {colours}; convert it to RGB")
    if colours == "YCBCR" and page.compression not in _SAY_COLOURS:
        raise InputError(f"{name}: a TIFF of YCbCr colours that is not JPEG; convert it to RGB")
    if not isinstance(bits, int) or page.dtype is None or page.dtype.kind not in "buif":
        raise InputError(f"{name}: a TIFF of values that are not read (bits: {bits}); convert it")
    if colours == "PALETTE" and (bits > 8 or page.colormap is None):
        raise InputError(f"{name}: a TIFF with a palette that is not read; convert it to RGB")
    if colours == "MINISWHITE" and page.dtype.kind not in "bu":
        raise InputError(f"{name}: a TIFF of inverted signed values; convert it to MinIsBlack")
    if colours == "MINISWHITE" and page.dtype.kind == "b" and page.software == _TIFFFILE:
        raise InputError(
            f"{name}: a TIFF of single bits from tifffile, which marks 1 as black, also "
            "where it was white; save it as bytes"
        )
    beyond = page.samplesperpixel - _CHANNELS[colours]
    known = beyond == 1 and (colours == "RGB" or tuple(page.extrasamples)[:1] in _ALPHA)
    if beyond and not known:
        raise InputError(
            f"{name}: a TIFF of {page.samplesperpixel} channels that does not say what they show; "
            "save one channel as grey, or three as RGB"
        )


def _kind(page: tifffile.TiffPage) -> str:
    """The name of what the values show, or the number of what tifffile does not know."""
    return getattr(page.photometric, "name", str(page.photometric))


def _dtype(page: tifffile.TiffPage) -> np.dtype:
    assert page.dtype is not None  # `_check_kind` has been there
    return page.dtype


def _is_palette(page: tifffile.TiffPage) -> bool:
    return _kind(page) == "PALETTE"


def _values(frame: Frame, stream: BinaryIO) -> np.ndarray:
    page = frame.page
    if frame.offset is None:
        return _interleaved(page.asarray(maxworkers=1), page)
    stream.seek(frame.offset)
    dtype = _dtype(page).newbyteorder(page.parent.byteorder)
    plane = np.frombuffer(stream.read(page.nbytes), dtype).reshape(page.shape)
    return _interleaved(plane, page)


def _interleaved(values: np.ndarray, page: tifffile.TiffPage) -> np.ndarray:
    """Values of a page as (H, W, samples), a view."""
    height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
    if page.planarconfig == 2 and samples > 1:
        return np.moveaxis(values.reshape(samples, height, width), 0, -1)
    return values.reshape(height, width, samples)


def _fax(page: tifffile.TiffPage, stream: BinaryIO) -> np.ndarray:
    stream.seek(0)
    with Image.open(stream, formats=("TIFF",)) as image:
        image.seek(page.index)
        # Pillow turns what it reads, which is done later here.
        image.getexif().pop(274, None)
        return np.array(image.convert("L"))[..., None]


def _conversion(
    values: np.ndarray, page: tifffile.TiffPage, name: str, options: Options
) -> Tuple[Callable[[np.ndarray], np.ndarray], str]:
    """A function from values of a page to bytes, and in words what it does."""
    bits = page.bitspersample
    if _is_palette(page):
        return lambda part: _as_shown(part, page), AS_STORED
    if _dtype(page).kind in "bu" and bits <= 8:
        # 255 is a multiple of the highest value of 1, 2 and 4 bits, as of 8.
        table = (np.arange(1 << bits) * (255 / ((1 << bits) - 1))).astype(np.uint8)
        return lambda part: table[_as_shown(part, page).astype(np.uint8)], AS_STORED
    low, high, told = levels.choose(_as_shown(values, page), bits, options.grey_range, name)

    def convert(part: np.ndarray) -> np.ndarray:
        shown = _as_shown(part, page)
        return levels.mapped(shown, lambda known: levels.to_bytes(known, low, high))

    return convert, told


def _as_shown(values: np.ndarray, page: tifffile.TiffPage) -> np.ndarray:
    """Values (…, C) with white as the highest, and colours for those of a palette."""
    if _kind(page) == "MINISWHITE":
        top = (1 << page.bitspersample) - 1
        return ~values if values.dtype == bool else values.dtype.type(top) - values
    return _coloured(values, page) if _is_palette(page) else values


def _coloured(indices: np.ndarray, page: tifffile.TiffPage) -> np.ndarray:
    """Look up a palette, whose values have 16 bits: their high bytes count, unless all are 0."""
    palette = np.asarray(page.colormap)
    palette = palette >> 8 if palette.max() > 255 else palette
    return palette.astype(np.uint8).T[indices[..., 0]]


def _new_file(path: os.PathLike, dtype: np.dtype, shape: Tuple[int, ...]) -> np.memmap:
    """A new array in a file, whose room is taken at once: a disk that filled later would kill the
    process.
    """
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    with open(path, "wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, size)
    return np.memmap(path, dtype, "r+", shape=shape)
