"""Overlays: the image with its classes in colour, and below it a legend that says what the network
is worth.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Iterator, List, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from common.files import atomic_path
from common.imaging.reading import to_rgb
from common.prediction import mapped, masks
from common.prediction.mapped import release
from common.prediction.predictor import TargetClass

OPACITY = 0.4
NARROWEST = 240  # pixels of an overlay's width, so that the legend can be read
_PAPER, _INK, _WARNING = (24, 24, 24), (235, 235, 235), (255, 170, 40)
Colour = Tuple[int, int, int]


def write(
    folder: Path,
    name: str,
    image: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[TargetClass],
    caption: str,
    warning: str,
) -> Path:
    """Write NAME_overlay.png or, of many pixels, .tif.

    Args:
        folder: of the results.
        name: of the image's results.
        image: uint8 (H, W, 1, 3 or 4).
        labels: uint8 (H, W), values of the classes.
        classes: with their colours.
        caption: names the network.
        warning: what it is not worth; "" for nothing.
    """
    height, width = labels.shape
    strip = legend_strip(max(width, NARROWEST), classes, caption, warning)
    whole = (height + len(strip), strip.shape[1], 3)

    def rows(step: int) -> Iterator[np.ndarray]:
        """Rows of the overlay, then of the legend, `step` at a time."""
        for top in range(0, whole[0], step):
            band = np.zeros((min(step, whole[0] - top), *whole[1:]), np.uint8)
            shown = tint(image[top : top + step], labels[top : top + step], classes)
            band[: len(shown), :width] = shown
            if top + step > height:
                first = max(top - height, 0)
                part = strip[first : top + step - height]
                band[-len(part) :] = part
            yield band
            release(image)
            release(labels)

    if whole[0] * whole[1] > mapped.LARGE:
        path = folder / f"{name}_overlay.tif"
        tiles = masks.cut_rows(rows(masks.TILE), whole[1])
        masks.write_tiles(path, whole, np.uint8, tiles, "rgb", f"{caption} {warning}")
        return path
    path = folder / f"{name}_overlay.png"
    picture = next(rows(whole[0]))
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG", compress_level=4)
    return path


def tint(image: np.ndarray, labels: np.ndarray, classes: Sequence[TargetClass]) -> np.ndarray:
    """Colour the classes of uint8 (H, W, C) and leave the background: uint8 (H, W, 3)."""
    shown = np.array(to_rgb(np.asarray(image)))
    for target in classes:
        inside = labels == target.value
        colour = np.array(target.colour, np.float32)
        mixed = shown[inside] * np.float32(1 - OPACITY) + colour * np.float32(OPACITY)
        shown[inside] = np.rint(mixed).astype(np.uint8)
    return shown


def legend_strip(
    width: int, classes: Sequence[TargetClass], caption: str, warning: str
) -> np.ndarray:
    """Draw the legend as uint8 (h, width, 3): classes, network, and in another colour a warning."""
    size = int(np.clip(width / 60, 11, 48))
    font = ImageFont.load_default(size)
    letters = max(int(width / font.getlength("n")) - 2, 10)
    lines: List[Tuple[str, Colour]] = [(f"# {one.name}", one.colour) for one in classes]
    lines += [(line, _INK) for line in textwrap.wrap(caption, letters)]
    lines += [(line, _WARNING) for line in textwrap.wrap(warning, letters)]
    line_height = round(size * 1.4)
    strip = Image.new("RGB", (width, line_height * len(lines) + size), _PAPER)
    draw = ImageDraw.Draw(strip)
    for number, (text, colour) in enumerate(lines):
        left, top = size // 2, number * line_height + size // 2
        if text.startswith("# "):
            draw.rectangle((left, top, left + size, top + size), colour)
            left, text, colour = left + 2 * size, text[2:], _INK
        draw.text((left, top), text, colour, font)
    return np.array(strip)
