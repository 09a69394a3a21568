"""Objects as COCO describes them: categories, images, and masks in run-length code."""

from __future__ import annotations

from typing import Any, Dict, Sequence, Tuple

import numpy as np
from pycocotools import mask as coco_mask

from common.prediction.objects import Object
from common.prediction.predictor import TargetClass


def categories(classes: Sequence[TargetClass]) -> list:
    """The list of categories: classes by their values in masks."""
    return [{"id": target.value, "name": target.name} for target in classes]


def annotation(one: Object, shape: Tuple[int, int]) -> Dict[str, Any]:
    """Describe an object of an image of this height and width; ids are left to the caller."""
    return {
        "category_id": one.value,
        "segmentation": run_lengths(one, shape),
        "area": one.area,
        "bbox": list(one.box),
        "iscrowd": 0,
        "score": round(one.probability, 6),
    }


def run_lengths(one: Object, shape: Tuple[int, int]) -> Dict[str, Any]:
    """Encode an object's mask as pycocotools encodes the whole image's, without drawing that.

    COCO counts along the columns of the image: first pixels outside, then inside, by turns.
    """
    height, width = shape
    padded = np.pad(one.mask.T.astype(np.int8), ((0, 0), (1, 1)))
    steps = np.diff(padded, axis=1)
    first = [one.left * height + one.top, height]  # of the crop, and from column to column
    columns, rows = np.nonzero(steps == 1)
    starts = first[0] + columns * first[1] + rows
    columns, rows = np.nonzero(steps == -1)
    ends = first[0] + columns * first[1] + rows
    # A run that reaches the bottom of the image goes on at the top of the next column.
    goes_on = starts[1:] == ends[:-1]
    starts, ends = starts[np.append(True, ~goes_on)], ends[np.append(~goes_on, True)]
    edges = np.stack([starts, ends], axis=1).ravel()
    rest = [height * width] if ends[-1] < height * width else []
    counts = np.diff(np.concatenate([[0], edges, rest]).astype(int))
    uncompressed = {"counts": counts.tolist(), "size": [height, width]}
    packed = coco_mask.frPyObjects(uncompressed, height, width)
    return {"size": [height, width], "counts": packed["counts"].decode("ascii")}
