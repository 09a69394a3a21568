"""H&E-like images with nuclei, in the layout of TNBC: synthetic, for tests and
demonstrations. Numbers computed from them mean nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.datasets import phantoms
from common.datasets.manifests import PHANTOM
from common.files import write_json
from common.imaging.writing import write_png


def write(
    folder: Path | str,
    patients: int = 3,
    images_per_patient: int = 3,
    size: int = 128,
    seed: int = 0,
) -> None:
    """Write H&E-like images with nuclei, and their masks, in the layout of TNBC.

    `Slide_<patient>/<patient>_<n>.png` is RGBA, or RGB for each patient's last, and the mask of the
    same name in `GT_<patient>` is 0/255. The same arguments give the same pixels. Raises InputError
    if `folder` holds other data.
    """
    with phantoms.replacing(Path(folder)) as new:
        for patient in range(1, patients + 1):
            stain = phantoms.stain(np.random.default_rng([seed, patient]))
            for number in range(1, images_per_patient + 1):
                image, labels = phantoms.tissue(
                    np.random.default_rng([seed, patient, number]), size, stain
                )
                if number < images_per_patient:
                    image = np.dstack([image, np.full((size, size), 255, np.uint8)])
                write_png(new / f"Slide_{patient:02d}" / f"{patient:02d}_{number}.png", image)
                write_png(new / f"GT_{patient:02d}" / f"{patient:02d}_{number}.png", labels > 0)
        count = patients * images_per_patient
        expect = {"Slide_*": patients, "Slide_*/*.png": count, "GT_*/*.png": count}
        write_json(
            new / PHANTOM,
            {"generator": "nuclei", "seed": seed, "image_size": [size, size], "expect": expect},
        )
