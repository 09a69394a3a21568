"""Cutting and merging: against patchify, empatches, tiler and MONAI, plain copies, and as images
grow.
"""

from __future__ import annotations

import functools
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import List

import numpy as np

from common.imaging import tiling
from tools.bench.child import TORCH_PYTHON, torch_worker
from tools.bench.scale import Scale
from tools.bench.timing import Cost, Row, compare, growth, installed, missing, race, row, timed

TILE = 256
CLASSES = 3
COPIES = "two plain copies"
# Tile by tile, as the peers do it; a network would be given several at a time.
blend = functools.partial(
    tiling.predict_tiled,
    predict=lambda tiles: tiles,
    tile=TILE,
    overlap=TILE // 2,
    blend="hann",
    batch=1,
)


def run(scale: Scale, torch_python: Path = TORCH_PYTHON) -> List[Row]:
    """Measure everything about tiling."""
    rows = _side_by_side(scale) + _blended(scale) + _beside_monai(scale, torch_python)
    return rows + _memory(scale) + _growth(scale)


def cut_and_merge(image: np.ndarray) -> np.ndarray:
    """Pad, split and merge."""
    return tiling.merge(tiling.split(image, TILE), image.shape[:2])


def _side_by_side(scale: Scale) -> List[Row]:
    image = np.random.default_rng(0).integers(0, 256, (scale.image, scale.image, 3), np.uint8)
    patchify, empatches = installed("patchify"), installed("empatches")

    def with_patchify():
        patches = patchify.patchify(image, (TILE, TILE, 3), step=TILE)
        return patchify.unpatchify(patches, image.shape)

    def with_empatches():
        cutter = empatches.EMPatches()
        return cutter.merge_patches(
            *cutter.extract_patches(image, TILE, overlap=0), mode="overwrite"
        )

    return compare(
        f"pad + split + merge, {scale.image}×{scale.image}×3 uint8",
        lambda: cut_and_merge(image),
        {
            "patchify": patchify and with_patchify,
            "empatches": empatches and with_empatches,
            COPIES: lambda: image.copy().copy(),
        },
        scale,
        {"patchify": 1, "empatches": 10, COPIES: 1 / 3},
    )


def _blended(scale: Scale) -> List[Row]:
    image = np.random.default_rng(0).random((scale.blended, scale.blended, CLASSES), np.float32)
    tiler, empatches = installed("tiler"), installed("empatches")

    def with_tiler():
        # An overlap at the borders, too, without which the window is zero there.
        cutter = tiler.Tiler(image.shape, (TILE, TILE, CLASSES), overlap=0.5, channel_dimension=2)
        shape, padding = cutter.calculate_padding()
        cutter.recalculate(data_shape=shape)
        merger = tiler.Merger(cutter, window="hann")
        for number, tile in cutter(np.pad(image, padding, mode="reflect")):
            merger.add(number, tile)
        return merger.merge(extra_padding=padding, dtype=np.float32)

    def with_empatches():
        cutter = empatches.EMPatches()
        return cutter.merge_patches(*cutter.extract_patches(image, TILE, overlap=0.5), mode="avg")

    return compare(
        _blended_case(scale),
        lambda: blend(image),
        {"tiler": tiler and with_tiler, "empatches": empatches and with_empatches},
        scale,
        {"tiler": 5, "empatches": 2},
        same=lambda ours, theirs: np.allclose(ours, theirs, atol=1e-5),
    )


def _blended_case(scale: Scale) -> str:
    return f"split, overlap 50 %, blend, {scale.blended}×{scale.blended}×{CLASSES} float32"


def _beside_monai(scale: Scale, python: Path) -> List[Row]:
    """MONAI in a process of its own; its Gaussian weights stand where Hann's do here."""
    case, peer = _blended_case(scale), "MONAI"
    options = {"side": scale.blended, "channels": CLASSES, "tile": TILE, "overlap": 0.5}
    worker = torch_worker(python, "tools.bench.torch_tiling:blending", **options)
    if worker is None:
        return [missing(case, peer, 1)]
    image = np.random.default_rng(0).random((scale.blended, scale.blended, CLASSES), np.float32)
    error = float(np.abs(blend(image) - image).max())
    with worker:
        if max(error, worker.facts["error"]) > 1e-5:
            raise AssertionError(f"{case}: errors {error} here, {worker.facts['error']} by {peer}")
        costs = race({"": timed(lambda: blend(image)), peer: worker}, scale)
    return [row(case, costs[""], peer, costs[peer], 1)]


def _memory(scale: Scale) -> List[Row]:
    """What blending allocates for an image and a result on disk, with a sixteenth of the pixels or
    all.
    """

    def allocated(side: int) -> float:
        with TemporaryDirectory() as folder:
            shape = (side, side, CLASSES)
            image, out = (
                np.lib.format.open_memmap(Path(folder) / name, "w+", np.float32, shape)
                for name in ("a.npy", "b.npy")
            )
            tracemalloc.start()
            blend(image, out=out)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return peak / 2**20

    side = scale.blended
    few, all_of_them = Cost(allocated(side // 4)), Cost(allocated(side))
    case = f"split, overlap 50 %, blend from disk to disk, {side}×{side}×{CLASSES}: memory"
    return [row(case, [all_of_them], "a sixteenth of the pixels", [few], 0.9, unit="MiB")]


def _growth(scale: Scale) -> List[Row]:
    images = {
        f"{side}×{side}×3": np.ones((side, side, 3), np.uint8)
        for side in (
            scale.image // 2,
            scale.image,
            scale.image * 2,
        )  # none fits into a processor's cache
    }
    costs = race(
        {size: timed(lambda image=image: cut_and_merge(image)) for size, image in images.items()},
        scale,
    )
    return growth(
        "pad + split + merge", {size: image.size for size, image in images.items()}, costs
    )
