import dataclasses
import re
import types

import numpy as np
import pandas
import pytest

from common import cli
from common.report import collect, view
from common.report.numbers import FIGURE_SPACE
from common.results import tables


@pytest.fixture
def alpha(project):
    return collect.gather(project / "results", project)[0]


def stripped(text):
    return text.replace(FIGURE_SPACE, "").replace("\u2008", "")


def test_protocols_stand_beside_each_other_with_their_difference(alpha):
    (block,) = view.blocks(alpha, alpha.judged[0])
    assert block.profile == "quick"
    assert list(block.rests) == ["published", "corrected"]
    dice, iou, images = block.groups["U-Net"]
    assert (dice.label, stripped(dice.printed), stripped(dice.gap)) == ("Dice", "0.80", "−0.1000")
    ours = dice.ours["published"]
    # Student's t for two seeds, 12.706, times the standard error 0.005.
    assert (stripped(ours.value), stripped(ours.half_width), stripped(ours.difference)) == (
        "0.8000",
        "0.0635",
        "0.0000",
    )
    assert ours.verdict == "match"
    assert iou.ours["published"].verdict == "below"
    assert (
        stripped(iou.ours["published"].difference) == "−0.1"
    )  # with the decimals that the paper prints
    assert images.ours["corrected"].verdict == "not comparable"
    assert block.reasons[images.ours["corrected"].reason] == "split by patient"
    assert 'class="corrected"' in dice.drawing
    assert not images.drawing  # a count is no share
    big = block.groups["Big <U-Net>"][0]
    assert (big.ours["corrected"].verdict, big.ours["corrected"].value, big.gap) == (
        "not run",
        "",
        "",
    )
    assert {
        line.verdict for number in block.groups["U-Net"] for line in number.ours.values()
    } <= set(tables.VERDICTS)


def test_a_difference_of_protocols_needs_all_else_alike(alpha):
    judged = alpha.judged[0]
    for column in ("encoder_weights", "precision", "fingerprint", "seeds"):
        results = judged.results.copy()
        results.loc[results["protocol"] == "corrected", column] = "other"
        (block,) = view.blocks(alpha, dataclasses.replace(judged, results=results))
        assert not block.gaps, column
    assert view.blocks(alpha, judged)[0].gaps


def test_findings_are_beside_the_numbers_they_concern(alpha):
    (block,) = view.blocks(alpha, alpha.judged[0])
    marked = {
        (row, n.label): list(n.findings)
        for row, numbers in block.groups.items()
        for n in numbers
        if n.findings
    }
    assert marked == {("Big <U-Net>", "Dice"): [1], ("Big <U-Net>", "IoU"): [1]}
    ((reason, first, group),) = view.remarks(alpha, "table1")
    assert (first, group) == (1, [(1, alpha.findings[0])])
    assert reason == alpha.findings[0].reason
    own = view.as_printed(alpha, alpha.judged[0].reference, quoted=False)
    assert [cells[1][1] for _, _, cells in own.lines] == [(), [1]]


def test_a_reason_is_given_once_in_a_paper(alpha):
    finding = alpha.findings[0]
    second = dataclasses.replace(
        alpha.judged[0], reference=dataclasses.replace(alpha.judged[0].reference, id="table2")
    )
    later = dataclasses.replace(finding, table="table2", cells=("table2:big.dice",))
    paper = dataclasses.replace(alpha, judged=(*alpha.judged, second), findings=(later, finding))
    assert view.remarks(paper, "table1") == [(finding.reason, 2, [(2, finding)])]
    assert view.remarks(paper, "table2") == [("", 2, [(1, later)])]


def test_quoted_rows_are_apart_from_the_papers_own(alpha):
    quoted = view.as_printed(alpha, alpha.judged[0].reference, quoted=True)
    assert (quoted.columns, quoted.lines) == (
        ["Dice"],
        [("Others", "A. Nother, 2020", [("0.71", ())])],
    )
    own = view.as_printed(alpha, alpha.judged[0].reference, quoted=False)
    assert [stripped(cells[0][0]) for _, _, cells in own.lines] == ["0.80", "0.9001"]


def test_the_command_names_what_is_not_the_default(alpha):
    target, results = alpha.judged[0].command, alpha.judged[0].results
    told = 'make alpha-one SEEDS="0 1" PROFILE=quick ENCODER_WEIGHTS=none PRECISION=mixed_bfloat16'
    assert view.command(target, results, alpha.runs) == told
    plain = results.assign(
        profile="paper", encoder_weights="imagenet", precision="float32", seeds="0"
    )
    assert view.command(target, plain, alpha.runs) == "make alpha-one"
    only = plain[plain["protocol"] == "corrected"]
    assert view.command(target, only, alpha.runs) == "make alpha-one PROTOCOL=corrected"
    counted = plain.assign(encoder_weights="any", precision="any")
    assert (
        view.command(target, counted[counted["protocol"] == "published"], alpha.runs)
        == "make alpha-one"
    )
    assert view.command(target, results[:0], alpha.runs) == "make alpha-one"
    assert view.command(None, results, alpha.runs) == ""


