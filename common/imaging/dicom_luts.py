"""Look-up tables of DICOM files: of grey values, and of colours (DICOM PS3.3, C.7.6.3.1 and C.11).

Not by pydicom, whose indices into a table of bytes are bytes.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixel_data_handlers import util

from common.errors import InputError
from common.imaging.dicom_elements import numbers
from common.imaging.dicom_layout import Layout

_COLOURS = ("Red", "Green", "Blue")


def grey(lut: Dataset, elements: Dataset, layout: Layout, name: str) -> Tuple[int, np.ndarray]:
    """The value that the first entry is for, and the entries, of an item of a LUT sequence."""
    count, first, _ = _descriptor(lut, "LUTDescriptor", layout, name)
    return first, _entries(lut, "LUTData", count, bool(elements.is_little_endian), name)


def bits(lut: Dataset, name: str) -> int:
    """How many bits an item of a LUT sequence says that its entries have."""
    return int(numbers(lut, "LUTDescriptor", name)[2])


def palette(elements: Dataset, layout: Layout, name: str) -> np.ndarray:
    """The colour of each value that `layout` allows, uint8 (2^bits, 3).

    The high byte counts where entries have 16 bits. Some files declare 16, and fill 8.
    """
    if layout.stored > 16:
        raise InputError(f"{name}: a DICOM image with a palette for {layout.stored} bits")
    prefix = "{}PaletteColorLookupTable"
    count, first, depth = _descriptor(elements, f"{prefix.format('Red')}Descriptor", layout, name)
    if "SegmentedRedPaletteColorLookupTableData" in elements:
        if depth == 8 and count > 256:
            raise InputError(f"{name}: a DICOM image with a palette of a kind that is not read")
        colours = util.apply_color_lut(np.arange(first, first + count), elements)[..., :3]
    else:
        keywords = (f"{prefix.format(colour)}Data" for colour in _COLOURS)
        order = bool(elements.is_little_endian)
        tables = [_entries(elements, keyword, count, order, name) for keyword in keywords]
        colours = np.stack(tables, axis=-1)
    colours = (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)
    return colours[np.clip(np.arange(1 << layout.stored) - first, 0, count - 1)]


def _descriptor(lut: Dataset, keyword: str, layout: Layout, name: str) -> Tuple[int, int, int]:
    """Number of entries, the value that the first is for, and bits of an entry."""
    found = numbers(lut, keyword, name)
    if len(found) != 3:
        raise InputError(f"{name}: {keyword} of the DICOM file has {len(found)} values, expected 3")
    count, first, depth = (int(number) for number in found)
    if layout.signed and first >= 1 << 15:
        first -= 1 << 16  # its VR is that of unsigned values
    return count or 1 << 16, first, depth


def _entries(
    holder: Dataset, keyword: str, count: int, little_endian: bool, name: str
) -> np.ndarray:
    """The entries, int64 (count,), as bytes or words."""
    data = holder.get(keyword) or b""
    if isinstance(data, bytes) and len(data) < 2 * count:
        if data and holder[keyword].VR == "OW" and not little_endian:  # pairs, the wrong way round
            data = np.frombuffer(data, np.uint16).byteswap().tobytes()
        entries: np.ndarray = np.frombuffer(data, np.uint8)
    elif isinstance(data, bytes):
        entries = np.frombuffer(data, "<u2" if little_endian else ">u2")
    else:
        entries = np.atleast_1d(np.asarray(data))
    entries = entries.astype(np.int64)[:count]
    if len(entries) < count:
        raise InputError(
            f"{name}: a LUT of the DICOM file has {len(entries)} entries, expected {count}"
        )
    return entries
