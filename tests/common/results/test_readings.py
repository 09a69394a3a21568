"""Readings of a paper without TensorFlow: trained, named as missing, reached and written."""

from dataclasses import replace

import fake_paper
import pandas
import pytest
from fake_paper import DATA, MEMBERS

from common.published import schema
from common.results import dask_backend, readings, sweeps
from common.results.experiment import Row


def test_a_row_of_one_protocol_is_trained_once_that_is(paper, request_):
    rows = [Row("a", {"encoder": "a"}, protocols=("corrected",))]
    asked = replace(request_, protocol=None)
    assert not paper.is_trained(rows, asked, DATA)
    paper.targets["ours"].run(asked)
    assert paper.is_trained(rows, asked, DATA)


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


def test_a_cluster_gets_all_readings_at_once_and_those_that_fail_are_named(
    paper, request_, monkeypatch
):
    sent = []

    def finish(jobs, where):
        sent.append([job.name for job in jobs])
        for weights in ("imagenet", "none"):
            config = replace(fake_paper.PROFILES["quick"], encoder_weights=weights)
            paper.trainer.complete(config, DATA, request_.runs_root)
        raise dask_backend.RunsFailed("1 of 3 runs failed")

    monkeypatch.setattr(dask_backend, "finish", finish)
    asked = replace(request_, cluster="2")
    values, missing = readings.sweep(paper, [MEMBERS[0]], asked, DATA, train=True)
    assert len(sent) == 1 and len(sent[0]) == 3 and missing == ["batch_size=4"]
    assert [reading for _, _, reading, _, _ in values] == ["", "encoder_weights=none"]
    with pytest.raises(dask_backend.RunsFailed):  # a default that fails leaves nothing to compare
        readings.sweep(paper, [MEMBERS[1]], asked, DATA, train=True)


def test_a_plan_of_readings_counts_those_that_would_be_trained(paper, request_, capsys):
    asked = replace(request_, plan=True)
    for train, count in ((False, 1), (True, 3)):
        with pytest.raises(SystemExit):
            readings.sweep(paper, [MEMBERS[0]], asked, DATA, train)
        assert f"plan: {count} to train" in capsys.readouterr().out


def test_a_reading_explains_a_table_if_it_reaches_all_numbers_at_once(paper, tmp_path):
    reference = schema.load(fake_paper.FOLDER / "published/table1.yaml")
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


def test_readings_are_shown_drawn_and_written(paper, request_, tmp_path, capsys):
    rows = [MEMBERS[0]]
    paper.targets["table1"].run(request_)  # its interval is the grey band of the figure
    capsys.readouterr()
    sweeps.show_readings(paper, "table1", rows, request_, DATA)
    told = " ".join(capsys.readouterr().out.split())
    assert "A, Dice 0.80 0.7300 0.7300 0.7300 0 of 1" in told
    assert "2 training readings are not trained yet: encoder_weights=none, batch_size=4" in told
    sweeps.show_readings(paper, "table1", rows, replace(request_, train_readings=True), DATA)
    assert "not trained yet" not in capsys.readouterr().out
    folder = tmp_path / "results/fake"
    table = pandas.read_csv(folder / "readings.csv").fillna({"reading": ""})
    assert table["reading"].tolist() == ["", "encoder_weights=none", "batch_size=4"]
    assert (folder / "readings-published-quick.png").read_bytes().startswith(b"\x89PNG")
