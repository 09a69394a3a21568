"""Synthetic stand-ins for the data sets, in their layouts on disk: for tests and demonstrations without a download.

`python -m common.phantoms OUT` writes them all; OUT then serves as data root. Numbers computed from them mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

import cv2
import numpy as np

from common.errors import InputError, exits_cleanly
from common.files import write_json
from common.images import write_png
from common.manifests import PHANTOM

# Optical densities of haematoxylin and eosin in (R, G, B), near those of TNBC; the patients vary around them.
_HAEMATOXYLIN = (0.64, 0.76, 0.40)
_EOSIN = (0.32, 0.82, 0.42)


def nuclei(folder: Path | str, patients: int = 3, images_per_patient: int = 4, size: int = 128, seed: int = 0) -> None:
    """Write H&E-like pictures with nuclei, and their masks, in the layout of TNBC.

    `Slide_<patient>/<patient>_<n>.png` is RGBA, or RGB for each patient's last, and the mask of the same name in
    `GT_<patient>` is 0/255. The same arguments give the same pixels. Raises InputError if `folder` holds other data.
    """
    with _replacing(Path(folder)) as new:
        for patient in range(1, patients + 1):
            stain = _stain(np.random.default_rng([seed, patient]))
            for number in range(1, images_per_patient + 1):
                image, labels = _tissue(np.random.default_rng([seed, patient, number]), size, stain)
                if number < images_per_patient:
                    image = np.dstack([image, np.full((size, size), 255, np.uint8)])
                write_png(new / f"Slide_{patient:02d}" / f"{patient:02d}_{number}.png", image)
                write_png(new / f"GT_{patient:02d}" / f"{patient:02d}_{number}.png", labels > 0)
        count = patients * images_per_patient
        expect = {"Slide_*": patients, "Slide_*/*.png": count, "GT_*/*.png": count}
        write_json(new / PHANTOM, {"generator": "nuclei", "seed": seed, "image_size": [size, size], "expect": expect})


@contextlib.contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A folder that takes the place of `folder` once it is complete, provided that no real data are there."""
    if folder.exists() and any(folder.iterdir()) and not (folder / PHANTOM).exists():
        raise InputError(f"{folder}: holds data without a {PHANTOM}, expected a new folder or a phantom to replace")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder.parent) as work:
        new = Path(work) / folder.name
        yield new
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)


def _stain(rng: np.random.Generator) -> np.ndarray:
    """One patient's optical densities (2, 3) of a unit of haematoxylin and of eosin."""
    vectors = np.array([_HAEMATOXYLIN, _EOSIN]) + rng.normal(0, 0.05, (2, 3))
    return vectors * rng.uniform(0.8, 1.3, (2, 1))


