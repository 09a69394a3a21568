"""The driver on a paper without TensorFlow: what is trained, scored, kept and refused."""

import json
from dataclasses import replace

import pandas
import pytest
from fake_paper import DATA, PROFILES, FakeTrainer, table_of

from common.cli import Request
from common.errors import InputError
from common.results import experiment, tables


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


def test_a_plan_counts_and_writes_nothing(paper, request_, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as stopped:
        paper.targets["counted"].run(replace(request_, plan=True))
    assert stopped.value.code == 0 and capsys.readouterr().out == "plan: nothing to train\n"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_cluster_gets_only_the_runs_that_are_missing(paper, request_, monkeypatch):
    sent = []
    monkeypatch.setattr("common.results.dask_backend.finish", lambda jobs, where: sent.extend(jobs))
    asked = replace(request_, cluster="2")
    paper.trainer.complete(PROFILES["quick"], DATA, request_.runs_root)
    for _ in range(2):  # the second time there is nothing to send
        paper.targets["table1"].run(asked)
        assert [job.folder.name for job in sent] == ["b-imagenet-published-quick-float32-seed0"]


def test_a_table_of_ours_is_kept_without_a_comparison(paper, request_, capsys):
    paper.targets["ours"].run(replace(request_, protocol=None))
    folder = request_.results_root / "fake"
    assert sorted(path.name for path in folder.glob("*.csv")) == ["ours.csv"]
    assert set(table_of(request_, "ours")["protocol"]) == {"corrected"}
    assert "ours · A table that the paper does not have." in capsys.readouterr().out


def test_predictions_are_held_against_the_split(paper, request_):
    paper.targets["table1"].run(request_)
    run = request_.runs_root / "fake/a-imagenet-published-quick-float32-seed0"
    (run / "predictions/2.txt").unlink()
    with pytest.raises(InputError, match="2 has no prediction"):
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
