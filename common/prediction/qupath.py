"""Objects as GeoJSON that QuPath opens: polygons along the edges of pixels, with a classification.

A point (x, y) is in pixels from the image's upper left corner, as in QuPath.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any, Dict, Iterable, Sequence

import numpy as np
import shapely

from common.files import atomic_path
from common.prediction.objects import Object
from common.prediction.predictor import TargetClass


def outline(one: Object) -> shapely.Geometry:
    """The area that an object's pixels cover: a valid Polygon, or MultiPolygon where parts of it
    touch in corners alone.

    Example:
        >>> two = Object(1, 1, 10, 20, np.array([[True, True]]), 1.0)
        >>> outline(two).bounds
        (20.0, 10.0, 22.0, 11.0)
    """
    padded = np.pad(one.mask.astype(np.int8), ((0, 0), (1, 1)))
    steps = np.diff(padded, axis=1)
    rows, starts = np.nonzero(steps == 1)
    _, ends = np.nonzero(steps == -1)
    y = rows + one.top
    runs = shapely.box(starts + one.left, y, ends + one.left, y + 1)
    return shapely.union_all(runs).simplify(0)  # without the points on straight edges


def feature(one: Object, target: TargetClass, image: str) -> Dict[str, Any]:
    """Describe an object as QuPath does; its id is the same whenever it is written."""
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"{image}#{one.number}")
    properties = {
        "objectType": "annotation",
        "name": f"{target.name} {one.number}",
        "classification": {"name": target.name, "color": list(target.colour)},
        "measurements": {"Area px": one.area, "Mean probability": round(one.probability, 4)},
        "isLocked": False,
    }
    return {
        "type": "Feature",
        "id": str(identity),
        "geometry": shapely.geometry.mapping(outline(one)),
        "properties": properties,
    }


def write(
    path: Path, objects: Iterable[Object], classes: Sequence[TargetClass], image: str
) -> None:
    """Write objects as a FeatureCollection, atomically, holding one at a time."""
    targets = {target.value: target for target in classes}
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write('{"type": "FeatureCollection", "features": [')
        for place, one in enumerate(objects):
            text = json.dumps(feature(one, targets[one.value], image))
            stream.write(("," if place else "") + "\n" + text)
        stream.write("\n]}\n")
