from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path

import pytest

from common.cli import Request
from common.datasets.manifests import DataSet
from common.errors import InputError
from common.files import PROJECT
from common.published import schema
from common.results import experiment, tables
from common.training import runs

PUBLISHED = PROJECT / "reproductions/tnbc_linknet/published/table1.yaml"
REAL = DataSet("tnbc", "TNBC", Path("data"), synthetic=False, fingerprint="0" * 16)
PHANTOM = replace(REAL, synthetic=True)


@dataclass(frozen=True)
class Config:
    run_id: str = "a"
    seed: int = 0
    batch_size: int = 2


def test_synthetic_data_never_reach_the_real_results():
    request = Request(runs_root=Path("r"), results_root=Path("out"))
    assert experiment.settle(request, REAL) == request
    settled = experiment.settle(request, PHANTOM)
    assert (settled.results_root, settled.runs_root) == (Path("out/demo"), Path("out/demo/runs"))


def test_material_differences_are_said_in_words():
    ours = Config(seed=3, batch_size=4)
    assert experiment.material_differences(ours, Config(), REAL, apart_from=["seed"]) == (
        "batch size 4 instead of 2",
    )
    synthetic = experiment.material_differences(Config(), Config(), PHANTOM, apart_from=[])
    assert synthetic == ("synthetic images instead of the paper's data",)


def test_weights_can_be_given_per_encoder():
    request = Request(encoder_weights="none,vgg16=/data/a=b.h5")
    assert request.weights_for("vgg16") == "/data/a=b.h5"
    assert request.weights_for("vgg19") == "none"
    for wrong in ("vgg16=a.h5", "none,vgg16", "none,=a"):
        with pytest.raises(
            InputError, match=r"expected imagenet, none or a file, then ENCODER=VALUE"
        ):
            Request(encoder_weights=wrong).weights_for("vgg16")


def test_a_run_folder_is_named_after_the_fields_that_its_configuration_has():
    fields = {
        "architecture": "unet",
        "protocol": "published",
        "profile": "quick",
        "precision": "float32",
    }
    Named = make_dataclass(
        "Named", [*((n, str, v) for n, v in fields.items()), ("seed", int, 0), ("width", int, 64)]
    )
    assert runs.readable_id(Named(seed=3), Named()) == "unet-published-quick-float32-seed3"
    assert runs.readable_id(Named(width=8), Named()) == "unet-published-quick-float32-seed0-width=8"


def test_a_table_that_the_paper_does_not_have_is_kept_without_a_comparison(tmp_path, capsys):
    reference = replace(schema.load(PUBLISHED), id="ablation", title="What else")
    for protocol, value in (("published", 0.5), ("corrected", 0.6), ("corrected", 0.7)):
        experiment.publish_beyond(reference, scores(protocol, value), tmp_path)
    assert [path.name for path in tmp_path.glob("*.csv")] == ["ablation.csv"]
    table = tables.read(tmp_path / "ablation.csv")
    assert table.groupby("protocol")["mean"].unique().map(list).to_dict() == {
        "published": [0.5],
        "corrected": [0.7],
    }
    assert "ablation · What else" in capsys.readouterr().out


def test_runs_are_finished_in_order(capsys):
    done = []

    def train(config, *given):
        assert given == (REAL, Path("r"))
        done.append(config.run_id)
        return config

    finished = experiment.ensure(
        [Config("a"), Config("b")], train, REAL, Request(runs_root=Path("r"))
    )
    assert done == ["a", "b"] == [config.run_id for config in finished]
    assert "[2/2] b" in capsys.readouterr().out


def scores(protocol, value):
    conditions = tables.Conditions(protocol, "paper", "imagenet", "float32", "TNBC", "0" * 16)
    metrics = ("accuracy", "dsc", "f1", "aji")
    return [
        (tables.Score(row, m, value, 0), conditions)
        for row in ("resnext50", "vgg19", "ensemble")
        for m in metrics
    ]


