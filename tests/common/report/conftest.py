"""A small project for the tests of the report: two invented papers, one with results and one
without.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image

from common import files
from common.published import schema
from common.results import leakage_price, readings, tables

TABLE = """\
id: table1
title: Results of the nets
paper: An invented paper
where: section 4
data: 20 images
metrics:
  dice: {label: Dice, kind: dice, unit: fraction, aggregation: mean over images}
  iou: {label: IoU, kind: iou, unit: fraction, aggregation: mean over images}
  images: {label: images, kind: size, unit: images, aggregation: count}
rows:
  unet: {label: U-Net, source: this paper, values: {dice: "0.80", iou: "0.70", images: "20"}}
  big: {label: Big <U-Net>, source: this paper, values: {dice: "0.9001", iou: "0.5"}}
  other: {label: Others, source: quoted, citation: "A. Nother, 2020", values: {dice: "0.71"}}
open: [the seed]
"""
CLAIMS = """\
paper: An invented paper
claims:
  big_is_better:
    text: The big net is better.
    where: section 5
    kind: better
    comparisons:
      - {better: big, worse: [unet], metrics: [dice], table: table1}
  fast:
    text: Both are fast.
    where: section 6
    kind: unquantified
"""
ABOUT = """\
title: An invented paper
citation: A. Lpha, 2020
link: https://doi.org/10.0/alpha
task: nets in images
data: 20 images
headline: {says: big nets are better, claim: big_is_better, table: table1, row: big, metric: dice}
"""
EVAL = '''\
@paper.table
def table1(request):
    """The first table."""
    return []


@paper.figure(table1)
def figure2(page):
    """Everything in one figure."""
'''
CONFIG = '''\
@dataclass(frozen=True)
class Config:
    """One training."""

    seed: int = 0
    """Seed of it all."""
    loss: Annotated[
        Literal["dice", "bce"], Assumed("none is named; usual", ("bce",))
    ] = "dice"
    """Loss function."""
    epochs: Annotated[int, Gt(0), Given("section 2")] = 20
    """Number of epochs."""
'''
README = """\
# Alpha nets

Paper: A. Lpha, *Nets*, 2020, `code`
and <b>more</b>.

## Next
"""
CONDITIONS = tables.Conditions(
    "published", "quick", "none", "mixed_bfloat16", "20 images", "f" * 16
)
CORRECTED = replace(CONDITIONS, protocol="corrected", differences=("split by patient",))
SHORTER = replace(CONDITIONS, differences=("a shortened training",))


def scores(row, metric, values, conditions):
    """Scores of seeds 0, 1, …, each from ten test images."""
    return [
        (tables.Score(row, metric, value, seed, image_se=0.001, images=10), conditions)
        for seed, value in enumerate(values)
    ]


def alpha_scores():
    """The published U-Net agrees in Dice and differs in IoU; the big one was trained for less."""
    return [
        *scores("unet", "dice", (0.79, 0.80, 0.81), CONDITIONS),
        *scores("unet", "iou", (0.59, 0.60, 0.61), CONDITIONS),
        (tables.Score("unet", "images", 20, 0), CONDITIONS),
        *scores("unet", "pq", (0.49, 0.50, 0.51), CONDITIONS),
        *scores("big", "dice", (0.85,), SHORTER),
        *scores("own", "dice", (0.4,), CONDITIONS),
        *scores("unet", "dice", (0.69, 0.70, 0.71), CORRECTED),
        *scores("unet", "iou", (0.54, 0.55, 0.56), CORRECTED),
    ]


@pytest.fixture
def write_readings():
    """Write three readings of two numbers; the second reaches one of them."""
    return _write_readings


@pytest.fixture
def write_leakage():
    """Write what leakage is worth, of one metric of the paper's and one beyond it."""
    return _write_leakage


def _write_readings(path):
    lines = []
    for row, metric, published, values in (
        ("unet", "dice", "0.80", (0.6, 0.79, 0.65)),
        ("unet", "iou", "0.70", (0.4, 0.5, 0.3)),
    ):
        kinds = ("default", "training", "evaluation")
        for reading, kind, value in zip(("", "loss=bce", "threshold=0.4"), kinds, values):
            reaches = "yes" if abs(value - float(published)) <= 0.05 else "no"
            rest = (published, reaches, 1, "0", "published", "quick")
            lines.append((row, metric, reading, kind, value, value, value, *rest))
    pandas.DataFrame(lines, columns=readings.COLUMNS).to_csv(path, index=False)


def _write_leakage(path):
    rest = (0.01, 0.05, 5, "yes", "published", "quick", "20 images")
    lines = [("unet", "dice", 0.03, *rest), ("unet", "pq", 0.04, *rest)]
    pandas.DataFrame(lines, columns=leakage_price.COLUMNS).to_csv(path, index=False)


@pytest.fixture
def project(tmp_path) -> Path:
    """Paper alpha: table1 under two protocols, an own row, an ablation, two runs, two figures.
    Paper beta: nothing.
    """
    for paper in ("alpha", "beta"):
        folder = tmp_path / "reproductions" / paper
        files.write_text(folder / "published/table1.yaml", TABLE)
        files.write_text(folder / "eval.py", EVAL)
    folder = tmp_path / "reproductions/alpha"
    contents = {"README.md": README, "config.py": CONFIG, "paper.yaml": ABOUT}
    contents["published/claims.yaml"] = CLAIMS
    for name, text in contents.items():
        files.write_text(folder / name, text)
    results = tmp_path / "results/alpha"
    reference = schema.load(folder / "published/table1.yaml")
    tables.write(tables.build(reference, alpha_scores()), results / "table1.csv")
    ablation = [*scores("unet_bigger", "dice", (1 / 3,), CORRECTED)]
    ablation += scores("unet_bigger", "pq", (1 / 3,), CORRECTED)
    beyond = tables.build(replace(reference, id="ablation"), ablation)
    tables.write(beyond, results / "ablation.csv")
    lines = [f"a{number},007\n" for number in range(60)]
    files.write_text(results / "odd.csv", "image,other\n" + "".join(lines))
    _write_provenance(results / "provenance")
    for protocol in ("corrected", "published"):
        image = Image.fromarray(np.zeros((20, 30, 3), np.uint8))
        image.save(results / f"figure2-{protocol}-quick-seed0.png")
    return tmp_path


def _write_provenance(folder):
    made = {"commit": "c0ffee", "python": "3.8", "platform": "Linux"}
    made["started"] = "2026-01-02T03:04:05+00:00"
    files.write_json(folder / "table1.json", {**made, "libraries": {"numpy": "1"}})
    for protocol, losses in (("corrected", "1.2,1.5\n0.6,\n"), ("published", "1.0,1.4\n0.5,0.9\n")):
        run = folder / f"net-none-{protocol}-seed0"
        config = {"encoder": "net", "protocol": protocol, "seed": 0, "encoder_weights": "none"}
        session = {**made, "device": "CPU", "data": "20 images"}
        files.write_json(run / "config.json", config)
        files.write_json(run / "split.json", {"train": ["a", "b"], "test": ["c"]})
        files.write_json(run / "environment.json", {"sessions": [session]})
        lines = [f"{epoch},1e-4,{line}\n" for epoch, line in enumerate(losses.split(), 1)]
        files.write_text(
            run / "history.csv", "epoch,learning_rate,loss,val_loss\n" + "".join(lines)
        )
    files.write_json(folder / "ensemble-seed0/provenance.json", {"members": ["one", "two"]})
