"""Polygons of the VGG Image Annotator (VIA 2): from its JSON files to masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, List, Tuple

import cv2
import numpy as np
from skimage.draw import polygon2mask

from common.errors import InputError

Polygons = List[np.ndarray]  # each float (points, 2) of y and x, in pixels


def read(path: Path) -> Dict[str, Polygons]:
    """Read a project's annotations: the outlined regions by file name.

    Raises:
        InputError: the file is missing or not such JSON, or a region is no polygon of three or more
        points.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file, expected the polygons of the images beside it"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from None
    try:
        regions = {entry["filename"]: list(entry["regions"]) for entry in entries.values()}
        if len(regions) < len(entries):
            raise InputError(
                f"{path}: expected one entry for each image, got {len(entries)} for {len(regions)}"
            )
    except (AttributeError, KeyError, TypeError):
        raise InputError(
            f"{path}: expected an object of VIA entries, each with `filename` and `regions`"
        ) from None
    if not all(isinstance(name, str) for name in regions):
        raise InputError(f"{path}: expected text as `filename` of every entry")
    return {
        name: [
            _polygon(region, f"{path}: {name}, region {number}")
            for number, region in enumerate(parts)
        ]
        for name, parts in regions.items()
    }


def draw(polygons: Polygons, shape: Tuple[int, int], source: str) -> np.ndarray:
    """Fill polygons as masks, bool (n, H, W): one per polygon, of the pixels whose centres it
    holds.

    Raises:
        InputError: a point lies outside of the image, or a polygon holds no pixel; named after
        `source`.
    """
    masks = np.zeros((len(polygons), *shape), bool)
    for number, points in enumerate(polygons):
        if (points < 0).any() or (points > shape).any():
            raise InputError(
                f"{source}, region {number}: expected points inside of the image, "
                f"{shape[1]}x{shape[0]}"
            )
        masks[number] = polygon2mask(shape, points)
        if not masks[number].any() or not cv2.contourArea(points.astype(np.float32)):
            raise InputError(
                f"{source}, region {number}: expected a polygon with an area, it holds no pixel"
            )
    return masks


def _polygon(region: dict, source: str) -> np.ndarray:
    try:
        shape = region["shape_attributes"]
        if shape["name"] != "polygon":
            raise InputError(f"{source}: expected a polygon, got {shape['name']!r}")
        points = np.array([shape["all_points_y"], shape["all_points_x"]], float).T
    except (KeyError, TypeError, ValueError, OverflowError):
        raise InputError(
            f"{source}: expected as many numbers in all_points_x as in all_points_y"
        ) from None
    if points.ndim != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise InputError(f"{source}: expected a polygon of three or more points, got {len(points)}")
    return points
