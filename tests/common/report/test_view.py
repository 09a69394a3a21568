import dataclasses
import types

import pandas
import pytest

from common import cli
from common.report import collect, view
from common.results import tables


@pytest.fixture
def alpha(project):
    return collect.gather(project / "results", project)[0]


@pytest.fixture
def judged(alpha):
    return alpha.overview.judged[0]


def test_protocols_stand_beside_each_other_with_their_verdicts(alpha, judged):
    (block,) = view.blocks(alpha, judged)
    assert (block.profile, list(block.protocols)) == ("quick", ["published", "corrected"])
    dice, iou, images = block.groups["U-Net"]
    assert (dice.label, dice.printed, dice.state) == ("Dice", "0.80", "within")
    # Student's t for three seeds, 4.303, times 0.01 times √(4/3): 0.0497.
    assert dice.ours["published"][:3] == ("0.8000", "0.750–0.850", "within")
    assert dice.ours["published"].reason.startswith("Ours, 0.800, differs from the published 0.80")
    assert iou.ours["published"].verdict == iou.state == "below"
    assert images.ours["published"][:3] == ("20", "", "match")
    assert images.ours["corrected"][:3] == ("", "", "not run")
    assert 'class="corrected"' in dice.chart
    assert not images.chart  # a count is no fraction
    assert block.ends == ("0.5", "1")


def test_a_reason_that_numbers_share_is_a_note(alpha, judged):
    (block,) = view.blocks(alpha, judged)
    dice, iou, _ = block.groups["U-Net"]
    assert dice.ours["published"].note == 0
    assert dice.ours["corrected"].note == iou.ours["corrected"].note > 0
    assert block.notes[dice.ours["corrected"].note - 1] == "split by patient"


def test_what_cannot_be_right_counts_as_that_alone(alpha, judged):
    (block,) = view.blocks(alpha, judged)
    assert {number.state for number in block.groups["Big <U-Net>"]} == {view.IMPOSSIBLE}
    assert [list(number.findings) for number in block.groups["Big <U-Net>"]] == [[1], [1]]


def test_a_table_that_was_not_run_is_shown_as_printed(project):
    beta = collect.gather(project / "results", project)[1]
    (block,) = view.blocks(beta, beta.overview.judged[0])
    assert (block.profile, list(block.protocols), list(block.notes)) == ("", [], [])
    assert [number.printed for number in block.groups["U-Net"]] == ["0.80", "0.70", "20"]
    assert block.command == "make beta-table1"


def test_the_profile_closest_to_the_paper_comes_first(alpha, judged):
    both = pandas.concat([judged.results, judged.results.assign(profile="paper")])
    closer, farther = view.blocks(alpha, dataclasses.replace(judged, results=both))
    assert (closer.profile, farther.profile) == ("paper", "quick")
    ids = [[n.id for numbers in b.groups.values() for n in numbers] for b in (closer, farther)]
    assert all(ids[0])
    assert not any(ids[1])  # a link leads to one place


def test_findings_lead_to_their_numbers(alpha):
    (group,) = view.findings([alpha], ("impossible", "note"))
    (item,) = group.items
    assert (group.severity, group.check, item.id) == ("impossible", "dice_iou", "alpha-finding-1")
    assert item.cells == [
        ("alpha-table1-big-dice", "Dice 0.9001"),
        ("alpha-table1-big-iou", "IoU 0.5"),
    ]


def test_quoted_rows_are_apart_from_the_papers_own(alpha, judged):
    assert view.quoted(alpha, judged.reference) == [
        ("Others", "A. Nother, 2020", [("alpha-table1-other-dice", "Dice 0.71", ())])
    ]


