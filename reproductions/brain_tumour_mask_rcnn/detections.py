"""What a network finds in an image, and the file that keeps it: scores, boxes, and masks in COCO's
run-length code.
"""

from __future__ import annotations

import json
import operator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from common import files
from common.errors import InputError
from common.training import runs

MOST_SIDE = 20_000  # pixels
MOST_PIXELS = 1_000_000_000  # of all masks of an image


class Detections(NamedTuple):
    """Tumours found in an image of H×W pixels.

    Attributes:
        boxes: float32 (n, 4) as y1, x1, y2, x2, in pixels.
        scores: float32 (n,), confidence from 0 to 1.
        masks: bool (n, H, W).
    """

    boxes: np.ndarray
    scores: np.ndarray
    masks: np.ndarray

    def above(self, score: float) -> Detections:
        """Give those with at least this score."""
        return Detections(*(part[self.scores >= score] for part in self))

    @property
    def union(self) -> np.ndarray:
        """All masks together, bool (H, W)."""
        return self.masks.any(axis=0)


def encode(mask: np.ndarray) -> dict:
    """Turn a mask, bool (H, W), into COCO's run-length code."""
    return coco_mask.encode(np.asfortranarray(mask, np.uint8))


def save(path: Path, detections: Detections) -> None:
    """Write detections as JSON, atomically."""
    content = {
        "size": list(detections.masks.shape[1:]),
        "scores": detections.scores.astype(float).tolist(),
        "boxes": detections.boxes.astype(float).tolist(),
        "masks": [encode(mask)["counts"].decode("ascii") for mask in detections.masks],
    }
    files.write_json(path, content)


def load(path: Path) -> Detections:
    """Read back what `save` wrote.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        content = json.loads(files.read_bytes(path, runs.MOST_JSON_BYTES))
        size = content["size"]
        height, width = map(operator.index, size)
        # pycocotools believes every size, and crashes on a huge one.
        if not (0 < height <= MOST_SIDE and 0 < width <= MOST_SIDE):
            raise ValueError(f"masks of {height}x{width} pixels")
        if len(content["masks"]) * height * width > MOST_PIXELS:
            raise ValueError(f"{len(content['masks'])} masks of {height}x{width} pixels")
        masks = [
            coco_mask.decode({"size": size, "counts": counts.encode("ascii")})
            for counts in content["masks"]
        ]
        found = Detections(
            np.array(content["boxes"], np.float32).reshape(-1, 4),
            np.array(content["scores"], np.float32).reshape(-1),
            np.array(masks, bool).reshape(-1, *size),
        )
        if len({len(part) for part in found}) > 1:
            raise ValueError("other numbers of boxes, scores and masks")
        return found
    except (AttributeError, OSError, ValueError, KeyError, RecursionError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: missing or damaged detections ({reason}); remove the run folder to redo it"
        ) from None
