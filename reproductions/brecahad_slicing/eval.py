"""Tables 1–3 and Figures 5–6 of the BreCaHAD paper.

`.venv/bin/python -m reproductions.brecahad_slicing.eval --help`
"""

from __future__ import annotations

import collections
from dataclasses import replace
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple

import cv2
import numpy as np
import pandas

from common.cli import Request
from common.datasets.manifests import DataSet
from common.imaging import reading
from common.published import schema
from common.results import figures, probability_curves
from common.results.experiment import Count, Page, Paper, Row, Trained
from common.results.provenance import Packing, no_seed
from common.training import predictions
from common.training.runs import Run
from reproductions.brecahad_slicing import (
    annotation_files,
    data,
    experiments,
    matching,
    metrics,
    slicing,
)
from reproductions.brecahad_slicing.config import AGGREGATION, MATCH_RADIUS, SCORING, SIDE, Config
from reproductions.brecahad_slicing.data import Sample
from reproductions.brecahad_slicing.train import image_of, trainer

MARKS = {
    "annotated": (255, 225, 0),
    "found": (64, 230, 110),
    "missed": (40, 110, 255),
    "invented": (255, 60, 40),
}
PER_LINE = 5  # images of a line of a figure
SHOWN = 3  # test images of a figure
BEST = "p256_s128_zero"  # the paper's best set
NETWORKS = {"plain": "U-net", "resnet50": "U-Net with ResNet50"}


def differences(config: Config, data_set: DataSet) -> Sequence[str]:
    """Say what else keeps a run from being held against the paper."""
    different = []
    if data_set.name == annotation_files.PARTIAL:
        different.append(f"{data_set.title} instead of all")
    if config.protocol == "corrected":
        different.append("split by case before slicing")
    return different


def unit(table: pandas.DataFrame, config: Config) -> Sequence[Any]:
    """The unit that the protocol splits by: the tile, its image or its case."""
    if config.protocol == "corrected":
        return [image_of(tile).partition("-")[0] for tile in table["id"]]
    if config.split_unit == "image":
        return [image_of(tile) for tile in table["id"]]
    return list(table["id"])


paper = Paper(
    trainer,
    metrics.per_image,
    metrics.aggregate,
    differences,
    unit,
    scoring=SCORING,
    aggregation=AGGREGATION,
    packing=Packing(no_seed),  # maps of 22 networks and thousands of tiles
)


@paper.table
def table1(request: Request) -> List[Row]:
    """U-net on BreCaHAD with and without preprocessing and augmentation, table 1."""
    return experiments.rows("table1", request)


@paper.table
def table2(request: Request) -> List[Row]:
    """U-net on nine sets of tiles cut from BreCaHAD, table 2."""
    return experiments.rows("table2", request)


@paper.table
def table3(request: Request) -> List[Row]:
    """U-Net with a ResNet50 encoder on the same nine sets, table 3."""
    return experiments.rows("table3", request)


@paper.readings("table2")
def readings(request: Request) -> List[Row]:
    """How far the choices that the paper leaves open move table 2."""
    return experiments.rows("table2", request)


@paper.leakage
def leakage(request: Request) -> List[Row]:
    """The price of leakage: networks with and without other images of the test cases."""
    return [row for row in experiments.rows("table2", request) if row.id == BEST]


@paper.percent_table
def section7(request: Request) -> List[Row]:
    """The best network of table 3 beside another work, section 7."""
    return [row for row in experiments.rows("table3", request) if row.id == BEST]


@paper.counts()
def dataset(request: Request, data_set: Optional[DataSet]) -> Iterator[Count]:
    """Count BreCaHAD's images and classes, and the paper's experiments; no training."""
    assert data_set is not None
    partial = data_set.name == annotation_files.PARTIAL
    partial_copy = (f"{data_set.title} instead of all",) if partial else ()
    pairs = annotation_files.pairs(data_set)
    classes: Set[str] = set()
    sizes: Set[Tuple[int, ...]] = set()
    for pair in pairs.values():
        classes.update(annotation_files.centres(pair.annotation))
        sizes.add(reading.read_rgb(pair.image).shape[1::-1])
    yield Count("brecahad", "images", len(pairs), partial_copy)
    yield Count("brecahad", "width", max(size[0] for size in sizes), partial_copy)
    yield Count("brecahad", "height", max(size[1] for size in sizes), partial_copy)
    yield Count("brecahad", "classes", len(classes), partial_copy)
    results = sum(len(rows) for rows in experiments.MATRIX.values())
    yield Count("experiments", "results", results)


@paper.figure(table2)
def figure5(page: Page) -> None:
    """True and false positives and false negatives of the U-nets on test images, figure 5."""
    _draw(page, "table2")


@paper.figure(table3)
def figure6(page: Page) -> None:
    """The same for the U-Nets with a ResNet50 encoder, figure 6."""
    _draw(page, "table3")


def best(request: Request) -> List[Row]:
    """The networks of tables 2 and 3 on the paper's best set."""
    both = experiments.rows("table2", request) + experiments.rows("table3", request)
    return [row for row in both if row.id == BEST]


