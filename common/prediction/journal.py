"""What was found in each image, one line per image, and the tables that are made from it.

Lines are added as images are done, so that a prediction which is killed can go on; the tables are
written at the end, line by line, whatever the number of images.
"""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

from common.files import atomic_path, open_regular
from common.prediction import coco, masks
from common.prediction.predictor import TargetClass

JOURNAL = ".images.jsonl"
OBJECTS = (
    *("name", "object", "class", "area_px", "area_mm2", "centroid_x", "centroid_y"),
    *("box_x", "box_y", "box_width", "box_height", "mean_probability", "file"),
)
NOTES = ("grey_levels", "objects", "left_out", "seconds", "file")


class Journal:
    """The file of lines in a folder of results.

    Args:
        folder: of the results.
        classes: that are segmented.
    """

    def __init__(self, folder: Path, classes: Sequence[TargetClass]):
        self.folder, self.classes = folder, classes
        self.path = folder / JOURNAL

    def add(self, line: Dict[str, Any]) -> None:
        """Add an image; a later line of the same name replaces an earlier one."""
        text = json.dumps(line, ensure_ascii=True)
        with self.path.open("a+b") as stream:
            if stream.tell():
                stream.seek(-1, os.SEEK_END)
                if stream.read(1) != b"\n":  # of a process that was killed while it wrote
                    stream.write(b"\n")
            stream.write(text.encode() + b"\n")

    def lines(self) -> Iterator[Dict[str, Any]]:
        """Give the last line of each image whose mask is there, in the order of the names."""
        if not self.path.exists():
            return
        places: Dict[str, int] = {}
        with open_regular(self.path) as stream:
            place = 0
            for text in stream:
                line = _parsed(text)
                if line is not None:
                    places[line["name"]] = place
                place += len(text)
            for name in sorted(places):
                if masks.existing(self.folder, name):
                    stream.seek(places[name])
                    line = _parsed(stream.readline())
                    assert line is not None
                    yield line

    def write_tables(self, about: str) -> None:
        """Write objects.csv, images.csv and coco.json. `about` describes the network."""
        self._write_objects()
        self._write_images()
        self._write_coco(about)

    def _write_objects(self) -> None:
        with atomic_path(self.folder / "objects.csv") as path, _csv(path) as stream:
            writer = csv.DictWriter(stream, OBJECTS, lineterminator="\n")
            writer.writeheader()
            for line in self.lines():
                for one in line["objects"]:
                    writer.writerow({**self._row(line, one), "file": line["file"]})

    def _row(self, line: Dict[str, Any], one: Dict[str, Any]) -> Dict[str, Any]:
        names = {target.value: target.name for target in self.classes}
        x, y, width, height = one["bbox"]
        area_mm2 = ""
        if line["pixel_area"]:
            area_mm2 = f"{one['area'] * line['pixel_area']:.6g}"
        return {
            "name": line["name"],
            "object": one["number"],
            "class": names[one["category_id"]],
            "area_px": one["area"],
            "area_mm2": area_mm2,
            "centroid_x": f"{one['centroid'][0]:.2f}",
            "centroid_y": f"{one['centroid'][1]:.2f}",
            "box_x": x,
            "box_y": y,
            "box_width": width,
            "box_height": height,
            "mean_probability": f"{one['score']:.4f}",
        }

    def _write_images(self) -> None:
        fractions = [f"fraction_{target.name}" for target in self.classes]
        columns = ["name", "width", "height", *fractions, *NOTES]
        with atomic_path(self.folder / "images.csv") as path, _csv(path) as stream:
            writer = csv.DictWriter(stream, columns, lineterminator="\n")
            writer.writeheader()
            for line in self.lines():
                row = {name: line.get(name, "") for name in ("name", "width", "height", *NOTES)}
                row["objects"] = "" if line["left_out"] else len(line["objects"])
                for target, column in zip(self.classes, fractions):
                    row[column] = f"{line['fractions'][target.name]:.6f}"
                writer.writerow(row)

    def _write_coco(self, about: str) -> None:
        number = 0
        with atomic_path(self.folder / "coco.json") as path, _csv(path) as stream:
            info = {"description": about}
            stream.write(f'{{"info": {json.dumps(info)},\n"categories": ')
            stream.write(json.dumps(coco.categories(self.classes)) + ',\n"images": [')
            for image_id, line in enumerate(self.lines(), 1):
                image = {"id": image_id, "file_name": line["file"]}
                image.update(width=line["width"], height=line["height"])
                stream.write(("," if image_id > 1 else "") + "\n" + json.dumps(image))
            stream.write('],\n"annotations": [')
            for image_id, line in enumerate(self.lines(), 1):
                for one in line["objects"]:
                    number += 1
                    rest = {key: one[key] for key in one if key not in ("number", "centroid")}
                    annotation = {"id": number, "image_id": image_id, **rest}
                    stream.write(("," if number > 1 else "") + "\n" + json.dumps(annotation))
            stream.write("]}\n")


def _csv(path: Path):
    return path.open("w", encoding="utf-8", newline="")


def _parsed(text: bytes) -> Optional[Dict[str, Any]]:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):  # cut off by a kill, or damaged
        return None
    keys: List[str] = ["name", "file", "objects", "width", "height"]
    return line if isinstance(line, dict) and all(key in line for key in keys) else None
