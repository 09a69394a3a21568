"""Regenerate Tables 1 and 2 and Figure 2: `python -m reproductions.tnbc_linknet.eval --help`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

import numpy as np

from common import cli, figures, gpu, manifests, regenerate, runs, tables
from common.cli import Request
from common.errors import exits_cleanly
from reproductions.tnbc_linknet import data, metrics
from reproductions.tnbc_linknet.config import BEYOND_PAPER, ENSEMBLE, PROFILES, THRESHOLD, Config
from reproductions.tnbc_linknet.train import PAPER, train

PUBLISHED = Path(__file__).parent / "published"
LABELS = {"resnext50": "ResNeXt50", "vgg19": "VGG19", "vgg16": "VGG16", "ensemble": "ensemble"}


class Regenerated(NamedTuple):
    """One row of Table 1 for one protocol and seed, with what it was made from."""

    row: str
    config: Config  # of the (last) network behind it
    samples: List[data.Sample]
    maps: List[np.ndarray]  # probabilities, float32 (H, W), one per sample
    runs: List[runs.Run]


def soft_vote(maps: List[List[np.ndarray]]) -> List[np.ndarray]:
    """Average the members' probability maps, image by image.

    The paper sums them and asks for half the number of members; the mean and 0.5 are the same decision.
    """
    return [np.mean(members, axis=0) for members in zip(*maps)]


def regenerated(request: Request, data_set: manifests.DataSet, encoders: Tuple[str, ...]) -> Iterator[Regenerated]:
    """Train what is missing and give every network's row, then the ensemble's, by protocol and seed."""
    base = dataclasses.replace(PROFILES[request.profile], precision=request.precision)
    configs = [
        dataclasses.replace(
            base, encoder=encoder, encoder_weights=request.weights_for(encoder), protocol=protocol, seed=seed
        )
        for protocol in request.protocols
        for seed in request.seeds
        for encoder in encoders
    ]
    finished = regenerate.ensure(configs, lambda config: train(config, data_set, request.runs_root))
    for start in range(0, len(configs), len(encoders)):
        samples = data.load(data_set.folder, finished[start].split["test"], configs[start])
        rows = [
            Regenerated(config.encoder, config, samples, [run.load_prediction(s.id) for s in samples], [run])
            for config, run in zip(configs[start : start + len(encoders)], finished[start:])
        ]
        yield from rows
        members = [row for row in rows if row.row in ENSEMBLE]
        maps = soft_vote([row.maps for row in members])
        yield Regenerated("ensemble", members[-1].config, samples, maps, [run for row in members for run in row.runs])


def table1(request: Request) -> None:
    """Table 1: accuracy, DSC, F1 and AJI of both networks and their ensemble."""
    # The row beyond the paper is there to show what ImageNet weights are worth; without them it would show nothing.
    extra = tuple(encoder for encoder in BEYOND_PAPER if request.weights_for(encoder) != "none")
    _table(request, "table1.yaml", ENSEMBLE + extra, rows=(*ENSEMBLE, *extra, "ensemble"))


def table2(request: Request) -> None:
    """Table 2: the ensemble beside results that the paper quotes from the literature."""
    _table(request, "table2.yaml", ENSEMBLE, rows=("ensemble",))


def figure2(request: Request) -> None:
    """Figure 2: CLAHE input, truth and the masks of both networks and the ensemble, for every test image."""
    data_set = manifests.find("tnbc", request.data_root)
    request = regenerate.settle(request, data_set)
    pages: Dict[Tuple[str, int], List[Regenerated]] = {}
    for row in regenerated(request, data_set, ENSEMBLE):
        pages.setdefault((row.config.protocol, row.config.seed), []).append(row)
    for (protocol, seed), rows in pages.items():
        samples, config = rows[0].samples, rows[0].config
        scores = [metrics.per_image(samples, row.maps) for row in rows]
        pictures, captions = [], []
        for number, sample in enumerate(samples):
            masks = [row.maps[number] >= THRESHOLD for row in rows]
            pictures.append([sample.image, sample.mask, *(figures.agreement(sample.mask, mask) for mask in masks)])
            numbers = [f"DSC {table.dsc[number]:.3f}  AJI {table.aji[number]:.3f}" for table in scores]
            captions.append([sample.id, "", *numbers])
        path = request.results_root / PAPER / f"figure2-{protocol}-{request.profile}-seed{seed}.png"
        columns = ["input after CLAHE", "ground truth", *(LABELS[row.row] for row in rows)]
        weights = f"encoder weights {config.encoder_weights}"
        title = f"{data_set.title} · protocol {protocol}, profile {request.profile}, {weights}, seed {seed}"
        figures.panels(path, pictures, columns, captions, title)
        print(f"written: {path}")


TARGETS = {"table1": table1, "table2": table2, "figure2": figure2}


def _table(request: Request, yaml_name: str, encoders: Tuple[str, ...], rows: Tuple[str, ...]) -> None:
    data_set = manifests.find("tnbc", request.data_root)
    request = regenerate.settle(request, data_set)
    folder = request.results_root / PAPER
    scores = []
    for row in regenerated(request, data_set, encoders):
        table = metrics.per_image(row.samples, row.maps)
        for run in row.runs:
            regenerate.keep_provenance(run, folder)
        if row.row == "ensemble":
            name = row.config.run_id.replace(row.config.encoder, "ensemble", 1)
            runs.write_csv(folder / "provenance" / name / "metrics.csv", table)
        if row.row in rows:
            conditions = _conditions(row, data_set)
            values = metrics.aggregate(table).items()
            scores += [(tables.Score(row.row, name, value, row.config.seed), conditions) for name, value in values]
    regenerate.publish(PUBLISHED / yaml_name, scores, folder)


def _conditions(row: Regenerated, data_set: manifests.DataSet) -> tables.Conditions:
    """Describe how a row was made, and what about it differs from the paper."""
    weights = " + ".join(dict.fromkeys(run.config["encoder_weights"] for run in row.runs))
    different = []
    if weights != "imagenet":
        different.append(f"encoder weights {weights}; the paper's are taken to be ImageNet's")
    if row.config.protocol == "corrected":
        different.append("split by patient; the paper's split is taken to be by image")
    named = ("encoder", "encoder_weights", "protocol", "profile", "seed", "precision")
    different += regenerate.material_differences(row.config, PROFILES["paper"], data_set, apart_from=named)
    return tables.Conditions(
        protocol=row.config.protocol,
        profile=row.config.profile,
        encoder_weights=weights,
        precision=row.config.precision,
        data=data_set.title,
        fingerprint=data_set.fingerprint,
        differences=tuple(different),
    )


@exits_cleanly
def main() -> None:
    """Regenerate from the command line."""
    gpu.announce()
    cli.run_targets(TARGETS, f"python -m reproductions.{PAPER}.eval")


if __name__ == "__main__":
    main()
