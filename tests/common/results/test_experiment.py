"""The driver on a paper without TensorFlow: what is trained, scored, kept and refused."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pandas
import pytest
from annotated_types import Gt
from typing_extensions import Annotated

from common import files
from common.cli import Request
from common.datasets.manifests import DataSet
from common.errors import InputError
from common.published import schema
from common.results import experiment, readings, tables
from common.results.experiment import Count, Paper, Row
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
        run.log_session()
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


@pytest.fixture
def paper(tmp_path, monkeypatch):
    (tmp_path / "published").mkdir()
    (tmp_path / "published/table1.yaml").write_text(YAML)
    monkeypatch.setitem(globals(), "FOLDER", tmp_path)
    FakeTrainer.asked = []
    paper = Paper(FakeTrainer(lambda *_: None, PROFILES, ("set",)), per_image, aggregate)

    @paper.table
    def table1(request):
        """The only table."""
        return [MEMBERS[0], Row("both", members=MEMBERS)]

    @paper.table
    def ours(request):
        """A table that the paper does not have."""
        return [Row("a", {"encoder": "a"}, protocols=("corrected",))]

    @paper.counts()
    def counted(request, data_set):
        """Images, counted."""
        yield Count("a", "images", 5)

    return paper


@pytest.fixture
def request_(tmp_path):
    return Request(
        runs_root=tmp_path / "runs",
        results_root=tmp_path / "results",
        profile="quick",
        protocol="published",
    )


def table_of(request, name="table1"):
    return tables.read(request.results_root / f"fake/{name}.csv")


def test_members_are_trained_once_and_combined(paper, request_, capsys):
    paper.targets["table1"].run(replace(request_, seeds=(0, 1)))
    assert sorted(FakeTrainer.asked) == [
        "a-imagenet-published-quick-float32-seed0",
        "a-imagenet-published-quick-float32-seed1",
        "b-imagenet-published-quick-float32-seed0",
        "b-imagenet-published-quick-float32-seed1",
    ]
    table = table_of(request_).set_index("row")
    assert table.loc["a", "seed_values"] == "0.730000 0.740000"
    assert table.loc["both", "seed_values"] == "0.780000 0.790000"
    assert table.loc["a", "images"] == 4
    assert "[4/4]" in capsys.readouterr().out


def test_scores_per_image_and_the_runs_small_files_are_kept(paper, request_):
    paper.targets["table1"].run(request_)
    kept = request_.results_root / "fake/provenance"
    names = sorted(path.name for path in kept.iterdir())
    rest = "imagenet-published-quick-float32-seed0"
    assert names == [f"a-{rest}", f"b-{rest}", f"both-{rest}", "table1.json"]
    assert pandas.read_csv(kept / f"both-{rest}/metrics.csv")["dice"][0] == pytest.approx(0.75)
    members = json.loads((kept / f"both-{rest}/provenance.json").read_text())["members"]
    assert members == [f"a-{rest}", f"b-{rest}"]


def test_provenance_is_not_rewritten_where_nothing_has_changed(paper, request_):
    paper.targets["table1"].run(request_)
    path = request_.results_root / "fake/provenance/table1.json"
    path.write_text("{}")
    paper.targets["table1"].run(request_)
    assert path.read_text() == "{}"


def test_readings_and_differences_are_told_apart(paper, request_):
    asked = replace(request_, reading="batch_size=4", encoder_weights="none")
    paper.targets["table1"].run(asked)
    line = table_of(request_).iloc[0]
    assert line["reading"] == "batch_size=4,encoder_weights=none"
    assert line["differences"] == (
        "epochs 3; the paper gives 9 (section 2); a shortened training (profile quick)"
    )
    paper.targets["table1"].run(replace(asked, profile="paper", seeds=(0,)))
    line = table_of(request_).query("profile == 'paper'").iloc[0]
    assert line["differences"] == ""


@pytest.mark.parametrize("wrong", ["epochs=3", "seed=1", "batch_size", "batch_size=x", "no=1"])
def test_a_reading_sets_only_what_the_paper_leaves_open(paper, request_, wrong):
    with pytest.raises(InputError, match="reading"):
        paper.targets["table1"].run(replace(request_, reading=wrong))


def test_synthetic_and_smoke_results_stay_apart(paper, request_, monkeypatch):
    paper.targets["table1"].run(replace(request_, profile="smoke"))
    assert (request_.results_root / "demo/fake/table1.csv").exists()
    assert not (request_.results_root / "fake").exists()
    assert not request_.runs_root.exists()
    phantom = replace(DATA, synthetic=True)
    monkeypatch.setattr(FakeTrainer, "find_data", lambda *_: phantom)
    paper.targets["counted"].run(request_)
    table = tables.read(request_.results_root / "demo/fake/counted.csv")
    assert table["differences"][0] == experiment.SYNTHETIC


def test_a_table_of_ours_is_kept_without_a_comparison(paper, request_, capsys):
    paper.targets["ours"].run(replace(request_, protocol=None))
    folder = request_.results_root / "fake"
    assert sorted(path.name for path in folder.glob("*.csv")) == ["ours.csv"]
    assert set(table_of(request_, "ours")["protocol"]) == {"corrected"}
    assert "ours · A table that the paper does not have." in capsys.readouterr().out


def test_a_row_of_one_protocol_is_trained_once_that_is(paper, request_):
    rows = [Row("a", {"encoder": "a"}, protocols=("corrected",))]
    asked = replace(request_, protocol=None)
    assert not paper.is_trained(rows, asked, DATA)
    paper.targets["ours"].run(asked)
    assert paper.is_trained(rows, asked, DATA)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda folder: (folder / "2.txt").unlink(), "2 has no prediction"),
        (lambda folder: (folder / "9.txt").write_text("1"), "9 has a prediction and is not in"),
        (lambda folder: (folder / "2.png").write_text("1"), "a second prediction of 2"),
        (lambda folder: (folder / "2.txt").write_text("1"), "damaged or changed"),
    ],
)
def test_predictions_are_held_against_the_split(paper, request_, change, problem):
    paper.targets["table1"].run(request_)
    change(request_.runs_root / "fake/a-imagenet-published-quick-float32-seed0/predictions")
    with pytest.raises(InputError, match=problem):
        paper.targets["table1"].run(request_)


def test_weights_can_be_given_per_encoder():
    request = Request(encoder_weights="none,vgg16=/data/a=b.h5")
    assert request.weights_for("vgg16") == "/data/a=b.h5"
    assert request.weights_for("vgg19") == "none"
    assert Request().weights_for("vgg19") is None
    for wrong in ("vgg16=a.h5", "none,vgg16", "none,=a"):
        with pytest.raises(InputError, match=r"expected imagenet, none or a file, then ENCODER"):
            Request(encoder_weights=wrong).weights_for("vgg16")


def test_seeds_are_five_for_the_paper_and_one_elsewhere():
    assert Request().all_seeds == (0, 1, 2, 3, 4)
    assert Request(profile="quick").all_seeds == (0,)
    assert Request(seeds=(7,)).all_seeds == (7,)


# Readings


def test_a_training_reading_moves_one_open_setting(paper, request_):
    names = readings.training_alternatives(paper, MEMBERS[0], request_)
    assert names == ["encoder_weights=none", "batch_size=4"]
    asked = replace(request_, encoder_weights="none")
    assert readings.training_alternatives(paper, MEMBERS[0], asked) == ["batch_size=4"]
    fixed = Row("a", fixed={"encoder": "a", "batch_size": 2})
    assert readings.training_alternatives(paper, fixed, asked) == []


def test_readings_that_are_not_trained_are_named_or_trained(paper, request_):
    rows = [MEMBERS[0]]
    values, missing = readings.sweep(paper, rows, request_, DATA, train=False)
    assert missing == ["encoder_weights=none", "batch_size=4"]
    assert values == {("a", "dice", "", "evaluation", "published"): {0: pytest.approx(0.73)}}
    values, missing = readings.sweep(paper, rows, request_, DATA, train=True)
    assert not missing
    names = [reading for _, _, reading, _, _ in values]
    assert names == ["", "encoder_weights=none", "batch_size=4"]
    again, missing = readings.sweep(paper, rows, request_, DATA, train=False)
    assert again == values and not missing


def test_a_reading_explains_a_table_if_it_reaches_all_numbers_at_once(paper, tmp_path):
    reference = schema.load(FOLDER / "published/table1.yaml")
    values = {}
    for row, default, other in (("a", 0.70, 0.78), ("both", 0.70, 0.83)):
        values[row, "dice", "", "evaluation", "published"] = {0: default}
        values[row, "dice", "threshold=0.4", "evaluation", "published"] = {0: other, 1: other}
    values["a", "unpublished", "", "evaluation", "published"] = {0: 0.5}
    default = {("a", "published"): "", ("both", "published"): ""}
    frame = readings.frame(reference, values, default, "quick")
    assert frame["kind"].tolist() == ["default", "evaluation"] * 2
    assert frame["reaches"].tolist() == ["no", "yes"] * 2
    (sentence,) = readings.sentences(reference, frame)
    assert "1 reach all 2 numbers at once, for example threshold=0.4" in sentence
    assert "moves a number most is threshold=0.4 (Dice by 0.13)" in sentence
    (sentence,) = readings.sentences(reference, frame[frame["kind"] == "default"])
    assert "of 1 readings, none explains the table" in sentence
    path = tmp_path / "readings.csv"
    readings.write(frame, path)
    readings.write(frame.assign(profile="paper"), path)
    readings.write(frame, path)
    assert pandas.read_csv(path)["profile"].value_counts().to_dict() == {"paper": 4, "quick": 4}
