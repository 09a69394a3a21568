"""Colonoscopy-like images with polyps, as MedSegBench packs them or as a folder: synthetic, for
tests and demonstrations. Numbers computed from them mean nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Tuple

import cv2
import numpy as np
from PIL import Image

from common.datasets import phantoms
from common.datasets.manifests import PHANTOM
from common.files import write_json
from common.imaging.writing import write_png


def write(
    folder: Path | str, train: int = 14, val: int = 4, test: int = 6, size: int = 64, seed: int = 0
) -> None:
    """Write images like those of `write_folder`, of two centres by turns, as `polypgen_256.npz`
    of MedSegBench.

    Its arrays are, for each part, `<part>_images`, uint8 (n, size, size, 3), and `<part>_label`,
    uint8 (n, size, size) of 0 and 1; and of each centre the same again, `<part>_images_C1` and so
    on. The same arguments give the same bytes.
    Raises InputError if `folder` holds other data.
    """
    with phantoms.replacing(Path(folder)) as new:
        arrays = {}
        for index, (part, count) in enumerate({"train": train, "val": val, "test": test}.items()):
            pairs = [
                _colon(np.random.default_rng([seed, index, number]), size)
                for number in range(count)
            ]
            for kind, content in zip(("images", "label"), map(np.stack, zip(*pairs))):
                content = content.astype(np.uint8)
                arrays.update({f"{part}_{kind}": content})
                arrays.update(
                    {f"{part}_{kind}_C{centre + 1}": content[centre::2] for centre in range(2)}
                )
        new.mkdir()
        np.savez_compressed(new / "polypgen_256.npz", **arrays)
        write_json(
            new / PHANTOM,
            {"generator": "packed_colonoscopy", "seed": seed, "expect": {"polypgen_256.npz": 1}},
        )


def write_folder(folder: Path | str, images: int = 20, size: int = 64, seed: int = 0) -> None:
    """Write colonoscopy-like images with one polyp each, and their masks, as a folder of images
    and masks.

    `images/<id>.jpg` is RGB and `masks/<id>.png` is 0/255. The same arguments give the same pixels.
    Raises InputError if `folder` holds other data.
    """
    with phantoms.replacing(Path(folder)) as new:
        (new / "images").mkdir(parents=True)
        for number in range(1, images + 1):
            image, mask = _colon(np.random.default_rng([seed, number]), size)
            Image.fromarray(image).save(new / f"images/{number:04d}.jpg", quality=95)
            write_png(new / f"masks/{number:04d}.png", mask)
        expect = {"images/*.jpg": images, "masks/*.png": images}
        write_json(
            new / PHANTOM,
            {
                "generator": "colonoscopy",
                "seed": seed,
                "image_size": [size, size],
                "expect": expect,
            },
        )


def _colon(rng: np.random.Generator, size: int) -> Tuple[np.ndarray, np.ndarray]:
    """An image, uint8 (size, size, 3), and its polyp, bool (size, size)."""
    y, x = np.mgrid[:size, :size] / size
    # The wall recedes into a dark lumen; its folds are rings around that, lit on the near side.
    lumen = rng.uniform(0, 1, 2)
    depth = np.hypot(y - lumen[0], x - lumen[1]) + 0.04 * phantoms.smooth_noise(
        rng, size, size / 10
    )
    light = (
        0.3 + 0.7 * (1 - np.exp(-((depth / 0.35) ** 2))) + 0.1 * np.sin(rng.uniform(10, 25) * depth)
    )
    light += 0.05 * phantoms.smooth_noise(rng, size, size / 12)
    vessels = np.exp(-((phantoms.smooth_noise(rng, size, size / 14) / 0.07) ** 2)) * (
        phantoms.smooth_noise(rng, size, size / 6) > 0
    )

    radius = size * rng.uniform(0.08, 0.26)
    centre = rng.uniform(0.25, 0.75, 2) * size
    mask = phantoms.lesion_outline(rng, size, centre, radius, spiky=False)
    mask = mask.T if rng.uniform() < 0.5 else mask
    # A dome lit from the camera, which shades the wall beside it and is paler or redder than that.
    height = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    dome = np.sqrt(np.clip(height / height.max() * (2 - height / height.max()), 0, 1))
    shade = cv2.GaussianBlur(mask.astype(np.float64), (0, 0), radius / 5)
    edge = cv2.GaussianBlur(mask.astype(np.float64), (0, 0), size / 200)
    light += 0.5 * (edge - shade) + edge * (
        0.45 * dome - 0.15 + 0.04 * phantoms.smooth_noise(rng, size, size / 40)
    )

    wall = np.array([0.75, 0.42, 0.30]) + rng.normal(0, 0.04, 3)
    polyp = wall + rng.normal([0.04, 0.02, 0.03], 0.04)
    colour = (
        wall
        + edge[..., None] * (polyp - wall)
        - 0.12 * vessels[..., None] * (1 - edge[..., None]) * [0.3, 1, 0.9]
    )
    image = 255 * colour * np.clip(light, 0.05, 1.3)[..., None]
    wet = phantoms.smooth_noise(rng, size, size / 80) * light > rng.uniform(2.2, 2.8)
    image += 220 * cv2.GaussianBlur(wet.astype(np.float64), (0, 0), size / 250)[..., None]

    # The endoscope's field has no corners, and often an inset of the position below on the left.
    outside = abs(x - 0.5) + abs(y - 0.5) > 0.82
    if rng.uniform() < 0.4:
        outside |= (x < 0.33) & (y > 0.67)
    image[outside] = 3
    image = cv2.GaussianBlur(image, (0, 0), size / 300) + rng.normal(0, 2, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), mask & ~outside
