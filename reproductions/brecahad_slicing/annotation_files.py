"""BreCaHAD's files: images/Case_<case>-<number>.* and the centres of their nuclei,
groundTruth/….json.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Dict, NamedTuple

import numpy as np

from common.datasets.manifests import DataSet, matching
from common.errors import InputError
from common.files import read_bytes
from reproductions.brecahad_slicing.config import DATA_SETS

PARTIAL = DATA_SETS[1]  # data set that has annotations for images which it lacks
CLASSES = ("tumor", "non_tumor")  # those that the paper uses
MOST_BYTES = 50_000_000  # of a file
NAME = re.compile(r"(Case_\d+)-\d+")


class Pair(NamedTuple):
    """An image, its annotation and the case (patient) that it is of, such as "Case_10"."""

    image: Path
    annotation: Path
    case: str


def pairs(data_set: DataSet) -> Dict[str, Pair]:
    """Find the images with their annotations, by id (such as "Case_10-07"), in order.

    Raises:
        InputError: an image without an annotation or the reverse, two images of one name, or a name
        without a case.
    """
    images: Dict[str, Path] = {}
    for path in matching(data_set.folder, "images/*"):
        if path.stem in images:
            raise InputError(
                f"{path}: expected one image of this name, {images[path.stem].name} is another"
            )
        images[path.stem] = path
    annotations = {path.stem: path for path in matching(data_set.folder, "groundTruth/*.json")}
    listed: Dict[str, Pair] = {}
    for name in sorted({*images, *annotations}):
        if name not in annotations:
            raise InputError(
                f"{images[name]}: image without annotation, expected groundTruth/{name}.json"
            )
        if name not in images and data_set.name != PARTIAL:
            raise InputError(
                f"{annotations[name]}: annotation without image, expected images/{name}.tif"
            )
        case = NAME.fullmatch(name)
        if case is None:
            raise InputError(
                f"{images.get(name, annotations[name])}: expected a name such as Case_10-07"
            )
        if name in images:
            listed[name] = Pair(images[name], annotations[name], case.group(1))
    return listed


def centres(path: Path) -> Dict[str, np.ndarray]:
    """Read the centres of the nuclei of each of CLASSES: float64 (n, 2) of x and y as parts of
    width and height.

    Raises:
        InputError: no such file, not JSON, a class is missing, or a coordinate is no number from 0
        to 1.
    """
    try:
        content = json.loads(read_bytes(path, MOST_BYTES).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: expected an annotation in JSON ({' '.join(str(error).split())})"
        ) from None
    by_class = {}
    for name in CLASSES:
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise InputError(f"{path}: expected a list {name!r} of points")
        points = content[name]
        for number, point in enumerate(points):
            values = [point.get(axis) for axis in "xy"] if isinstance(point, dict) else [point]
            if len(values) != 2 or not all(_is_fraction(value) for value in values):
                raise InputError(
                    f"{path}: {name}[{number}]: expected x and y from 0 to 1, got {point!r:.80}"
                )
        by_class[name] = np.array(
            [[point["x"], point["y"]] for point in points], np.float64
        ).reshape(-1, 2)
    return by_class


def _is_fraction(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return 0 <= value <= 1
