"""Grey values of DICOM images as bytes, as the file asks for (DICOM PS3.3, C.7.6.16.2 and C.11).

Stored values become values of the modality, by rescaling or a modality LUT. A VOI LUT or a window
maps these to bytes by its own range. Without one, bytes that are not rescaled stay as they are; of
other values, the lowest and the highest in the frame become black and white. Padding is left out of
that range, and black.
"""

from __future__ import annotations

from typing import Callable, Optional, Tuple

import numpy as np
from pydicom.dataset import Dataset

from common.errors import InputError
from common.imaging import dicom_luts, levels
from common.imaging.decoding import AS_STORED, Options
from common.imaging.dicom_elements import group, items, number, numbers, text
from common.imaging.dicom_layout import Layout
from common.imaging.dicom_pixels import check_bits, stored
from common.imaging.levels import to_bytes

Function = Callable[[np.ndarray], np.ndarray]


def to_grey(
    pixels: np.ndarray, elements: Dataset, layout: Layout, frame: int, options: Options, name: str
) -> Tuple[np.ndarray, str]:
    """Map the values of a frame, (H, W) as they are in the file, to uint8, and say how.

    Raises:
        InputError: an element that matters is none that it can be.
    """
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise InputError(f"{name}: expected finite pixel values, got NaN or infinity among them")
    is_padding = _padding(elements, layout, name)
    padding = levels.mapped(pixels, is_padding)
    check_bits(pixels[~padding], layout, name)
    modality, changes = _modality(elements, layout, frame, name)
    voi, told = _voi(elements, layout, frame, name)
    if voi is None or options.grey_range:
        plain = layout.stored == 8 and not layout.signed and not changes
        seen = stored(pixels[~padding], layout)
        voi, told = _range(seen, modality, plain, options)
    inverts = layout.photometric == "MONOCHROME1"

    def convert(values: np.ndarray) -> np.ndarray:
        grey = voi(modality(stored(values, layout)))
        return 255 - grey if inverts else grey

    return np.where(padding, np.uint8(0), levels.mapped(pixels, convert)), told


def _modality(elements: Dataset, layout: Layout, frame: int, name: str) -> Tuple[Function, bool]:
    """From stored values to those of the modality, and whether they change at all."""
    luts = items(elements, "ModalityLUTSequence", name)
    if luts:
        first, entries = dicom_luts.grey(luts[0], elements, layout, name)
        last = len(entries) - 1
        return lambda values: entries[np.clip(values.astype(int) - first, 0, last)], True
    rescale = group(elements, "PixelValueTransformationSequence", frame, name)
    slope = number(rescale, "RescaleSlope", name) or 1.0
    intercept = number(rescale, "RescaleIntercept", name) or 0.0
    if (slope, intercept) == (1, 0):
        return lambda values: values, False
    return lambda values: values * slope + intercept, True


def _padding(elements: Dataset, layout: Layout, name: str) -> Function:
    """Which values are padding."""
    is_float = layout.keyword != "PixelData"
    keyword = "FloatPixelPaddingValue" if is_float else "PixelPaddingValue"
    first = number(elements, keyword, name)
    if first is None:
        return lambda values: np.zeros(values.shape, bool)
    limit = number(elements, keyword.replace("Value", "RangeLimit"), name)
    ends = [first, first if limit is None else limit]
    if is_float:
        return lambda values: (values >= min(ends)) & (values <= max(ends))
    ends = sorted(_signed_as(int(end), layout) for end in ends)

    def is_padding(values: np.ndarray) -> np.ndarray:
        # Its bits may lie beyond those of other values.
        both = (values, stored(values, layout))
        inside = [(ends[0] <= some) & (some <= ends[1]) for some in both]
        return inside[0] | inside[1]

    return is_padding


def _signed_as(value: int, layout: Layout) -> int:
    """A padding value with the sign that pixels have: it is often stored with the other."""
    span = 1 << layout.allocated
    value %= span
    return value - span if layout.signed and value >= span // 2 else value


def _voi(
    elements: Dataset, layout: Layout, frame: int, name: str
) -> Tuple[Optional[Function], str]:
    """From values of the modality to bytes by a VOI LUT or a window; (None, "") without one."""
    luts = items(elements, "VOILUTSequence", name)
    if luts:
        return _voi_lut(luts[0], elements, layout, name)
    place = group(elements, "FrameVOILUTSequence", frame, name)
    centres, widths = (numbers(place, f"Window{part}", name) for part in ("Center", "Width"))
    if not centres or not widths or not widths[0]:
        return None, ""
    function = text(place, "VOILUTFunction", name) or "LINEAR"
    centre, width = centres[0], widths[0]
    if width < 0:
        raise InputError(f"{name}: WindowWidth of the DICOM file is {width:g}, expected 0 or more")
    told = f"window {centre:g}/{width:g}"
    if function == "LINEAR" and width >= 1:
        if width == 1:
            return lambda values: np.where(values > centre - 0.5, 255, 0).astype(np.uint8), told
        low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
        return lambda values: to_bytes(values, low, high), told
    if function in ("LINEAR", "LINEAR_EXACT"):  # the first is not defined for a width below 1
        low, high = centre - width / 2, centre + width / 2
        return lambda values: to_bytes(values, low, high), f"{told} (LINEAR_EXACT)"
    if function == "SIGMOID":

        def sigmoid(values: np.ndarray) -> np.ndarray:
            steepness = np.clip(-4 * (values - centre) / width, -700, 700)
            return to_bytes(1 / (1 + np.exp(steepness)), 0, 1)

        return sigmoid, f"{told} (SIGMOID)"
    raise InputError(
        f"{name}: VOILUTFunction of the DICOM file is {function[:40]!r}, expected LINEAR, "
        "LINEAR_EXACT or SIGMOID"
    )


def _voi_lut(lut: Dataset, elements: Dataset, layout: Layout, name: str) -> Tuple[Function, str]:
    """A VOI LUT. Its range is that of its bits, or of fewer where its entries need no more: many
    files declare 16 bits whatever their entries have.
    """
    first, entries = dicom_luts.grey(lut, elements, layout, name)
    top = (1 << min(dicom_luts.bits(lut, name), int(entries.max()).bit_length())) - 1
    table = to_bytes(entries, 0, top)

    def look_up(values: np.ndarray) -> np.ndarray:
        return table[np.clip(np.rint(values) - first, 0, len(table) - 1).astype(int)]

    return look_up, f"VOI LUT, 0 to {top}"


def _range(
    seen: np.ndarray, modality: Function, plain: bool, options: Options
) -> Tuple[Function, str]:
    """From values of the modality to bytes by a range: the one asked for, or that of the stored
    values `seen`.
    """
    wanted = options.grey_range
    if wanted is None and plain:
        return lambda values: values.astype(np.uint8), AS_STORED
    if wanted is not None and not wanted.percentiles:
        told = f"range {wanted.low:g} to {wanted.high:g} as asked for"
        return lambda values: to_bytes(values, wanted.low, wanted.high), told
    if not seen.size:
        return lambda values: np.zeros(values.shape, np.uint8), "nothing but padding"
    if wanted is None:
        ends, told = (seen.min(), seen.max()), "lowest and highest value"
    else:
        ends, told = levels.percentiles(seen[:, None], wanted), f"percentiles {wanted}"
    seen_as = modality(np.array(ends).astype(seen.dtype))
    low, high = float(seen_as.min()), float(seen_as.max())
    told = f"{told} of the frame without padding, {low:g} to {high:g}"
    return lambda values: to_bytes(values, low, high), told
