"""Building blocks of synthetic images: tissue, lesions, noise, and a folder that is replaced whole.

A paper's phantom.py makes its data set's stand-in of them.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Iterator, Tuple

import cv2
import numpy as np

from common import files
from common.datasets.manifests import PHANTOM
from common.errors import InputError

# Optical densities of haematoxylin and eosin in (R, G, B), near those of TNBC; the patients vary
# around them.
_HAEMATOXYLIN = (0.64, 0.76, 0.40)
_EOSIN = (0.32, 0.82, 0.42)


@contextlib.contextmanager
def replacing(folder: Path | str) -> Iterator[Path]:
    """A folder that takes the place of `folder` once it is complete, provided that no real data are
    there.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / PHANTOM).exists():
        raise InputError(
            f"{folder}: holds data without a {PHANTOM}, expected a new folder or a phantom to "
            "replace"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with files.scratch_folder(folder.parent, folder.name) as work:
        new = work / folder.name
        yield new
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)


def stain(rng: np.random.Generator) -> np.ndarray:
    """One patient's optical densities (2, 3) of a unit of haematoxylin and of eosin."""
    vectors = np.array([_HAEMATOXYLIN, _EOSIN]) + rng.normal(0, 0.05, (2, 3))
    return vectors * rng.uniform(0.8, 1.3, (2, 1))


def tissue(rng: np.random.Generator, size: int, stain: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """An image, uint8 (size, size, 3), and its nuclei, int32 (size, size), numbered from 1.

    Amounts of the two stains are mixed by the law of Beer and Lambert (Ruifrok and Johnston 2001).
    """
    # Epithelium has crowded, large, pale nuclei; stroma has wavy fibres with gaps and a few small,
    # dark, thin nuclei.
    epithelium = 1 / (1 + np.exp(-4 * (smooth_noise(rng, size, size / 5) + rng.normal(0.3, 0.5))))
    direction = rng.uniform(0, np.pi)
    fibres = fibrous_texture(rng, size, direction)
    labels = _nuclei(rng, size, epithelium, direction)

    grain = smooth_noise(rng, size, 1)
    eosin = (
        0.24
        + 0.05 * smooth_noise(rng, size, 12)
        + 0.03 * smooth_noise(rng, size, 3)
        + 0.06 * (1 - epithelium) * fibres
    )
    haematoxylin = 0.04 + epithelium * (0.12 + 0.05 * smooth_noise(rng, size, 5)) + 0.02 * grain
    gaps = np.clip(0.8 * smooth_noise(rng, size, 8) - 0.7 * fibres - 1.2, 0, 1) * (1 - epithelium)
    eosin, haematoxylin = eosin * (1 - gaps), haematoxylin * (1 - gaps)

    # A nucleus is dark along its membrane and in clumps of chromatin, the more so the paler it is.
    darkness = np.concatenate([[0], rng.uniform(0.4, 0.95, labels.max())])[labels]
    depth = cv2.distanceTransform((labels > 0).astype(np.uint8), cv2.DIST_L2, 3)
    clumps = np.clip(smooth_noise(rng, size, 1.1), -1, 2) * (1.15 - darkness) * 0.25
    chromatin = darkness * 0.9 + 0.4 * np.exp(-(((depth - 1) / 1.2) ** 2)) + clumps
    edge = cv2.GaussianBlur((labels > 0).astype(np.float64), (0, 0), 0.8)
    haematoxylin += edge * (chromatin - haematoxylin)
    eosin *= 1 - 0.4 * edge

    density = np.clip(np.stack([haematoxylin, eosin], axis=-1), 0, None) @ stain
    image = cv2.GaussianBlur(242 * np.exp(-density), (0, 0), 0.6) + rng.normal(
        0, 3, (size, size, 3)
    )
    return np.clip(image, 0, 255).astype(np.uint8), labels


def _nuclei(
    rng: np.random.Generator, size: int, epithelium: np.ndarray, direction: float
) -> np.ndarray:
    """Outlines of nuclei, int32 (size, size): blobs dropped at random that keep off those before
    them.
    """
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
        bumps = (
            1
            + 0.08 * np.cos(2 * turns + rng.uniform(0, 6))
            + 0.06 * np.cos(3 * turns + rng.uniform(0, 6))
        )
        along, across = (
            radius * bumps * np.stack([stretch * np.cos(turns), np.sin(turns) / stretch])
        )
        x = centre[0] + along * np.cos(angle) - across * np.sin(angle)
        y = centre[1] + along * np.sin(angle) + across * np.cos(angle)
        shape = cv2.fillPoly(
            np.zeros((size, size), np.uint8),
            [np.stack([x, y], axis=-1).round().astype(np.int32)],
            (1,),
        )
        # Annotators draw a line of background between neighbours; a few touch all the same.
        taken = (labels > 0).astype(np.uint8)
        taken = taken if rng.uniform() < 0.1 else cv2.dilate(taken, np.ones((3, 3), np.uint8))
        free = (np.asarray(shape) > 0) & (np.asarray(taken) == 0)
        if free.sum() > 0.85 * shape.sum():
            labels[free] = labels.max() + 1
    return labels


def fibrous_texture(rng: np.random.Generator, size: int, direction: float) -> np.ndarray:
    """Noise drawn out along a wavy direction, (size, size), mean 0 and standard deviation 1."""
    long = cv2.GaussianBlur(rng.normal(size=(2 * size, 2 * size)), (0, 0), sigmaX=14, sigmaY=1.3)
    y, x = np.mgrid[:size, :size] - size / 2
    wave = 8 * smooth_noise(rng, size, size / 8)
    along = x * np.cos(direction) + y * np.sin(direction) + size
    across = y * np.cos(direction) - x * np.sin(direction) + wave + size
    return (
        cv2.remap(long, along.astype(np.float32), across.astype(np.float32), cv2.INTER_LINEAR)
        / long.std()
    )


def smooth_noise(rng: np.random.Generator, size: int, scale: float) -> np.ndarray:
    """Smooth noise with features of about `scale` pixels, (size, size), mean 0 and standard
    deviation 1.
    """
    noise = cv2.GaussianBlur(rng.normal(size=(size, size)), (0, 0), scale)
    return (noise - noise.mean()) / noise.std()


def lesion_outline(
    rng: np.random.Generator, size: int, centre, radius: float, spiky: bool
) -> np.ndarray:
    """The outline of one lesion, bool (size, size): a lying ellipse, or with spikes and about as
    high as wide.
    """
    turns = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    waves = range(2, 12) if spiky else range(2, 4)
    outline = 1 + sum(
        (0.25 if spiky else 0.08) / k * np.cos(k * turns + rng.uniform(0, 6)) for k in waves
    )
    stretch = rng.uniform(0.9, 1.1) if spiky else rng.uniform(1.15, 1.4)
    x, y = (
        centre[0] + radius * stretch * outline * np.cos(turns),
        centre[1] + radius / stretch * outline * np.sin(turns),
    )
    points = np.stack([x, y], axis=-1).round().astype(np.int32)
    filled = cv2.fillPoly(np.zeros((size, size), np.uint8), [points], (1,))
    return np.asarray(filled).astype(bool)
