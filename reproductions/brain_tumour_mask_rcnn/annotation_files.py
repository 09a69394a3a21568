"""Polygons of the VGG Image Annotator (VIA 1 and 2): from its JSON files to masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, List, Tuple

import cv2
import numpy as np

from common.errors import InputError
from common.files import read_bytes
from common.imaging.listing import shown

Polygons = List[np.ndarray]  # each float (points, 2) of y and x, in pixels

MOST_BYTES = 50_000_000  # of a file
_PROJECT = "_via_img_metadata"  # the key of the entries in a project, which exports leave out
# What else is saved as JSON, by its keys.
_OTHERS = (
    ({"images", "annotations"}, "COCO annotations"),
    ({"project", "file", "metadata"}, "a project of VIA 3"),
    ({"shapes", "imagePath"}, "annotations of labelme"),
)


def read(path: Path) -> Dict[str, Polygons]:
    """Read the outlined regions of an export or a project of VIA, by file name.

    Text with a byte order mark, as editors of Windows save it, is read as well.

    Raises:
        InputError: the file is missing or not such JSON, or a region is no polygon of three or more
        points.
    """
    entries = _entries(path)
    regions: Dict[str, List[dict]] = {}
    for entry in entries.values():
        try:
            name, listed = entry["filename"], entry["regions"]
            # VIA 1 numbers them: {"0": {…}, "1": {…}}.
            ordered = listed.values() if isinstance(listed, dict) else listed
            listed_regions = list(ordered)
        except (KeyError, TypeError):
            raise InputError(
                f"{shown(path)}: expected an object of VIA entries, each with `filename` and "
                "`regions`"
            ) from None
        if not isinstance(name, str):
            raise InputError(f"{shown(path)}: expected text as `filename` of every entry")
        if name in regions:
            raise InputError(
                f"{shown(path)}: expected one entry for each image, got two for {_printable(name)}"
            )
        regions[name] = listed_regions
    polygons: Dict[str, Polygons] = {}
    for name, parts in regions.items():
        place = f"{shown(path)}: {_printable(name)}, region"
        polygons[name] = [_polygon(part, f"{place} {n}") for n, part in enumerate(parts)]
    return polygons


def draw(polygons: Polygons, shape: Tuple[int, ...], source: str) -> np.ndarray:
    """Fill polygons as masks, bool (n, H, W): one per polygon, of the pixels whose centres it
    holds. `shape` is (H, W).

    Raises:
        InputError: a point lies outside of the image, or a polygon holds no pixel; named after
        `source`.
    """
    from skimage.draw import polygon2mask  # not at the top: a plan of runs draws nothing

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


def _entries(path: Path) -> Dict[str, dict]:
    """The entries of an export, or of a project."""
    try:
        content = json.loads(read_bytes(path, MOST_BYTES))  # finds out the encoding
    except FileNotFoundError:
        raise InputError(
            f"{shown(path)}: no such file, expected the polygons of the images beside it"
        ) from None
    except OSError as error:
        raise InputError(f"{shown(path)}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        reason = _printable(" ".join(str(error).split()))
        raise InputError(f"{shown(path)}: not valid JSON ({reason})") from None
    if isinstance(content, dict) and _PROJECT in content:
        content = content[_PROJECT]
    if not isinstance(content, dict):
        raise InputError(
            f"{shown(path)}: expected an object of VIA entries, each with `filename` and `regions`"
        )
    for keys, what in _OTHERS:
        if keys <= set(content):
            raise InputError(
                f"{shown(path)}: {what}, expected annotations of VIA 1 or 2, exported as JSON"
            )
    return content


def _polygon(region: dict, source: str) -> np.ndarray:
    try:
        shape = region["shape_attributes"]
        if shape["name"] != "polygon":
            raise InputError(f"{source}: expected a polygon, got {shape['name']!r:.80}")
        points = np.array([shape["all_points_y"], shape["all_points_x"]], float).T
    except (KeyError, TypeError, ValueError, OverflowError):
        raise InputError(
            f"{source}: expected as many numbers in all_points_x as in all_points_y"
        ) from None
    if points.ndim != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise InputError(f"{source}: expected a polygon of three or more points, got {len(points)}")
    return points


def _printable(text: str) -> str:
    """A text of a file in one line, also where it holds half a character."""
    return shown(text.encode("utf-8", "backslashreplace").decode())
