from dataclasses import replace

import pandas
import pytest

from common.published import schema
from common.results import overview, tables, trials
from common.results.verdict_summary import Summary

TABLE = """\
id: table1
title: Results
paper: An invented paper
where: section 4
data: 20 images
metrics:
  dice: {label: Dice, kind: dice, unit: fraction, aggregation: mean over images}
rows:
  unet: {label: U-Net, source: this paper, values: {dice: "0.80"}}
open: [the seed]
"""
ONE = tables.Conditions("published", "quick", "none", "float32", "images", "0" * 16)


@pytest.fixture
def reference(tmp_path):
    path = tmp_path / "table1.yaml"
    path.write_text(TABLE)
    return schema.load(path)


def table_of(reference, *values):
    """A table of one number: its value for each of the given conditions."""
    scores = [(tables.Score("unet", "dice", value, 0), one) for value, one in values]
    return tables.build(reference, scores)


def test_a_number_counts_by_its_trial_closest_to_the_paper(reference):
    corrected = replace(ONE, protocol="corrected", profile="paper")
    paper = replace(ONE, profile="paper")
    table = table_of(reference, (0.1, ONE), (0.2, corrected), (0.3, paper))
    found = trials.judge(reference, table[::-1])  # whatever the order of the file
    assert found["unet", "dice"].line.mean == 0.3
    without = table[table["mean"] != 0.3]
    assert trials.judge(reference, without)["unet", "dice"].line.mean == 0.1
    only = table[table["mean"] == 0.2]
    assert trials.judge(reference, only)["unet", "dice"].line.mean == 0.2
    (nothing,) = trials.judge(reference, table[:0]).values()
    assert (nothing.verdict.verdict, nothing.line) == ("not run", None)


def test_the_reading_that_is_named_counts(reference):
    read = replace(ONE, reading="loss=bce")
    table = table_of(reference, (0.1, ONE), (0.2, read))
    assert trials.judge(reference, table)["unet", "dice"].line.mean == 0.1
    named = replace(reference, reading="loss=bce")
    assert trials.judge(named, table)["unet", "dice"].line.mean == 0.2


def summary(**counts):
    names = ("agree", "differ", "not_yet", "never", "impossible", "not_comparable", "not_run")
    return Summary(**{**dict.fromkeys((*names, "scores_decided"), 0), **counts})


def test_the_five_numbers_add_up_to_all(reference):
    every = summary(
        agree=1, differ=2, not_yet=4, never=8, impossible=16, not_comparable=32, not_run=64
    )
    assert overview.five(every) == [
        (1, "agree"),
        (2, "differ"),
        (100, "cannot be told yet"),
        (8, "cannot be told by any number of runs"),
        (16, "cannot all be right as printed"),
    ]
    assert overview.status(summary(agree=3)) == "3 agree"
    assert overview.status(summary()) == "prints no result"


def write_project(root, values, claims=None):
    """A project of one paper with one number, and ours: values by seed under `ONE`."""
    folder = root / "reproductions/alpha"
    (folder / "published").mkdir(parents=True)
    (folder / "published/table1.yaml").write_text(TABLE)
    reference = schema.load(folder / "published/table1.yaml")
    conditions = replace(ONE, profile="paper")
    scores = [
        (tables.Score("unet", "dice", value, seed, 0.001, 10), conditions)
        for seed, value in enumerate(values)
    ]
    if scores:
        tables.write(tables.build(reference, scores), root / "results/alpha/table1.csv")
    return root


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ((0.79, 0.80, 0.81), "1 agrees with ours and none differs."),
        ((0.59, 0.60, 0.61), "0 agree with ours and 1 differs."),
        (
            (0.76, 0.80, 0.83),
            "0 agree with ours, none differs, and 1 cannot be told yet: 1 needs more seeds.",
        ),
        ((), "0 agree with ours, none differs, and 1 cannot be told yet: 1 was not run."),
    ],
)
def test_the_answer_is_one_sentence(tmp_path, values, answer):
    papers = overview.gather(project=write_project(tmp_path, values))
    assert overview.answer(papers) == f"Of 1 number that one paper prints, {answer}"


def test_the_answer_names_what_most_runs_lack(tmp_path):
    project = write_project(tmp_path, (0.8, 0.8, 0.8))
    path = project / "results/alpha/table1.csv"
    table = tables.read(path)
    told = "epochs 5; the paper gives 20 (section 4)"
    tables.write(table.assign(differences=told), path)
    (paper,) = overview.gather(project=project)
    assert paper.summary.not_comparable == 1
    assert f"mostly because of {told}." in overview.answer([paper])


def test_synthetic_images_say_nothing_about_the_paper(tmp_path):
    project = write_project(tmp_path, (0.8, 0.8, 0.8))
    path = project / "results/alpha/table1.csv"
    tables.write(tables.read(path).assign(data="phantoms (synthetic)"), path)
    (paper,) = overview.gather(project=project)
    assert paper.synthetic
    assert (paper.findings, paper.claims) == ((), ())


def test_the_total_adds_up(tmp_path):
    (paper,) = overview.gather(project=write_project(tmp_path, (0.79, 0.80, 0.81)))
    assert overview.total([paper, paper]).agree == 2
    assert overview.total([]).agree == 0


def test_differences_are_taken_apart_where_they_were_joined():
    assert trials.differences("") == []
    joined = "a; the paper gives b (c); d; e"
    assert trials.differences(joined) == ["a; the paper gives b (c)", "d", "e"]
    assert "; ".join(trials.differences(joined)) == joined


def test_results_of_no_paper_are_left_alone(tmp_path):
    project = write_project(tmp_path, ())
    (project / "results/other").mkdir(parents=True)
    pandas.DataFrame({"a": [1]}).to_csv(project / "results/other/table1.csv")
    assert [paper.id for paper in overview.gather(project=project)] == ["alpha"]
