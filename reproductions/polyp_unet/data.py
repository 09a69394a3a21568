"""PolypGen as MedSegBench packs it, or a folder of images and masks: from the files to training
batches.
"""

from __future__ import annotations

import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Dict, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np
from PIL import Image, ImageEnhance

from common import files
from common.datasets import manifests
from common.datasets.archives import check_zip_size
from common.datasets.splits import Split, random_split
from common.errors import InputError
from common.imaging.listing import any_case
from common.imaging.masks import read_pair
from reproductions.polyp_unet.config import Config

if TYPE_CHECKING:
    import tensorflow as tf

PARTS = {
    "train": "train",
    "validation": "val",
    "test": "test",
}  # of the data, by their names in the file
CENTRES = ("C1", "C2", "C3", "C4", "C5", "C6")
UNKNOWN = "not known"


@dataclass(frozen=True)
class Sample:
    """One image: id, uint8 (H, W, 3), its mask bool (H, W), and the centre that it comes from, as
    far as known.
    """

    id: str
    image: np.ndarray
    mask: np.ndarray
    centre: str = UNKNOWN


class Inputs(NamedTuple):
    """What the network gets: images uint8 (n, size, size, 3) and masks bool (n, size, size)."""

    images: np.ndarray
    masks: np.ndarray


def load(data_set: manifests.DataSet, config: Config) -> Dict[str, List[Sample]]:
    """Read the samples of "train", "validation" and "test".

    A MedSegBench file comes divided. A folder with images/<id>.* and masks/<id>.png is divided by
    the seed.

    Raises:
        InputError: a file is missing or damaged, an array or mask is not of its shape, or a mask is
        not binary.
    """
    files = manifests.matching(data_set.folder, "*.npz")
    return unpack(files[0]) if files else _read(data_set.folder, config)


def ids_of(samples: Dict[str, List[Sample]]) -> Split:
    """Give the ids of the samples of each part."""
    ids: Split = {}
    for part, members in samples.items():
        ids[part] = [sample.id for sample in members]
    return ids


def inputs(samples: List[Sample], size: int) -> Inputs:
    """Resize samples to what the network gets."""
    masks = [
        cv2.resize(s.mask.astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST)
        for s in samples
    ]
    return Inputs(np.stack([resized(s.image, size) for s in samples]), np.stack(masks).astype(bool))


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """Resize uint8 (H, W, 3) to (size, size, 3), without aliasing where it shrinks."""
    shrinks = size < min(image.shape[:2])
    return cv2.resize(
        image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )


def scaled(images: np.ndarray) -> np.ndarray:
    """Turn uint8 images into float32 in [0, 1]."""
    return images.astype(np.float32) / 255


def epoch_plan(count: int, config: Config, epoch: int) -> np.ndarray:
    """Decide what an epoch shows: int64 (n, 2) of image index and seed of its augmentation, in
    order.

    A function of its arguments only, so that a resumed training sees the same.
    """
    rng = np.random.default_rng((config.seed, epoch))
    return np.stack([rng.permutation(count), rng.integers(2**31, size=count)], axis=1)


def augment(
    image: np.ndarray, mask: np.ndarray, seed: int, config: Config
) -> Tuple[np.ndarray, np.ndarray]:
    """Flip, rotate, scale and jitter uint8 (H, W, 3); the mask, bool (H, W), moves along where the
    configuration says so.

    The flips (each with probability 1/2), the rotation and the affine transform, all about the
    centre, are one warp, so that the image is interpolated once. What comes from beyond the border
    is black, and no polyp.
    """
    rng = np.random.default_rng(seed)
    height, width = mask.shape
    flip_x, flip_y = rng.random(2) < 0.5
    flips = np.eye(3)
    if flip_x:
        flips[0] = -1, 0, width - 1
    if flip_y:
        flips[1] = 0, -1, height - 1
    angle = sum(
        rng.uniform(-largest, largest) for largest in (config.rotation, config.affine_rotation)
    )
    turn = cv2.getRotationMatrix2D(
        ((width - 1) / 2, (height - 1) / 2), angle, rng.uniform(*config.affine_scale)
    )
    image = _jitter(cv2.warpAffine(image, turn @ flips, (width, height)), config.jitter, rng)
    if config.transforms_mask:
        moved = cv2.warpAffine(mask * np.uint8(255), turn @ flips, (width, height))
        mask = np.asarray(moved) > 127
    return image, mask


