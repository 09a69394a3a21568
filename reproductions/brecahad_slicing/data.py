"""BreCaHAD: from the files to training batches. Tiles are cut from the cached images as each batch
needs them.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

import cv2
import numpy as np

from common.datasets import manifests
from common.datasets.leakage import leakage_split
from common.datasets.splits import Split, group_split, random_split
from common.imaging.reading import read_rgb
from reproductions.brecahad_slicing import annotation_files, slicing
from reproductions.brecahad_slicing.config import BORDER_SIGMA, BORDER_WEIGHT, RADIUS, SIDE, Config
from reproductions.brecahad_slicing.slicing import Tile

if TYPE_CHECKING:
    import tensorflow as tf

SHARPEN = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32)


@dataclass(frozen=True, eq=False)
class Sample:
    """One square image with what is known of its tumour nuclei."""

    id: str
    case: str
    image: np.ndarray  # uint8 (side, side, 3)
    # float64 (n, 2): x and y in pixels, where pixel (row, column) covers [column, column + 1)
    centres: np.ndarray
    mask: np.ndarray  # bool (side, side): discs around the centres
    border: np.ndarray  # float16 (side, side): second term of equation 2


def load(data_set: manifests.DataSet, config: Config) -> List[Sample]:
    """Read all images, preprocessed where asked, and draw their masks, in the order of their ids.

    The last result is kept, because most of a table's networks share it: about 6 bytes a pixel, 1
    GB for 162 images.

    Raises:
        InputError: a file is missing, damaged or without its counterpart.
    """
    return _load(data_set, config.side, config.square, config.preprocessing)


def split(samples: List[Sample], config: Config) -> Dict[str, List[Tile]]:
    """Divide the tiles into "train" and "test".

    published: all tiles are dealt out at random, so an image's, overlapping ones among them, lie on
        both sides.
    corrected: whole cases are dealt out, and sliced then.
    """
    ids = [sample.id for sample in samples]
    masks = (sample.mask for sample in samples)
    centres = (sample.centres for sample in samples)
    tiles = slicing.tiles(ids, masks, config, centres)
    fractions = {"train": 1 - config.test_fraction, "test": config.test_fraction}
    if config.protocol == "published" and config.split_unit == "tile" and config.leakage == "off":
        dealt = random_split([tile.id for tile in tiles], fractions, config.seed)
        return _by_part(tiles, [tile.id for tile in tiles], dealt)
    cases = {sample.id: sample.case for sample in samples}
    if config.leakage != "off":
        leaks = config.leakage == "with"
        dealt = leakage_split(ids, cases, config.test_fraction, config.seed, leaks)
        tiles = [tile for tile in tiles if ids[tile.number] in {*dealt["train"], *dealt["test"]}]
    elif config.protocol == "published":
        dealt = random_split(ids, fractions, config.seed)
    else:
        dealt = group_split(ids, cases, fractions, config.seed)
    return _by_part(tiles, [ids[tile.number] for tile in tiles], dealt)


def tile_ids(parts: Dict[str, List[Tile]]) -> Split:
    """Give the ids of the tiles of each part."""
    ids: Split = {}
    for part, tiles in parts.items():
        ids[part] = [tile.id for tile in tiles]
    return ids


def _by_part(tiles: List[Tile], owners: List[str], dealt: Split) -> Dict[str, List[Tile]]:
    """Give each part the tiles whose owner, a tile or an image, was dealt to it."""
    part_of = {owner: part for part, members in dealt.items() for owner in members}
    parts: Dict[str, List[Tile]] = {part: [] for part in dealt}
    for tile, owner in zip(tiles, owners):
        parts[part_of[owner]].append(tile)
    return parts


def preprocess(image: np.ndarray) -> np.ndarray:
    """Blur, sharpen and smooth uint8 (H, W, 3) as section 3 of the paper says."""
    blurred = cv2.GaussianBlur(image, (5, 5), 0)
    return cv2.medianBlur(cv2.filter2D(blurred, -1, SHARPEN), 3)


def squared(
    image: np.ndarray, side: int, square: str, preprocessing: bool
) -> Tuple[np.ndarray, Tuple[slice, slice]]:
    """Make uint8 (H, W, 3) square as section 4 of the paper says: preprocess it where asked, then
    squeeze it, or its middle (`square` = crop).

    Returns:
        uint8 (side, side, 3), and the rows and columns of the image that it shows.
    """
    image = preprocess(image) if preprocessing else image
    height, width = image.shape[:2]
    window = (slice(0, height), slice(0, width))
    if square == "crop":
        edge = min(height, width)
        top, left = (height - edge) // 2, (width - edge) // 2
        window = (slice(top, top + edge), slice(left, left + edge))
    image = image[window]
    shrinks = side < min(image.shape[:2])
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (side, side), interpolation=interpolation), window


def discs(
    centres: np.ndarray, side: int, radius: float, sigma: float
) -> Tuple[np.ndarray, np.ndarray]:
    """Draw nuclei as discs, and weigh the gaps between them.

    Args:
        centres: (n, 2) of x and y in pixels.
        side: of the square image, pixels.
        radius: of the discs, pixels.
        sigma: σ of equation 2, pixels.

    Returns:
        bool (side, side), the pixels whose centre lies in a disc; and float16 (side, side),
        w0·exp(−(b1 + b2)²/2σ²) outside the discs and 0 inside, where b1 and b2 are the distances to
        the nearest and second nearest disc. Beyond 4σ of a disc it is not in b1 and b2, for the
        term is below 0.004 there.
    """
    nearest, second = (np.full((side, side), np.inf, np.float32) for _ in range(2))
    reach = radius + 4 * sigma
    for x, y in centres:
        left, top = (max(int(value - reach), 0) for value in (x, y))
        window = np.s_[top : int(y + reach) + 1, left : int(x + reach) + 1]
        rows, columns = (
            np.arange(s.start, min(s.stop, side), dtype=np.float32) + np.float32(0.5)
            for s in window
        )
        distance = np.hypot(rows[:, None] - np.float32(y), columns - np.float32(x)) - np.float32(
            radius
        )
        second[window] = np.minimum(second[window], np.maximum(nearest[window], distance))
        nearest[window] = np.minimum(nearest[window], distance)
    mask = nearest <= 0
    border = BORDER_WEIGHT * np.exp(-((nearest + second) ** 2) / np.float32(2 * sigma**2))
    return mask, np.where(mask, 0, border).astype(np.float16)


def epoch_plan(count: int, config: Config, epoch: int) -> np.ndarray:
    """Decide what an epoch shows: int64 (n, 2) of tile and orientation (0 to 7, always 0 without
    augmentation).

    Tiles follow each other in one random order after another, so that with `epoch_steps` all are
    seen equally often. A function of its arguments only, so that a resumed training sees the same.
    """
    length = count if config.epoch_steps == "one pass" else config.epoch_steps * batch_size(config)
    start = epoch * length
    passes = range(start // count, (start + length - 1) // count + 1)
    order = np.concatenate(
        [np.random.default_rng((config.seed, number)).permutation(count) for number in passes]
    )
    chosen = order[start - passes[0] * count :][:length]
    orientations = np.random.default_rng((config.seed, epoch, 1)).integers(8, size=length)
    return np.stack([chosen, orientations * config.augmentation], axis=1)


def batch_size(config: Config) -> int:
    """Tiles per step: as many as cover `batch_images` images side by side."""
    return config.batch_images * (config.side // slicing.tile_size(config)) ** 2


def orient(array: np.ndarray, orientation: int) -> np.ndarray:
    """Turn a square array (n, n[, C]) by 90° as often as `orientation` modulo 4 says, and mirror it
    from 4 on.
    """
    turned = np.rot90(array, orientation % 4)
    return turned[:, ::-1] if orientation >= 4 else turned


def scaled(images: np.ndarray) -> np.ndarray:
    """Turn uint8 images into float32 in [0, 1]."""
    return images.astype(np.float32) / 255


def cut(array: np.ndarray, tile: Tile, size: int) -> np.ndarray:
    """Give the part of an image's array that a tile covers, as a view (size, size[, C])."""
    return array[tile.row : tile.row + size, tile.column : tile.column + size]


