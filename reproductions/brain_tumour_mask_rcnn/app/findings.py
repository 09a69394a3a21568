"""What the network found in one image, as the page keeps and sends it: masks cut to their
windows.
"""

from __future__ import annotations

from typing import Iterable, List, NamedTuple, Sequence, Tuple

import numpy as np

from reproductions.brain_tumour_mask_rcnn.app import wire


class Finding(NamedTuple):
    """One detection.

    Attributes:
        score: confidence from 0 to 1.
        box: y1, x1, y2, x2 in pixels.
        top: first row of the window that holds the mask.
        left: its first column.
        mask: bool (h, w), the part of the image's mask in that window; nothing lies outside.
    """

    score: float
    box: Tuple[float, float, float, float]
    top: int
    left: int
    mask: np.ndarray

    @property
    def pixels(self) -> int:
        """Number of pixels in the mask."""
        return int(self.mask.sum())


def from_masks(scores: np.ndarray, boxes: np.ndarray, masks: np.ndarray) -> List[Finding]:
    """Make findings of scores (n), boxes (n, 4) and masks, bool (n, H, W); the surest comes
    first.
    """
    order = np.argsort(-scores, kind="stable")
    return [_cut(float(scores[i]), boxes[i], masks[i]) for i in order]


def union(found: Sequence[Finding], height: int, width: int) -> np.ndarray:
    """Put all masks together: bool (height, width)."""
    together = np.zeros((height, width), bool)
    for finding in found:
        rows = slice(finding.top, finding.top + finding.mask.shape[0])
        columns = slice(finding.left, finding.left + finding.mask.shape[1])
        together[rows, columns] |= finding.mask
    return together


def to_message(found: Sequence[Finding]) -> wire.Message:
    """Pack findings for `wire`: numbers in the header, eight pixels to a byte after it."""
    entries = [
        {
            "score": finding.score,
            "box": finding.box,
            "top": finding.top,
            "left": finding.left,
            "shape": finding.mask.shape,
        }
        for finding in found
    ]
    packed = b"".join(np.packbits(finding.mask).tobytes() for finding in found)
    return {"findings": entries}, packed


def from_message(header: dict, content: bytes) -> List[Finding]:
    """Unpack what `to_message` packed."""
    found, start = [], 0
    for entry in header["findings"]:
        height, width = entry["shape"]
        length = -(-height * width // 8)
        bits = np.frombuffer(content, np.uint8, length, start)
        mask = np.unpackbits(bits, count=height * width).reshape(height, width).astype(bool)
        place = (_box(entry["box"]), entry["top"], entry["left"])
        found.append(Finding(entry["score"], *place, mask))
        start += length
    return found


def _cut(score: float, box: np.ndarray, mask: np.ndarray) -> Finding:
    """Cut a mask, bool (H, W), to the smallest window that holds it."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return Finding(score, _box(box), 0, 0, np.zeros((0, 0), bool))
    top, left = int(rows[0]), int(columns[0])
    window = mask[top : rows[-1] + 1, left : columns[-1] + 1].copy()
    return Finding(score, _box(box), top, left, window)


def _box(numbers: Iterable[float]) -> Tuple[float, float, float, float]:
    y1, x1, y2, x2 = map(float, numbers)
    return y1, x1, y2, x2
