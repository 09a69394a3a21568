"""From one image file to everything that is written about it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np

from common import files
from common.imaging.levels import NEARLY_BLACK
from common.imaging.reading import LoadedImage
from common.prediction import coco, mapped, masks, objects, overlays, qupath
from common.prediction.journal import Journal
from common.prediction.objects import Instances, Object
from common.prediction.predictor import Prediction, Predictor, Tick, Way
from common.prediction.source import Item, digest
from common.training.predictions import quantise

_ROWS = 1024
TOO_LARGE = f"above {objects.MOST_PIXELS // 1_000_000} megapixels objects are left out"
TOO_MANY = f"more than {objects.MOST_OBJECTS:,} objects, which are left out"


@dataclass(frozen=True)
class Writing:
    """What is written about an image, and where.

    Attributes:
        folder: of the results.
        caption: names the network, on overlays.
        warning: what it is not worth, likewise.
        journal: gets a line about the image.
        save_probabilities: whether the probability of each class is written.
    """

    folder: Path
    caption: str
    warning: str
    journal: Journal
    save_probabilities: bool = False


@dataclass(frozen=True)
class Maps:
    """A prediction in whole: uint8 (H, W) values of classes and, where they are wanted, uint8
    (H, W, K) quantised probabilities.
    """

    labels: np.ndarray
    levels: Optional[np.ndarray]

    @property
    def shape(self) -> Tuple[int, int]:
        """Height and width."""
        height, width = self.labels.shape
        return height, width


def predict(
    item: Item, image: LoadedImage, predictor: Predictor, way: Way, writing: Writing, tick: Tick
) -> Dict[str, Any]:
    """Predict an image and write its results: the mask last, by which the image counts as done.

    Returns:
        Its line of the journal, and what the user should know as `notes`.

    Raises:
        InputError: the image cannot be predicted in this way.
    """
    began = time.monotonic()
    shape = image.pixels.shape[:2]
    few = shape[0] * shape[1] <= objects.MOST_PIXELS
    with files.scratch_folder(writing.folder, item.name) as scratch:
        prediction = predictor.predict(image.pixels, way, tick)
        keep = writing.save_probabilities or (few and prediction.found is None)
        maps = _collect(prediction, shape, len(predictor.classes), keep, scratch)
        line = _describe(item, image, predictor, maps)
        if few:
            _write_objects(line, item, image, predictor, prediction, maps, writing)
        else:
            line["left_out"] = TOO_LARGE
            line["notes"].append(TOO_LARGE)
        _write_maps(item, image, predictor, maps, writing)
        line["seconds"] = round(time.monotonic() - began, 1)
        notes = line.pop("notes")
        writing.journal.add(line)
        masks.write_classes(writing.folder, item.name, maps.labels, predictor.classes)
    return {**line, "notes": notes}


def _collect(prediction: Prediction, shape: tuple, classes: int, keep: bool, scratch: Path) -> Maps:
    labels = mapped.empty(shape, np.uint8, scratch, "labels")
    levels = mapped.empty((*shape, classes), np.uint8, scratch, "levels") if keep else None
    for band in prediction.bands:
        rows = slice(band.top, band.top + len(band.labels))
        labels[rows] = band.labels
        mapped.release(labels)
        if levels is not None:
            levels[rows] = quantise(band.probabilities)
            mapped.release(levels)
    return Maps(labels, levels)


def _describe(item: Item, image: LoadedImage, predictor: Predictor, maps: Maps) -> Dict[str, Any]:
    counts = np.zeros(256, np.int64)
    for rows in _bands(maps.labels):
        counts += np.bincount(rows.ravel(), minlength=256)
    height, width = maps.labels.shape
    pixels = maps.labels.size
    fractions = {one.name: float(counts[one.value] / pixels) for one in predictor.classes}
    return {
        "name": item.name,
        "file": item.shown,
        "sha256": digest(item.path),
        "width": width,
        "height": height,
        "grey_levels": image.levels,
        "pixel_area": image.pixel_area,
        "fractions": fractions,
        "objects": [],
        "left_out": "",
        "notes": [image.levels] if NEARLY_BLACK in image.levels else [],
    }


def _write_objects(
    line: Dict[str, Any],
    item: Item,
    image: LoadedImage,
    predictor: Predictor,
    prediction: Prediction,
    maps: Maps,
    writing: Writing,
) -> None:
    try:
        instances = _instances(predictor, prediction, maps)
    except objects.TooMany:
        line["left_out"] = TOO_MANY
        line["notes"].append(TOO_MANY)
        return
    described: List[Dict[str, Any]] = line["objects"]

    def noted() -> Iterator[Object]:
        for one in instances.objects:
            entry = {"number": one.number, **coco.annotation(one, maps.shape)}
            described.append({**entry, "centroid": one.centroid})
            yield one

    path = writing.folder / f"{item.name}.geojson"
    qupath.write(path, noted(), predictor.classes, line["file"])
    masks.write_instances(writing.folder, item.name, instances.labels, instances.count)


def _instances(predictor: Predictor, prediction: Prediction, maps: Maps) -> Instances:
    if prediction.found is not None:
        return objects.detections(prediction.found, maps.shape)
    assert maps.levels is not None
    return objects.components(maps.labels, maps.levels, predictor.classes, predictor.connectivity)


def _write_maps(
    item: Item, image: LoadedImage, predictor: Predictor, maps: Maps, writing: Writing
) -> None:
    folder = writing.folder
    overlays.write(
        folder,
        item.name,
        image.pixels,
        maps.labels,
        predictor.classes,
        writing.caption,
        writing.warning,
    )
    if writing.save_probabilities:
        assert maps.levels is not None
        for place, target in enumerate(predictor.classes):
            name = f"{item.name}_probability_{target.name.replace(' ', '_')}"
            masks.write_levels(folder, name, maps.levels[..., place])


def _bands(labels: np.ndarray) -> Iterator[np.ndarray]:
    for top in range(0, len(labels), _ROWS):
        yield labels[top : top + _ROWS]
        mapped.release(labels)
