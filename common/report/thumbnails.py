"""The figures of all papers, recompressed to become part of one page."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Dict, Iterable, NamedTuple

from PIL import Image

from common import files
from common.errors import InputError

# Together, 6 million pixels, mostly of histology, are 0.8 MB of WebP, 1.1 MB in base64: a tenth of
# the PNG files, which lie beside the page. Every browser since 2020 shows it.
WIDEST, PIXELS, QUALITY = 1000, 6e6, 65


class Thumbnail(NamedTuple):
    """A small image as an address that holds it; `digest` is the SHA-256 of the file that it was
    made from.
    """

    source: str
    digest: str
    width: int
    height: int


def embed(paths: Iterable[Path]) -> Dict[Path, Thumbnail]:
    """Recompress images to at most WIDEST pixels in width, and to at most PIXELS altogether.

    Raises:
        InputError: one of them is damaged.
    """
    images = {path: _read(path) for path in paths}
    scales = {path: min(1, WIDEST / image.width) for path, image in images.items()}
    pixels = sum(image.width * image.height * scales[path] ** 2 for path, image in images.items())
    shrink = min(1, (PIXELS / pixels) ** 0.5) if pixels else 1
    embedded = {}
    for path, image in images.items():
        width, height = (max(1, round(side * scales[path] * shrink)) for side in image.size)
        stream = io.BytesIO()
        image.resize((width, height), Image.Resampling.LANCZOS).save(
            stream, "WEBP", quality=QUALITY, method=2
        )
        source = f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
        embedded[path] = Thumbnail(source, files.sha256(path), width, height)
    return embedded


def _read(path: Path) -> Image.Image:
    try:
        with Image.open(files.buffered(path)) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError):  # SyntaxError: a broken PNG
        raise InputError(f"{path}: not an image; regenerate it") from None
