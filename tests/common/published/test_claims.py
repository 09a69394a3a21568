"""Claims are read strictly, and those of the papers are what the papers conclude."""

import pytest

from common.errors import InputError
from common.files import PROJECT
from common.published import claims, schema
from common.published.claims import Comparison
from common.published.schema import Row

FOLDERS = sorted((PROJECT / "reproductions").glob("*/published"))
GOOD = """
paper: A paper
beyond_metrics: [validation_f1]
claims:
  best:
    text: The ensemble is better than its members.
    where: section 4
    condition: on the test images
    kind: better
    comparisons:
      - {better: ensemble, worse: [one, two], metrics: [dice, f1], table: table1}
      - better: one
        worse: [one]
        metrics: [validation_f1]
        worse_metrics: [f1]
        table: table1
      - {better: one, worse: [one], metrics: [dice], table: table1, worse_table: table2}
  good:
    text: It is good.
    where: abstract
    kind: unquantified
"""


@pytest.fixture
def tables(table):
    rows = {name: {"dice": "0.8", "f1": "0.8"} for name in ("one", "two", "ensemble")}
    return [table(rows), table(rows, id="table2")]


def read(tmp_path, tables, text=GOOD):
    path = tmp_path / "claims.yaml"
    path.write_text(text, encoding="utf-8")
    return claims.load(path, tables)


def test_every_pair_becomes_a_comparison(tmp_path, tables):
    best, good = read(tmp_path, tables)
    assert best.comparisons == (
        Comparison("ensemble", "one", "dice", "table1", "dice", "table1"),
        Comparison("ensemble", "one", "f1", "table1", "f1", "table1"),
        Comparison("ensemble", "two", "dice", "table1", "dice", "table1"),
        Comparison("ensemble", "two", "f1", "table1", "f1", "table1"),
        Comparison("one", "one", "validation_f1", "table1", "f1", "table1"),
        Comparison("one", "one", "dice", "table1", "dice", "table2"),
    )
    assert (best.id, best.kind, best.where) == ("best", "better", "section 4")
    assert best.condition == "on the test images"
    assert (good.kind, good.comparisons, good.condition) == ("unquantified", (), None)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("kind: better", "kind: best", r"claims\.best\.kind: expected one of better, similar"),
        ("kind: unquantified", "kind: better", r"claims\.good: expected comparisons, unless"),
        ("kind: better", "kind: unquantified", r"claims\.best: expected comparisons, unless"),
        ("worse: [one, two]", "worse: [three]", r"comparison 1: row of table1: .*got 'three'"),
        ("worse: [one, two]", "worse: [one, one]", r"claims\.best: a comparison is given twice"),
        ("worse: [one, two]", "worse: [ensemble]", r"ensemble is compared with itself in dice"),
        ("worse: [one, two]", "worse: one", r"comparison 1: worse: expected a list"),
        ("metrics: [dice, f1]", "metrics: [iou]", r"metric of table1: .*got 'iou'"),
        ("worse_metrics: [f1]", "worse_metrics: [f1, dice]", r"as many worse_metrics as metrics"),
        ("worse_table: table2", "worse_table: table9", r"comparison 3: table: .*got 'table9'"),
        ("beyond_metrics: [validation_f1]\n", "", r"metric of table1: .*got 'validation_f1'"),
        ("    where: section 4\n", "", r"claims\.best: where: expected text"),
        ("    text: It is good.\n", "    claim: It is good.\n", r"claims\.good: .*got 'claim'"),
        ("  good:\n", "  best:\n", r"best: given twice"),
        ("paper: A paper\n", "", r"top level: paper: expected text"),
    ],
)  # fmt: skip
def test_broken_claims_are_refused_in_one_line(tmp_path, tables, old, new, named):
    assert GOOD.count(old) == 1
    with pytest.raises(InputError, match=named) as caught:
        read(tmp_path, tables, GOOD.replace(old, new, 1))
    assert "claims.yaml: " in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_hold_no_claims_are_refused(tmp_path, tables):
    for text in ("", "claims: []", "- 1", "paper: A\nclaims:\n  best: better"):
        with pytest.raises(InputError, match=r"claims\.yaml: "):
            read(tmp_path, tables, text)
    with pytest.raises(InputError, match=r"absent\.yaml: expected claims: No such file"):
        claims.load(tmp_path / "absent.yaml", tables)


def test_a_folder_without_claims_has_none(tmp_path):
    assert claims.load_folder(tmp_path) == ()


def all_claims():
    return {
        folder.parent.name: {claim.id: claim for claim in claims.load_folder(folder)}
        for folder in FOLDERS
    }


def test_every_paper_has_claims_with_their_place():
    found = all_claims()
    assert set(found) == {folder.parent.name for folder in FOLDERS}
    for paper in found.values():
        assert paper
        for claim in paper.values():
            assert claim.text.endswith(".") and claim.where


def pairs(claim):
    return {(one.better_row, one.worse_row, one.metric) for one in claim.comparisons}


def test_the_claims_that_the_papers_are_read_for():
    found = all_claims()
    tnbc, busi = found["tnbc_linknet"], found["busi_resnext_unet"]
    metrics = ("accuracy", "dsc", "f1", "aji")
    members = ("resnext50", "vgg19")
    assert pairs(tnbc["ensemble_beats_members"]) == {
        ("ensemble", member, metric) for member in members for metric in metrics
    }
    assert pairs(tnbc["vgg19_in_pixels_resnext50_in_nuclei"]) == {
        ("vgg19", "resnext50", "dsc"),
        ("vgg19", "resnext50", "f1"),
        ("resnext50", "vgg19", "aji"),
    }
    order = ("resnext50", "resnext101", "vgg16")
    assert pairs(busi["order_in_mean_iou"]) == {
        (order[i], order[j], "iou_mean") for i in range(3) for j in range(i + 1, 3)
    }
    classes = ("iou_background", "iou_benign", "iou_malignant")
    assert pairs(busi["resnexts_beat_unet"]) == {
        (better, "vgg16", metric) for better in order[:2] for metric in classes
    }
    assert len(found["brecahad_slicing"]["resnet50_encoder_helps"].comparisons) == 4
    validation = found["polyp_unet"]["good_on_validation_poor_on_test"].comparisons
    assert [(one.metric, one.worse_metric) for one in validation] == [
        ("validation_f1", "f1"),
        ("validation_iou", "iou"),
    ]


def test_quoted_rows_of_a_comparison_table_are_all_compared():
    """What a paper says of "recent work" is said of each number that it quotes."""
    table2 = schema.load(PROJECT / "reproductions/tnbc_linknet/published/table2.yaml")
    quoted = {
        ("ensemble", row, metric)
        for row, metric, _ in table2.all_numbers()
        if isinstance(table2.rows[row], Row) and table2.rows[row].citation
    }
    assert pairs(all_claims()["tnbc_linknet"]["better_than_recent_work"]) == quoted
