"""Synthetic stand-ins for the data sets, in their layouts on disk: for tests and demonstrations
without a download.

`python -m common.datasets.phantoms OUT` writes them all; OUT then serves as data root. Numbers
computed from them mean nothing.
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
from PIL import Image

from common.datasets.manifests import PHANTOM
from common.errors import InputError, exits_cleanly
from common.files import write_json
from common.imaging.writing import write_png

# Optical densities of haematoxylin and eosin in (R, G, B), near those of TNBC; the patients vary
# around them.
_HAEMATOXYLIN = (0.64, 0.76, 0.40)
_EOSIN = (0.32, 0.82, 0.42)


def nuclei(
    folder: Path | str,
    patients: int = 3,
    images_per_patient: int = 4,
    size: int = 128,
    seed: int = 0,
) -> None:
    """Write H&E-like pictures with nuclei, and their masks, in the layout of TNBC.

    `Slide_<patient>/<patient>_<n>.png` is RGBA, or RGB for each patient's last, and the mask of the
    same name in `GT_<patient>` is 0/255. The same arguments give the same pixels. Raises InputError
    if `folder` holds other data.
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
        write_json(
            new / PHANTOM,
            {"generator": "nuclei", "seed": seed, "image_size": [size, size], "expect": expect},
        )


def ultrasound(
    folder: Path | str, benign: int = 16, malignant: int = 8, normal: int = 6, seed: int = 0
) -> None:
    """Write breast-ultrasound-like pictures of 150 to 340 pixels a side, and their masks, in the
    layout of BUSI.

    `benign/benign (1).png` is grey, or RGB for every fourth, and has the mask `benign (1)_mask.png`
    of 0/255; the first benign one has two lesions and a second mask, `_mask_1`. `malignant` is
    alike, and the masks of `normal` are empty. The last picture of a kind with two or more shows
    the first one's scene again, a few pixels aside. The same arguments give the same pixels. Raises
    InputError if `folder` holds other data.
    """
    counts = {"benign": benign, "malignant": malignant, "normal": normal}
    with _replacing(Path(folder)) as new:
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


def colonoscopy(folder: Path | str, images: int = 20, size: int = 64, seed: int = 0) -> None:
    """Write colonoscopy-like pictures with one polyp each, and their masks, as a folder of images
    and masks.

    `images/<id>.jpg` is RGB and `masks/<id>.png` is 0/255. The same arguments give the same pixels.
    Raises InputError if `folder` holds other data.
    """
    with _replacing(Path(folder)) as new:
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


def packed_colonoscopy(
    folder: Path | str, train: int = 14, val: int = 4, test: int = 6, size: int = 64, seed: int = 0
) -> None:
    """Write pictures like those of `colonoscopy`, of two centres by turns, as `polypgen_256.npz` of
    MedSegBench.

    Its arrays are, for each part, `<part>_images`, uint8 (n, size, size, 3), and `<part>_label`,
    uint8 (n, size, size) of 0 and 1; and of each centre the same again, `<part>_images_C1` and so
    on. The same arguments give the same bytes.
    Raises InputError if `folder` holds other data.
    """
    with _replacing(Path(folder)) as new:
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


