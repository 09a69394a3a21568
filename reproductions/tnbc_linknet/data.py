"""TNBC: from the files to training batches. Layout: Slide_<patient>/<patient>_<n>.png and
GT_<patient>/ likewise.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Tuple

import cv2
import numpy as np

from common.datasets.leakage import leakage_split
from common.datasets.splits import Split, group_split, random_split
from common.errors import InputError
from common.imaging.clahe import clahe
from common.imaging.listing import any_case, matching
from common.imaging.masks import read_pair
from common.imaging.tiling import pad_to_multiple
from reproductions.tnbc_linknet.config import Config

if TYPE_CHECKING:
    import tensorflow as tf

STRIDE = 32  # the encoders halve the image five times
VARIANTS = ("as is", "flip x", "flip y", "flip x and y", "crop")


@dataclass(frozen=True)
class Sample:
    """One image: id ("03_2"), CLAHE output uint8 (H, W, 3) and nuclei mask bool (H, W)."""

    id: str
    image: np.ndarray
    mask: np.ndarray


def patients(folder: Path) -> Dict[str, str]:
    """Map every image id to its patient, from the file names.

    Raises:
        InputError: no image is there, or two have the same name.
    """
    paths = matching(Path(folder), "Slide_*/*.png")
    if not paths:
        raise InputError(f"{folder}: no Slide_*/*.png in this folder")
    owners: Dict[str, str] = {}
    for path in paths:
        if path.stem in owners:
            raise InputError(
                f"{path}: another patient has an image of this name, Slide_{owners[path.stem]}"
            )
        owners[path.stem] = path.parent.name[len("Slide_") :]
    return owners


def split(folder: Path, config: Config) -> Split:
    """Divide the images into "train" and "test": by image (published) or with whole patients
    (corrected).
    """
    owners = patients(folder)
    fractions = {"train": 1 - config.test_fraction, "test": config.test_fraction}
    if config.leakage != "off":
        leaks = config.leakage == "with"
        return leakage_split(list(owners), owners, config.test_fraction, config.seed, leaks)
    if config.protocol == "published":
        return random_split(list(owners), fractions, config.seed)
    return group_split(list(owners), owners, fractions, config.seed)


def load(folder: Path, ids: List[str], config: Config) -> List[Sample]:
    """Read images and masks and apply CLAHE, in the order of `ids`.

    Raises:
        InputError: a file is missing, damaged, or its mask is not of its size.
    """
    owners = patients(folder)

    def read(sample_id: str) -> Sample:
        patient = owners[sample_id]
        image, mask = read_pair(
            any_case(Path(folder) / f"Slide_{patient}" / f"{sample_id}.png"),
            any_case(Path(folder) / f"GT_{patient}" / f"{sample_id}.png"),
        )
        return Sample(sample_id, equalise(image, config), mask)

    with ThreadPoolExecutor() as pool:
        return list(pool.map(read, ids))


def equalise(image: np.ndarray, config: Config) -> np.ndarray:
    """Apply the configured CLAHE to uint8 (H, W, 3)."""
    return clahe(image, config.clahe_clip_limit, config.clahe_tile_grid, config.clahe_colour_space)


def network_input(image: np.ndarray, config: Config) -> np.ndarray:
    """Scale uint8 (..., 3) to what the network gets, float32 of the same shape."""
    if config.input_scaling == "unit":
        return image.astype(np.float32) / 255
    from common.training import encoders  # not at the top: it imports TensorFlow

    return encoders.preprocessing(config.encoder)(image)


def whole(samples: List[Sample], config: Config) -> tf.data.Dataset:
    """Give whole images in order, as they are: to follow the loss on images that are not trained
    on. Batches hold one image, padded to multiples of 32 with zeros, as in prediction.
    """
    import tensorflow as tf  # not at the top: nothing but training needs it

    def pairs():
        for sample in samples:
            image = pad_to_multiple(network_input(sample.image, config), STRIDE)
            mask = pad_to_multiple(sample.mask[..., None].astype(np.float32), STRIDE)
            yield image[None], mask[None]

    spec = [tf.TensorSpec((1, None, None, channels), tf.float32) for channels in (3, 1)]
    return tf.data.Dataset.from_generator(pairs, output_signature=tuple(spec))


def epoch_plan(count: int, config: Config, epoch: int) -> np.ndarray:
    """Decide what an epoch shows: int64 (n, 3) of image index, variant and seed of its crop, in
    order.

    A function of its arguments only, so that a resumed training sees the same.
    """
    rng = np.random.default_rng((config.seed, epoch))
    variants = np.arange(len(VARIANTS))
    if config.augmentation == "copies":
        index, variant = np.repeat(np.arange(count), len(variants)), np.tile(variants, count)
    else:
        index, variant = np.arange(count), rng.choice(variants, count)
    plan = np.stack([index, variant, rng.integers(2**31, size=len(index))], axis=1)
    return plan[rng.permutation(len(plan))]


def augment(
    image: np.ndarray, mask: np.ndarray, variant: int, seed: int, config: Config
) -> Tuple[np.ndarray, np.ndarray]:
    """Make one of `VARIANTS` of uint8 (H, W, 3) and bool (H, W), then a window of `input_size` if
    that is smaller.
    """
    rng = np.random.default_rng(seed)
    name = VARIANTS[variant]
    if name == "crop":
        image, mask = _crop_and_resize(image, mask, config, rng)
    elif name != "as is":
        axes = {"flip x": (1,), "flip y": (0,), "flip x and y": (0, 1)}[name]
        image, mask = np.flip(image, axes), np.flip(mask, axes)
    top, left = (int(rng.integers(max(side - config.input_size, 0) + 1)) for side in mask.shape)
    window = np.s_[top : top + config.input_size, left : left + config.input_size]
    return image[window], mask[window]


def batches(samples: List[Sample], config: Config, epoch: int) -> tf.data.Dataset:
    """Give the training data of one epoch.

    Yields:
        images float32 (batch, size, size, 3), prepared for the encoder; masks float32 (batch, size,
        size, 1), 0 or 1.
    """
    import tensorflow as tf  # not at the top: nothing but training needs it

    size = min(config.input_size, *samples[0].mask.shape)

    def draw(row):
        sample = samples[row[0]]
        image, mask = augment(sample.image, sample.mask, row[1], row[2], config)
        return network_input(image, config), mask[..., None].astype(np.float32)

    def shaped(row):
        image, mask = tf.numpy_function(draw, [row], [tf.float32, tf.float32], stateful=False)
        return tf.ensure_shape(image, (size, size, 3)), tf.ensure_shape(mask, (size, size, 1))

    plan = tf.data.Dataset.from_tensor_slices(epoch_plan(len(samples), config, epoch))
    return (
        plan.map(shaped, num_parallel_calls=tf.data.AUTOTUNE).batch(config.batch_size).prefetch(2)
    )


def _crop_and_resize(
    image: np.ndarray, mask: np.ndarray, config: Config, rng: np.random.Generator
) -> Tuple[np.ndarray, np.ndarray]:
    height, width = mask.shape
    scale_y = rng.uniform(config.smallest_crop, 1)
    scale_x = rng.uniform(config.smallest_crop, 1) if config.crop_axes == "independent" else scale_y
    rows, columns = round(height * scale_y), round(width * scale_x)
    top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
    window = np.s_[top : top + rows, left : left + columns]
    image = cv2.resize(image[window], (width, height), interpolation=cv2.INTER_LINEAR)
    mask = cv2.resize(
        mask[window].astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
    )
    return image, mask.astype(bool)
