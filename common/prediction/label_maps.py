"""Masks made by any tool, read as values of classes."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List

import numpy as np

from common.errors import InputError
from common.imaging import listing
from common.imaging.listing import shown
from common.imaging.masks import read_values

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
    image with a palette the numbers count, not the colours, and 0 has to be black.

    Raises:
        InputError: it is no such mask.
    """
    values = read_values(path, numbers=True)
    present = np.unique(values)
    if np.isin(present, range(classes + 1)).all():
        return values.astype(np.uint8)
    numbers_instances = values.dtype.itemsize > 1 and (present >= 0).all() and _are_whole(present)
    if classes == 1 and (numbers_instances or set(present.tolist()) <= {0, 255}):
        return (values > 0).astype(np.uint8)
    listed = ", ".join(map(str, present[:6])) + (", …" if len(present) > 6 else "")
    also = ", 0/255, or an instance map of 16 bits" if classes == 1 else ""
    raise InputError(f"{shown(path)}: expected the values 0 to {classes}{also}; got {listed}")


def _are_whole(values: np.ndarray) -> bool:
    return bool((np.isfinite(values) & (values == np.rint(values))).all())


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
