"""The stored table holds what the verdicts rest on, and every published number is judged once."""

import dataclasses
import io
import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from common.errors import InputError
from common.published import schema
from common.results import tables, terminal
from common.results.tables import Conditions, Score

YAML = """\
id: table1
title: Results
paper: A paper
where: section 4
data: phantoms
metrics:
  dsc: {label: DSC, kind: dice, unit: fraction, aggregation: mean over the test images}
  aji: {label: AJI, kind: aji, unit: fraction, aggregation: mean over the test images}
  images: {label: images, kind: size, unit: images, aggregation: count}
rows:
  zeta:
    label: LinkNet-ResNeXt50
    source: this paper
    values: {dsc: "0.822", aji: "0.6893", images: "437"}
  quoted: {label: Others, source: quoted, citation: "Somebody, 2020", values: {dsc: "0.9"}}
  alpha: {label: "Proposed [ensemble]", source: this paper, values: {dsc: "0.8249"}}
open: [the seed]
"""
NUMBERS = [("zeta", "dsc"), ("zeta", "aji"), ("zeta", "images"), ("alpha", "dsc")]
AS_PUBLISHED = Conditions("published", "paper", "imagenet", "float32", "TNBC", "1f2e")
CORRECTED = dataclasses.replace(AS_PUBLISHED, protocol="corrected")
UNFAIR = dataclasses.replace(AS_PUBLISHED, differences=("epochs 2", "profile quick"))
DICE_LOSS = dataclasses.replace(AS_PUBLISHED, reading="loss=dice")


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    path = tmp_path_factory.mktemp("published") / "table1.yaml"
    path.write_text(YAML, encoding="utf-8")
    return schema.load(path)


def runs(values, conditions=AS_PUBLISHED, row="zeta", metric="dsc", se=0.01):
    images = None if se is None else 10
    return [
        (Score(row, metric, value, seed, se, images), conditions)
        for seed, value in enumerate(values)
    ]


def judged(paper, scores):
    """The judgement of zeta's DSC, published as 0.822."""
    return tables.compare(paper, tables.build(paper, scores)).iloc[0]


def shown(paper, table, width):
    stream = io.StringIO()
    terminal.show(paper, table, True, Console(file=stream, width=width))
    return stream.getvalue()


def test_mean_spread_and_interval_have_their_closed_forms(paper):
    # For 2 degrees of freedom t(0.975) is p √(2 / (1 − p²)) with p = 0.95.
    line = tables.build(paper, runs([0.80, 0.82, 0.81], se=None)).iloc[0]
    assert (line["mean"], line["sd"], line["n_seeds"]) == (0.81, 0.01, 3)
    assert (line["seeds"], line["seed_values"]) == ("0 1 2", "0.800000 0.820000 0.810000")
    half_width = 0.95 * math.sqrt(2 / (1 - 0.95**2)) * 0.01 * math.sqrt(1 + 1 / 3)
    ends = (0.81 - half_width, 0.81 + half_width)
    assert (line["low"], line["high"]) == pytest.approx(ends, abs=1e-6)


def test_test_images_widen_a_small_spread_over_seeds(paper):
    line = tables.build(paper, runs([0.80, 0.82, 0.81], se=0.05)).iloc[0]
    half_width = 1.959964 * 0.05 * math.sqrt(4 / 3)
    assert line["high"] - 0.81 == pytest.approx(half_width, abs=1e-5)
    assert (line["image_se"], line["images"]) == (0.05, 10)


def test_the_interval_ends_at_the_bounds_of_the_metric(paper):
    line = tables.build(paper, runs([0.98, 0.99, 1.0], se=0.05)).iloc[0]
    assert line["high"] == 1


@pytest.mark.parametrize("values", [[0.8], [0.98, 0.99, 1.0]])
def test_a_metric_beyond_the_paper_has_no_interval_for_it_has_no_bounds(paper, values):
    line = tables.build(paper, runs(values, metric="ours", se=0.05)).iloc[0]
    assert line[["low", "high"]].isna().all()
    assert (line["mean"], line["image_se"]) == (pytest.approx(np.mean(values)), 0.05)


