"""Tables 1, 3 and 4 and Figures 9–11 and 13 of the BUSI paper.

`.venv/bin/python -m reproductions.busi_resnext_unet.eval --help`
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Optional, Sequence

import numpy as np
import pandas

from common import files
from common.cli import Request
from common.datasets.manifests import DataSet
from common.files import PROJECT
from common.imaging import reading
from common.metrics import dice
from common.results import figures
from common.results.experiment import Count, Page, Paper, Row, Trained
from common.training import predictions
from reproductions.busi_resnext_unet import data, metrics
from reproductions.busi_resnext_unet import duplicates as near_duplicates
from reproductions.busi_resnext_unet.config import (
    AGGREGATION,
    CLASSES,
    COLOURS,
    ENCODERS,
    SCORING,
    Config,
)
from reproductions.busi_resnext_unet.train import trainer

LABELS = {
    "resnext50": "ResNeXt-50 U-Net",
    "resnext101": "ResNeXt-101 U-Net",
    "vgg16": "U-Net (VGG16)",
    "vgg16_random": "U-Net (random VGG16)",
}


def differences(config: Config, data_set: DataSet) -> Sequence[str]:
    """Say what else keeps a run from being held against the paper."""
    if config.protocol == "corrected":
        return ("near-duplicate images kept on one side of the split",)
    return ()


def duplicate_group(table: pandas.DataFrame, config: Config) -> Sequence[Any]:
    """The unit that the protocol splits by: the image or, under `corrected`, its duplicates."""
    ids = [name.partition(")")[0] + ")" for name in table["id"]]  # patches belong to their image
    if config.protocol == "published":
        return ids
    return near_duplicates.group_of(ids)


paper = Paper(
    trainer,
    metrics.per_image,
    metrics.aggregate,
    differences,
    duplicate_group,
    scoring=SCORING,
    aggregation=AGGREGATION,
)


@paper.counts()
def table1(request: Request, data_set: Optional[DataSet]) -> Iterator[Count]:
    """BUSI, table 1: count the images by class; no training."""
    assert data_set is not None
    files = data.find(data_set.folder)
    samples = data.load(data_set.folder, files)
    background = {sample.id: sample.mask == 0 for sample in samples}
    for row in (*data.VALUES, "total"):
        members = [name for name, f in files.items() if row in (f.image.parent.name, "total")]
        masks = [len(files[name].masks) for name in members]
        yield Count(row, "images", len(members))
        yield Count(row, "masks", sum(masks))
        yield Count(row, "images_with_several_masks", sum(count > 1 for count in masks))
        # A prediction without any lesion has this IoU of the background, pooled and per image.
        pixels = np.concatenate([background[name].ravel() for name in members])
        yield Count(row, "iou_background_if_no_lesion", 100 * pixels.mean())
        per_image = np.mean([background[name].mean() for name in members])
        yield Count(row, "iou_background_if_no_lesion_per_image", 100 * per_image)


@paper.counts()
def sizes(request: Request, data_set: Optional[DataSet]) -> Iterator[Count]:
    """Range of BUSI's image sizes; no training."""
    assert data_set is not None
    images = [files.image for files in data.find(data_set.folder).values()]
    shapes = [reading.read_rgb(path).shape for path in images]
    yield Count("smallest", "width", min(shape[1] for shape in shapes))
    yield Count("smallest", "height", min(shape[0] for shape in shapes))
    yield Count("largest", "width", max(shape[1] for shape in shapes))
    yield Count("largest", "height", max(shape[0] for shape in shapes))


@paper.counts(needs_data=False)
def params(request: Request, data_set: Optional[DataSet]) -> Iterator[Count]:
    """Count the parameters of the three U-Nets; no data, no training."""
    from reproductions.busi_resnext_unet import model  # not at the top: it imports TensorFlow

    for encoder in ENCODERS:
        network = model.build(Config(encoder=encoder, encoder_weights="none"))
        yield Count(encoder, "parameters", model.trainable_parameters(network))


@paper.table
def table3(request: Request) -> List[Row]:
    """Three U-Nets on BUSI, table 3: train what is missing, evaluate, compare."""
    rows = [Row(encoder, {"encoder": encoder}) for encoder in ENCODERS]
    # Where only VGG16 starts from ImageNet, a second one without shows what that is worth.
    weights = {encoder: request.weights_for(encoder) for encoder in ENCODERS}
    if weights["vgg16"] != "none" and "none" in weights.values():
        random = {"encoder": "vgg16", "encoder_weights": "none"}
        rows.append(Row("vgg16_random", fixed=random))
    return rows


@paper.table
def table4(request: Request) -> List[Row]:
    """The ResNeXt-50 U-Net beside the literature, table 4."""
    return [Row("resnext50", {"encoder": "resnext50"})]


