"""AJI, AJI+ and PQ: against HoVer-Net's way and stardist, on many nuclei, and as images grow."""

from __future__ import annotations

from typing import List, Tuple

import numpy as np

from common.metrics import aji
from tools.bench import per_pair
from tools.bench.child import Worker
from tools.bench.scale import Scale
from tools.bench.timing import Cost, Row, compare, growth, installed, limit, race, row, timed

PER_PAIR = "per pair, as HoVer-Net"
# By the number of nuclei; the cost of going through pairs grows with nuclei times pixels.
AJI_TARGETS = {80: 300.0, 1200: 1500.0}
DENSITY = 3300  # pixels per nucleus while images grow: 80 in 512×512
SCORES = {"AJI": aji.aji, "AJI+": aji.aji_plus, "PQ": aji.panoptic_quality}


def run(scale: Scale) -> List[Row]:
    """Measure everything about the instance metrics."""
    rows = []
    for count, side in scale.nuclei:
        rows += _against_others(count, side, scale)
    return rows + _most(scale) + _dense(scale) + _growth(scale)


def label_maps(count: int, side: int) -> Tuple[np.ndarray, np.ndarray]:
    """Draw `count` discs on a grid, and a prediction that shifts them, misses every 20th and
    renames the rest.

    Returns two int32 (side, side) label maps.
    """
    rng = np.random.default_rng(0)
    columns = int(np.ceil(np.sqrt(count)))
    pitch = side / columns
    true = np.zeros((side, side), np.int32)
    for number in range(count):
        radius = pitch * rng.uniform(0.3, 0.48)
        x, y = (np.array([number % columns, number // columns]) + 0.5) * pitch + rng.uniform(
            -0.1, 0.1, 2
        ) * pitch
        top, left = (max(int(centre - radius), 0) for centre in (y, x))
        rows, cols = np.ogrid[
            top : min(int(y + radius) + 2, side), left : min(int(x + radius) + 2, side)
        ]
        window = true[top : top + rows.shape[0], left : left + cols.shape[1]]
        window[(rows - y) ** 2 + (cols - x) ** 2 <= radius**2] = number + 1
    names = np.append(0, rng.permutation(count) + 1).astype(np.int32)
    names[1::20] = 0
    return true, names[np.roll(true, (2, 3), axis=(0, 1))]


def score_many(count: int, side: int, score: str):
    """Prepare the scoring of many nuclei in a process of its own."""
    true, pred = label_maps(count, side)
    return lambda: float(np.ravel(SCORES[score](true, pred))[0]), {}


def _against_others(count: int, side: int, scale: Scale) -> List[Row]:
    true, pred = label_maps(count, side)
    work = f"{count} nuclei, {side}×{side}"
    stardist = installed("stardist.matching")
    rows = compare(
        f"AJI, {work}",
        lambda: aji.aji_counts(true, pred),
        {PER_PAIR: lambda: per_pair.aji_counts(true, pred)},
        scale,
        {PER_PAIR: AJI_TARGETS.get(count, np.nan)},
    )
    peers = {
        "stardist": stardist
        and (lambda: stardist.matching(true, pred, thresh=0.5).panoptic_quality)
    }
    if (count, side) == scale.nuclei[
        0
    ]:  # at the larger sizes they take as long as AJI's, for nothing new
        rows += compare(
            f"AJI+, {work}",
            lambda: aji.aji_plus_counts(true, pred),
            {PER_PAIR: lambda: per_pair.aji_plus_counts(true, pred)},
            scale,
            {PER_PAIR: 5},
        )
        peers[PER_PAIR] = lambda: per_pair.panoptic_quality(true, pred)
    return rows + compare(
        f"PQ and matching, {work}",
        lambda: aji.panoptic_quality(true, pred).pq,
        peers,
        scale,
        dict.fromkeys(peers, 5),
        same=lambda ours, theirs: abs(ours - theirs) < 1e-6,  # stardist computes in float32
    )


def _most(scale: Scale) -> List[Row]:
    """Time and memory of the whole process, interpreter and maps included, with as many nuclei as
    there may be.
    """
    count, side = scale.most_nuclei
    rows = []
    for score in SCORES:
        with Worker(
            "tools.bench.metrics:score_many", count=count, side=side, score=score
        ) as worker:
            worker()
            seconds = race({"": worker}, scale)[""]
            case = f"{score}, {count} nuclei, {side}×{side}"
            rows += [
                limit(case, seconds, 2),
                limit(f"{case}: memory", [Cost(worker.last["peak_mib"])], 2048, "MiB"),
            ]
    return rows


def _dense(scale: Scale) -> List[Row]:
    """AJI+ against AJI, which needs no matching, and on a map in which every pixel is an
    instance.
    """
    count, side = scale.dense_nuclei
    pair = label_maps(count, side)
    costs = race(
        {name: timed(lambda name=name: SCORES[name](*pair)) for name in ("AJI+", "AJI")}, scale
    )
    rows = [row(f"AJI+, {count} nuclei, {side}×{side}", costs["AJI+"], "AJI", costs["AJI"], 0.4)]

    ids = np.arange(1, scale.ids**2 + 1, dtype=np.int32).reshape(scale.ids, scale.ids)
    dominoes = (ids + 1) // 2
    seconds = race({"": timed(lambda: aji.aji_plus(ids, dominoes))}, scale)[""]
    case = f"AJI+, an id per pixel, {scale.ids}×{scale.ids}"
    return [*rows, limit(case, seconds, 2)]


def _growth(scale: Scale) -> List[Row]:
    rows = []
    pairs = {f"{side}×{side}": label_maps(side * side // DENSITY, side) for side in scale.growth}
    work = {size: true.size for size, (true, _) in pairs.items()}
    for name, score in SCORES.items():
        contenders = {
            size: timed(lambda pair=pair, score=score: score(*pair)) for size, pair in pairs.items()
        }
        rows += growth(name, work, race(contenders, scale))
    return rows
