import json
from dataclasses import replace

import pytest

from common.published import claims, schema, spread
from common.results import judged_claims, tables

TABLE = """\
id: table1
title: Results
paper: An invented paper
where: section 4
data: 20 images
split_percent: {images: "50", training: "80", test: "20"}
metrics:
  dice: {label: Dice, kind: dice, unit: fraction, aggregation: mean over images}
  train_dice:
    {label: train Dice, kind: dice, unit: fraction, aggregation: mean over images, split: train}
rows:
  good: {label: Good, source: this paper, values: {dice: "0.81", train_dice: "0.9"}}
  bad: {label: Bad, source: this paper, values: {dice: "0.80"}}
  other: {label: Other, source: quoted, citation: "A. Nother", values: {dice: "0.7"}}
our_runs:
  good: {encoder: good}
  bad: {encoder: bad}
open: [the seed]
"""
CLAIM = """\
paper: An invented paper
claims:
  one:
    text: Good is better.
    where: section 5
    kind: KIND
"""
ONE = tables.Conditions("published", "paper", "none", "float32", "images", "0" * 16)


@pytest.fixture
def reference(tmp_path):
    path = tmp_path / "published/table1.yaml"
    path.parent.mkdir()
    path.write_text(TABLE)
    return schema.load(path)


def judge(tmp_path, reference, scores, comparison="", kind="better"):
    """Judge one claim by these scores, (row, metric, values, conditions, image_se)."""
    text = CLAIM.replace("KIND", kind)
    if comparison:
        text += f"    comparisons:\n      - {{{comparison}, table: table1}}\n"
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    conclusions = claims.load(path, [reference])
    made = []
    for row, metric, values, conditions, image_se in scores:
        images = None if image_se is None else 10
        for seed, value in enumerate(values):
            made.append((tables.Score(row, metric, value, seed, image_se, images), conditions))
    table = tables.build(reference, made)
    runs = spread.Runs(tmp_path / "results")
    return judged_claims.judge(conclusions, [(reference, table)], runs)[0]


def write_run(tmp_path, encoder, seed, scores, profile="paper"):
    """A finished run with its scores per test image."""
    folder = tmp_path / "results/provenance" / f"{encoder}-{profile}-{seed}"
    folder.mkdir(parents=True)
    config = {"encoder": encoder, "protocol": "published", "profile": profile, "seed": seed}
    (folder / "config.json").write_text(json.dumps(config))
    lines = "".join(f"{image},{score}\n" for image, score in scores.items())
    (folder / "metrics.csv").write_text("id,dice\n" + lines)


BETTER = "better: good, worse: [bad], metrics: [dice]"
HIGH, LOW = (0.80, 0.81, 0.82), (0.70, 0.72, 0.71)


def test_a_row_that_is_better_in_every_seed_supports_its_claim(tmp_path, reference):
    scores = [("good", "dice", HIGH, ONE, 0.01), ("bad", "dice", LOW, ONE, 0.01)]
    found = judge(tmp_path, reference, scores, BETTER)
    assert (found.verdict.verdict, found.protocol, found.profile) == (
        "supported",
        "published",
        "paper",
    )
    assert "Good is better than Bad in Dice by 0.10" in found.in_short
    scores = [("good", "dice", LOW, ONE, 0.01), ("bad", "dice", HIGH, ONE, 0.01)]
    assert judge(tmp_path, reference, scores, BETTER).verdict.verdict == "contradicted"


def test_too_few_seeds_decide_nothing(tmp_path, reference):
    scores = [("good", "dice", HIGH[:1], ONE, 0.01), ("bad", "dice", LOW[:1], ONE, 0.01)]
    found = judge(tmp_path, reference, scores, BETTER)
    assert found.verdict.verdict == "undecided"
    assert found.in_short == "The comparison: at least two more seeds are needed."


def test_rows_that_depart_from_the_paper_differently_are_not_compared(tmp_path, reference):
    shorter = replace(ONE, differences=("epochs 5; the paper gives 20 (section 4)", "other data"))
    other = replace(ONE, differences=("other data",))
    scores = [("good", "dice", HIGH, shorter, 0.01), ("bad", "dice", LOW, other, 0.01)]
    found = judge(tmp_path, reference, scores, BETTER)
    assert found.verdict.verdict == "not tested"
    assert found.in_short == (
        "The comparison: the two depart from the paper in different ways (epochs 5; the paper "
        "gives 20 (section 4))."
    )
    scores[0] = ("good", "dice", HIGH, other, 0.01)
    assert judge(tmp_path, reference, scores, BETTER).verdict.verdict == "supported"


