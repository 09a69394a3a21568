"""Tables 1 and 2 and Figure 2: `.venv/bin/python -m reproductions.tnbc_linknet.eval --help`."""

from __future__ import annotations

from typing import Iterator, List, Optional, Sequence

import pandas

from common.cli import Request
from common.datasets.manifests import DataSet
from common.metrics import aji
from common.results import figures, probability_curves
from common.results.experiment import Count, Page, Paper, Row
from common.results.provenance import Packing, every_seed
from reproductions.tnbc_linknet import data, metrics
from reproductions.tnbc_linknet.config import AGGREGATION, CONTROL, ENSEMBLE, SCORING, Config
from reproductions.tnbc_linknet.train import trainer

LABELS = {"resnext50": "ResNeXt50", "vgg19": "VGG19", "ensemble": "ensemble"}
MEMBERS = tuple(Row(encoder, {"encoder": encoder}) for encoder in ENSEMBLE)


def differences(config: Config, data_set: DataSet) -> Sequence[str]:
    """Say what else keeps a run from being held against the paper."""
    return ("split by patient",) if config.protocol == "corrected" else ()


def patient(table: pandas.DataFrame, config: Config) -> Sequence[str]:
    """The unit that the protocol splits by: the image or, under `corrected`, its patient."""
    if config.protocol == "published":
        return list(table["id"])
    return [sample_id.partition("_")[0] for sample_id in table["id"]]


paper = Paper(
    trainer,
    metrics.per_image,
    metrics.aggregate,
    differences,
    patient,
    scoring=SCORING,
    aggregation=AGGREGATION,
    packing=Packing(every_seed, metrics.pack),
)


@paper.table
def table1(request: Request) -> List[Row]:
    """LinkNet ensemble on TNBC, table 1: train what is missing, evaluate, compare."""
    rows = [*MEMBERS, Row("ensemble", members=MEMBERS)]
    weights = request.shorthands(Config(encoder=CONTROL)).get("encoder_weights", "imagenet")
    members = [request.weights_for(encoder) for encoder in ENSEMBLE]
    # Where the members start from random weights but VGG16 has some, it shows what they are worth.
    if "none" in members and weights != "none":
        rows.append(Row(CONTROL, fixed={"encoder": CONTROL, "encoder_weights": weights}))
        random = {"encoder": CONTROL, "encoder_weights": "none"}
        rows.append(Row(f"{CONTROL}_random", fixed=random))
    return rows


@paper.table
def table2(request: Request) -> List[Row]:
    """The same ensemble beside the literature, table 2."""
    return [Row("ensemble", members=MEMBERS)]


@paper.readings("table1")
def readings(request: Request) -> List[Row]:
    """How far the choices that the paper leaves open move table 1."""
    return [*MEMBERS, Row("ensemble", members=MEMBERS)]


@paper.leakage
def leakage(request: Request) -> List[Row]:
    """The price of leakage: networks with and without other images of the test patients."""
    return list(MEMBERS)


@paper.counts()
def dataset(request: Request, data_set: Optional[DataSet]) -> Iterator[Count]:
    """Count TNBC's images, patients and nuclei; no training."""
    assert data_set is not None
    owners = data.patients(data_set.folder)
    samples = data.load(data_set.folder, list(owners), Config())
    nuclei = [aji.instances(sample.mask, SCORING.connectivity).max() for sample in samples]
    yield Count("tnbc", "images", len(samples))
    yield Count("tnbc", "patients", len(set(owners.values())))
    yield Count("tnbc", "nuclei", sum(nuclei))
    yield Count("tnbc", "width", max(sample.mask.shape[1] for sample in samples))
    yield Count("tnbc", "height", max(sample.mask.shape[0] for sample in samples))


@paper.figure(table2)
def figure2(page: Page) -> None:
    """Input, ground truth and the three predictions per test image, figure 2."""
    runs = page.rows[0].runs
    config = page.rows[0].config
    groups = {**{run.config["encoder"]: [run] for run in runs}, "ensemble": list(runs)}
    samples = data.load(page.data_set.folder, runs[0].split["test"], config)
    images, captions = [], []
    for sample in samples:
        shown, texts = [sample.image, sample.mask], [sample.id, ""]
        for members in groups.values():
            probabilities = metrics.soft_vote(members, sample.id)
            scores = metrics.compare([sample], [probabilities]).iloc[0]
            shown.append(figures.agreement(sample.mask, probabilities >= SCORING.threshold))
            texts.append(f"DSC {scores.dsc:.3f}  AJI {scores.aji:.3f}")
        images.append(shown)
        captions.append(texts)
    columns = ["input after CLAHE", "ground truth", *(LABELS[name] for name in groups)]
    figures.panels(page.path, images, columns, captions, page.title)


@paper.figure(readings)
def curves(page: Page) -> None:
    """Precision-recall and calibration curves of the probabilities, over all test pixels."""
    first = page.rows[0]
    samples = data.load(page.data_set.folder, first.runs[0].split["test"], first.config)
    series = {}
    for trained in page.rows:
        maps = [(sample.mask, metrics.soft_vote(trained.runs, sample.id)) for sample in samples]
        series[LABELS[trained.row.id]] = maps
    probability_curves.draw(page.path, series, f"{page.title}, {len(samples)} test images")


if __name__ == "__main__":
    paper.command_line()