def batches(material: Inputs, config: Config, epoch: Optional[int] = None) -> tf.data.Dataset:
    """Give the data of one epoch, shuffled and augmented; without an epoch, all of it as it is and
    in order.

    Yields:
        images float32 (batch, size, size, 3), from 0 to 1; masks float32 (batch, size, size, 1), 0
        or 1.
    """
    import tensorflow as tf  # not at the top: nothing but training needs it

    side = material.masks.shape[1]

    def draw(row):
        image, mask = material.images[row[0]], material.masks[row[0]]
        if epoch is not None:
            image, mask = augment(image, mask, row[1], config)
        return scaled(image), mask[..., None].astype(np.float32)

    def shaped(row):
        image, mask = tf.numpy_function(draw, [row], [tf.float32, tf.float32], stateful=False)
        return tf.ensure_shape(image, (side, side, 3)), tf.ensure_shape(mask, (side, side, 1))

    count = len(material.images)
    plan = np.arange(count)[:, None] if epoch is None else epoch_plan(count, config, epoch)
    rows = tf.data.Dataset.from_tensor_slices(plan)
    return (
        rows.map(shaped, num_parallel_calls=tf.data.AUTOTUNE).batch(config.batch_size).prefetch(2)
    )


def _jitter(
    image: np.ndarray, strengths: Tuple[float, float, float, float], rng: np.random.Generator
) -> np.ndarray:
    picture = Image.fromarray(image)
    for enhancer, strength in zip(
        (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), strengths
    ):
        picture = enhancer(picture).enhance(rng.uniform(1 - strength, 1 + strength))
    shift = round(255 * rng.uniform(-strengths[3], strengths[3]))
    if shift:
        hue, saturation, value = picture.convert("HSV").split()
        hue = hue.point([(level + shift) % 256 for level in range(256)])
        picture = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    return np.array(picture)


def _read(folder: Path, config: Config) -> Dict[str, List[Sample]]:
    paths = {path.stem: path for path in manifests.matching(folder, "images/*")}
    fractions = {"validation": config.validation_fraction, "test": config.test_fraction}
    split = random_split(
        list(paths), {"train": 1 - sum(fractions.values()), **fractions}, config.seed
    )

    def read(sample_id: str) -> Sample:
        return Sample(
            sample_id,
            *read_pair(paths[sample_id], any_case(folder / "masks" / f"{sample_id}.png")),
        )

    with ThreadPoolExecutor() as pool:
        return {part: list(pool.map(read, split[part])) for part in PARTS}


def unpack(path: Path) -> Dict[str, List[Sample]]:
    """Read the samples of each part of a MedSegBench file. Raises InputError as `load`."""
    try:
        with files.open_regular(path) as stream, _opened(stream) as archive:
            check_zip_size(path, archive.zip)
            wanted = [f"{name}_{kind}" for name in PARTS.values() for kind in ("images", "label")]
            missing = [key for key in wanted if key not in archive.files]
            if missing:
                raise InputError(
                    f"{path}: expected the arrays {', '.join(wanted)}; {', '.join(missing)} missing"
                )
            # A centre has its images twice in the file: among all, and under its own name.
            of_centres = {
                c: archive[f"test_images_{c}"]
                for c in CENTRES
                if f"test_images_{c}" in archive.files
            }
            owners = {
                image.tobytes(): centre for centre, images in of_centres.items() for image in images
            }
            return {part: _samples(path, archive, name, owners) for part, name in PARTS.items()}
    except (
        *(OSError, ValueError, EOFError, NotImplementedError, RuntimeError, SyntaxError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise InputError(
            f"{path}: expected an npz file of plain arrays ({' '.join(str(error).split())})"
        ) from None


def _opened(stream: BinaryIO) -> np.lib.npyio.NpzFile:
    archive = np.load(stream, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError("a single array")
    return archive


def _samples(
    path: Path, archive: np.lib.npyio.NpzFile, part: str, owners: Dict[bytes, str]
) -> List[Sample]:
    images, masks = archive[f"{part}_images"], archive[f"{part}_label"]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or not images.size:
        raise InputError(
            f"{path}: {part}_images: expected uint8 (n, H, W, 3), got {images.dtype} {images.shape}"
        )
    if masks.shape not in (images.shape[:3], (*images.shape[:3], 1)):
        raise InputError(
            f"{path}: {part}_label: expected the shape {images.shape[:3]}, got {masks.shape}"
        )
    masks = masks.reshape(images.shape[:3])
    values = np.unique(masks)
    if not np.isin(values, (0, 1)).all():
        shown = ", ".join(map(str, values[:5])) + (", …" if len(values) > 5 else "")
        raise InputError(
            f"{path}: {part}_label: expected a mask with the values 0 and 1, got {shown}"
        )
    return [
        Sample(
            f"{part}_{number:04d}", image, mask.astype(bool), owners.get(image.tobytes(), UNKNOWN)
        )
        for number, (image, mask) in enumerate(zip(images, masks))
    ]
