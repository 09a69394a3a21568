"""A paper without TensorFlow: its trainings write predictions at once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas
from annotated_types import Gt
from typing_extensions import Annotated

from common import files
from common.datasets.manifests import DataSet
from common.results import tables
from common.results.experiment import Row
from common.training import runs
from common.training.settings import Assumed, Given
from common.training.trainer import Trainer

YAML = """\
id: table1
title: Results
paper: A paper
where: section 4
data: five images
metrics:
  dice: {label: Dice, kind: dice, unit: fraction, aggregation: mean over the test images}
rows:
  a: {label: A, source: this paper, values: {dice: "0.80"}}
  both: {label: Both, source: this paper, values: {dice: "0.85"}}
open: [the seed]
"""
FOLDER = Path()  # of the published tables, set by the fixture
DATA = DataSet("set", "Five images", Path("data"), synthetic=False, fingerprint="0" * 16)


@dataclass(frozen=True)
class Config:
    encoder: Annotated[Literal["a", "b"], Given("section 1")] = "a"
    encoder_weights: Annotated[str, Assumed("silent", ("none",))] = "imagenet"
    protocol: Literal["published", "corrected"] = "published"
    profile: Literal["paper", "quick", "smoke"] = "paper"
    seed: int = 0
    precision: Annotated[str, Assumed("silent")] = "float32"
    epochs: Annotated[int, Gt(0), Given("section 2")] = 9
    batch_size: Annotated[int, Gt(0), Assumed("silent", (4,))] = 2

    @property
    def run_id(self):
        return runs.readable_id(self, PROFILES[self.profile])


PROFILES = {
    "paper": Config(),
    "quick": Config(profile="quick", epochs=3),
    "smoke": Config(profile="smoke", epochs=1),
}
SPLIT = {"train": ["1"], "test": ["2", "3", "4", "5"]}


class FakeTrainer(Trainer):
    """Writes the predictions of a training instead of training."""

    asked = []

    @property
    def paper(self):
        return "fake"

    @property
    def folder(self):
        return FOLDER

    def find_data(self, data_root):
        return DATA

    def complete(self, config, data_set, runs_root):
        recorded = {**dataclasses.asdict(config), "data": data_set.fingerprint}
        run = runs.Run(Path(runs_root) / self.paper / config.run_id, recorded)
        if run.complete:
            return run
        self.asked.append(config.run_id)
        run.save_split(SPLIT)
        run.log_session(data=data_set.title)
        files.write_text(run.folder / "history.csv", "epoch\n1\n")
        for number, name in enumerate(SPLIT["test"]):
            value = 0.7 + 0.02 * number + 0.01 * config.seed + 0.1 * (config.encoder == "b")
            files.write_text(run.predictions / f"{name}.txt", str(value))
        run.finish(SPLIT["test"])
        return run


def per_image(behind, config, data_set):
    lines = []
    for name in SPLIT["test"]:
        values = [float((run.predictions / f"{name}.txt").read_text()) for run in behind]
        lines.append({"id": name, "dice": sum(values) / len(values)})
    return pandas.DataFrame(lines)


def aggregate(table, config):
    return {"dice": table["dice"].mean()}


MEMBERS = (Row("a", {"encoder": "a"}), Row("b", {"encoder": "b"}))


def table_of(request, name="table1"):
    return tables.read(request.results_root / f"fake/{name}.csv")
