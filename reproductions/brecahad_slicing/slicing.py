"""The nine sets of section 4: where their tiles lie. No tile is stored; it is cut from its image
when it is needed.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, NamedTuple

import numpy as np

from common.imaging.tiling import slice_with_step
from reproductions.brecahad_slicing.config import SIDE, Config


class Slicing(NamedTuple):
    """Tile and step in the pixels of a 1024×1024 image, and whether tiles without a tumour nucleus
    are left out.
    """

    tile: int
    step: int
    zero: bool = False


SETS: Dict[str, Slicing] = {
    "original": Slicing(SIDE, SIDE),
    "quarter": Slicing(512, 512),
    "quarter_zero": Slicing(512, 512, zero=True),
    "p512_s256": Slicing(512, 256),
    "p512_s256_zero": Slicing(512, 256, zero=True),
    "p256_s128": Slicing(256, 128),
    "p256_s128_zero": Slicing(256, 128, zero=True),
    "p128_s64": Slicing(128, 64),
    "p128_s64_zero": Slicing(128, 64, zero=True),
}


class Tile(NamedTuple):
    """Where a tile lies: `number` of its image, first row and column, and how many of its pixels
    are of nuclei.
    """

    id: str  # such as "Case_10-07_256_128": image, row, column
    number: int
    row: int
    column: int
    marked: int


def tile_size(config: Config) -> int:
    """Side of the configuration's tiles in the pixels of its images."""
    return SETS[config.tiles].tile * config.side // SIDE


def tiles(ids: Iterable[str], masks: Iterable[np.ndarray], config: Config) -> List[Tile]:
    """List the tiles of the configuration's set, image by image, in row order.

    Args:
        ids: of the images.
        masks: of their nuclei, bool (side, side).
        config: names the set.
    """
    chosen = SETS[config.tiles]
    size, step = tile_size(config), chosen.step * config.side // SIDE
    found = []
    for number, (image_id, mask) in enumerate(zip(ids, masks)):
        for row, column, window in slice_with_step(mask, size, step):
            marked = int(np.count_nonzero(window))
            if marked or not chosen.zero:
                found.append(Tile(f"{image_id}_{row}_{column}", number, row, column, marked))
    return found
