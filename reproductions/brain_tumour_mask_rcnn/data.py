"""Brain MR slices and their outlined tumours. Layout: train, val and test, each with <n>.jpg and
annotations.json.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Iterable, Iterator, List, Set

import numpy as np

from common.datasets import manifests
from common.errors import InputError
from common.imaging.reading import read_rgb
from reproductions.brain_tumour_mask_rcnn import annotation_files
from reproductions.brain_tumour_mask_rcnn.config import Config

if TYPE_CHECKING:
    import tensorflow as tf

PARTS = {"train": "train", "validation": "val", "test": "test"}  # of the data, by their folders


@dataclass(frozen=True)
class Sample:
    """One image: id ("361"), uint8 (H, W, 3), and its tumours, bool (n, H, W)."""

    id: str
    image: np.ndarray
    masks: np.ndarray

    @property
    def union(self) -> np.ndarray:
        """All tumours together, bool (H, W)."""
        return self.masks.any(axis=0)

    @property
    def boxes(self) -> np.ndarray:
        """Boxes around the tumours, float32 (n, 4) as y1, x1, y2, x2, the last two behind the last
        pixel.
        """
        return np.array([box(mask) for mask in self.masks], np.float32).reshape(-1, 4)


def box(mask: np.ndarray) -> np.ndarray:
    """Give y1, x1, y2, x2 of the box around a mask that is not empty, bool (H, W)."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])


def find(folder: Path) -> Dict[str, Dict[str, annotation_files.Polygons]]:
    """Read which images each part has, and their polygons: by part, then by the path of the image
    from `folder`.

    Raises:
        InputError: an annotation file is unusable, names an image that is absent, or leaves one
        out.
    """
    parts: Dict[str, Dict[str, annotation_files.Polygons]] = {}
    seen: Set[str] = set()
    for part, name in PARTS.items():
        path = folder / name / "annotations.json"
        polygons = annotation_files.read(path)
        images = {image.name for image in manifests.matching(folder, f"{name}/*.jpg")}
        for absent in sorted(set(polygons) - images):
            raise InputError(
                f"{folder / name / absent}: no such image, {path} has {len(polygons[absent])} "
                "regions of it"
            )
        for strange in sorted(images - set(polygons)):
            raise InputError(f"{path}: expected an entry for {strange}, which lies beside it")
        parts[part] = {f"{name}/{image}": polygons[image] for image in sorted(images, key=_number)}
        for twice in sorted(images & seen):
            raise InputError(
                f"{folder / name / twice}: expected each name once, another part has it as well"
            )
        seen |= images
    return parts


def load(folder: Path, ids: Iterable[str]) -> List[Sample]:
    """Read images and fill their polygons, in the order of `ids`.

    Raises:
        InputError: an image is damaged, or a polygon does not fit it.
    """
    entries = {
        Path(path).stem: (path, polygons)
        for part in find(folder).values()
        for path, polygons in part.items()
    }

    def read(sample_id: str) -> Sample:
        path, polygons = entries[sample_id]
        image = read_rgb(folder / path, annotated=True)
        return Sample(
            sample_id, image, annotation_files.draw(polygons, image.shape[:2], str(folder / path))
        )

    with ThreadPoolExecutor() as pool:
        return list(pool.map(read, ids))


def epoch_order(count: int, config: Config, epoch: int) -> np.ndarray:
    """Decide which of `count` images an epoch shows, int64 (steps · batch,): each once before any
    comes again.

    A function of its arguments only, so that a resumed training sees the same.
    """
    shown = config.steps_per_epoch * config.batch_size
    places = np.arange(epoch * shown, (epoch + 1) * shown)
    passes = {
        n: np.random.default_rng((config.seed, n)).permutation(count) for n in set(places // count)
    }
    return np.array([passes[place // count][place % count] for place in places])


def examples(samples: List[Sample], config: Config, epoch: int) -> tf.data.Dataset:
    """Give the images of one epoch as Model Garden's decoder would: one dict each, boxes from 0 to
    1, class 1.

    Samples without a tumour are left out, as in Matterport's.
    """
    import tensorflow as tf  # not at the top: nothing but training needs it

    material = [sample for sample in samples if len(sample.masks)]

    def draw() -> Iterator[Dict[str, np.ndarray]]:
        for index in epoch_order(len(material), config, epoch):
            sample = material[index]
            height, width = sample.union.shape
            yield {
                "image": sample.image,
                "groundtruth_boxes": sample.boxes
                / np.array([height, width, height, width], np.float32),
                "groundtruth_classes": np.ones(len(sample.masks), np.int32),
                "groundtruth_instance_masks": sample.masks.astype(np.float32),
                "groundtruth_is_crowd": np.zeros(len(sample.masks), bool),
            }

    signature = {
        "image": tf.TensorSpec((None, None, 3), tf.uint8),
        "groundtruth_boxes": tf.TensorSpec((None, 4), tf.float32),
        "groundtruth_classes": tf.TensorSpec((None,), tf.int32),
        "groundtruth_instance_masks": tf.TensorSpec((None, None, None), tf.float32),
        "groundtruth_is_crowd": tf.TensorSpec((None,), tf.bool),
    }
    drawn = tf.data.Dataset.from_generator(draw, output_signature=signature)
    return drawn.apply(
        tf.data.experimental.assert_cardinality(config.steps_per_epoch * config.batch_size)
    )


def _number(name: str) -> int:
    stem = Path(name).stem
    if not stem.isdigit():
        raise InputError(f"{name}: expected an image with a number as its name, such as 361.jpg")
    return int(stem)