def _tissue(rng: np.random.Generator, size: int, stain: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """A picture, uint8 (size, size, 3), and its nuclei, int32 (size, size), numbered from 1.

    Amounts of the two stains are mixed by the law of Beer and Lambert (Ruifrok and Johnston 2001).
    """
    # Epithelium has crowded, large, pale nuclei; stroma has wavy fibres with gaps and a few small, dark, thin nuclei.
    epithelium = 1 / (1 + np.exp(-4 * (_noise(rng, size, size / 5) + rng.normal(0.3, 0.5))))
    direction = rng.uniform(0, np.pi)
    fibres = _fibres(rng, size, direction)
    labels = _nuclei(rng, size, epithelium, direction)

    grain = _noise(rng, size, 1)
    eosin = 0.24 + 0.05 * _noise(rng, size, 12) + 0.03 * _noise(rng, size, 3) + 0.06 * (1 - epithelium) * fibres
    haematoxylin = 0.04 + epithelium * (0.12 + 0.05 * _noise(rng, size, 5)) + 0.02 * grain
    gaps = np.clip(0.8 * _noise(rng, size, 8) - 0.7 * fibres - 1.2, 0, 1) * (1 - epithelium)
    eosin, haematoxylin = eosin * (1 - gaps), haematoxylin * (1 - gaps)

    # A nucleus is dark along its membrane and in clumps of chromatin, the more so the paler it is.
    darkness = np.concatenate([[0], rng.uniform(0.4, 0.95, labels.max())])[labels]
    depth = cv2.distanceTransform((labels > 0).astype(np.uint8), cv2.DIST_L2, 3)
    clumps = np.clip(_noise(rng, size, 1.1), -1, 2) * (1.15 - darkness) * 0.25
    chromatin = darkness * 0.9 + 0.4 * np.exp(-(((depth - 1) / 1.2) ** 2)) + clumps
    edge = cv2.GaussianBlur((labels > 0).astype(np.float64), (0, 0), 0.8)
    haematoxylin += edge * (chromatin - haematoxylin)
    eosin *= 1 - 0.4 * edge

    density = np.clip(np.stack([haematoxylin, eosin], axis=-1), 0, None) @ stain
    image = cv2.GaussianBlur(242 * np.exp(-density), (0, 0), 0.6) + rng.normal(0, 3, (size, size, 3))
    return np.clip(image, 0, 255).astype(np.uint8), labels


def _nuclei(rng: np.random.Generator, size: int, epithelium: np.ndarray, direction: float) -> np.ndarray:
    """Outlines of nuclei, int32 (size, size): blobs dropped at random that keep off those before them."""
    labels = np.zeros((size, size), np.int32)
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    for _ in range(size * size // 180):
        centre = rng.uniform(0, size, 2)
        crowded = rng.uniform() < epithelium[int(centre[1]), int(centre[0])]
        if not crowded and rng.uniform() < 0.9:
            continue
        radius = rng.uniform(6, 11) if crowded else rng.uniform(4.5, 6.5)
        stretch = rng.uniform(1, 1.3) if crowded else rng.uniform(1, 1.8)
        angle = rng.uniform(0, np.pi) if crowded else direction + rng.normal(0, 0.3)
        bumps = 1 + 0.08 * np.cos(2 * turns + rng.uniform(0, 6)) + 0.06 * np.cos(3 * turns + rng.uniform(0, 6))
        along, across = radius * bumps * np.stack([stretch * np.cos(turns), np.sin(turns) / stretch])
        x = centre[0] + along * np.cos(angle) - across * np.sin(angle)
        y = centre[1] + along * np.sin(angle) + across * np.cos(angle)
        shape = cv2.fillPoly(np.zeros((size, size), np.uint8), [np.stack([x, y], axis=-1).round().astype(np.int32)], 1)
        # Annotators draw a line of background between neighbours; a few touch all the same.
        taken = (labels > 0).astype(np.uint8)
        taken = taken if rng.uniform() < 0.1 else cv2.dilate(taken, np.ones((3, 3), np.uint8))
        free = (shape > 0) & (taken == 0)
        if free.sum() > 0.85 * shape.sum():
            labels[free] = labels.max() + 1
    return labels


def _fibres(rng: np.random.Generator, size: int, direction: float) -> np.ndarray:
    """Noise drawn out along a wavy direction, (size, size), mean 0 and standard deviation 1."""
    long = cv2.GaussianBlur(rng.normal(size=(2 * size, 2 * size)), (0, 0), sigmaX=14, sigmaY=1.3)
    y, x = np.mgrid[:size, :size] - size / 2
    wave = 8 * _noise(rng, size, size / 8)
    along = x * np.cos(direction) + y * np.sin(direction) + size
    across = y * np.cos(direction) - x * np.sin(direction) + wave + size
    return cv2.remap(long, along.astype(np.float32), across.astype(np.float32), cv2.INTER_LINEAR) / long.std()


def _noise(rng: np.random.Generator, size: int, scale: float) -> np.ndarray:
    """Smooth noise with features of about `scale` pixels, (size, size), mean 0 and standard deviation 1."""
    noise = cv2.GaussianBlur(rng.normal(size=(size, size)), (0, 0), scale)
    return (noise - noise.mean()) / noise.std()


@exits_cleanly
def main(argv: Optional[List[str]] = None) -> None:
    """Write a small phantom of every data set."""
    parser = argparse.ArgumentParser(prog="python -m common.phantoms", description=main.__doc__)
    parser.add_argument("out", type=Path, help="folder that then serves as data root")
    out = parser.parse_args(argv).out
    nuclei(out / "tnbc")
    print(f"phantoms of tnbc: {out / 'tnbc'}")


if __name__ == "__main__":
    main()