def test_a_file_of_weights_is_named_for_the_encoder_that_used_it(alpha):
    weights = "net.h5 (sha256 0123)"
    trained = [
        dataclasses.replace(run, config={**run.config, "encoder_weights": weights})
        for run in alpha.runs[1:]
    ]
    mixed = alpha.judged[0].results.assign(profile="paper", precision="float32", seeds="0")
    mixed.loc[mixed["row"] == "own", "encoder_weights"] = weights
    told = view.command(alpha.judged[0].command, mixed, trained)
    assert told == "make alpha-one ENCODER_WEIGHTS=none,net=net.h5"
    alone = view.command(alpha.judged[0].command, mixed.assign(encoder_weights=weights), trained)
    assert alone == "make alpha-one ENCODER_WEIGHTS=net.h5"


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"a": "imagenet", "b": "imagenet", "c": "none"}, "imagenet,c=none"),
        ({"a": "none", "b": "none", "c": "imagenet"}, "none,c=imagenet"),
        ({"a": "1.h5 (sha256 01)", "b": "2.h5 (sha256 02)"}, "1.h5,b=2.h5"),
    ],
)
def test_weights_that_differ_are_told_by_encoder_as_the_command_takes_them(alpha, weights, told):
    results = alpha.judged[0].results.assign(profile="paper", precision="float32", seeds="0")
    results = pandas.concat([results.assign(encoder_weights=name) for name in weights.values()])
    trained = [
        types.SimpleNamespace(config={"encoder": e, "encoder_weights": name})
        for e, name in weights.items()
    ]
    command = view.command(alpha.judged[0].command, results, trained)
    assert command == "make alpha-one ENCODER_WEIGHTS=" + told
    asked = cli.Request(encoder_weights=command.split("=", 1)[1])
    assert {e: asked.weights_for(e) for e in weights} == {
        e: name.split(" (")[0] for e, name in weights.items()
    }


def test_scores_beyond_the_paper_are_shown_with_their_protocol_and_n(alpha):
    (grid,) = view.scores(alpha, view.further(alpha.judged[0]))
    assert grid.columns == ["", "protocol", "encoder weights", "n", "Dice", "IoU", "images", "pq"]
    lines = {(line[0], line[1]): line[2:] for line in grid.lines}
    assert lines["U-Net", "corrected"] == [
        "none",
        "2",
        "0.7000 ± 0.0635",
        "0.5500 ± 0.0635",
        "20 ± 0",
        "0.4000 ± 0.0635",
    ]
    assert lines["own", "published"] == ["none", "2", "0.4000 ± 0.0635", "", "", ""]
    (grid,) = view.scores(alpha, alpha.beyond[0].results)
    assert grid.lines == [["unet bigger", "corrected", "none", "1", "0.3333", "0.3333"]]
    judged = alpha.judged[0]
    without = dataclasses.replace(
        judged, results=judged.results[judged.results["in_paper"] == "yes"]
    )
    assert view.further(without).empty


def test_a_long_table_of_unknown_form_is_cut_and_says_so(alpha):
    grid = view.as_it_is(alpha.beyond[1])
    assert (len(grid.lines), grid.left_out, grid.columns) == (50, 10, ["image", "other"])


def test_curves_share_a_scale_and_are_named_by_what_differs(alpha):
    (published, corrected) = view.curves(alpha)
    assert (published[0], corrected[0]) == (["protocol published"], ["protocol corrected"])
    assert list(published[1]) == ["loss"]
    labels = [
        re.search('aria-label="(.*?)"', drawing["loss"]).group(1)
        for _, drawing in (published, corrected)
    ]
    assert labels[0] == "training loss from 1 to 0.5; validation loss from 1.4 to 0.9 in 2 epochs"
    assert labels[1] == "training loss from 1.2 to 0.6; validation loss from 1.5 to 1.5 in 2 epochs"
    scales = [
        re.findall('text-anchor="end"[^>]*>(.*?)<', drawing["loss"])
        for _, drawing in (published, corrected)
    ]
    assert scales[0] == scales[1] == ["0", "0.8", "1.6", "2"]


def test_a_loss_that_is_infinite_is_left_out(alpha):
    first = dataclasses.replace(
        alpha.runs[1], history=alpha.runs[1].history.assign(loss=[np.inf, 0.5])
    )
    ((_, drawings),) = view.curves(dataclasses.replace(alpha, runs=(first,)))
    assert "training loss from 0.5 to 0.5; validation" in drawings["loss"]


def test_losses_of_different_kinds_do_not_share_a_scale(alpha):
    kinds = {"net-none-published-seed0": "dice", "net-none-corrected-seed0": "focal"}
    trained = [
        dataclasses.replace(run, config={**run.config, "loss": kinds.get(run.id)})
        for run in alpha.runs
    ]
    trained[2] = dataclasses.replace(
        trained[2], history=trained[2].history.assign(loss=[0.02, 0.01], val_loss=0.015)
    )
    tops = [
        re.findall('text-anchor="end"[^>]*>(.*?)<', drawings["loss"])[2]
        for _, drawings in view.curves(dataclasses.replace(alpha, runs=tuple(trained)))
    ]
    assert tops == ["1.4", "0.02"]


def test_provenance_says_what_where_and_when(alpha):
    runs = {
        line[0]: dict(zip(view.provenance(alpha).columns, line))
        for line in view.provenance(alpha).lines
    }
    assert view.combined(alpha) == [("ensemble-seed0", {"members": "one, two"})]
    assert list(runs) == ["net-none-published-seed0", "net-none-corrected-seed0"]
    run = runs["net-none-published-seed0"]
    expected = {
        "seed": "0",
        "encoder weights": "none",
        "epochs": "2",
        "images": "2 train, 1 test",
        "commit": "c0ffee",
    }
    assert {name: run[name] for name in expected} == expected
    assert (run["device"], run["began, UTC"]) == ("CPU", "2026-01-02 03:04")
    assert view.evaluations(alpha).lines == [
        ["table1", "c0ffee", "2026-01-02 03:04", "python 3.8, numpy 1", "Linux"],
    ]
    assert view.settings(alpha.runs) == (
        {"encoder": "net", "seed": 0, "encoder_weights": "none"},
        ["protocol"],
    )