def test_rows_that_were_tested_on_other_images_are_not_compared(tmp_path, reference):
    scores = [("good", "dice", HIGH, ONE, 0.01), ("bad", "dice", LOW, ONE, 0.01)]
    for seed in range(3):
        write_run(tmp_path, "good", seed, {"a": 0.8, "b": 0.9, "c": 0.8})
        write_run(tmp_path, "bad", seed, {"a": 0.7, "b": 0.8, "d": 0.7})
    found = judge(tmp_path, reference, scores, BETTER)
    assert found.verdict.verdict == "not tested"
    assert found.in_short == "The comparison: the two are not scored on the same pixels."


def test_a_seed_that_only_one_side_has_is_left_out(tmp_path, reference):
    scores = [("good", "dice", (*HIGH, 0.8), ONE, 0.01), ("bad", "dice", LOW, ONE, 0.01)]
    for seed in range(4):
        write_run(tmp_path, "good", seed, {"a": 0.8, "b": 0.9})
    for seed in range(3):
        write_run(tmp_path, "bad", seed, {"a": 0.7, "b": 0.8})
    assert judge(tmp_path, reference, scores, BETTER).verdict.verdict == "supported"


def test_a_claim_about_training_and_test_compares_different_images(tmp_path, reference):
    scores = [("good", "dice", LOW, ONE, 0.01), ("good", "train_dice", HIGH, ONE, None)]
    overfits = "better: good, worse: [good], metrics: [train_dice], worse_metrics: [dice]"
    for seed in range(3):
        write_run(tmp_path, "good", seed, {"a": 0.8, "b": 0.9})
        path = tmp_path / f"results/provenance/good-paper-{seed}/metrics.csv"
        path.write_text("id,part,dice\na,train,0.8\nb,test,0.9\n")
    found = judge(tmp_path, reference, scores, overfits)
    assert found.verdict.verdict == "supported"
    assert "Train Dice of Good is better than Dice of Good in Dice" in found.in_short


def test_a_given_test_set_needs_the_error_over_its_images(tmp_path, reference):
    scores = [("good", "dice", HIGH, ONE, None), ("bad", "dice", LOW, ONE, None)]
    found = judge(tmp_path, reference, scores, BETTER)
    assert found.verdict.verdict == "not tested"
    assert "given test images" in found.in_short
    images = {str(number): 0.8 + number / 100 for number in range(10)}
    worse = {name: score - 0.1 - int(name) / 1000 for name, score in images.items()}
    for seed in range(3):
        write_run(tmp_path, "good", seed, images)
        write_run(tmp_path, "bad", seed, worse)
    assert judge(tmp_path, reference, scores, BETTER).verdict.verdict == "supported"
    wild = {name: score - 0.1 + (-1) ** int(name) for name, score in images.items()}
    for path in (tmp_path / "results/provenance").glob("bad-*/metrics.csv"):
        path.write_text("id,dice\n" + "".join(f"{n},{s}\n" for n, s in wild.items()))
    assert judge(tmp_path, reference, scores, BETTER).verdict.verdict == "undecided"


def test_the_papers_own_difference_is_held_against_its_test_set(tmp_path, reference):
    scores = [("good", "dice", HIGH, ONE, 0.01), ("bad", "dice", LOW, ONE, 0.01)]
    images = {str(number): 0.8 + (-1) ** number / 10 for number in range(10)}
    for seed in range(3):
        write_run(tmp_path, "good", seed, images)
        write_run(tmp_path, "bad", seed, dict.fromkeys(images, 0.7))
    (sentence,) = judge(tmp_path, reference, scores, BETTER).could_show
    assert sentence.startswith("Good over Bad, Dice: The paper prints a difference of 0.01, which")
    assert "one test set of ten images cannot tell from chance" in sentence


@pytest.mark.parametrize(
    ("kind", "comparison", "why"),
    [
        ("unquantified", "", "names no two numbers"),
        ("similar", BETTER, "how close is similar"),
        ("better", "better: good, worse: [other], metrics: [dice]", "results of other papers"),
        ("better", BETTER, "was not run"),
    ],
)
def test_what_no_run_can_tell_is_not_tested(tmp_path, reference, kind, comparison, why):
    scores = [("good", "dice", HIGH, ONE, 0.01)]
    found = judge(tmp_path, reference, scores, comparison, kind)
    assert found.verdict.verdict == "not tested"
    assert why in found.in_short


def test_the_trial_with_both_sides_is_judged(tmp_path, reference):
    quick = replace(ONE, profile="quick")
    scores = [("good", "dice", LOW, ONE, 0.01)]
    scores += [("good", "dice", HIGH, quick, 0.01), ("bad", "dice", LOW, quick, 0.01)]
    found = judge(tmp_path, reference, scores, BETTER)
    assert (found.profile, found.verdict.verdict) == ("quick", "supported")