def histology(
    folder: Path | str,
    cases: int = 3,
    images_per_case: int = 2,
    size: Tuple[int, int] = (340, 256),
    seed: int = 0,
) -> None:
    """Write H&E-like pictures of `size` (width, height), and the centres of their nuclei, in the
    layout of BreCaHAD.

    `images/Case_<case>-<number>` is a TIFF, or a JPEG for each case's last.
    `groundTruth/Case_<case>-<number>.json` lists centres by class, from 0 to 1; crowded, large
    nuclei are the tumour's. The second picture of a case shows a part of the first one's tissue
    again. The same arguments give the same pixels. Raises InputError if `folder` holds other data.
    """
    width, height = size
    with _replacing(Path(folder)) as new:
        for name in ("images", "groundTruth"):
            (new / name).mkdir(parents=True)
        for case in range(1, cases + 1):
            stain = _stain(np.random.default_rng([seed, case]))
            for number in range(1, images_per_case + 1):
                again = number == 2
                rng = np.random.default_rng([seed, case, 1 if again else number])
                shift = height // 3 * again
                image, labels = _tissue(rng, width + height // 3, stain)
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


def brain_mri(
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
    with _replacing(Path(folder)) as new:
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


@contextlib.contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A folder that takes the place of `folder` once it is complete, provided that no real data are
    there.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / PHANTOM).exists():
        raise InputError(
            f"{folder}: holds data without a {PHANTOM}, expected a new folder or a phantom to "
            "replace"
        )
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


def _tissue(
    rng: np.random.Generator, size: int, stain: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """A picture, uint8 (size, size, 3), and its nuclei, int32 (size, size), numbered from 1.

    Amounts of the two stains are mixed by the law of Beer and Lambert (Ruifrok and Johnston 2001).
    """
    # Epithelium has crowded, large, pale nuclei; stroma has wavy fibres with gaps and a few small,
    # dark, thin nuclei.
    epithelium = 1 / (1 + np.exp(-4 * (_noise(rng, size, size / 5) + rng.normal(0.3, 0.5))))
    direction = rng.uniform(0, np.pi)
    fibres = _fibres(rng, size, direction)
    labels = _nuclei(rng, size, epithelium, direction)

    grain = _noise(rng, size, 1)
    eosin = (
        0.24
        + 0.05 * _noise(rng, size, 12)
        + 0.03 * _noise(rng, size, 3)
        + 0.06 * (1 - epithelium) * fibres
    )
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
            1,
        )
        # Annotators draw a line of background between neighbours; a few touch all the same.
        taken = (labels > 0).astype(np.uint8)
        taken = taken if rng.uniform() < 0.1 else cv2.dilate(taken, np.ones((3, 3), np.uint8))
        free = (shape > 0) & (taken == 0)
        if free.sum() > 0.85 * shape.sum():
            labels[free] = labels.max() + 1
    return labels


def _centres(labels: np.ndarray, window: Tuple[slice, slice]) -> dict:
    """Centres of the nuclei in a window of a label map (H, W), listed as in BreCaHAD: by class, x
    and y from 0 to 1.
    """
    areas = np.bincount(labels.ravel())
    labels = labels[window]
    found = {
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
        found[kind].append({"x": round(x, 6), "y": round(y, 6)})
    return found


def _fibres(rng: np.random.Generator, size: int, direction: float) -> np.ndarray:
    """Noise drawn out along a wavy direction, (size, size), mean 0 and standard deviation 1."""
    long = cv2.GaussianBlur(rng.normal(size=(2 * size, 2 * size)), (0, 0), sigmaX=14, sigmaY=1.3)
    y, x = np.mgrid[:size, :size] - size / 2
    wave = 8 * _noise(rng, size, size / 8)
    along = x * np.cos(direction) + y * np.sin(direction) + size
    across = y * np.cos(direction) - x * np.sin(direction) + wave + size
    return (
        cv2.remap(long, along.astype(np.float32), across.astype(np.float32), cv2.INTER_LINEAR)
        / long.std()
    )


def _noise(rng: np.random.Generator, size: int, scale: float) -> np.ndarray:
    """Smooth noise with features of about `scale` pixels, (size, size), mean 0 and standard
    deviation 1.
    """
    noise = cv2.GaussianBlur(rng.normal(size=(size, size)), (0, 0), scale)
    return (noise - noise.mean()) / noise.std()


def _scan(
    rng: np.random.Generator, kind: str, lesions: int, again: bool
) -> Tuple[np.ndarray, List[np.ndarray]]:
    """A picture, uint8 (H, W), and a mask per lesion, bool (H, W); without lesions one that is
    empty.

    `again` gives the same scene from a probe that has moved a little. Brightness is the logarithm
    of the echo, from 0 to 1, so that speckle (Rayleigh distributed, wider than high) and shadows
    are added to the tissue's.
    """
    height, width = rng.integers(150, 281), rng.integers(200, 341)
    size = max(height, width) + 8
    depth = np.linspace(0, 1, size)[:, None] + 0.02 * _noise(rng, size, 40)
    fibres = _fibres(rng, size, rng.normal(0, 0.1))
    gland = 1 / (1 + np.exp(-12 * (0.15 - np.abs(depth - rng.uniform(0.3, 0.5)))))
    tissue = 0.36 + 0.18 * gland + 0.07 * _noise(rng, size, 8) + 0.1 * fibres * (0.5 + depth)
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
        mask = _lesion(rng, size, centre, radius, spiky=kind == "malignant")
        edge = cv2.GaussianBlur(mask.astype(np.float64), (0, 0), 1.5 if kind == "benign" else 3)
        # A cyst brightens what lies below it, a carcinoma shadows it.
        below = np.maximum.accumulate(edge, axis=0) - edge
        tissue += cv2.GaussianBlur(below, (0, 0), 4) * (0.1 if kind == "benign" else -0.25)
        tissue += edge * (rng.uniform(0.05, 0.25) + 0.05 * _noise(rng, size, 4) - tissue)
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
            220,
            1,
            cv2.LINE_AA,
        )
    if lesions and rng.uniform() < 0.3:
        rows, columns = np.nonzero(masks[0])
        for row, column in (
            (rows.min(), columns[rows.argmin()]),
            (rows.max(), columns[rows.argmax()]),
        ):
            cv2.drawMarker(image, (int(column), int(row)), 230, cv2.MARKER_CROSS, 9)
    return image, masks


def _lesion(rng: np.random.Generator, size: int, centre, radius: float, spiky: bool) -> np.ndarray:
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
    return cv2.fillPoly(np.zeros((size, size), np.uint8), [points], 1).astype(bool)


def _colon(rng: np.random.Generator, size: int) -> Tuple[np.ndarray, np.ndarray]:
    """A picture, uint8 (size, size, 3), and its polyp, bool (size, size)."""
    y, x = np.mgrid[:size, :size] / size
    # The wall recedes into a dark lumen; its folds are rings around that, lit on the near side.
    lumen = rng.uniform(0, 1, 2)
    depth = np.hypot(y - lumen[0], x - lumen[1]) + 0.04 * _noise(rng, size, size / 10)
    light = (
        0.3 + 0.7 * (1 - np.exp(-((depth / 0.35) ** 2))) + 0.1 * np.sin(rng.uniform(10, 25) * depth)
    )
    light += 0.05 * _noise(rng, size, size / 12)
    vessels = np.exp(-((_noise(rng, size, size / 14) / 0.07) ** 2)) * (
        _noise(rng, size, size / 6) > 0
    )

    radius = size * rng.uniform(0.08, 0.26)
    centre = rng.uniform(0.25, 0.75, 2) * size
    mask = _lesion(rng, size, centre, radius, spiky=False)
    mask = mask.T if rng.uniform() < 0.5 else mask
    # A dome lit from the camera, which shades the wall beside it and is paler or redder than that.
    height = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    dome = np.sqrt(np.clip(height / height.max() * (2 - height / height.max()), 0, 1))
    shade = cv2.GaussianBlur(mask.astype(np.float64), (0, 0), radius / 5)
    edge = cv2.GaussianBlur(mask.astype(np.float64), (0, 0), size / 200)
    light += 0.5 * (edge - shade) + edge * (
        0.45 * dome - 0.15 + 0.04 * _noise(rng, size, size / 40)
    )

    wall = np.array([0.75, 0.42, 0.30]) + rng.normal(0, 0.04, 3)
    polyp = wall + rng.normal([0.04, 0.02, 0.03], 0.04)
    colour = (
        wall
        + edge[..., None] * (polyp - wall)
        - 0.12 * vessels[..., None] * (1 - edge[..., None]) * [0.3, 1, 0.9]
    )
    image = 255 * colour * np.clip(light, 0.05, 1.3)[..., None]
    wet = _noise(rng, size, size / 80) * light > rng.uniform(2.2, 2.8)
    image += 220 * cv2.GaussianBlur(wet.astype(np.float64), (0, 0), size / 250)[..., None]

    # The endoscope's field has no corners, and often an inset of the position below on the left.
    outside = abs(x - 0.5) + abs(y - 0.5) > 0.82
    if rng.uniform() < 0.4:
        outside |= (x < 0.33) & (y > 0.67)
    image[outside] = 3
    image = cv2.GaussianBlur(image, (0, 0), size / 300) + rng.normal(0, 2, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), mask & ~outside


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
    folds = np.exp(-((_noise(rng, size, size / 40) / 0.35) ** 2)) * np.clip(
        1.6 * radius - 0.6, 0, 1
    )
    image = 0.45 + 0.05 * _noise(rng, size, size / 20) - 0.17 * folds
    image -= 0.2 * np.exp(-((across / 0.008) ** 2)) * (radius > 0.45)
    ventricles = np.hypot((np.abs(across) - 0.045 - 0.2 * np.abs(along)) / 0.03, along / 0.12) < 1
    image[ventricles] = 0.12
    image = np.where(radius > 0.86, 0.1, image)
    image = np.where(radius > 0.92, rng.uniform(0.6, 0.9) + 0.05 * _noise(rng, size, 2), image)

    outlines = []
    turns = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    sides = rng.permutation([-1, 1])[: 2 if rng.uniform() < 0.2 else 1]
    for side in sides:
        extent = size * rng.uniform(0.05, 0.1)
        bumps = 1 + sum(0.2 / k * np.cos(k * turns + rng.uniform(0, 6)) for k in range(2, 5))
        middle = size * np.array(
            [0.5 + side * width * rng.uniform(0.4, 0.55), 0.5 + height * rng.uniform(-0.4, 0.4)]
        )
        middle += 0.01 * size * again
        points = middle[:, None] + extent * bumps * (0.92 if again else 1) * np.stack(
            [np.cos(turns), np.sin(turns)]
        )
        outlines.append(points.round().astype(int))
        mask = cv2.fillPoly(np.zeros((size, size), np.uint8), [outlines[-1].T.astype(np.int32)], 1)
        edge = cv2.GaussianBlur(mask.astype(np.float64), (0, 0), size / 130)
        swelling = cv2.GaussianBlur(mask.astype(np.float64), (0, 0), extent / 2) * (radius < 0.86)
        image -= 0.12 * swelling
        image += edge * (rng.uniform(0.8, 0.95) + 0.06 * _noise(rng, size, size / 40) - image)

    image = cv2.GaussianBlur(np.where(radius > 1, 0, image), (0, 0), size / 250)
    noise = np.hypot(image + rng.normal(0, 0.02, image.shape), rng.normal(0, 0.02, image.shape))
    return np.repeat(np.clip(255 * noise, 0, 255).astype(np.uint8)[..., None], 3, axis=2), outlines


@exits_cleanly
def main(argv: Optional[List[str]] = None) -> None:
    """Write a small phantom of every data set."""
    parser = argparse.ArgumentParser(
        prog="python -m common.datasets.phantoms", description=main.__doc__
    )
    parser.add_argument("out", type=Path, help="folder that then serves as data root")
    out = parser.parse_args(argv).out
    generators = {"tnbc": nuclei, "busi": ultrasound, "brecahad": histology, "brain_mri": brain_mri}
    generators.update({"polypgen": packed_colonoscopy, "polyp/kvasir_256": colonoscopy})
    for name, generator in generators.items():
        generator(out / name)
        print(f"phantoms of {name}: {out / name}")


if __name__ == "__main__":
    main()
