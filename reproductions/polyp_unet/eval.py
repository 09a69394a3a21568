"""The results table of the polyp U-Net and the suggested improvements.

`.venv/bin/python -m reproductions.polyp_unet.eval --help`
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Mapping, Sequence, Tuple

from common.cli import Request
from common.datasets.manifests import DataSet
from common.results import figures, probability_curves
from common.results.experiment import Page, Paper, Row, Trained
from common.training import predictions
from reproductions.polyp_unet import data, metrics
from reproductions.polyp_unet.config import AGGREGATION, DATA_SETS, SCORING, THRESHOLD, Config
from reproductions.polyp_unet.train import trainer

# What the source suggests, one change each. A tuned threshold needs no training: every row has it
# as further metrics.
IMPROVEMENTS: Mapping[str, Dict[str, str]] = {
    "unet": {},
    "unet_bce_dice": {"loss": "bce_dice"},
    "unet_focal": {"loss": "focal"},
    "unet_weighted_bce": {"loss": "weighted_bce"},
    "attention_unet": {"architecture": "attention_unet"},
}
SHOWN = 8  # test images of the figure


def differences(config: Config, data_set: DataSet) -> Sequence[str]:
    """Say what else keeps a run from being held against the source."""
    different = []
    if data_set.name != DATA_SETS[0]:
        different.append(f"{data_set.title} instead of PolypGen")
    if config.protocol == "corrected":
        different.append("the source's mistakes corrected")
    return different


def test_set_is_given(config: Config, data_set: DataSet) -> bool:
    """PolypGen comes divided; the stand-in is divided by the seed."""
    return data_set.name == DATA_SETS[0]


paper = Paper(
    trainer,
    metrics.per_image,
    metrics.aggregate,
    differences,
    test_set_is_given=test_set_is_given,
    scoring=SCORING,
    aggregation=AGGREGATION,
)


@paper.table
def table(request: Request) -> List[Row]:
    """U-Net on polyps: as published, mistakes included, and corrected, side by side."""
    return [Row("unet")]


@paper.table
def ablation(request: Request) -> List[Row]:
    """The improvements that the source suggests: losses, attention, tuned threshold."""
    return [
        Row(name, fixed=settings, protocols=("corrected",))
        for name, settings in IMPROVEMENTS.items()
    ]


@paper.table
def mistakes(request: Request) -> List[Row]:
    """The price of each of the source's mistakes: one of them corrected, the others left."""
    published = ("published",)
    return [
        Row("as_published", protocols=published),
        Row("mask_moves", fixed={"mask_moves": "yes"}, protocols=published),
        Row("best_epoch", fixed={"tested_epoch": "best_validation"}, protocols=published),
    ]


@paper.leakage
def leakage(request: Request) -> List[Row]:
    """What the source's mistakes are worth together: both protocols side by side, not paired."""
    return [Row("unet")]


@paper.readings("table")
def readings(request: Request) -> List[Row]:
    """How far the choices that the source leaves open move its results."""
    return [Row("unet")]


@paper.breakdown(table)
def centres(trained: Trained, data_set: DataSet) -> Iterator[Tuple[str, Dict[str, float]]]:
    """Results by centre, where the data name it."""
    by_centre = metrics.by_centre(paper.score(trained, data_set))
    for centre, values in by_centre.items():
        if centre != data.UNKNOWN:
            yield centre, values


@paper.figure(table)
def figure(page: Page) -> None:
    """Test images with true positives, false positives and false negatives."""
    trained = page.rows[0]
    samples = data.load(page.data_set, trained.config)["test"][:SHOWN]
    images, captions = [], []
    for sample in samples:
        predicted = predictions.load_map(trained.runs[0], sample.id) >= THRESHOLD
        scores = metrics.compare("test", [sample], [predicted], THRESHOLD).iloc[0]
        images.append([sample.image, sample.mask, figures.agreement(sample.mask, predicted)])
        captions.append([sample.id, "", f"F1 {scores.f1:.3f}  IoU {scores.iou:.3f}"])
    figures.panels(page.path, images, ["image", "ground truth", "U-Net"], captions, page.title)


@paper.figure(table)
def curves(page: Page) -> None:
    """Precision-recall and calibration curves of the probabilities, over all test pixels."""
    trained = page.rows[0]
    samples = data.load(page.data_set, trained.config)["test"]
    maps = ((each.mask, predictions.load_map(trained.runs[0], each.id)) for each in samples)
    title = f"{page.title}, {len(samples)} test images"
    probability_curves.draw(page.path, {"U-Net": maps}, title)


if __name__ == "__main__":
    paper.command_line()