@paper.leakage
def leakage(request: Request) -> List[Row]:
    """What near-duplicates on both sides are worth: both protocols side by side, not paired."""
    return [Row(encoder, {"encoder": encoder}) for encoder in ENCODERS]


@paper.readings("table3")
def readings(request: Request) -> List[Row]:
    """How far the choices that the paper leaves open move table 3."""
    return [Row(encoder, {"encoder": encoder}) for encoder in ENCODERS]


@paper.figure(table3)
def figure9(page: Page) -> None:
    """IoU and loss per epoch of the three U-Nets, figure 9."""
    charts: Dict[str, List[figures.Line]] = {"IoU": [], "loss": []}
    for colour, trained in enumerate(page.rows):
        history = pandas.read_csv(files.buffered(trained.runs[0].folder / "history.csv"))
        label = _label(trained)
        for part, prefix in (("training", ""), ("validation", "val_")):
            for heading, lines in charts.items():
                values = history[prefix + heading.lower()]
                dashed = part != "training"
                lines.append(figures.Line(f"{label}, {part}", values, colour, dashed=dashed))
    figures.curves(page.path, charts, page.title)


@paper.figure(table3)
def figure10(page: Page) -> None:
    """Test images with true and predicted masks, figure 10."""
    test = page.rows[0].runs[0].split["test"]
    chosen: List[str] = []
    for name, count in (("benign", 3), ("malignant", 3), ("normal", 1)):
        chosen += [image_id for image_id in test if image_id.startswith(name)][:count]
    samples = data.load(page.data_set.folder, chosen)
    captions = []
    for sample in samples:
        texts = [f"mean IoU {_mean_iou(sample, trained):.2f}" for trained in page.rows]
        captions.append([sample.id, "", *texts])
    _panels(page, samples, captions)


@paper.figure(table3)
def figure11(page: Page) -> None:
    """Bars of pixel accuracy, IoU and Dice, figure 11."""
    shown = {"accuracy": "pixel accuracy", "iou_mean": "mean IoU", "dice": "mean Dice"}
    series = {}
    for trained in page.rows:
        scores = metrics.aggregate(paper.score(trained, page.data_set), trained.config)
        series[_label(trained)] = [scores[name] for name in shown]
    figures.bars(page.path, series, list(shown.values()), "percent", page.title)


@paper.figure(table4)
def figure13(page: Page) -> None:
    """Predictions on test images from the smallest to the largest, figure 13."""
    samples = data.load(page.data_set.folder, page.rows[0].runs[0].split["test"])
    samples.sort(key=lambda sample: sample.mask.size)
    places = np.unique(np.linspace(0, len(samples) - 1, 6).astype(int))
    chosen = [samples[place] for place in places]
    captions = []
    for sample in chosen:
        height, width = sample.mask.shape
        captions.append([f"{sample.id}, {width}×{height}", "", ""])
    _panels(page, chosen, captions)


@paper.command
def duplicates(request: Request, data_set: DataSet) -> None:
    """Find the near-duplicate images of BUSI and write their list."""
    samples = data.load(data_set.folder, data.find(data_set.folder))
    groups = near_duplicates.find({sample.id: sample.image for sample in samples})
    members = sum(map(len, groups))
    print(f"{data_set.title}: {len(groups)} groups with {members} images of {len(samples)}")
    for counted in near_duplicates.PUBLISHED:
        print(f"  others: {counted}")
    across = near_duplicates.across_classes(groups)
    print(f"{len(across)} groups lie in more than one class:")
    for group in across:
        print(f"  {', '.join(group)}")
    if not data_set.synthetic:
        near_duplicates.write(groups)
        print(f"written: {near_duplicates.LIST.relative_to(PROJECT)}")


def _label(trained: Trained) -> str:
    return LABELS.get(trained.row.id, trained.row.id)


def _classes(sample: data.Sample, trained: Trained) -> np.ndarray:
    return predictions.load_classes(trained.runs[0], f"{metrics.MERGED}/{sample.id}")


def _mean_iou(sample: data.Sample, trained: Trained) -> float:
    matrix = dice.confusion(sample.mask, _classes(sample, trained), len(CLASSES))
    return float(np.nanmean(dice.iou(matrix, class_index=None, empty="skip")))


def _panels(page: Page, samples: List[data.Sample], captions: List[List[str]]) -> None:
    """Draw input, ground truth and the networks' predictions, a row per sample."""
    images = []
    for sample in samples:
        maps = [sample.mask, *(_classes(sample, trained) for trained in page.rows)]
        overlays = [figures.overlay(sample.image, each, COLOURS) for each in maps]
        images.append([sample.image, *overlays])
    columns = ["input", "ground truth", *(_label(trained) for trained in page.rows)]
    figures.panels(page.path, images, columns, captions, page.title, legend=COLOURS)


if __name__ == "__main__":
    paper.command_line()
