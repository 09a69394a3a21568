"""The pictures and tables of the decision-support page, as SVG and HTML. What comes as text is HTML
already.
"""

from __future__ import annotations

import base64
import io
from typing import Sequence, Tuple

import cv2
import numpy as np
from PIL import Image

LETTER = 0.025  # height of the letters in a drawing, as part of its longer side


def data_address(array: np.ndarray) -> str:
    """Turn uint8 (H, W) or (H, W, 3) into the address of a PNG picture that holds it."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def picture(image: np.ndarray) -> str:
    """Show an image, uint8 (H, W, 3), alone: the drawing lies over it, so a change of that does not
    send it again.
    """
    height, width = image.shape[:2]
    return (
        f"<svg viewBox='0 0 {width} {height}' aria-hidden='true'>"
        f"<image width='{width}' height='{height}' href='{data_address(image)}'/></svg>"
    )


def drawing(shape: Tuple[int, ...], label: str, content: str) -> str:
    """What lies over an image of this shape: SVG `content`, and `label` for those who cannot see
    it.
    """
    return (
        f"<svg viewBox='0 0 {shape[1]} {shape[0]}' role='img' aria-label='{label}'>{content}</svg>"
    )


def outline(mask: np.ndarray, box: np.ndarray, label: str, colour: str) -> str:
    """Draw a finding: the outline of its mask, its box, dashed, and its label at the box, as SVG.

    Args:
        mask: bool (H, W).
        box: y1, x1, y2, x2 in pixels.
        label: goes above the box or, where there is no room, below.
        colour: as in CSS.
    """
    height, width = mask.shape
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    # A contour runs through the centres of the pixels on the rim, which lie half a pixel off their
    # corners.
    paths = [
        "M" + " ".join(f"{x + 0.5:g},{y + 0.5:g}" for x, y in contour[:, 0]) + "Z"
        for contour in contours
    ]
    y1, x1, y2, x2 = (float(side) for side in box)
    size = LETTER * max(height, width)
    long, high = 0.56 * size * (len(label) + 0.5), 1.4 * size
    left = min(max(x1, 0), max(width - long, 0))
    top = y1 - high if y1 >= high else min(y2, height - high)
    path = " ".join(paths)
    return (
        f"<path class='bt-halo' d='{path}'/><path class='bt-contour' d='{path}' stroke='{colour}'/>"
        f"<rect class='bt-box' x='{x1:g}' y='{y1:g}' width='{x2 - x1:g}' "
        f"height='{y2 - y1:g}' stroke='{colour}'/>"
        f"<rect class='bt-plate' x='{left:g}' y='{top:g}' width='{long:g}' height='{high:g}'/>"
        f"<text x='{left + 0.3 * size:g}' y='{top + 1.05 * size:g}' font-size='{size:g}' "
        f"fill='{colour}'>{label}</text>"
    )


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out cells of HTML below their headings."""
    head = "".join(f"<th scope='col'>{heading}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
