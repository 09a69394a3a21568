"""H&E-like images with centres of nuclei, in the layout of BreCaHAD: synthetic, for tests and
demonstrations. Numbers computed from them mean nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
from PIL import Image

from common.datasets import phantoms
from common.datasets.manifests import PHANTOM
from common.files import write_json


def write(
    folder: Path | str,
    cases: int = 3,
    images_per_case: int = 2,
    size: Tuple[int, int] = (340, 256),
    seed: int = 0,
) -> None:
    """Write H&E-like images of `size` (width, height), and the centres of their nuclei, in the
    layout of BreCaHAD.

    `images/Case_<case>-<number>` is a TIFF, or a JPEG for each case's last.
    `groundTruth/Case_<case>-<number>.json` lists centres by class, from 0 to 1; crowded, large
    nuclei are the tumour's. The second image of a case shows a part of the first one's tissue
    again. The same arguments give the same pixels. Raises InputError if `folder` holds other data.
    """
    width, height = size
    with phantoms.replacing(Path(folder)) as new:
        for name in ("images", "groundTruth"):
            (new / name).mkdir(parents=True)
        for case in range(1, cases + 1):
            stain = phantoms.stain(np.random.default_rng([seed, case]))
            for number in range(1, images_per_case + 1):
                again = number == 2
                rng = np.random.default_rng([seed, case, 1 if again else number])
                shift = height // 3 * again
                image, labels = phantoms.tissue(rng, width + height // 3, stain)
                window = np.s_[shift : shift + height, shift : shift + width]
                name = f"Case_{case}-{number:02d}"
                path = new / "images" / f"{name}.{'jpg' if number == images_per_case else 'tif'}"
                Image.fromarray(image[window]).save(path, quality=95)
                write_json(new / "groundTruth" / f"{name}.json", _centres(labels, window))
        count = cases * images_per_case
        expect = {"images/*.tif": count - cases, "images/*.jpg": cases, "groundTruth/*.json": count}
        write_json(
            new / PHANTOM,
            {"generator": "histology", "seed": seed, "image_size": size, "expect": expect},
        )


def _centres(labels: np.ndarray, window: Tuple[slice, slice]) -> dict:
    """Centres of the nuclei in a window of a label map (H, W), listed as in BreCaHAD: by class, x
    and y from 0 to 1.
    """
    areas = np.bincount(labels.ravel())
    labels = labels[window]
    by_class: Dict[str, List[Dict[str, float]]] = {
        name: []
        for name in (
            "mitosis",
            "non_mitosis",
            "apoptosis",
            "tumor",
            "non_tumor",
            "lumen",
            "non_lumen",
        )
    }
    for label in np.unique(labels[labels > 0]):
        rows, columns = np.nonzero(labels == label)
        # Nuclei of the stroma have radii up to 6.5, those of epithelium from 6 upwards.
        kind = "tumor" if areas[label] > np.pi * 6.25**2 else "non_tumor"
        x, y = (columns.mean() + 0.5) / labels.shape[1], (rows.mean() + 0.5) / labels.shape[0]
        by_class[kind].append({"x": round(x, 6), "y": round(y, 6)})
    return by_class
