"""Regenerate the results: `python -m reproductions.brain_tumour_mask_rcnn.eval --help`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Iterator, List, Sequence, Tuple

from common import cli
from common.cli import Request
from common.datasets import manifests
from common.datasets.splits import Split
from common.errors import exits_cleanly
from common.published import schema
from common.results import experiment, tables
from common.training import runs, weights_files
from reproductions.brain_tumour_mask_rcnn import data, duplicates, metrics, overlays, parts
from reproductions.brain_tumour_mask_rcnn.config import PROFILES, Config
from reproductions.brain_tumour_mask_rcnn.train import PAPER, found, scores, train

PUBLISHED = Path(__file__).parent / "published/splits.yaml"
ROW = "mask_rcnn"


def regenerated(request: Request, data_set: manifests.DataSet) -> List[Tuple[Config, runs.Run]]:
    """Train what is missing and give the run of every protocol and seed."""
    base = PROFILES[request.profile]
    configs = [
        replace(config, weights_layout=weights_layout(config.encoder_weights))
        for config in experiment.grid(base, request, [base.encoder])
    ]
    return list(zip(configs, experiment.ensure(configs, train, data_set, request)))


def weights_layout(encoder_weights: str) -> str:
    """Tell a file of Matterport's whole network from one of a Keras backbone, by the pyramid in
    it.
    """
    # No file, or a damaged one, is told of where the network is built.
    is_theirs = encoder_weights == "coco" or weights_files.is_matterport(Path(encoder_weights))
    return "matterport" if is_theirs else "keras"


def table(request: Request) -> None:
    """Average precision, Dice, IoU, sensitivity and false positives on the test images; the source
    publishes none.
    """
    data_set, request = _found(request)
    folder = request.results_root / PAPER
    rows = []
    for config, run in regenerated(request, data_set):
        experiment.keep_provenance(run, folder)
        conditions = _conditions(config, run, data_set)
        values = scores(run, data_set, config).items()
        rows += [
            (tables.Score(ROW, name, value, config.seed), conditions) for name, value in values
        ]
    reference = replace(
        schema.load(PUBLISHED), id="table", title="Detection and outlines on the test images"
    )
    experiment.publish_beyond(reference, rows, folder)


def splits(request: Request) -> None:
    """Images and polygons of the three parts, the tumours they share, and the size of the network;
    no training.
    """
    from reproductions.brain_tumour_mask_rcnn import (
        model,
    )  # not at the top: Model Garden takes 15 seconds

    data_set, request = _found(request)
    size = model.size(PROFILES["paper"])
    counted = []
    for protocol in request.protocols:
        counted += _counted(data_set, parts.split(data_set, protocol), protocol, size)
    experiment.publish(PUBLISHED, counted, request.results_root / PAPER)


def figure(request: Request) -> None:
    """All test images with the true and the found outlines, and sensitivity by false positives per
    image.
    """
    data_set, request = _found(request)
    for config, run in regenerated(request, data_set):
        tested = data.load(data_set.folder, run.split["test"])
        detections = found(run, tested)
        title = experiment.heading(config, data_set, [run])
        name = f"{config.protocol}-{config.profile}-seed{config.seed}.png"
        folder = request.results_root / PAPER
        overlays.sheet(folder / f"figure-{name}", tested, detections, config.min_score, title)
        curve = metrics.curve(tested, detections)
        overlays.free_response(folder / f"froc-{name}", curve, config.min_score, title)
        print(f"written: {folder}/figure-{name} and froc-{name}")


TARGETS = {"table": table, "splits": splits, "figure": figure}


def _found(request: Request) -> Tuple[manifests.DataSet, Request]:
    data_set = manifests.find("brain_mri", request.data_root)
    return data_set, experiment.settle(request, data_set)


def _counted(
    data_set: manifests.DataSet, split: Split, protocol: str, size: int
) -> Iterator[Tuple[tables.Score, tables.Conditions]]:
    """What can be counted without training, as scores; `size` is that of the network, in bytes."""
    changes = (
        ["images that show a tumour of a later part again are left out"]
        if protocol == "corrected"
        else []
    )
    synthetic = ["synthetic images instead of the source's data"] if data_set.synthetic else []

    def score(row: str, metric: str, value: float, differences: Sequence[str]):
        about = (data_set.title, data_set.fingerprint, tuple(differences))
        return tables.Score(row, metric, float(value), 0), tables.Conditions(
            protocol, "paper", "any", "any", *about
        )

    samples = {part: data.load(data_set.folder, ids) for part, ids in split.items()}
    groups = duplicates.find([sample for part in samples.values() for sample in part])
    used = {part: split[part] for part in data.PARTS}
    shared = {sample_id for group in duplicates.across(groups, used) for sample_id in group}
    for part, members in samples.items():
        row = data.PARTS.get(part, part)
        yield score(row, "images", len(members), changes + synthetic)
        yield score(
            row, "polygons", sum(len(sample.masks) for sample in members), changes + synthetic
        )
        if part in used:
            common = len(shared & set(split[part]))
            yield score(row, "images_with_a_tumour_of_another_part", common, changes + synthetic)
    other = ["Model Garden's network has a convolution and BatchNorms that the source's has not"]
    yield score(ROW, "weights_size", size / 2**20, other)


def _conditions(config: Config, run: runs.Run, data_set: manifests.DataSet) -> tables.Conditions:
    """Describe how a run was made, and what about it differs from the source."""
    weights = experiment.encoder_weights([run])
    different = []
    if config.weights_layout != "matterport":
        different.append(f"weights {weights}; the source's are taken to be COCO's")
    if config.protocol == "corrected":
        different.append("training images that show a validation or test tumour again are left out")
    return experiment.conditions(config, PROFILES["paper"], data_set, [run], different)


@exits_cleanly
def main() -> None:
    """Regenerate from the command line."""
    cli.run_targets(TARGETS, f"python -m reproductions.{PAPER}.eval")


if __name__ == "__main__":
    main()
