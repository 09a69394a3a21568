"""Brain-MR-like slices with tumours, in the layout of brain_tumor_data: synthetic, for tests and
demonstrations. Numbers computed from them mean nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import List, Tuple

import cv2
import numpy as np
from PIL import Image

from common.datasets import phantoms
from common.datasets.manifests import PHANTOM
from common.files import write_json


def write(
    folder: Path | str, train: int = 12, val: int = 4, test: int = 6, size: int = 128, seed: int = 0
) -> None:
    """Write brain-MR-like slices with one or two bright tumours, and their outlines, in the layout
    of brain_tumor_data.

    `train/0.jpg` and so on are RGB, with the number running on through `val` and `test`; every
    fourth is not square. `annotations.json` beside them holds the outlines as polygons, as the VGG
    Image Annotator writes them. The first test slice shows the head of the last training slice
    again. The same arguments give the same pixels. Raises InputError if `folder` holds other data.
    """
    counts = {"train": train, "val": val, "test": test}
    with phantoms.replacing(Path(folder)) as new:
        number = 0
        for part, count in counts.items():
            (new / part).mkdir(parents=True)
            entries = {}
            for index in range(count):
                again = part == "test" and index == 0 and train > 0
                image, outlines = _brain(
                    np.random.default_rng([seed, train - 1 if again else number]), size, again
                )
                path = new / part / f"{number}.jpg"
                Image.fromarray(image[: size - size // 8] if number % 4 == 2 else image).save(
                    path, quality=95
                )
                regions = [
                    {
                        "shape_attributes": {
                            "name": "polygon",
                            "all_points_x": x.tolist(),
                            "all_points_y": y.tolist(),
                        },
                        "region_attributes": {"shape": "tumor"},
                    }
                    for x, y in outlines
                ]
                entry = {
                    "filename": path.name,
                    "size": path.stat().st_size,
                    "regions": regions,
                    "file_attributes": {},
                }
                entries[f"{path.name}{entry['size']}"] = entry
                number += 1
            write_json(new / part / "annotations.json", entries)
        expect = {"*/*.jpg": number, **{f"{part}/*.jpg": count for part, count in counts.items()}}
        expect["*/annotations.json"] = len(counts)
        write_json(new / PHANTOM, {"generator": "brain_mri", "seed": seed, "expect": expect})


def _brain(rng: np.random.Generator, size: int, again: bool) -> Tuple[np.ndarray, List[np.ndarray]]:
    """A slice, uint8 (size, size, 3), and the outlines of its tumours, each int (2, points) of x
    and y.

    `again` gives the same head a little further up.
    """
    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    tilt, width, height = rng.normal(0, 0.1), rng.uniform(0.29, 0.33), rng.uniform(0.36, 0.39)
    across, along = x * np.cos(tilt) + y * np.sin(tilt), y * np.cos(tilt) - x * np.sin(tilt)
    radius = np.hypot(across / width, along / height)  # 1 on the scalp
    # From outside: scalp and its fat, bone, the brain with its folds, and in the middle the
    # ventricles.
    folds = np.exp(-((phantoms.smooth_noise(rng, size, size / 40) / 0.35) ** 2)) * np.clip(
        1.6 * radius - 0.6, 0, 1
    )
    image = 0.45 + 0.05 * phantoms.smooth_noise(rng, size, size / 20) - 0.17 * folds
    image -= 0.2 * np.exp(-((across / 0.008) ** 2)) * (radius > 0.45)
    ventricles = np.hypot((np.abs(across) - 0.045 - 0.2 * np.abs(along)) / 0.03, along / 0.12) < 1
    image[ventricles] = 0.12
    image = np.where(radius > 0.86, 0.1, image)
    image = np.where(
        radius > 0.92, rng.uniform(0.6, 0.9) + 0.05 * phantoms.smooth_noise(rng, size, 2), image
    )

    outlines = []
    turns = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    sides = rng.permutation([-1, 1])[: 2 if rng.uniform() < 0.2 else 1]
    for side in sides:
        extent = size * rng.uniform(0.05, 0.1)
        waves = [0.2 / k * np.cos(k * turns + rng.uniform(0, 6)) for k in range(2, 5)]
        bumps = 1 + sum(waves)
        place = [0.5 + side * width * rng.uniform(0.4, 0.55), 0.5 + height * rng.uniform(-0.4, 0.4)]
        middle = size * np.array(place) + 0.01 * size * again
        points = middle[:, None] + extent * bumps * (0.92 if again else 1) * np.stack(
            [np.cos(turns), np.sin(turns)]
        )
        outlines.append(points.round().astype(int))
        mask = cv2.fillPoly(
            np.zeros((size, size), np.uint8), [outlines[-1].T.astype(np.int32)], (1,)
        )
        edge = cv2.GaussianBlur(mask.astype(np.float64), (0, 0), size / 130)
        swelling = cv2.GaussianBlur(mask.astype(np.float64), (0, 0), extent / 2) * (radius < 0.86)
        image -= 0.12 * swelling
        image += edge * (
            rng.uniform(0.8, 0.95) + 0.06 * phantoms.smooth_noise(rng, size, size / 40) - image
        )

    image = cv2.GaussianBlur(np.where(radius > 1, 0, image), (0, 0), size / 250)
    noise = np.hypot(image + rng.normal(0, 0.02, image.shape), rng.normal(0, 0.02, image.shape))
    return np.repeat(np.clip(255 * noise, 0, 255).astype(np.uint8)[..., None], 3, axis=2), outlines