@paper.figure(best)
def curves(page: Page) -> None:
    """Precision-recall and calibration curves on the test tiles of the paper's best set."""
    series = {NETWORKS[one.config.encoder]: _test_maps(one, page.data_set) for one in page.rows}
    probability_curves.draw(page.path, series, f"{page.title}, tiles of {BEST}")


def _test_maps(trained: Trained, data_set: DataSet) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
    """Give ground truth and probabilities of each test tile."""
    samples = data.load(data_set, trained.config)
    tiles = data.split(samples, trained.config)["test"]
    maps = metrics.saved(trained.runs[0], "test", samples, tiles, trained.config)
    for tile, probability in maps:
        yield data.cut(samples[tile.number].mask, tile, len(probability)), probability


def merged(
    run: Run, samples: List[Sample], number: int, config: Config
) -> Tuple[np.ndarray, np.ndarray]:
    """Put the predicted test tiles of one image together.

    Returns:
        The mean of the tiles' probabilities, float64 (side, side), 0 where there are no tiles; and
        where there are some, bool (side, side).
    """
    size = slicing.tile_size(config)
    shape = samples[number].mask.shape
    total, count = np.zeros(shape), np.zeros(shape)
    mine = [tile for tile in data.split(samples, config)["test"] if tile.number == number]
    if mine:
        stack = predictions.load_map(run, f"test/{samples[number].id}").reshape(-1, size, size)
        for tile, probabilities in zip(mine, stack):
            data.cut(total, tile, size)[...] += probabilities
            data.cut(count, tile, size)[...] += 1
    return total / np.maximum(count, 1), count > 0


def _draw(page: Page, table: str) -> None:
    """Draw the nuclei of three test images, as many as the paper speaks of, as each network of a
    table finds them.

    They are the images on which most networks were tested; of several, those with most nuclei.
    Where a network was not tested the image is dark.
    """
    reference = schema.load(trainer.folder / "published" / f"{table}.yaml")
    config = page.rows[-1].config
    samples = data.load(page.data_set, config)
    chosen = _most_tested(page.rows, samples)
    large = data.load(page.data_set, replace(config, side=SIDE))
    images: List[List[np.ndarray]] = []
    captions: List[List[str]] = []
    for number in chosen:
        shown = large[number]
        line = [_marked(shown, np.ones((1, 1), bool), {"annotated": shown.centres})]
        texts = [f"{shown.id}: {len(shown.centres)} tumour nuclei"]
        for trained in page.rows:
            probability, tested = merged(trained.runs[0], samples, number, trained.config)
            marks = _marks(samples[number], probability, tested, trained.config)
            line.append(_marked(shown, tested, marks))
            counts = ", ".join(f"{len(places)} {name}" for name, places in marks.items())
            texts.append(f"{reference.rows[trained.row.id].label}: {counts}")
        for start in range(0, len(line), PER_LINE):
            images.append(line[start : start + PER_LINE])
            captions.append(texts[start : start + PER_LINE])
    figures.panels(
        page.path,
        images,
        [""] * len(images[0]),
        captions,
        f"{page.title}; shown is the middle of each image, counted is all of it that was tested on",
        size=2.9,
        legend=MARKS,
    )


def _most_tested(rows: Sequence[Trained], samples: List[Sample]) -> List[int]:
    tested_by: collections.Counter = collections.Counter()
    for trained in rows:
        tiles = data.split(samples, trained.config)["test"]
        tested_by.update({tile.number for tile in tiles})

    def rank(number: int) -> Tuple[int, int, int]:
        return -tested_by[number], -len(samples[number].centres), number

    return sorted(tested_by, key=rank)[:SHOWN]


def _marks(
    sample: Sample, probability: np.ndarray, tested: np.ndarray, config: Config
) -> Dict[str, np.ndarray]:
    """Places, (n, 2) of x and y in pixels of an image of SIDE, of nuclei found, missed and invented
    where tested.
    """
    true = sample.centres[tested[tuple(sample.centres.astype(int).T[::-1])]]
    pred = matching.points(probability >= SCORING.threshold)
    result = matching.match(true, pred, config.pixels(MATCH_RADIUS), config.side)
    places = {
        "found": true[result.found],
        "missed": true[result.missed],
        "invented": pred[result.invented],
    }
    return {name: points / config.pixels(1) for name, points in places.items()}


def _marked(sample: Sample, tested: np.ndarray, marks: Dict[str, np.ndarray]) -> np.ndarray:
    """Draw marks on the middle quarter of an image, darkened where it was not tested: uint8 (SIDE /
    2, SIDE / 2, 3).
    """
    tested = cv2.resize(tested.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    picture = np.where(tested[..., None], sample.image, sample.image // 3)
    for name, places in marks.items():
        for x, y in places.round().astype(int):
            cv2.circle(picture, (int(x), int(y)), MATCH_RADIUS, MARKS[name], 3, cv2.LINE_AA)
    return picture[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4]


if __name__ == "__main__":
    paper.command_line()