def test_one_seed_of_a_given_test_set_has_no_interval(paper):
    line = tables.build(paper, runs([0.8], se=None)).iloc[0]
    assert line[["sd", "low", "high", "image_se", "images"]].isna().all()
    assert judged(paper, runs([0.8], se=None))["verdict"] == "undecided"


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.822], "undecided"),
        ([0.70], "below"),
        ([0.95], "above"),
        ([0.30, 0.40], "below"),
        ([0.82, 0.83, 0.82, 0.81, 0.83], "within"),
        ([0.70, 0.71, 0.70, 0.71, 0.70], "below"),
    ],
)
def test_a_verdict_follows_from_what_the_file_holds(paper, values, verdict):
    line = judged(paper, runs(values))
    assert line["verdict"] == verdict
    assert (line["published"], line["n_seeds"]) == ("0.822", len(values))
    assert line["difference"] == pytest.approx(sum(values) / len(values) - 0.822, abs=1e-6)


@pytest.mark.parametrize(("count", "verdict"), [(437, "match"), (437.4, "above"), (436, "below")])
def test_counts_match_exactly_or_not_at_all(paper, count, verdict):
    table = tables.build(paper, runs([count], metric="images", se=None))
    line = tables.compare(paper, table).set_index(["row", "metric"]).loc["zeta", "images"]
    assert line["verdict"] == verdict


def test_a_count_that_all_seeds_share_is_shown_without_an_interval(paper):
    text = shown(paper, tables.build(paper, runs([437, 437], metric="images", se=None)), 120)
    assert "437" in text and "–437" not in text


def test_a_difference_gets_no_verdict_but_keeps_its_numbers(paper):
    line = judged(paper, runs([0.822], UNFAIR))
    assert (line["verdict"], line["reason"]) == ("not comparable", "epochs 2; profile quick")
    assert line["regenerated"] == 0.822


def test_nothing_run(paper):
    empty = pd.DataFrame(columns=tables.TABLE_COLUMNS)
    comparison = tables.compare(paper, empty)
    assert list(zip(comparison["row"], comparison["metric"])) == NUMBERS
    assert (comparison["verdict"] == "not run").all()


@settings(deadline=None)
@given(st.sets(st.sampled_from([*itertools.product(NUMBERS, (AS_PUBLISHED, CORRECTED))])))
def test_one_line_per_published_number_and_block(paper, done):
    scores = []
    for (row, metric), conditions in done:
        value = 437 if metric == "images" else 0.8
        scores += runs([value], conditions, row, metric, se=None)
    comparison = tables.compare(paper, tables.build(paper, scores))
    for _, block in comparison.groupby(["protocol", "profile"]):
        assert list(zip(block["row"], block["metric"])) == NUMBERS
    regenerated = {(c.protocol, row, metric) for (row, metric), c in done}
    for line in comparison.itertuples():
        was_run = (line.protocol, line.row, line.metric) in regenerated
        assert (line.verdict != "not run") == was_run


def test_the_named_reading_is_judged(paper):
    both = runs([0.8], DICE_LOSS) + runs([0.5])
    table = tables.build(paper, both)
    assert len(table) == 2
    assert tables.compare(paper, table)["regenerated"][0] == 0.5
    named = dataclasses.replace(paper, reading="loss=dice,precision=mixed_bfloat16")
    assert tables.compare(named, table)["regenerated"][0] == 0.8
    other = dataclasses.replace(paper, reading="loss=bce")
    assert tables.compare(other, table)["regenerated"][0] == 0.5


def test_a_later_command_replaces_its_rows_and_keeps_the_others(paper):
    earlier = tables.build(paper, runs([0.5]) + runs([0.6], CORRECTED) + runs([0.4], DICE_LOSS))
    later = tables.build(paper, runs([0.7], CORRECTED) + runs([0.9], CORRECTED, "alpha"))
    merged = tables.merge(earlier, later)
    means = merged.set_index(["protocol", "reading", "row"])["mean"].to_dict()
    assert means == {
        ("published", "", "zeta"): 0.5,
        ("published", "loss=dice", "zeta"): 0.4,
        ("corrected", "", "zeta"): 0.7,
        ("corrected", "", "alpha"): 0.9,
    }


