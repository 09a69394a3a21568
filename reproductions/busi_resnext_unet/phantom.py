"""Breast-ultrasound-like images, in the layout of BUSI: synthetic, for tests and
demonstrations. Numbers computed from them mean nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import List, Tuple

import cv2
import numpy as np

from common.datasets import phantoms
from common.datasets.manifests import PHANTOM
from common.files import write_json
from common.imaging.writing import write_png


def write(
    folder: Path | str, benign: int = 10, malignant: int = 6, normal: int = 4, seed: int = 0
) -> None:
    """Write breast-ultrasound-like images of 150 to 340 pixels in width and height, and their
    masks, in the layout of BUSI.

    `benign/benign (1).png` is grey, or RGB for every fourth, and has the mask `benign (1)_mask.png`
    of 0/255; the first benign one has two lesions and a second mask, `_mask_1`. `malignant` is
    alike, and the masks of `normal` are empty. The last image of a kind with two or more shows
    the first one's scene again, a few pixels aside. The same arguments give the same pixels. Raises
    InputError if `folder` holds other data.
    """
    counts = {"benign": benign, "malignant": malignant, "normal": normal}
    with phantoms.replacing(Path(folder)) as new:
        for index, (kind, count) in enumerate(counts.items()):
            for number in range(1, count + 1):
                scene = 1 if number == count else number
                rng = np.random.default_rng([seed, index, scene])
                lesions = 0 if kind == "normal" else 2 if (kind, scene) == ("benign", 1) else 1
                image, masks = _scan(rng, kind, lesions, again=scene != number)
                image = np.repeat(image[..., None], 3, axis=2) if number % 4 == 0 else image
                write_png(new / kind / f"{kind} ({number}).png", image)
                for k, mask in enumerate(masks):
                    write_png(
                        new / kind / f"{kind} ({number})_mask{f'_{k}' if k else ''}.png", mask
                    )
        expect = {f"{kind}/{kind} (*).png": count for kind, count in counts.items()}
        expect.update(
            {
                "*/*).png": sum(counts.values()),
                "*/*_mask*.png": len(list(new.glob("*/*_mask*.png"))),
            }
        )
        write_json(new / PHANTOM, {"generator": "ultrasound", "seed": seed, "expect": expect})


def _scan(
    rng: np.random.Generator, kind: str, lesions: int, again: bool
) -> Tuple[np.ndarray, List[np.ndarray]]:
    """An image, uint8 (H, W), and a mask per lesion, bool (H, W); without lesions one that is
    empty.

    `again` gives the same scene from a probe that has moved a little. Brightness is the logarithm
    of the echo, from 0 to 1, so that speckle (Rayleigh distributed, wider than high) and shadows
    are added to the tissue's.
    """
    height, width = rng.integers(150, 281), rng.integers(200, 341)
    size = max(height, width) + 8
    depth = np.linspace(0, 1, size)[:, None] + 0.02 * phantoms.smooth_noise(rng, size, 40)
    fibres = phantoms.fibrous_texture(rng, size, rng.normal(0, 0.1))
    gland = 1 / (1 + np.exp(-12 * (0.15 - np.abs(depth - rng.uniform(0.3, 0.5)))))
    tissue = (
        0.36
        + 0.18 * gland
        + 0.07 * phantoms.smooth_noise(rng, size, 8)
        + 0.1 * fibres * (0.5 + depth)
    )
    tissue += 0.4 * np.exp(-((depth / 0.03) ** 2)) - rng.uniform(0.4, 0.9) * np.clip(
        depth - 0.45, 0, 1
    )

    masks = [np.zeros((size, size), bool)] * (lesions == 0)
    for lesion in range(lesions):
        radius = height * (rng.uniform(0.12, 0.2) if lesions == 1 else 0.1)
        centre = (
            width * (lesion + rng.uniform(0.4, 0.6)) / lesions,
            height * rng.uniform(0.3, 0.5),
        )
        mask = phantoms.lesion_outline(rng, size, centre, radius, spiky=kind == "malignant")
        edge = cv2.GaussianBlur(mask.astype(np.float64), (0, 0), 1.5 if kind == "benign" else 3)
        # A cyst brightens what lies below it, a carcinoma shadows it.
        below = np.maximum.accumulate(edge, axis=0) - edge
        tissue += cv2.GaussianBlur(below, (0, 0), 4) * (0.1 if kind == "benign" else -0.25)
        tissue += edge * (
            rng.uniform(0.05, 0.25) + 0.05 * phantoms.smooth_noise(rng, size, 4) - tissue
        )
        masks.append(mask)

    shift = rng.integers(1, 7, 2) if again else (0, 0)
    window = np.s_[shift[0] : shift[0] + height, shift[1] : shift[1] + width]
    echo = [
        cv2.GaussianBlur(rng.normal(size=(size, size)), (0, 0), sigmaX=1.6, sigmaY=0.8)
        for _ in range(2)
    ]
    speckle = np.log(np.hypot(*echo) + 1e-3)
    image = 255 * (tissue + 0.09 * (speckle - speckle.mean()))[window]
    image = np.clip(cv2.GaussianBlur(image, (0, 0), 0.6), 0, 255).astype(np.uint8)
    masks = [mask[window] for mask in masks]
    if rng.uniform() < 0.4:
        cv2.putText(
            image,
            "PHANTOM",
            (width // 8, height - 14),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.4,
            (220,),
            1,
            cv2.LINE_AA,
        )
    if lesions and rng.uniform() < 0.3:
        rows, columns = np.nonzero(masks[0])
        for row, column in (
            (rows.min(), columns[rows.argmin()]),
            (rows.max(), columns[rows.argmax()]),
        ):
            cv2.drawMarker(image, (int(column), int(row)), (230,), cv2.MARKER_CROSS, 9)
    return image, masks
