"""Scores of predicted tiles: counted per tile once, aggregated over tiles in the ways that the
paper leaves open.
"""

from __future__ import annotations

import itertools
import math
from typing import Callable, Dict, Iterable, Iterator, List, Sequence, Tuple

import numpy as np
import pandas

from common import files
from common.datasets.manifests import DataSet
from common.errors import InputError
from common.metrics import dice
from common.training import predictions
from common.training.runs import Run
from reproductions.brecahad_slicing import data, matching, slicing
from reproductions.brecahad_slicing.config import MATCH_RADIUS, SCORING, Config, Scoring
from reproductions.brecahad_slicing.data import Sample
from reproductions.brecahad_slicing.slicing import Tile

COUNTS = ("tn", "fp", "fn", "tp")
SOFT = ("soft_predicted", "soft_overlap")
NUCLEI = ("nuclei_found", "nuclei_missed", "nuclei_invented")


def per_image(
    runs: Sequence[Run], config: Config, data_set: DataSet, scoring: Scoring = SCORING
) -> pandas.DataFrame:
    """Score the saved maps of a network on its training and test tiles: what `per_tile` gives."""
    run = runs[0]
    samples = data.load(data_set, config)
    split = data.split(samples, config)
    if data.tile_ids(split) != run.split:
        raise InputError(f"{run.folder}: the data give another split than when it was trained")
    tables = []
    for part, tiles in split.items():
        if part == "train" and run.of_earlier_version:  # kept scores of these, and no maps
            kept = pandas.read_csv(files.buffered(run.folder / "metrics.csv"), dtype={"id": str})
            tables.append(kept[kept["part"] == "train"])
            continue
        maps = saved(run, part, samples, tiles, config)
        tables.append(per_tile(part, samples, maps, config, scoring))
    return pandas.concat(tables, ignore_index=True)


def saved(
    run: Run, part: str, samples: List[Sample], tiles: List[Tile], config: Config
) -> Iterator[Tuple[Tile, np.ndarray]]:
    """Give each tile with its saved probabilities, float32 (size, size), image by image."""
    size = slicing.tile_size(config)
    for number, group in itertools.groupby(tiles, lambda tile: tile.number):
        of_image = list(group)
        name = f"{part}/{samples[number].id}"
        stack = predictions.load_map(run, name).reshape(-1, size, size)
        if len(stack) != len(of_image):
            raise InputError(
                f"{run.predictions / name}.png: expected {len(of_image)} tiles, got {len(stack)}; "
                f"remove {run.folder} to redo the run"
            )
        yield from zip(of_image, stack)


def per_tile(
    part: str,
    samples: List[Sample],
    maps: Iterable[Tuple[Tile, np.ndarray]],
    config: Config,
    scoring: Scoring = SCORING,
) -> pandas.DataFrame:
    """Compare predicted tiles, each float (size, size) of probabilities, with the ground truth.

    Returns:
        One line per tile: id, part, pixel counts (tn, fp, fn, tp), tumour nuclei found, missed
        (false negatives) and falsely found, and sums over pixels: of the probabilities, and of
        those on nuclei.
    """
    rows = []
    for tile, probability in maps:
        pred = probability >= scoring.threshold
        matched = compare(samples[tile.number], tile, pred, config)
        true = data.cut(samples[tile.number].mask, tile, len(probability))
        matrix = dice.confusion(true, pred)
        nuclei = [int(each.sum()) for each in (matched.found, matched.missed, matched.invented)]
        sums = (float(probability.sum(dtype=float)), float(probability[true].sum(dtype=float)))
        rows.append((tile.id, part, *matrix.ravel(), *nuclei, *sums))
    return pandas.DataFrame(rows, columns=["id", "part", *COUNTS, *NUCLEI, *SOFT])


def compare(sample: Sample, tile: Tile, pred: np.ndarray, config: Config) -> matching.Detection:
    """Match the nuclei that are predicted in a tile with those annotated in it."""
    size = len(pred)
    true = sample.centres - (tile.column, tile.row)
    true = true[((true >= 0) & (true < size)).all(axis=1)]
    points = matching.points(pred)
    return matching.match(true, points, config.pixels(MATCH_RADIUS), size)


def aggregate(
    table: pandas.DataFrame, config: Config, scoring: Scoring = SCORING
) -> Dict[str, float]:
    """Summarise the lines of `per_tile`.

    The paper does not say how Dice and IoU are aggregated. Assumed: means over tiles, in which a
    tile without nuclei counts as 1 where none are predicted and as 0 where some are. Beside them:
    pooled over all pixels, and means over the tiles that have nuclei or for which some are
    predicted. Nuclei are counted over all test tiles; where tiles overlap, a nucleus counts in
    each. `share_of_nuclei` and `share_predicted` are fractions of the test tiles' pixels. Scores of
    a part that has no line are left out.
    """
    # NumPy for all counting: of a standard error's thousand calls, pandas took most of the time.
    scores: Dict[str, float] = {}
    part_of_line = table["part"].to_numpy()
    counts = _columns(table, COUNTS).reshape(-1, 2, 2)
    for part in ("train", "test"):
        chosen = part_of_line == part
        if not chosen.any():
            continue
        matrices = counts[chosen]
        for name, score in (("dice", dice.dice), ("iou", dice.iou)):
            scores[f"{part}_{name}"] = _chosen(name, score, table, chosen, matrices, scoring)
            scores[f"{part}_{name}_pooled"] = score(matrices, reduction="pooled")
            scores[f"{part}_{name}_without_empty"] = score(matrices, empty="skip")
    test = part_of_line == "test"
    found, missed, false_positives = _columns(table, NUCLEI)[test].sum(axis=0)
    scores["nuclei_precision"] = found / max(found + false_positives, 1)
    scores["nuclei_recall"] = found / max(found + missed, 1)
    scores["nuclei_f1"] = 2 * found / max(2 * found + missed + false_positives, 1)
    (tn, fp), (fn, tp) = counts[test].sum(axis=0)
    scores["share_of_nuclei"] = (fn + tp) / (tn + fp + fn + tp)
    scores["share_predicted"] = (fp + tp) / (tn + fp + fn + tp)
    scores["size"] = len(table)
    return {name: float(value) for name, value in scores.items() if not math.isnan(value)}


def _chosen(
    name: str,
    score: Callable,
    table: pandas.DataFrame,
    chosen: np.ndarray,
    matrices: np.ndarray,
    scoring: Scoring,
) -> float:
    """Dice or IoU of one part, the chosen lines, as the scoring has it."""
    if scoring.masks == "hard":
        if scoring.aggregation == "pooled":
            return score(matrices, reduction="pooled")
        return score(matrices, empty="skip" if scoring.aggregation != "tiles" else 1.0)
    lines = table[chosen]
    overlap = lines["soft_overlap"].to_numpy()
    both = lines["soft_predicted"].to_numpy() + lines[["fn", "tp"]].sum(axis=1).to_numpy()
    if scoring.aggregation == "pooled":
        overlap, both = overlap.sum(keepdims=True), both.sum(keepdims=True)
    elif scoring.aggregation == "tiles_with_nuclei":
        present = lines[["fp", "fn", "tp"]].sum(axis=1).to_numpy() > 0
        overlap, both = overlap[present], both[present]
    union = both - overlap
    values = 2 * overlap / both if name == "dice" else overlap / union
    return float(values.mean()) if len(values) else math.nan


def _columns(table: pandas.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Columns side by side, (lines, columns)."""
    return np.stack([table[name].to_numpy() for name in names], axis=-1)
