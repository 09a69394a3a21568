"""Scores of predicted tiles: counted per tile once, aggregated over tiles in the ways that the
paper leaves open.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Tuple

import numpy as np
import pandas

from common.metrics import dice
from reproductions.brecahad_slicing import data, matching
from reproductions.brecahad_slicing.config import MATCH_RADIUS, THRESHOLD, Config
from reproductions.brecahad_slicing.data import Sample
from reproductions.brecahad_slicing.slicing import Tile

COUNTS = ("tn", "fp", "fn", "tp")
NUCLEI = ("nuclei_found", "nuclei_missed", "nuclei_invented")


def per_tile(
    part: str, samples: List[Sample], predictions: Iterable[Tuple[Tile, np.ndarray]], config: Config
) -> pandas.DataFrame:
    """Compare predicted tiles, each float (size, size) of probabilities, with the truth.

    Returns:
        One line per tile: id, part, pixel counts (tn, fp, fn, tp), and tumour nuclei found, missed
        and invented.
    """
    rows = []
    for tile, probability in predictions:
        found = compare(samples[tile.number], tile, probability, config)
        true = data.cut(samples[tile.number].mask, tile, len(probability))
        matrix = dice.confusion(true, probability >= THRESHOLD)
        nuclei = (found.found, found.missed, found.invented)
        rows.append((tile.id, part, *matrix.ravel(), *(int(each.sum()) for each in nuclei)))
    return pandas.DataFrame(rows, columns=["id", "part", *COUNTS, *NUCLEI])


def compare(
    sample: Sample, tile: Tile, probability: np.ndarray, config: Config
) -> matching.Detection:
    """Match the nuclei that are predicted in a tile with those annotated in it."""
    size = len(probability)
    true = sample.centres - (tile.column, tile.row)
    true = true[((true >= 0) & (true < size)).all(axis=1)]
    pred = matching.points(probability >= THRESHOLD)
    return matching.match(true, pred, config.pixels(MATCH_RADIUS), size)


def aggregate(table: pandas.DataFrame) -> Dict[str, float]:
    """Summarise the lines of `per_tile`.

    The paper does not say how Dice and IoU are aggregated. Assumed: means over tiles, in which a
    tile without nuclei counts as 1 where none are predicted and as 0 where some are. Beside them:
    pooled over all pixels, and means over the tiles that have nuclei or for which some are
    predicted. Nuclei are counted over all test tiles; where tiles overlap, a nucleus counts in
    each. The shares are of the test tiles' pixels: nuclei, and predicted nuclei.
    """
    scores = {}
    for part in ("train", "test"):
        matrices = _matrices(table[table["part"] == part])
        for name, score in (("dice", dice.dice), ("iou", dice.iou)):
            scores[f"{part}_{name}"] = score(matrices)
            scores[f"{part}_{name}_pooled"] = score(matrices, reduction="pooled")
            scores[f"{part}_{name}_without_empty"] = score(matrices, empty="skip")
    test = table[table["part"] == "test"]
    found, missed, invented = test[list(NUCLEI)].sum()
    scores["nuclei_precision"] = found / max(found + invented, 1)
    scores["nuclei_recall"] = found / max(found + missed, 1)
    scores["nuclei_f1"] = 2 * found / max(2 * found + missed + invented, 1)
    scores["share_of_nuclei"] = (
        test[["fn", "tp"]].to_numpy().sum() / test[list(COUNTS)].to_numpy().sum()
    )
    scores["share_predicted"] = (
        test[["fp", "tp"]].to_numpy().sum() / test[list(COUNTS)].to_numpy().sum()
    )
    scores["size"] = len(table)
    return {name: float(value) for name, value in scores.items()}


def _matrices(table: pandas.DataFrame) -> np.ndarray:
    return table[list(COUNTS)].to_numpy().reshape(-1, 2, 2)