def test_lines_stand_in_the_order_of_the_paper_and_those_beyond_it_last(paper):
    scores = runs([0.1], row="ours") + runs([0.2], row="alpha")
    scores += runs([0.3], metric="pq") + runs([0.4], metric="aji") + runs([0.5])
    table = tables.build(paper, scores)
    order = list(zip(table["row"], table["metric"]))
    assert order == [
        ("zeta", "dsc"),
        ("zeta", "aji"),
        ("zeta", "pq"),
        ("alpha", "dsc"),
        ("ours", "dsc"),
    ]


def test_seeds_of_one_row_must_run_alike(paper):
    other = dataclasses.replace(AS_PUBLISHED, precision="mixed_bfloat16")
    scores = [*runs([0.8]), (Score("zeta", "dsc", 0.8, 1, 0.01, 10), other)]
    with pytest.raises(InputError, match="precision is 'float32' for seed 0 and 'mixed_bfloat16'"):
        tables.build(paper, scores)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_scores_must_be_finite(paper, value):
    with pytest.raises(ValueError, match="finite"):
        tables.build(paper, runs([value]))


def test_a_seed_counts_once(paper):
    with pytest.raises(ValueError, match="each seed counts once"):
        tables.build(paper, runs([0.8]) + runs([0.8]))


def test_what_is_read_back_is_what_was_written(paper, tmp_path):
    table = tables.build(paper, runs([0.8, 1 / 3, 0.7]) + runs([0.9], UNFAIR, "alpha"))
    assert tables.write(table, tmp_path / "t.csv")
    assert not tables.write(table, tmp_path / "t.csv")  # nothing has changed
    back = tables.read(tmp_path / "t.csv")
    pd.testing.assert_frame_equal(back, table, check_dtype=False)
    pd.testing.assert_frame_equal(tables.compare(paper, back), tables.compare(paper, table))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("row,metric", "row,metrics", "got the columns"),
        ("0.750000,0.070711", "0.760000,0.070711", "the mean is not that of its values"),
        ("0.800000 0.700000", "0.800000", "got the values"),
        ("0.800000 0.700000", "0.800000 nan", "got the values"),
        ("0.800000 0.700000", "0.800000 0.7x", "could not convert"),
        (",TNBC,", ",TN,BC,", "a line with too many or too few fields"),
        ("0.750000,", "", "a line with too many or too few fields"),
    ],
)
def test_a_damaged_file_is_refused(paper, tmp_path, old, new, problem):
    path = tmp_path / "table1.csv"
    tables.write(tables.build(paper, runs([0.8, 0.7])), path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=f"table1.csv: expected a results table .*{problem}"):
        tables.read(path)


def test_absent_empty_headed_and_doubled_files_are_refused(paper, tmp_path):
    path = tmp_path / "t.csv"
    with pytest.raises(InputError, match="No such file"):
        tables.read(path)
    tables.write(tables.build(paper, runs([0.8])), path)
    header, line = path.read_text().splitlines()
    for text, problem in (
        ("", "got the columns"),
        (header, "no line"),
        (f"{header}\n{line}\n{line}", "twice"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=problem):
            tables.read(path)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_terminal_and_names_everything(paper, width):
    table = tables.build(paper, runs([0.8]) + runs([0.9], UNFAIR, "alpha"))
    text = shown(paper, table, width)
    assert max(len(line) for line in text.splitlines()) <= width
    for word in ("LinkNet-ResNeXt50", "Proposed [ensemble]", "0.8249", "not comparable", "0.9"):
        assert word in text
    assert "4 published: 1 undecided, 1 not comparable, 2 not run" in text


def test_a_shared_reason_is_printed_once_per_block(paper):
    table = tables.build(paper, runs([0.8], UNFAIR) + runs([0.9], UNFAIR, "alpha"))
    assert shown(paper, table, 120).count("epochs 2; profile quick") == 1
