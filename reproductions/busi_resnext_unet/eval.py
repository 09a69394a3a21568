"""Regenerate Tables 1, 3 and 4 and Figures 9–11 and 13: `python -m
reproductions.busi_resnext_unet.eval --help`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
import pandas

from common import cli
from common.cli import Request
from common.datasets import manifests
from common.errors import exits_cleanly
from common.files import PROJECT
from common.results import experiment, figures, tables
from common.training import runs
from reproductions.busi_resnext_unet import data, duplicates, metrics, model
from reproductions.busi_resnext_unet.config import CLASSES, COLOURS, ENCODERS, PROFILES, Config
from reproductions.busi_resnext_unet.train import PAPER, train

PUBLISHED = Path(__file__).parent / "published"
LABELS = {
    "resnext50": "ResNeXt-50 U-Net",
    "resnext101": "ResNeXt-101 U-Net",
    "vgg16": "U-Net (VGG16)",
    "vgg16_random": "U-Net (random VGG16)",
}


class Regenerated(NamedTuple):
    """One network of Table 3 for one protocol and seed."""

    row: str
    config: Config
    run: runs.Run


def regenerated(
    request: Request, data_set: manifests.DataSet, encoders: Sequence[str] = ENCODERS
) -> List[Regenerated]:
    """Train what is missing and give every network's row."""
    base = PROFILES[request.profile]
    rows = [(config.encoder, config) for config in experiment.grid(base, request, encoders)]
    # Where only VGG16 starts from ImageNet, a second one without shows what that, and not the
    # encoder, is worth.
    weights = {encoder: request.weights_for(encoder) for encoder in encoders}
    if weights.get("vgg16", "none") != "none" and "none" in weights.values():
        alike = dataclasses.replace(request, encoder_weights="none")
        rows += [("vgg16_random", config) for config in experiment.grid(base, alike, ["vgg16"])]
    finished = experiment.ensure([config for _, config in rows], train, data_set, request)
    return [Regenerated(row, config, run) for (row, config), run in zip(rows, finished)]


def table1(request: Request) -> None:
    """Table 1: images by class, counted; and the masks, and what no prediction at all would
    score.
    """
    data_set, request = _found(request)
    files = data.find(data_set.folder)
    background = {sample.id: sample.mask == 0 for sample in data.load(data_set.folder, files)}
    differences = ["synthetic images instead of the paper's data"] if data_set.synthetic else []
    conditions = _counted(data_set.title, data_set.fingerprint, differences)
    scores = []
    for row in (*data.VALUES, "total"):
        members = [
            image_id for image_id, f in files.items() if row in (f.image.parent.name, "total")
        ]
        values = {
            "images": len(members),
            "masks": sum(len(files[image_id].masks) for image_id in members),
            "images_with_several_masks": sum(
                len(files[image_id].masks) > 1 for image_id in members
            ),
            # A prediction without any lesion has this IoU of the background, pooled and as a mean
            # over the images.
            "iou_background_if_no_lesion": 100
            * np.concatenate([background[i].ravel() for i in members]).mean(),
            "iou_background_if_no_lesion_per_image": 100
            * np.mean([background[i].mean() for i in members]),
        }
        scores += [
            (tables.Score(row, name, float(value), 0), conditions) for name, value in values.items()
        ]
    experiment.publish(PUBLISHED / "table1.yaml", scores, request.results_root / PAPER)


def params(request: Request) -> None:
    """Count the trainable parameters of the three networks; neither data nor weights are needed."""
    conditions = _counted("none needed", "none")
    scores = []
    for encoder in ENCODERS:
        network = model.build(Config(encoder=encoder, encoder_weights="none"))
        scores.append(
            (
                tables.Score(encoder, "parameters", model.trainable_parameters(network), 0),
                conditions,
            )
        )
    experiment.publish(PUBLISHED / "params.yaml", scores, request.results_root / PAPER)


def table3(request: Request) -> None:
    """Table 3: IoU of background, benign and malignant and their mean, for the three networks."""
    _table(request, "table3.yaml", ENCODERS)


def table4(request: Request) -> None:
    """Table 4: the ResNeXt-50 U-Net beside results that the paper quotes from the literature."""
    _table(request, "table4.yaml", ["resnext50"])


def figure9(request: Request) -> None:
    """Figure 9: IoU and loss per epoch on training and validation patches, for the three
    networks.
    """
    for page in _pages(request, ENCODERS):
        charts: Dict[str, List[figures.Line]] = {"IoU": [], "loss": []}
        for colour, row in enumerate(page.rows):
            history = pandas.read_csv(row.run.folder / "history.csv")
            for part, prefix in (("training", ""), ("validation", "val_")):
                for heading, lines in charts.items():
                    values = history[prefix + heading.lower()]
                    lines.append(
                        figures.Line(
                            f"{LABELS[row.row]}, {part}", values, colour, dashed=part != "training"
                        )
                    )
        figures.curves(page.path("figure9"), charts, page.title)


def figure10(request: Request) -> None:
    """Figure 10: test images with the true and the predicted masks of the three networks."""
    for page in _pages(request, ENCODERS):
        test = page.rows[0].run.split["test"]
        by_class = {
            name: [image_id for image_id in test if image_id.startswith(name)]
            for name in data.VALUES
        }
        samples = data.load(
            page.folder, by_class["benign"][:3] + by_class["malignant"][:3] + by_class["normal"][:1]
        )
        scores = [
            row.run.load_metrics().set_index("id")[[f"iou_{name}" for name in CLASSES]]
            for row in page.rows
        ]
        found = [
            [f"mean IoU {table.loc[sample.id].mean():.2f}" for table in scores]
            for sample in samples
        ]
        captions = [[sample.id, "", *texts] for sample, texts in zip(samples, found)]
        page.panels("figure10", samples, captions)


