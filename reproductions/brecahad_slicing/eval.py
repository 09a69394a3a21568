"""Regenerate Tables 1–3 and Figures 5–6: `python -m reproductions.brecahad_slicing.eval --help`."""

from __future__ import annotations

import collections
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

import cv2
import numpy as np

from common import cli
from common.cli import Request
from common.datasets import manifests
from common.errors import exits_cleanly
from common.published import schema
from common.results import experiment, figures, tables
from common.training import runs
from reproductions.brecahad_slicing import (
    annotations,
    data,
    experiments,
    matching,
    metrics,
    slicing,
)
from reproductions.brecahad_slicing.config import MATCH_RADIUS, SIDE, THRESHOLD, Config
from reproductions.brecahad_slicing.data import Sample
from reproductions.brecahad_slicing.train import PAPER, train

PUBLISHED = Path(__file__).parent / "published"
MARKS = {
    "annotated": (255, 225, 0),
    "found": (64, 230, 110),
    "missed": (40, 110, 255),
    "invented": (255, 60, 40),
}
PER_LINE = 5  # pictures of a figure


class Regenerated(NamedTuple):
    """One row of a table for one protocol and seed."""

    row: str
    config: Config
    run: runs.Run


def regenerated(table: str, request: Request, data_set: manifests.DataSet) -> List[Regenerated]:
    """Train what is missing of a table and give its rows, by protocol, then seed, then as in the
    paper.
    """
    wanted = experiments.configurations(table, request)
    finished = experiment.ensure([config for _, config in wanted], train, data_set, request)
    return [Regenerated(row, config, run) for (row, config), run in zip(wanted, finished)]


def table1(request: Request) -> None:
    """Table 1: U-net with and without preprocessing and augmentation, on whole images."""
    _table("table1", request)


def table2(request: Request) -> None:
    """Table 2: U-net on the nine sets of tiles, with their sizes."""
    _table("table2", request)


def table3(request: Request) -> None:
    """Table 3: U-Net with a ResNet50 encoder on the nine sets of tiles, with their sizes."""
    _table("table3", request)


def figure5(request: Request) -> None:
    """Figure 5: nuclei that the U-nets of Table 2 find, miss and invent on a test image."""
    _figure("figure5", "table2", request)


def figure6(request: Request) -> None:
    """Figure 6: the same for the networks of Table 3."""
    _figure("figure6", "table3", request)


TARGETS = {
    "table1": table1,
    "table2": table2,
    "table3": table3,
    "figure5": figure5,
    "figure6": figure6,
}


def merged(
    run: runs.Run, samples: List[Sample], number: int, config: Config
) -> Tuple[np.ndarray, np.ndarray]:
    """Put the predicted test tiles of one image together.

    Returns:
        The mean of the tiles' probabilities, float64 (side, side), 0 where there are no tiles; and
        where there are some, bool (side, side).
    """
    size = slicing.tile_size(config)
    total, count = (np.zeros(samples[number].mask.shape) for _ in range(2))
    mine = [tile for tile in data.split(samples, config)["test"] if tile.number == number]
    for tile, probability in zip(mine, run.load_prediction(samples[number].id) if mine else ()):
        data.cut(total, tile, size)[...] += probability
        data.cut(count, tile, size)[...] += 1
    return total / np.maximum(count, 1), count > 0


def _found(request: Request) -> Tuple[manifests.DataSet, Request]:
    data_set = data.find(request.data_root)
    return data_set, experiment.settle(request, data_set)


def _table(table: str, request: Request) -> None:
    data_set, request = _found(request)
    folder = request.results_root / PAPER
    scores = []
    for row in regenerated(table, request, data_set):
        experiment.keep_provenance(row.run, folder)
        conditions = _conditions(table, row, data_set)
        values = metrics.aggregate(row.run.load_metrics()).items()
        scores += [
            (tables.Score(row.row, name, value, row.config.seed), conditions)
            for name, value in values
        ]
    experiment.publish(PUBLISHED / f"{table}.yaml", scores, folder)


def _conditions(table: str, row: Regenerated, data_set: manifests.DataSet) -> tables.Conditions:
    """Describe how a row was made, and what about it differs from the paper."""
    weights = experiment.encoder_weights([row.run])
    different = []
    if data_set.name == annotations.PARTIAL:
        different.append(f"{data_set.title} instead of all")
    if row.config.encoder != "plain" and weights != "imagenet":
        different.append(f"encoder weights {weights}; the paper's are ImageNet's")
    if row.config.protocol == "corrected":
        different.append(
            "split by case before slicing; the paper's split is taken to be of the tiles"
        )
    unused = "norm_momentum" if row.config.encoder == "plain" else "width"  # by this network
    paper = replace(
        experiments.as_published(table, row.row), **{unused: getattr(row.config, unused)}
    )
    return experiment.conditions(row.config, paper, data_set, [row.run], different)


def _figure(figure: str, table: str, request: Request) -> None:
    """Draw the nuclei of one test image as each network of a table finds them.

    It is the image on which most networks were tested; of several, the one with most nuclei. Where
    a network was not tested the picture is dark.
    """
    data_set, request = _found(request)
    labels = {
        row: entry.label for row, entry in schema.load(PUBLISHED / f"{table}.yaml").rows.items()
    }
    pages: Dict[Tuple[str, int], List[Regenerated]] = {}
    for row in regenerated(table, request, data_set):
        pages.setdefault((row.config.protocol, row.config.seed), []).append(row)
    for (protocol, seed), rows in pages.items():
        config = rows[-1].config
        samples = data.load(data_set, config)
        tested_by = collections.Counter()
        for row in rows:
            tested_by.update({tile.number for tile in data.split(samples, row.config)["test"]})
        number = max(
            sorted(tested_by), key=lambda image: (tested_by[image], len(samples[image].centres))
        )
        shown = data.load(data_set, replace(config, side=SIDE))[number]
        pictures = [_marked(shown, np.ones((1, 1), bool), {"annotated": shown.centres})]
        captions = [f"{shown.id}: {len(shown.centres)} tumour nuclei"]
        for row in rows:
            probability, tested = merged(row.run, samples, number, row.config)
            marks = _marks(samples[number], probability, tested, row.config)
            pictures.append(_marked(shown, tested, marks))
            counts = ", ".join(f"{len(places)} {name}" for name, places in marks.items())
            captions.append(f"{labels[row.row]}: {counts}")
        lines = [slice(start, start + PER_LINE) for start in range(0, len(pictures), PER_LINE)]
        title = experiment.heading(config, data_set, [row.run for row in rows])
        path = (
            request.results_root / PAPER / f"{figure}-{protocol}-{request.profile}-seed{seed}.png"
        )
        figures.panels(
            path,
            [pictures[line] for line in lines],
            [""] * min(len(pictures), PER_LINE),
            [captions[line] for line in lines],
            f"{title}; shown is the middle of {shown.id}, counted is all of it that was tested on",
            size=2.9,
            legend=MARKS,
        )
        print(f"written: {path}")


def _marks(
    sample: Sample, probability: np.ndarray, tested: np.ndarray, config: Config
) -> Dict[str, np.ndarray]:
    """Places, (n, 2) of x and y in pixels of an image of SIDE, of nuclei found, missed and invented
    where tested.
    """
    true = sample.centres[tested[tuple(sample.centres.astype(int).T[::-1])]]
    pred = matching.points(probability >= THRESHOLD)
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


@exits_cleanly
def main() -> None:
    """Regenerate from the command line."""
    cli.run_targets(TARGETS, f"python -m reproductions.{PAPER}.eval")


if __name__ == "__main__":
    main()
