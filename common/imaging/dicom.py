"""Reading DICOM files."""

from __future__ import annotations

from typing import Tuple

import numpy as np
from pydicom.dataset import Dataset

from common.errors import InputError
from common.imaging import dicom_elements, dicom_grey, dicom_luts, dicom_pixels, isolation, levels
from common.imaging.decoding import (
    AS_STORED,
    Decoded,
    Options,
    Source,
    count_only,
    names_damage,
    open_file,
    stacked,
)
from common.imaging.dicom_layout import GREY, PALETTE, Layout, check_kind, read_layout
from common.imaging.limits import check_size


def read(source: Source, name: str, options: Options) -> Decoded:
    """Read one frame, or all.

    Grey values become bytes as `dicom_grey` says, colours by the range of their bits, and palettes
    by their high bytes.
    """
    with names_damage(name, "not a readable DICOM image"), open_file(source, name) as stream:
        file = dicom_elements.parse(stream, name)
        check_kind(file, name)
        count = dicom_elements.whole(file.elements, "NumberOfFrames", name, 1) or 1
        chosen = options.choose(count, name)
        spacing = dicom_elements.spacing(file.elements, name)
        if options.frame == "count":
            return count_only(count)._replace(spacing=spacing)
        layout = read_layout(file, count, name)
        check_size(name, layout.columns, layout.rows * len(chosen), options.most())
        isolation.allow(layout.columns * layout.rows * len(chosen))
        images, told = [], []
        for number, pixels in zip(chosen, dicom_pixels.frames(file, layout, chosen, name)):
            image, how = _to_bytes(pixels, file.elements, layout, number, options, name)
            images.append(image)
            told.append(how)
        return Decoded(stacked(images), count, tuple(told), spacing=spacing)


def _to_bytes(
    pixels: np.ndarray, elements: Dataset, layout: Layout, frame: int, options: Options, name: str
) -> Tuple[np.ndarray, str]:
    """Values or colours of a frame as uint8 (H, W, 1 or 3), and in words how."""
    if layout.photometric in GREY:
        grey, told = dicom_grey.to_grey(pixels, elements, layout, frame, options, name)
        return grey[..., None], told
    dicom_pixels.check_bits(pixels, layout, name)
    pixels = dicom_pixels.stored(pixels, layout)
    bits = layout.stored
    if layout.signed or bits > 32:
        raise InputError(f"{name}: a DICOM image of signed colours, which is not read")
    if layout.photometric == PALETTE:
        return dicom_luts.palette(elements, layout, name)[pixels], AS_STORED
    if bits == 8:
        return pixels.astype(np.uint8), AS_STORED
    wanted = options.grey_range if bits > 8 else None
    low, high, told = 0.0, float(2**bits - 1), f"full range of {bits} bits, 0 to {2**bits - 1}"
    if wanted is not None:
        low, high, told = levels.choose(pixels, bits, wanted, name)
    return levels.mapped(pixels, lambda values: levels.to_bytes(values, low, high)), told
