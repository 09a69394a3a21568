"""From files to training batches: against Keras' ImageDataGenerator, albumentations and tiles
written to disk.
"""

from __future__ import annotations

import functools
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, Iterator, List, Tuple

import cv2
import numpy as np

from common.imaging.reading import read_rgb
from common.imaging.tiling import slice_with_step
from common.imaging.writing import write_png
from common.training import encoders
from reproductions.tnbc_linknet import data, model
from reproductions.tnbc_linknet import phantom as tnbc_phantom
from reproductions.tnbc_linknet.config import PROFILES, Config
from tools.bench.scale import Scale
from tools.bench.timing import Cost, Row, compare, installed, race, row, timed

# isort: split
# TensorFlow comes after the CUDA libraries that `common` prepares.
from tensorflow import keras

Pair = Tuple[np.ndarray, np.ndarray]
READ_AGAIN = "tiles written to disk and read"
SLICE, STEP = 128, 64  # 225 tiles of an image of 1024×1024, BreCaHAD's smallest
BATCH = 32


def run(scale: Scale) -> List[Row]:
    """Measure everything about input."""
    count, side = scale.pipeline
    config = replace(
        PROFILES["paper"], input_size=side, encoder=scale.encoders[0], encoder_weights="none"
    )
    with TemporaryDirectory() as folder:
        tnbc_phantom.write(folder, patients=1, images_per_patient=count, size=side)
        rows = _epochs(Path(folder), config, scale) + _beside_training(Path(folder), config, scale)
    return rows + _slices(scale)


def _epochs(folder: Path, config: Config, scale: Scale) -> List[Row]:
    ids = sorted(data.patients(folder))
    plan = data.epoch_plan(len(ids), config, epoch=0)
    samples = data.load(folder, ids, config)
    albumentations = installed("albumentations")
    peers = {
        "Keras ImageDataGenerator": functools.partial(
            _epoch, _keras_reader(config), folder, ids, plan, config
        ),
        "albumentations": albumentations
        and functools.partial(
            _epoch, _albumentations_reader(albumentations, config), folder, ids, plan, config
        ),
    }
    # Crops are drawn in other ways; everything else is the same to the bit.
    fixed = plan[:, 1] != data.VARIANTS.index("crop")

    def same(ours, theirs) -> bool:
        return all(
            np.array_equal(np.concatenate(a)[fixed], np.concatenate(b)[fixed])
            for a, b in zip(zip(*ours), zip(*theirs))
        )

    def epoch(samples: List[data.Sample]) -> List[Pair]:
        return list(data.batches(samples, config, epoch=0).as_numpy_iterator())

    targets = dict.fromkeys(peers, 3.0)
    size = f"{config.input_size}×{config.input_size}"
    work = f"decode, CLAHE, augment, batch: {len(plan)} images of {size} from {len(ids)} files"
    first = compare(
        f"{work}, first epoch",
        lambda: epoch(data.load(folder, ids, config)),
        peers,
        scale,
        targets,
        same,
    )
    return first + compare(
        f"{work}, later epochs", lambda: epoch(samples), peers, scale, targets, same
    )


def _epoch(
    read: Callable, folder: Path, ids: List[str], plan: np.ndarray, config: Config
) -> List[Pair]:
    """Prepare the images of a plan one after the other, each from its file, as a Python generator
    for Keras does.
    """
    prepare = encoders.preprocessing(config.encoder)
    pairs = []
    for index, variant, seed in plan:
        name = ids[index]
        patient = name.split("_")[0]
        paths = [folder / f"{kind}_{patient}" / f"{name}.png" for kind in ("Slide", "GT")]
        image, mask = read(*paths, data.VARIANTS[variant], np.random.default_rng(seed))
        pairs.append((prepare(image), (mask > 0)[..., None].astype(np.float32)))
    size = config.batch_size
    return [
        tuple(map(np.stack, zip(*pairs[start : start + size])))
        for start in range(0, len(pairs), size)
    ]


def _keras_reader(config: Config) -> Callable:
    """Keras' own loading and transforming; CLAHE, which Keras lacks, as here."""
    generator = keras.preprocessing.image.ImageDataGenerator()
    load, to_array = keras.preprocessing.image.load_img, keras.preprocessing.image.img_to_array

    def read(image_path: Path, mask_path: Path, variant: str, rng: np.random.Generator) -> Pair:
        image = data.equalise(np.asarray(load(image_path)), config).astype(np.float32)
        mask = to_array(load(mask_path, color_mode="grayscale"))
        zoom = rng.uniform(config.smallest_crop, 1) if variant == "crop" else 1
        transform = {
            "flip_horizontal": variant in ("flip x", "flip x and y"),
            "flip_vertical": variant in ("flip y", "flip x and y"),
            "zx": zoom,
            "zy": zoom,
        }
        image, mask = (generator.apply_transform(array, transform) for array in (image, mask))
        return image, mask[..., 0]

    return read


