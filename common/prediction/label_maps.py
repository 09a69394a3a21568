"""Masks made by any tool, read as values of classes."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List

import numpy as np
import tifffile
from PIL import Image

from common.errors import InputError
from common.imaging import listing, raster
from common.imaging.decoding import names_damage, open_file
from common.imaging.limits import check_size
from common.imaging.listing import shown

SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")  # of masks; JPEG would change their values
MARK = "_mask"  # ends the names of masks that lie beside other results


def find(folder: Path) -> Dict[str, Path]:
    """Find the masks in a folder and below, by name without suffix and "_mask".

    Where some names end in "_mask", only those are masks: beside them lie overlays and the like.

    Raises:
        InputError: there are none, or two have one name.
    """
    files = [path for path in listing.images(folder) if path.suffix.lower() in SUFFIXES]
    marked = [path for path in files if path.stem.endswith(MARK)]
    found: Dict[str, Path] = {}
    for path in marked or files:
        name = path.stem[: -len(MARK)] if marked else path.stem
        if name in found:
            raise InputError(f"{shown(path)}: {found[name]} has the same name; rename one")
        found[name] = path
    if not found:
        raise InputError(f"{shown(folder)}: no masks ({', '.join(SUFFIXES)}) in this folder")
    return found


def read(path: Path, classes: int) -> np.ndarray:
    """Read a mask as uint8 (H, W), 0 for background and 1 to `classes`.

    With one class, that is a mask of 0/1 or 0/255, or an instance map of 16 bits and more, in
    which everything but 0 is the class. With several, the values are those of the classes; of an
    image with a palette the numbers count, not the colours.

    Raises:
        InputError: it is no such mask.
    """
    values = _values(path)
    if values.ndim == 3 and (values == values[..., :1]).all():
        values = values[..., 0]  # grey as equal colours
    if values.ndim != 2:
        raise InputError(f"{shown(path)}: expected a mask of one channel, got colours")
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    present = np.unique(values)
    if (present <= classes).all() and (present >= 0).all():
        return values.astype(np.uint8)
    if classes == 1 and (values.dtype.itemsize > 1 or set(present.tolist()) <= {0, 255}):
        return (values > 0).astype(np.uint8)
    listed = ", ".join(map(str, present[:6])) + (", …" if len(present) > 6 else "")
    also = ", 0/255, or an instance map of 16 bits" if classes == 1 else ""
    raise InputError(f"{shown(path)}: expected the values 0 to {classes}{also}; got {listed}")


def _values(path: Path) -> np.ndarray:
    name = shown(path)
    with names_damage(name, "not a readable mask"), open_file(path, name) as stream:
        if path.suffix.lower() in (".tif", ".tiff"):
            return tifffile.imread(stream)
        with Image.open(stream) as image:
            check_size(name, *image.size)
            if image.mode not in ("RGBA", "LA"):
                return np.array(image)
            if raster.has_uneven_alpha(image):
                raise InputError(
                    f"{name}: a mask with an alpha channel of several values, which may hold its "
                    "shape; save it without alpha"
                )
            return np.array(image.convert("RGB"))


def match(predictions: Dict[str, Path], truths: List[str]) -> Dict[str, str]:
    """Find the true mask of each prediction: the same name or, where folders have become part of
    a prediction's name, the one name that it ends with.

    Example:
        >>> match({"Slide_01_01_1": Path(), "b": Path()}, ["01_1", "b"])
        {'Slide_01_01_1': '01_1', 'b': 'b'}
    """
    known = set(truths)
    matched = {}
    for name in predictions:
        endings = [one for one in truths if name.endswith(f"_{one}")]
        if name in known:
            matched[name] = name
        elif endings:
            matched[name] = max(endings, key=len)
    return matched
