"""Predictions on disk: probability maps and class maps, one file per image.

A probability p is kept as the byte floor(256 p), at most 255, of a PNG, so that p ≥ 0.5 exactly
where the byte is ≥ 128: nothing that a score at 0.5 needs is lost. Where maps of several networks
are averaged, two confident networks that disagree add up to just about 1, and the last bits decide
which side of the threshold a pixel falls on: such maps are kept as they are, in float32.
"""

from __future__ import annotations

import contextlib
import io
import struct
from pathlib import Path

import cv2
import numpy as np

from common import files
from common.errors import InputError
from common.training.runs import Run

MOST_BYTES = 1 << 30  # of a file
MOST_PIXELS = 200_000_000  # of a map, or a stack of them


def quantise(probability: np.ndarray) -> np.ndarray:
    """Map probabilities, float of any shape in [0, 1], to uint8.

    Raises:
        ValueError: a value is not a number from 0 to 1.

    Example:
        >>> quantise(np.array([0.0, 0.4999, 0.5, 1.0])).tolist()
        [0, 127, 128, 255]
    """
    probability = np.asarray(probability, np.float32)
    # Rounding in a softmax or a resized map may leave the interval by a few units in the last
    # place.
    if not ((probability >= -1e-4) & (probability <= 1 + 1e-4)).all():
        raise ValueError("expected probabilities from 0 to 1")
    return np.clip(np.floor(probability * 256), 0, 255).astype(np.uint8)


def probabilities(levels: np.ndarray) -> np.ndarray:
    """Map bytes to the middle of the probabilities that they stand for, float32 in (0, 1).

    Example:
        >>> probabilities(np.array([127, 128], np.uint8)).tolist()
        [0.498046875, 0.501953125]
    """
    return (levels.astype(np.float32) + np.float32(0.5)) / np.float32(256)


def save_map(run: Run, sample_id: str, probability: np.ndarray, exact: bool = False) -> None:
    """Keep a probability map, float (H, W) in [0, 1], or a stack of them, float (n, H, W).

    With `exact`, as float32 instead of bytes: for maps that are averaged later.

    Raises:
        InputError: a value is not a number, as a network predicts whose training diverged.
    """
    require_finite(run, sample_id, probability)
    flat = probability.reshape(-1, probability.shape[-1])
    if exact:
        content = io.BytesIO()  # straight to a file, numpy's error would not name a full disk
        np.save(content, flat.astype(np.float32))
        path = run.predictions / f"{sample_id}.npy"
        files.write_bytes(path, content.getvalue())
    else:
        _write(run.predictions / f"{sample_id}.png", quantise(flat))


def load_map(run: Run, sample_id: str) -> np.ndarray:
    """Read a probability map back: float32 (H, W), or (n H, W) of a stack.

    Raises:
        InputError: it is missing or damaged.
    """
    exact = _array_of(run, sample_id)
    if exact.exists():
        values = _load_array(exact)
        return values.reshape(-1, values.shape[-1])
    return probabilities(_read(run.predictions / f"{sample_id}.png"))


def save_classes(run: Run, sample_id: str, classes: np.ndarray) -> None:
    """Keep a map of class numbers, uint8 (H, W)."""
    _write(run.predictions / f"{sample_id}.png", classes.astype(np.uint8))


def load_classes(run: Run, sample_id: str) -> np.ndarray:
    """Read a class map back, uint8 (H, W); of an earlier version's softmax, the largest class.

    Raises:
        InputError: it is missing or damaged.
    """
    old = _array_of(run, sample_id)
    if old.exists():
        return _load_array(old).argmax(axis=-1).astype(np.uint8)
    return _read(run.predictions / f"{sample_id}.png")


def require_finite(run: Run, sample_id: str, probability: np.ndarray) -> None:
    """Raise InputError where a predicted value is not a number; the remedy is a new training."""
    if not np.isfinite(probability).all():
        raise InputError(
            f"{run.folder}: the network predicts values for {sample_id} that are no numbers: its "
            f"training has diverged; remove {run.folder} and lower --learning-rate "
            f"{run.config.get('learning_rate')}"
        )


def _array_of(run: Run, sample_id: str) -> Path:
    """Name the array that holds a prediction, in earlier versions without its folder."""
    exact = run.predictions / f"{sample_id}.npy"
    return exact if exact.exists() else run.predictions / exact.name


def _write(path: Path, levels: np.ndarray) -> None:
    encoded, content = cv2.imencode(".png", np.ascontiguousarray(levels))
    if not encoded:
        raise ValueError(f"cannot encode an array of shape {levels.shape} as PNG")
    files.write_bytes(path, content.tobytes())


def _read(path: Path) -> np.ndarray:
    levels = None
    with contextlib.suppress(OSError, cv2.error):
        content = files.read_bytes(path, MOST_BYTES)
        width, height = struct.unpack_from(">II", content.ljust(24), 16)  # of a PNG's header
        if width * height <= MOST_PIXELS:
            levels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if levels is None or levels.dtype != np.uint8 or levels.ndim != 2:
        raise InputError(f"{path}: missing or damaged prediction; {_remedy(path)}")
    return levels


def _load_array(path: Path) -> np.ndarray:
    try:
        values = np.load(files.buffered(path), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        values = None
    if not isinstance(values, np.ndarray) or values.ndim not in (2, 3) or not values.size:
        raise InputError(f"{path}: missing or damaged prediction; {_remedy(path)}")
    return values


def _remedy(path: Path) -> str:
    folder = path.parent
    while folder.name != "predictions" and folder != folder.parent:
        folder = folder.parent
    return f"remove {folder.parent} to redo the run"