def _albumentations_reader(albumentations, config: Config) -> Callable:
    """OpenCV's loading and albumentations' CLAHE, flips and crops."""
    side = config.input_size
    flips = {
        "flip x": [albumentations.HorizontalFlip(p=1)],
        "flip y": [albumentations.VerticalFlip(p=1)],
    }
    flips["flip x and y"] = flips["flip x"] + flips["flip y"]
    crop = albumentations.RandomSizedCrop((int(side * config.smallest_crop), side), side, side, p=1)
    limit, grid = config.clahe_clip_limit, config.clahe_tile_grid
    first = albumentations.CLAHE(clip_limit=(limit, limit), tile_grid_size=grid, p=1)
    chains = {"as is": [], "crop": [crop], **flips}
    transforms = {
        variant: albumentations.Compose([first, *chain]) for variant, chain in chains.items()
    }

    def read(image_path: Path, mask_path: Path, variant: str, _: np.random.Generator) -> Pair:
        image = cv2.cvtColor(cv2.imread(str(image_path)), cv2.COLOR_BGR2RGB)
        mask = cv2.imread(str(mask_path), cv2.IMREAD_GRAYSCALE)
        made = transforms[variant](image=image, mask=mask)
        return made["image"], made["mask"]

    return read


def _beside_training(folder: Path, config: Config, scale: Scale) -> List[Row]:
    """Steps on images made while training against steps on one batch that is there already."""
    samples = data.load(folder, sorted(data.patients(folder)), config)
    network = model.build(config)
    real = data.batches(samples, config, epoch=0).take(scale.steps)
    synthetic = real.take(1).cache().repeat(scale.steps)
    contenders = {
        name: timed(lambda batches=batches: network.fit(batches, verbose=0))
        for name, batches in (("real", real), ("synthetic", synthetic))
    }
    for step in contenders.values():
        step()
    costs = race(
        contenders, replace(scale, seconds=4 * scale.seconds)
    )  # a round takes half a minute
    size = f"{config.input_size}×{config.input_size}"
    trained = f"Linknet, {config.encoder}, {size}, batch {config.batch_size}"
    case = f"{scale.steps} training steps on files, {trained}"
    return [row(case, costs["real"], "synthetic input", costs["synthetic"], 0.95)]


def _slices(scale: Scale) -> List[Row]:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (1024, 1024, 3), np.uint8) for _ in range(scale.slices)]
    tiles = f"225 tiles each of {SLICE}×{SLICE}, in batches of {BATCH}"
    case = f"{scale.slices} images of 1024×1024 into {tiles}"
    rows = compare(
        case,
        lambda: _digest(_cut(images, STEP)),
        {READ_AGAIN: lambda: _digest(_written_and_read(images))},
        scale,
    )
    peaks = [Cost(_allocated(images, step)) for step in (STEP, 2 * STEP)]
    return [*rows, row(f"{case}: memory", peaks[:1], "64 tiles each", peaks[1:], 0.9, unit="MiB")]


def _cut(images: List[np.ndarray], step: int) -> Iterator[np.ndarray]:
    tiles: List[np.ndarray] = []
    for image in images:
        for _, _, window in slice_with_step(image, SLICE, step):
            tiles.append(window)
            if len(tiles) == BATCH:
                yield np.stack(tiles)
                tiles = []
    if tiles:
        yield np.stack(tiles)


def _written_and_read(images: List[np.ndarray]) -> Iterator[np.ndarray]:
    with TemporaryDirectory() as folder:
        paths = []
        for number, image in enumerate(images):
            for row_, column, window in slice_with_step(image, SLICE, STEP):
                paths.append(Path(folder) / f"{number}_{row_}_{column}.png")
                write_png(paths[-1], window)
        for start in range(0, len(paths), BATCH):
            yield np.stack([read_rgb(path) for path in paths[start : start + BATCH]])


def _digest(batches: Iterator[np.ndarray]) -> List[int]:
    """A checksum per batch: the tiles of large images are too many to keep."""
    return [zlib.crc32(batch) for batch in batches]


def _allocated(images: List[np.ndarray], step: int) -> float:
    tracemalloc.start()
    for _ in _cut(images, step):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20