def test_a_later_command_replaces_its_blocks_and_keeps_the_others(tmp_path):
    experiment.publish(PUBLISHED, scores("corrected", 0.5), tmp_path)
    experiment.publish(PUBLISHED, scores("published", 0.6), tmp_path)
    table = experiment.publish(PUBLISHED, scores("corrected", 0.7), tmp_path)
    assert dict(table.groupby("protocol", sort=False)["mean"].first()) == {
        "published": 0.6,
        "corrected": 0.7,
    }
    assert len(table) == 24
    comparison = tables.read(tmp_path / "table1_vs_published.csv")
    assert len(comparison) == 24
    assert set(comparison["verdict"]) == {"below", "within"}
    assert "commit" in (tmp_path / "provenance/table1.json").read_text()
    bytes_before = (tmp_path / "table1.csv").read_bytes()
    experiment.publish(PUBLISHED, scores("corrected", 0.7), tmp_path)
    assert (tmp_path / "table1.csv").read_bytes() == bytes_before


def test_rows_beyond_the_paper_are_shown_as_such(tmp_path, capsys):
    extra = [
        (replace(score, row="vgg16"), conditions)
        for score, conditions in scores("published", 0.6)[:4]
    ]
    table = experiment.publish(PUBLISHED, scores("published", 0.6) + extra, tmp_path)
    assert set(table[table["row"] == "vgg16"]["in_paper"]) == {"no"}
    assert "vgg16 (not in paper)" in capsys.readouterr().out
    assert len(tables.compare(schema.load(PUBLISHED), table)) == 12


def test_provenance_is_what_the_run_folder_holds(tmp_path):
    run = runs.Run(tmp_path / "runs/a", {"seed": 0})
    for name in experiment.KEPT[1:]:
        (run.folder / name).write_text(name)
    experiment.keep_provenance(run, tmp_path / "results")
    kept = tmp_path / "results/provenance/a"
    assert sorted(path.name for path in kept.iterdir()) == sorted(experiment.KEPT)
    assert (kept / "history.csv").read_text() == "history.csv"


@dataclass(frozen=True)
class Network:
    encoder: str = "vgg16"
    protocol: str = "published"
    profile: str = "paper"
    seed: int = 0
    encoder_weights: str = "imagenet"
    precision: str = "float32"
    batch_size: int = 2


def test_a_grid_holds_every_training_by_protocol_then_seed_then_encoder():
    request = Request(seeds=(0, 3), encoder_weights="none,vgg16=a.h5", precision="mixed_bfloat16")
    grid = experiment.grid(Network(batch_size=8), request, ["vgg16", "resnext50"])
    assert [(n.protocol, n.seed, n.encoder) for n in grid] == [
        (protocol, seed, encoder)
        for protocol in ("published", "corrected")
        for seed in (0, 3)
        for encoder in ("vgg16", "resnext50")
    ]
    assert {(n.encoder, n.encoder_weights) for n in grid} == {
        ("vgg16", "a.h5"),
        ("resnext50", "none"),
    }
    assert {(n.precision, n.batch_size) for n in grid} == {("mixed_bfloat16", 8)}


def test_conditions_and_headings_name_weights_by_what_the_runs_recorded(tmp_path):
    made = [
        runs.Run(tmp_path / w[:4], {"encoder_weights": w})
        for w in ("none", "a.h5 (sha256 0123)", "none")
    ]
    config = Network(seed=4, encoder_weights="/somewhere/a.h5", batch_size=4)
    conditions = experiment.conditions(config, Network(), REAL, made, ["split otherwise"])
    assert conditions.encoder_weights == "none + a.h5 (sha256 0123)"
    assert conditions.differences == ("split otherwise", "batch size 4 instead of 2")
    heading = experiment.heading(config, REAL, made)
    assert (
        heading == "TNBC · protocol published, profile paper, encoder weights none + a.h5 (sha256 "
        "0123), seed 4"
    )
