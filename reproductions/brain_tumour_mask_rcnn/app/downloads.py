"""Files to take away from the page: mask, overlay, table, and the mask as DICOM SEG."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from importlib import metadata
from typing import Iterable, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from common.errors import InputError
from reproductions.brain_tumour_mask_rcnn.app import svg, wire
from reproductions.brain_tumour_mask_rcnn.app.findings import Finding

COLUMNS = (
    *("file", "frame", "finding", "score", "x1", "y1", "x2", "y2", "area_pixels", "area_mm2"),
    *("threshold", "network", "training_data", "note"),
)
FONT = "matplotlib/mpl-data/fonts/ttf/DejaVuSans.ttf"
SECONDS = 60  # that the writing of a DICOM file may take


def mask_png(mask: np.ndarray, spacing: Optional[Tuple[float, float]], note: str) -> bytes:
    """Write a mask, bool (H, W), as PNG of 0 and 255.

    Args:
        mask: the mask.
        spacing: height and width of a pixel in mm; goes into the file as its resolution and, to
            the last digit, as the text PixelSpacing.
        note: goes into the file as its Description.
    """
    about = PngImagePlugin.PngInfo()
    about.add_itxt("Description", note)
    options = {}
    if spacing:
        about.add_text("PixelSpacing", f"{spacing[0]:g}\\{spacing[1]:g}")
        options["dpi"] = (25.4 / spacing[1], 25.4 / spacing[0])
    stream = io.BytesIO()
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    image.save(stream, format="PNG", pnginfo=about, **options)
    return stream.getvalue()


def overlay_png(
    image: np.ndarray, found: Sequence[Finding], labels: Sequence[str], notes: Iterable[str]
) -> bytes:
    """Draw findings into an image, uint8 (H, W, 3), with lines of notes below, as PNG."""
    height, width = image.shape[:2]
    drawn = image.copy()
    thick = max(round(max(height, width) / 300), 1)
    for number, finding in reversed(list(enumerate(found, start=1))):
        paint = _rgb(svg.colour(number))
        cv2.drawContours(drawn, svg.contours(finding), -1, paint, thick)
    picture = Image.fromarray(drawn)
    draw = ImageDraw.Draw(picture)
    plates = svg.place_labels([finding.box for finding in found], labels, image.shape)
    for number, (plate, text) in enumerate(zip(plates, labels), start=1):
        corner = (plate.x + plate.width, plate.y + plate.height)
        draw.rectangle((plate.x, plate.y, *corner), fill=(0, 0, 0))
        font = _font(plate.height / 1.4)
        draw.text((plate.x + 2, plate.y), text, _rgb(svg.colour(number)), font)
    stream = io.BytesIO()
    _with_notes(picture, list(notes)).save(stream, format="PNG")
    return stream.getvalue()


def table_csv(rows: Iterable[Sequence[object]]) -> bytes:
    """Write rows of `COLUMNS` as CSV in UTF-8, with the mark by which spreadsheets tell it."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(list(map(_harmless, row)))
    return stream.getvalue().encode("utf-8-sig")


def dicom_seg(content: bytes, masks: np.ndarray, network: str, note: str) -> bytes:
    """Write masks, bool (frames, H, W), as DICOM SEG for the DICOM file in `content`.

    A process of its own does it: the library is large, and the tab stays small.

    Raises:
        InputError: the file lacks what DICOM SEG has to repeat, such as the identifiers of study
            and series.
    """
    header = {"shape": masks.shape, "file": len(content), "network": network, "note": note}
    request = wire.pack(header, content + np.packbits(masks).tobytes())
    command = [sys.executable, "-m", f"{__package__}.dicom_seg"]
    try:
        done = subprocess.run(command, input=request, capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise InputError(f"it took longer than {SECONDS} seconds") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else "error: the process that writes it has ended"
        raise InputError(reason.partition("error: ")[2] or reason)
    return done.stdout


def _harmless(cell: object) -> object:
    """Keep a spreadsheet from taking a file's name for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" and cell else cell


def _with_notes(picture: Image.Image, notes: List[str]) -> Image.Image:
    """Add a white strip with text below an image; long lines are broken."""
    size = max(min(picture.height, picture.width) / 36, 10.0)
    font, line = _font(size), round(1.35 * size)
    lines = [part for note in notes for part in _broken(note, font, picture.width - 8)]
    whole = Image.new("RGB", (picture.width, picture.height + line * len(lines) + 6), "white")
    whole.paste(picture)
    draw = ImageDraw.Draw(whole)
    for index, text in enumerate(lines):
        draw.text((4, picture.height + 2 + index * line), text, (0, 0, 0), font)
    return whole


def _broken(text: str, font: ImageFont.FreeTypeFont, width: float) -> List[str]:
    """Break a text into lines of at most this width."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _font(size: float) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which has the Turkish letters; it comes with Matplotlib."""
    file = metadata.distribution("matplotlib").locate_file(FONT)
    return ImageFont.truetype(str(file), max(size, 6))


def _rgb(colour: str) -> Tuple[int, int, int]:
    """Turn #rrggbb into three numbers."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue
