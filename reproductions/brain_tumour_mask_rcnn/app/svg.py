"""The image and what is drawn over it, as SVG. What comes as text is HTML already."""

from __future__ import annotations

import base64
import io
from typing import List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np
from PIL import Image

from reproductions.brain_tumour_mask_rcnn.app.findings import Finding

LETTER = 0.034  # height of the letters in a drawing, as a fraction of its longer side
# Okabe and Ito: for colour vision of any kind.
COLOURS = ("#56b4e9", "#e69f00", "#f0e442", "#cc79a7", "#009e73")


class Rectangle(NamedTuple):
    """A rectangle in pixels of the image."""

    x: float
    y: float
    width: float
    height: float

    def overlap(self, other: Rectangle) -> float:
        """Area that two rectangles share."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(width, 0) * max(height, 0)


def colour(number: int) -> str:
    """Colour of the finding with this number, from 1."""
    return COLOURS[(number - 1) % len(COLOURS)]


def data_address(array: np.ndarray) -> str:
    """Turn uint8 (H, W) or (H, W, 3) into the address of a PNG image that holds it."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG", compress_level=3)
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


def drawing(
    shape: Tuple[int, ...], label: str, found: Sequence[Finding], labels: Sequence[str]
) -> str:
    """Draw findings over an image of this shape.

    Args:
        shape: height and width.
        label: what there is to see, for those who cannot.
        found: the surest first; it is drawn last, over the others.
        labels: of the findings.
    """
    plates = place_labels([finding.box for finding in found], labels, shape)
    shapes = [
        _finding(number, finding, text, plate)
        for number, (finding, text, plate) in enumerate(zip(found, labels, plates), start=1)
    ]
    content = "".join(reversed([outline for outline, _ in shapes]))
    content += "".join(reversed([text for _, text in shapes]))
    return (
        f"<svg viewBox='0 0 {shape[1]} {shape[0]}' role='img' aria-label='{label}'>{content}</svg>"
    )


def place_labels(
    boxes: Sequence[Sequence[float]], labels: Sequence[str], shape: Tuple[int, ...]
) -> List[Rectangle]:
    """Find a place for the label of each box, the surest first: at the box, inside the image, over
    no other label if that can be, and over as little of the boxes as can be.

    Args:
        boxes: y1, x1, y2, x2 in pixels.
        labels: one for each box.
        shape: height and width of the image.
    """
    size = letter(shape)
    areas = [Rectangle(x1, y1, x2 - x1, y2 - y1) for y1, x1, y2, x2 in boxes]
    placed: List[Rectangle] = []
    for box, text in zip(boxes, labels):
        width, height = 0.56 * size * (len(text) + 0.8), 1.4 * size
        places = _places(box, width, height)
        inside = [
            Rectangle(
                min(max(x, 0), max(shape[1] - width, 0)),
                min(max(y, 0), max(shape[0] - height, 0)),
                width,
                height,
            )
            for x, y in places
        ]
        far = [abs(r.x - x) + abs(r.y - y) > size for r, (x, y) in zip(inside, places)]
        labels_below = [_covered(place, placed) for place in inside]
        boxes_below = [_covered(place, areas) for place in inside]
        costs = list(zip(labels_below, boxes_below, far))
        placed.append(inside[costs.index(min(costs))])
    return placed


def _covered(place: Rectangle, others: Sequence[Rectangle]) -> float:
    """Area of others that lies below a place, each for itself."""
    return sum(place.overlap(other) for other in others)


def letter(shape: Tuple[int, ...]) -> float:
    """Height of letters in a drawing of this shape, in pixels of the image."""
    return LETTER * max(shape[:2])


def contours(finding: Finding) -> List[np.ndarray]:
    """Outlines of a finding's mask and of the holes in it: int (n, 2) each, x and y in pixels of
    the image.
    """
    if not finding.mask.size:
        return []
    padded = np.pad(finding.mask.astype(np.uint8), 1)
    found, _ = cv2.findContours(padded, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    offset = np.array([finding.left - 1, finding.top - 1])
    return [np.reshape(contour, (-1, 2)) + offset for contour in found]


def _places(box: Sequence[float], width: float, height: float) -> List[Tuple[float, float]]:
    """Upper left corners for a label at a box: above, below, right, left, then farther away."""
    y1, x1, y2, x2 = box
    near = [(x1, y1 - height), (x1, y2), (x2, y1), (x1 - width, y1), (x2 - width, y1 - height)]
    near += [(x2 - width, y2), (x2, y2 - height), (x1 - width, y2 - height)]
    far = [(x1, y1 - (step + 1) * height) for step in range(1, 6)]
    far += [(x1, y2 + step * height) for step in range(1, 6)]
    return near + far


def _path(contour: np.ndarray) -> str:
    return "M" + " ".join(f"{x + 0.5:g},{y + 0.5:g}" for x, y in contour) + "Z"


def _finding(number: int, finding: Finding, text: str, plate: Rectangle) -> Tuple[str, str]:
    """Outline and box of a finding, and its label."""
    # A contour runs through the centres of the pixels on the rim, half a pixel off their corners.
    path, paint = " ".join(map(_path, contours(finding))), colour(number)
    y1, x1, y2, x2 = finding.box
    size = plate.height / 1.4
    outline = (
        f"<g class='bt-finding' data-number='{number}'>"
        f"<path class='bt-area' d='{path}'/>"
        f"<path class='bt-halo' d='{path}'/>"
        f"<path class='bt-contour' d='{path}' stroke='{paint}'/>"
        f"<rect class='bt-box' x='{x1:g}' y='{y1:g}' width='{x2 - x1:g}' "
        f"height='{y2 - y1:g}' stroke='{paint}'/></g>"
    )
    label = (
        f"<g class='bt-label' data-number='{number}'>"
        f"<rect class='bt-plate' x='{plate.x:g}' y='{plate.y:g}' width='{plate.width:g}' "
        f"height='{plate.height:g}'/>"
        f"<text x='{plate.x + 0.3 * size:g}' y='{plate.y + 1.05 * size:g}' font-size='{size:g}' "
        f"fill='{paint}'>{text}</text></g>"
    )
    return outline, label
