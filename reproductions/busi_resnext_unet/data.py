"""BUSI, from files to training batches. Layout: <class>/<class> (<n>).png and <class>
(<n>)_mask.png, _mask_1.png …
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Iterable, List, NamedTuple

import cv2
import numpy as np

from common.datasets import manifests
from common.datasets.splits import Split, group_split, random_split
from common.errors import InputError
from common.imaging import tiling
from common.imaging.masks import read_pair
from reproductions.busi_resnext_unet import duplicates
from reproductions.busi_resnext_unet.config import CLASSES, PADDING, PATCH, Config

if TYPE_CHECKING:
    import tensorflow as tf

VALUES = {"benign": 1, "malignant": 2, "normal": 0}  # of a lesion in the mask, by folder


class Files(NamedTuple):
    """One image on disk, with one or more masks of its lesions."""

    image: Path
    masks: List[Path]


@dataclass(frozen=True)
class Sample:
    """One image: id ("benign (100)"), uint8 (H, W, 3), and its class map, uint8 (H, W) with the
    values of `CLASSES`.
    """

    id: str
    image: np.ndarray
    mask: np.ndarray


class Patches(NamedTuple):
    """Training material: images uint8 (n, size, size, 3) and class maps uint8 (n, size, size)."""

    images: np.ndarray
    masks: np.ndarray


def find(folder: Path) -> Dict[str, Files]:
    """Map every image id to its files, class by class.

    Raises:
        InputError: no image is there, or an image has no mask, or a mask no image.
    """
    by_id: Dict[str, Files] = {}
    for name in VALUES:
        by_id.update(
            {
                path.stem: Files(path, [])
                for path in manifests.matching(folder, f"{name}/{name} (*).png")
            }
        )
        for path in manifests.matching(folder, f"{name}/*_mask*.png"):
            image_id = path.stem.rpartition("_mask")[0]
            if image_id not in by_id:
                raise InputError(
                    f"{path}: a mask without its image, expected {image_id}.png beside it"
                )
            by_id[image_id].masks.append(path)
    if not by_id:
        raise InputError(
            f"{folder}: no benign/benign (*).png, malignant/… or normal/… in this folder"
        )
    for image_id, files in by_id.items():
        if not files.masks:
            raise InputError(
                f"{files.image}: an image without a mask, expected {image_id}_mask.png beside it"
            )
    return by_id


def split(data_set: manifests.DataSet, config: Config) -> Split:
    """Divide the images into "train", "validation" and "test".

    By image (published), or with near-duplicates on one side (corrected): those of the committed
    list, or found anew in synthetic images.
    """
    ids = list(find(data_set.folder))
    fractions = {"validation": config.validation_fraction, "test": config.test_fraction}
    fractions = {"train": 1 - sum(fractions.values()), **fractions}
    if config.protocol == "published":
        return random_split(ids, fractions, config.seed)
    if data_set.synthetic:
        groups = duplicates.find({sample.id: sample.image for sample in load(data_set.folder, ids)})
    else:
        groups = duplicates.read()
    owners = {
        **{image_id: image_id for image_id in ids},
        **{i: group[0] for group in groups for i in group},
    }
    return group_split(ids, owners, fractions, config.seed)


def load(folder: Path, ids: Iterable[str]) -> List[Sample]:
    """Read images and merge their masks, in the order of `ids`.

    Raises:
        InputError: a file is missing, damaged, or of another size than its image, or a normal image
        has a lesion.
    """
    files = find(folder)

    def read(image_id: str) -> Sample:
        pairs = [read_pair(files[image_id].image, path) for path in files[image_id].masks]
        lesions = np.any([mask for _, mask in pairs], axis=0)
        value = VALUES[files[image_id].image.parent.name]
        if lesions.any() and not value:
            raise InputError(
                f"{files[image_id].masks[0]}: expected an empty mask in the class normal, got a "
                "lesion"
            )
        return Sample(image_id, pairs[0][0], lesions * np.uint8(value))

    with ThreadPoolExecutor() as pool:
        return list(pool.map(read, ids))


def cut(samples: List[Sample], size: int) -> Patches:
    """Pad the samples, cut them into side-by-side patches of 256×256 in reading order, and resize
    these to `size`.
    """
    images = [
        resize(tiling.split(s.image, PATCH, mode=PADDING), size, cv2.INTER_AREA) for s in samples
    ]
    masks = [
        resize(tiling.split(s.mask, PATCH, mode=PADDING), size, cv2.INTER_NEAREST) for s in samples
    ]
    return Patches(np.concatenate(images), np.concatenate(masks))


def resize(patches: np.ndarray, size: int, interpolation: int) -> np.ndarray:
    """Resize square patches (n, side, side[, C]) with an OpenCV interpolation; themselves if they
    have that size.
    """
    if patches.shape[1] == size:
        return patches
    return np.stack(
        [cv2.resize(patch, (size, size), interpolation=interpolation) for patch in patches]
    )


def epoch_order(count: int, config: Config, epoch: int) -> np.ndarray:
    """Decide which of `count` patches an epoch shows, int64 (n,), in order.

    A function of its arguments only, so that a resumed training sees the same.
    """
    order = np.random.default_rng((config.seed, epoch)).permutation(count)
    return order[: max(round(count * config.epoch_share), 1)]


def network_input(patches: np.ndarray, config: Config) -> np.ndarray:
    """Scale uint8 (..., 3) to what the network gets, float32 of the same shape."""
    if config.input_scaling == "unit":
        return patches.astype(np.float32) / 255
    from common.training import encoders  # not at the top: it imports TensorFlow

    return encoders.preprocessing(config.encoder)(patches)


def batches(patches: Patches, config: Config, epoch: int) -> tf.data.Dataset:
    """Give the patches of one epoch.

    Yields:
        images float32 (batch, size, size, 3), prepared for the encoder; masks float32 (batch, size,
        size, 3), one-hot.
    """
    import tensorflow as tf  # not at the top: nothing but training needs it

    one_hot = np.eye(len(CLASSES), dtype=np.float32)
    size = patches.images.shape[1]

    def draw(rows):
        return network_input(patches.images[rows], config), one_hot[patches.masks[rows]]

    def shaped(rows):
        images, masks = tf.numpy_function(draw, [rows], [tf.float32, tf.float32], stateful=False)
        images = tf.ensure_shape(images, (None, size, size, 3))
        return images, tf.ensure_shape(masks, (None, size, size, len(CLASSES)))

    order = tf.data.Dataset.from_tensor_slices(epoch_order(len(patches.images), config, epoch))
    return (
        order.batch(config.batch_size).map(shaped, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)
    )