def figure11(request: Request) -> None:
    """Figure 11: bars of pixel accuracy, mean IoU and mean Dice for the three networks."""
    shown = {"accuracy": "pixel accuracy", "iou_mean": "mean IoU", "dice": "mean Dice"}
    for page in _pages(request, ENCODERS):
        scores = {LABELS[row.row]: metrics.aggregate(row.run.load_metrics()) for row in page.rows}
        series = {label: [values[name] for name in shown] for label, values in scores.items()}
        figures.bars(page.path("figure11"), series, list(shown.values()), "percent", page.title)


def figure13(request: Request) -> None:
    """Figure 13: predictions of the ResNeXt-50 U-Net on test images from the smallest to the
    largest resolution.
    """
    for page in _pages(request, ["resnext50"]):
        samples = data.load(page.folder, page.rows[0].run.split["test"])
        samples.sort(key=lambda sample: sample.mask.size)
        chosen = [samples[k] for k in np.unique(np.linspace(0, len(samples) - 1, 6).astype(int))]
        captions = [[f"{s.id}, {s.mask.shape[1]}×{s.mask.shape[0]}", "", ""] for s in chosen]
        page.panels("figure13", chosen, captions)


def near_duplicates(request: Request) -> None:
    """Find the images that show the same scene, write their list, and say how many beside what
    others counted.
    """
    data_set, _ = _found(request)
    images = {
        sample.id: sample.image for sample in data.load(data_set.folder, data.find(data_set.folder))
    }
    groups = duplicates.find(images)
    print(
        f"{data_set.title}: {len(groups)} groups with {sum(map(len, groups))} images of "
        f"{len(images)}"
    )
    for counted in duplicates.PUBLISHED:
        print(f"  others: {counted}")
    across = duplicates.across_classes(groups)
    print(f"{len(across)} groups lie in more than one class:")
    for group in across:
        print(f"  {', '.join(group)}")
    if not data_set.synthetic:
        duplicates.write(groups)
        print(f"written: {duplicates.LIST.relative_to(PROJECT)}")


TARGETS = {
    "table1": table1,
    "params": params,
    "table3": table3,
    "table4": table4,
    "figure9": figure9,
    "figure10": figure10,
    "figure11": figure11,
    "figure13": figure13,
    "duplicates": near_duplicates,
}


@dataclasses.dataclass(frozen=True)
class _Page:
    """What a figure shows: the networks of one protocol and seed."""

    rows: List[Regenerated]
    folder: Path  # of the data
    results: Path
    title: str

    def path(self, figure: str) -> Path:
        """Name the file of a figure, and say so."""
        config = self.rows[0].config
        path = self.results / f"{figure}-{config.protocol}-{config.profile}-seed{config.seed}.png"
        print(f"writing {path}")
        return path

    def panels(self, figure: str, samples: List[data.Sample], captions: List[List[str]]) -> None:
        """Draw input, truth and the networks' predictions, a row per sample."""
        pictures = []
        for sample in samples:
            maps = [row.run.load_prediction(sample.id).argmax(axis=-1) for row in self.rows]
            pictures.append(
                [
                    sample.image,
                    *(figures.overlay(sample.image, m, COLOURS) for m in (sample.mask, *maps)),
                ]
            )
        columns = ["input", "ground truth", *(LABELS[row.row] for row in self.rows)]
        figures.panels(self.path(figure), pictures, columns, captions, self.title, legend=COLOURS)


def _pages(request: Request, encoders: Sequence[str]) -> Iterator[_Page]:
    data_set, request = _found(request)
    pages: Dict[Tuple[str, int], List[Regenerated]] = {}
    for row in regenerated(request, data_set, encoders):
        pages.setdefault((row.config.protocol, row.config.seed), []).append(row)
    for rows in pages.values():
        title = experiment.heading(rows[0].config, data_set, [row.run for row in rows])
        yield _Page(rows, data_set.folder, request.results_root / PAPER, title)


def _found(request: Request) -> Tuple[manifests.DataSet, Request]:
    data_set = manifests.find("busi", request.data_root)
    return data_set, experiment.settle(request, data_set)


def _counted(title: str, fingerprint: str, differences: Sequence[str] = ()) -> tables.Conditions:
    """Conditions of a number that no training is behind."""
    return tables.Conditions(
        "published", "paper", "any", "any", title, fingerprint, tuple(differences)
    )


def _table(request: Request, yaml_name: str, encoders: Sequence[str]) -> None:
    data_set, request = _found(request)
    folder = request.results_root / PAPER
    scores = []
    for row in regenerated(request, data_set, encoders):
        experiment.keep_provenance(row.run, folder)
        conditions = _conditions(row, data_set)
        values = metrics.aggregate(row.run.load_metrics()).items()
        scores += [
            (tables.Score(row.row, name, value, row.config.seed), conditions)
            for name, value in values
        ]
    experiment.publish(PUBLISHED / yaml_name, scores, folder)


def _conditions(row: Regenerated, data_set: manifests.DataSet) -> tables.Conditions:
    """Describe how a row was made, and what about it differs from the paper."""
    weights = experiment.encoder_weights([row.run])
    different = []
    if weights != "imagenet":
        different.append(f"encoder weights {weights}; the paper's are ImageNet's")
    if row.config.protocol == "corrected":
        different.append("near-duplicates kept on one side; the paper's split is by image")
    return experiment.conditions(row.config, PROFILES["paper"], data_set, [row.run], different)


@exits_cleanly
def main() -> None:
    """Regenerate from the command line."""
    cli.run_targets(TARGETS, f"python -m reproductions.{PAPER}.eval")


if __name__ == "__main__":
    main()
