"""The nine sets of section 4: where their tiles lie. No tile is stored; it is cut from its image
when it is needed.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, NamedTuple, Optional

import numpy as np

from common.imaging.tiling import slice_with_step
from reproductions.brecahad_slicing.config import PRINTED_PERCENT, SIDE, Config


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


def tiles(
    ids: Iterable[str],
    masks: Iterable[np.ndarray],
    config: Config,
    centres: Optional[Iterable[np.ndarray]] = None,
) -> List[Tile]:
    """List the tiles of the configuration's set, image by image, in row order.

    Args:
        ids: of the images.
        masks: of their nuclei, bool (side, side).
        config: names the set.
        centres: of their nuclei, (n, 2) of x and y in pixels; for `empty_tiles` = centre.
    """
    every = _cut(ids, masks, config)
    chosen = SETS[config.tiles]
    if config.used_tiles == "as_printed":
        percent = PRINTED_PERCENT[config.encoder].get(config.tiles.replace("_zero", ""), 100)
        count = len(every) * percent // 100
        drawn = np.random.default_rng((config.seed, 2)).permutation(len(every))[:count]
        every = [every[place] for place in sorted(drawn)]
    if not chosen.zero:
        return every
    if config.empty_tiles == "pixel":
        return [tile for tile in every if tile.marked]
    assert centres is not None
    size, of_image = tile_size(config), list(centres)
    return [tile for tile in every if _holds_a_centre(tile, of_image[tile.number], size)]


def _holds_a_centre(tile: Tile, centres: np.ndarray, size: int) -> bool:
    inside = centres - (tile.column, tile.row)
    return bool(((inside >= 0) & (inside < size)).all(axis=1).any())


def _cut(ids: Iterable[str], masks: Iterable[np.ndarray], config: Config) -> List[Tile]:
    chosen = SETS[config.tiles]
    size, step = tile_size(config), chosen.step * config.side // SIDE
    windows = []
    for number, (image_id, mask) in enumerate(zip(ids, masks)):
        for row, column, window in slice_with_step(mask, size, step):
            marked = int(np.count_nonzero(window))
            windows.append(Tile(f"{image_id}_{row}_{column}", number, row, column, marked))
    return windows