def class_weights(tiles: List[Tile], config: Config) -> Tuple[float, float]:
    """Give the first term of equation 2 for background and nuclei, so that both classes count alike
    in training.
    """
    share = sum(tile.marked for tile in tiles) / (len(tiles) * slicing.tile_size(config) ** 2)
    return 0.5 / (1 - share), 0.5 / max(share, 1e-6)


def batches(
    samples: List[Sample],
    tiles: List[Tile],
    weights: Tuple[float, float],
    config: Config,
    epoch: Optional[int] = None,
) -> tf.data.Dataset:
    """Give the data of one epoch, shuffled and augmented; without an epoch, all tiles as they are
    and in order.

    Yields:
        images float32 (batch, size, size, 3) from 0 to 1; masks float32 (batch, size, size, 1), 0
        or 1; and, for the weighted loss, the weights of their pixels, float32 (batch, size, size),
        equation 2 with `weights` of the classes.
    """
    import tensorflow as tf  # not at the top: nothing but training needs it

    size = slicing.tile_size(config)

    def draw(rows):
        images = np.empty((len(rows), size, size, 3), np.uint8)
        masks, borders = (
            np.empty((len(rows), size, size), bool),
            np.empty((len(rows), size, size), np.float32),
        )
        for place, (index, orientation) in enumerate(rows):
            tile = tiles[index]
            sample = samples[tile.number]
            for target, source in (
                (images, sample.image),
                (masks, sample.mask),
                (borders, sample.border),
            ):
                target[place] = orient(cut(source, tile, size), orientation)
        pixel_weights = np.where(masks, *np.float32(weights[::-1])) + borders
        return scaled(images), masks[..., None].astype(np.float32), pixel_weights

    def shaped(rows):
        images, masks, pixel_weights = tf.numpy_function(
            draw, [rows], [tf.float32] * 3, stateful=False
        )
        square = (None, size, size)
        return (
            tf.ensure_shape(images, (*square, 3)),
            tf.ensure_shape(masks, (*square, 1)),
            tf.ensure_shape(pixel_weights, square),
        )

    count = len(tiles)
    plan = np.stack([np.arange(count), np.zeros(count, np.int64)], 1)
    plan = plan if epoch is None else epoch_plan(count, config, epoch)
    rows = tf.data.Dataset.from_tensor_slices(plan).batch(batch_size(config))
    data = rows.map(shaped, num_parallel_calls=tf.data.AUTOTUNE)
    if config.loss != "weighted_cross_entropy":
        data = data.map(lambda images, masks, pixel_weights: (images, masks))
    return data.prefetch(2)


@functools.lru_cache(maxsize=1)
def _load(data_set: manifests.DataSet, side: int, square: str, preprocessing: bool) -> List[Sample]:
    scale = side / SIDE

    def read(item: Tuple[str, annotation_files.Pair]) -> Sample:
        image_id, pair = item
        image = read_rgb(pair.image, annotated=True)
        height, width = image.shape[:2]
        centres = annotation_files.centres(pair.annotation)["tumor"] * (width, height)
        image, (rows, columns) = squared(image, side, square, preprocessing)
        if square == "crop":
            centres = centres - (columns.start, rows.start)
            edge = rows.stop - rows.start
            centres = centres[((centres >= 0) & (centres < edge)).all(axis=1)]
        used = (columns.stop - columns.start, rows.stop - rows.start)
        # A coordinate of exactly 1 belongs to the last pixel.
        centres = np.minimum(centres * side / used, np.nextafter(side, 0))
        return Sample(
            image_id,
            pair.case,
            image,
            centres,
            *discs(centres, side, RADIUS * scale, BORDER_SIGMA * scale),
        )

    with ThreadPoolExecutor() as pool:
        return list(pool.map(read, annotation_files.pairs(data_set).items()))