def test_the_command_names_what_is_not_the_default(alpha, judged):
    target, results = alpha.commands["table1"], judged.results
    told = 'make alpha-table1 SEEDS="0 1 2" PROFILE=quick ENCODER_WEIGHTS=none'
    assert view.command(target, results, alpha.runs) == told + " PRECISION=mixed_bfloat16"
    plain = results.assign(profile="paper", encoder_weights="imagenet", precision="float32")
    plain = plain.assign(seeds="0 1 2 3 4")
    assert view.command(target, plain, alpha.runs) == "make alpha-table1"
    only = plain[plain["protocol"] == "corrected"]
    assert view.command(target, only, alpha.runs) == "make alpha-table1 PROTOCOL=corrected"
    read = plain.assign(reading="encoder_weights=none,loss=bce")
    assert view.command(target, read, alpha.runs) == 'make alpha-table1 READING="loss=bce"'
    counted = plain.assign(encoder_weights="any", precision="any", seeds="0")
    published = counted[counted["protocol"] == "published"]
    assert view.command(target, published, alpha.runs) == "make alpha-table1"
    assert view.command(None, results, alpha.runs) == ""


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"a": "imagenet", "b": "imagenet", "c": "none"}, "imagenet,c=none"),
        ({"a": "none", "b": "none", "c": "imagenet"}, "none,c=imagenet"),
        ({"a": "1.h5 (sha256 01)", "b": "2.h5 (sha256 02)"}, "1.h5,b=2.h5"),
    ],
)
def test_weights_that_differ_are_told_by_encoder_as_the_command_takes_them(
    alpha, judged, weights, told
):
    results = judged.results.assign(profile="paper", precision="float32", seeds="0 1 2 3 4")
    results = pandas.concat([results.assign(encoder_weights=name) for name in weights.values()])
    trained = [
        types.SimpleNamespace(config={"encoder": encoder, "encoder_weights": name})
        for encoder, name in weights.items()
    ]
    command = view.command(alpha.commands["table1"], results, trained)
    assert command == "make alpha-table1 ENCODER_WEIGHTS=" + told
    asked = cli.Request(encoder_weights=command.split("=", 1)[1])
    assert {encoder: asked.weights_for(encoder) for encoder in weights} == {
        encoder: name.split(" (")[0] for encoder, name in weights.items()
    }


def test_metrics_beyond_the_paper_follow_those_that_they_vary(alpha, judged):
    grids = view.scores(alpha, view.further(judged))
    (grid,) = grids
    assert grid.columns == ["", "U-Net, as published", "Big <U-Net>, as published"] + [
        "own, as published",
        "U-Net, corrected",
    ]
    lines = {line[0]: line[1:] for line in grid.lines}
    assert list(lines) == ["Dice", "IoU", "images", "PQ"]
    assert lines["Dice"] == ["0.8000", "0.8500", "0.4000", "0.7000"]
    assert lines["PQ"] == ["0.5000", "", "", ""]
    printed = {(row, metric) for row, metric, _ in judged.reference.numbers()}
    own = [(line.row, line.metric) in printed for line in judged.results.itertuples()]
    without = dataclasses.replace(judged, results=judged.results[own])
    assert view.further(without).empty


def test_many_rows_go_below_each_other(alpha, judged):
    line = judged.results.iloc[[0]]
    many = pandas.concat([line.assign(row=f"r{number}") for number in range(12)])
    grids = view.scores(alpha, many)
    assert [len(grid.columns) - 1 for grid in grids] == [5, 5, 2]


def test_a_long_table_of_unknown_form_is_cut_and_says_so(alpha):
    grid = view.as_it_is(alpha.beyond[1].results)
    assert (len(grid.lines), grid.left_out, grid.columns) == (50, 10, ["image", "other"])


def test_what_rows_rest_on_is_said_once(alpha, judged):
    published = judged.results[judged.results["protocol"] == "published"]
    told = view.rests_on(published[published["row"] == "unet"])
    assert len(told) == 2  # the count has one seed
    assert (
        "20 images, fingerprint ffffffffffffffff; encoder weights none; mixed_bfloat16" in told[0]
    )
    assert "n = 3 (seeds 0 1 2)" in told[0]
    assert view.rests_on(published[:0].reindex(columns=tables.TABLE_COLUMNS)) == []


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "+0.123"), (-0.1, "−0.100"), (0.0001, "0.000"), (-0.0, "0.000")]
)
def test_a_difference_has_a_sign(value, text):
    assert view.signed(value) == text
