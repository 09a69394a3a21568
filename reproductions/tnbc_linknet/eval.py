"""Regenerate Tables 1 and 2 and Figure 2: `python -m reproductions.tnbc_linknet.eval --help`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from common import cli, files
from common.cli import Request
from common.datasets import manifests
from common.errors import exits_cleanly
from common.results import experiment, figures, tables
from common.training import runs
from reproductions.tnbc_linknet import data, metrics
from reproductions.tnbc_linknet.config import CONTROL, ENSEMBLE, PROFILES, THRESHOLD, Config
from reproductions.tnbc_linknet.train import PAPER, train

PUBLISHED = Path(__file__).parent / "published"
LABELS = {"resnext50": "ResNeXt50", "vgg19": "VGG19", "ensemble": "ensemble"}


class Regenerated(NamedTuple):
    """One row of Table 1 for one protocol and seed, with what it was made from."""

    row: str
    config: Config  # of the (last) network behind it
    samples: List[data.Sample]
    maps: List[np.ndarray]  # probabilities, float32 (H, W), one per sample
    runs: List[runs.Run]


def soft_vote(maps: List[List[np.ndarray]]) -> List[np.ndarray]:
    """Average the members' probability maps, image by image.

    The paper sums them and asks for half the number of members; the mean and 0.5 are the same
    decision.
    """
    return [np.mean(members, axis=0) for members in zip(*maps)]


def regenerated(
    request: Request, data_set: manifests.DataSet, control: bool = False
) -> Iterator[Regenerated]:
    """Train what is missing and give every network's row, then the ensemble's, by protocol and
    seed.

    With `control`, and where the members start from random weights but VGG16 does not, rows for
    VGG16 with its weights and without them show what ImageNet weights are worth.
    """
    base = PROFILES[request.profile]
    wanted = [(config.encoder, config) for config in experiment.grid(base, request, ENSEMBLE)]
    member_weights = [config.encoder_weights for _, config in wanted]
    if control and "none" in member_weights and request.weights_for(CONTROL) != "none":
        random = dataclasses.replace(request, encoder_weights="none")
        wanted += [(CONTROL, config) for config in experiment.grid(base, request, [CONTROL])]
        wanted += [
            (f"{CONTROL}_random", config) for config in experiment.grid(base, random, [CONTROL])
        ]
    finished = experiment.ensure([config for _, config in wanted], train, data_set, request)
    blocks: Dict[Tuple[str, int], List[Tuple[str, Config, runs.Run]]] = {}
    for (row, config), run in zip(wanted, finished):
        blocks.setdefault((config.protocol, config.seed), []).append((row, config, run))
    for block in blocks.values():
        _, config, run = block[0]
        samples = data.load(data_set.folder, run.split["test"], config)
        rows = [
            Regenerated(
                row, config, samples, [run.load_prediction(sample.id) for sample in samples], [run]
            )
            for row, config, run in block
        ]
        yield from rows
        members = [row for row in rows if row.row in ENSEMBLE]
        maps = soft_vote([row.maps for row in members])
        yield Regenerated(
            "ensemble",
            members[-1].config,
            samples,
            maps,
            [run for row in members for run in row.runs],
        )


def table1(request: Request) -> None:
    """Table 1: accuracy, DSC, F1 and AJI of both networks and their ensemble."""
    _table(request, "table1.yaml", control=True)


def table2(request: Request) -> None:
    """Table 2: the ensemble beside results that the paper quotes from the literature."""
    _table(request, "table2.yaml", rows=("ensemble",))


def figure2(request: Request) -> None:
    """Figure 2: CLAHE input, truth and the masks of both networks and the ensemble, for every test
    image.
    """
    data_set = manifests.find("tnbc", request.data_root)
    request = experiment.settle(request, data_set)
    pages: Dict[Tuple[str, int], List[Regenerated]] = {}
    for row in regenerated(request, data_set):
        pages.setdefault((row.config.protocol, row.config.seed), []).append(row)
    for (protocol, seed), rows in pages.items():
        samples, config = rows[0].samples, rows[0].config
        scores = [metrics.per_image(samples, row.maps) for row in rows]
        pictures, captions = [], []
        for number, sample in enumerate(samples):
            masks = [row.maps[number] >= THRESHOLD for row in rows]
            pictures.append(
                [
                    sample.image,
                    sample.mask,
                    *(figures.agreement(sample.mask, mask) for mask in masks),
                ]
            )
            numbers = [
                f"DSC {table.dsc[number]:.3f}  AJI {table.aji[number]:.3f}" for table in scores
            ]
            captions.append([sample.id, "", *numbers])
        path = request.results_root / PAPER / f"figure2-{protocol}-{request.profile}-seed{seed}.png"
        columns = ["input after CLAHE", "ground truth", *(LABELS[row.row] for row in rows)]
        title = experiment.heading(config, data_set, [run for row in rows for run in row.runs])
        figures.panels(path, pictures, columns, captions, title)
        print(f"written: {path}")


TARGETS = {"table1": table1, "table2": table2, "figure2": figure2}


def _table(
    request: Request, yaml_name: str, rows: Optional[Tuple[str, ...]] = None, control: bool = False
) -> None:
    data_set = manifests.find("tnbc", request.data_root)
    request = experiment.settle(request, data_set)
    folder = request.results_root / PAPER
    scores = []
    for row in regenerated(request, data_set, control):
        table = metrics.per_image(row.samples, row.maps)
        for run in row.runs:
            experiment.keep_provenance(run, folder)
        if row.row == "ensemble":
            name = row.config.run_id.replace(row.config.encoder, "ensemble", 1)
            runs.write_csv(folder / "provenance" / name / "metrics.csv", table)
            made_from = {"members": [run.folder.name for run in row.runs], "threshold": THRESHOLD}
            files.write_json(folder / "provenance" / name / "provenance.json", made_from)
        if rows is None or row.row in rows:
            conditions = _conditions(row, data_set)
            values = metrics.aggregate(table).items()
            scores += [
                (tables.Score(row.row, name, value, row.config.seed), conditions)
                for name, value in values
            ]
    experiment.publish(PUBLISHED / yaml_name, scores, folder)


def _conditions(row: Regenerated, data_set: manifests.DataSet) -> tables.Conditions:
    """Describe how a row was made, and what about it differs from the paper."""
    weights = experiment.encoder_weights(row.runs)
    different = []
    if weights != "imagenet":
        different.append(f"encoder weights {weights}; the paper's are taken to be ImageNet's")
    if row.config.protocol == "corrected":
        different.append("split by patient; the paper's split is taken to be by image")
    return experiment.conditions(row.config, PROFILES["paper"], data_set, row.runs, different)


@exits_cleanly
def main() -> None:
    """Regenerate from the command line."""
    cli.run_targets(TARGETS, f"python -m reproductions.{PAPER}.eval")


if __name__ == "__main__":
    main()
