"""Reading PNG, JPEG, BMP, GIF and WebP files.

Pillow decodes: OpenCV returns a truncated PNG as if it were whole, its missing rows black. Of 16
bits per channel Pillow would keep 8 in silence, so that such PNGs are decoded by imagecodecs, once
Pillow has found them whole.
"""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
from PIL import Image

from common.errors import InputError
from common.imaging import jpeg, levels
from common.imaging.decoding import (
    AS_STORED,
    Decoded,
    Options,
    Source,
    check_background,
    count_only,
    names_damage,
    open_file,
    stacked,
)
from common.imaging.limits import MOST_BYTES, MOST_CHUNKS, TooManyPixels, check_size
from common.imaging.orientation import TAG, UPRIGHT

_GREY = ("1", "L", "LA")  # modes of Pillow with one channel, but for alpha
_COLOURS = ("P", "PA", "RGB", "RGBA", "RGBX", "YCbCr")
# Such as "Corrupt EXIF data": nothing that a user could mend.
warnings.filterwarnings("ignore", module=r"PIL\.")


def read(source: Source, name: str, options: Options, kind: str) -> Decoded:
    """Read a file of the format `kind`.

    Grey is one channel; a palette is looked up; alpha is dropped without blending, so that RGBA and
    RGB files of one image load alike.
    """
    with names_damage(name):
        content = _content(source, name)
        if kind == "JPEG":
            jpeg.check(content, name, options.most())
        if kind == "PNG":
            _check_chunks(content, name)
        try:
            image = Image.open(io.BytesIO(content), formats=(kind,))
        except Image.DecompressionBombError:
            raise TooManyPixels(
                f"{name}: expected at most {options.most()} pixels, got far more"
            ) from None
        check_size(name, *image.size, options.most())
        frames = getattr(image, "n_frames", 1)
        chosen = options.choose(frames, name)
        if options.frame == "count":
            return count_only(frames)
        # To draw one frame, those before it have to be drawn as well.
        check_size(name, image.width, image.height * (max(chosen) + 1), options.most())
        if kind == "PNG" and content[24] == 16:
            return _sixteen_bits(content, image, name, options, frames)
        arrays, uneven = [], False
        for number in chosen:
            image.seek(number)
            image.load()
            arrays.append(_numbers(image, name) if options.numbers else _pixels(image, name))
            seen = options.raw and not (options.numbers and image.mode == "P")
            uneven = uneven or (seen and has_uneven_alpha(image))
        return Decoded(stacked(arrays), frames, (AS_STORED,), _orientation(image), uneven)


def _content(source: Source, name: str) -> bytes:
    if isinstance(source, bytes):
        return source
    with open_file(source, name) as stream:
        if stream.seek(0, io.SEEK_END) > MOST_BYTES:
            raise InputError(f"{name}: expected at most {MOST_BYTES} bytes, except in a TIFF")
        stream.seek(0)
        return stream.read()


def _check_chunks(content: bytes, name: str) -> None:
    """Raise InputError for a PNG of more chunks than its size asks for."""
    most = MOST_CHUNKS + len(content) // 1024
    place, count = 8, 0
    while place + 8 <= len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        place += 12 + length
        count += 1
        if count > most:
            raise InputError(f"{name}: a PNG of more than {most} chunks")


def _pixels(image: Image.Image, name: str) -> np.ndarray:
    """A loaded frame as uint8 (H, W, 1 or 3)."""
    if image.mode in _GREY:
        return np.array(image.convert("L"))[..., None]
    if image.mode in _COLOURS:
        return np.array(image.convert("RGB"))
    kinds = {"CMYK": "colours for printing (CMYK)", "LAB": "L*a*b* colours"}
    kind = kinds.get(image.mode, f"mode {image.mode}")
    raise InputError(f"{name}: an image of {kind}; convert it to RGB")


def _numbers(image: Image.Image, name: str) -> np.ndarray:
    """The numbers of a frame with a palette, uint8 (H, W, 1); else as `_pixels`."""
    palette = image.getpalette() if image.mode == "P" else None
    if palette is None:
        return _pixels(image, name)
    check_background(palette[:3], name)
    return np.array(image)[..., None]


def has_uneven_alpha(image: Image.Image) -> bool:
    """Whether some pixels are more transparent than others."""
    if image.mode not in ("LA", "PA", "RGBA") and "transparency" not in image.info:
        return False
    lowest, highest = image.convert("RGBA").getchannel("A").getextrema()
    return lowest != highest


def _sixteen_bits(
    content: bytes, image: Image.Image, name: str, options: Options, frames: int
) -> Decoded:
    import imagecodecs  # not at the top: it loads some fifty codecs, and few images have 16 bits

    if frames > 1:
        raise InputError(f"{name}: an animated PNG of 16 bits; save its frames apart")
    image.load()
    pixels = imagecodecs.png_decode(content)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    uneven = False
    if pixels.shape[2] in (2, 4):
        alpha, pixels = pixels[..., -1], pixels[..., :-1]
        uneven = alpha.min() != alpha.max()
    orientation = _orientation(image)
    if options.raw:
        return Decoded(pixels[None], 1, (AS_STORED,), orientation, uneven)
    low, high, told = levels.choose(pixels, 16, options.grey_range, name)
    bytes_ = levels.mapped(pixels, lambda values: levels.to_bytes(values, low, high))
    return Decoded(bytes_[None], 1, (told,), orientation, uneven)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(TAG, UPRIGHT)
    except Exception:  # the pixels are whole, so damaged EXIF data count as absent
        return UPRIGHT
    return value if value in range(1, 9) else UPRIGHT
