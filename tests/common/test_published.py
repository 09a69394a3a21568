"""The published tables hold what the paper prints, and a table that loses a digit or a row is refused."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from common import published
from common.errors import InputError

TNBC = Path(__file__).parents[2] / "reproductions" / "tnbc_linknet" / "published"

GOOD = """
id: table1
title: Results
paper: A paper
where: section 4
data: phantoms
metrics:
  dsc: {label: DSC, unit: fraction, aggregation: mean over images, band: "0.01", band_reason: chosen}
rows:
  unet: {label: U-Net, source: this paper, values: {dsc: "0.820"}}
  other: {label: Other, source: quoted, citation: "Somebody, 2020", values: {dsc: "0.8"}}
open: [the seed]
"""


def load_text(tmp_path: Path, text: str) -> published.PublishedTable:
    path = tmp_path / "table.yaml"
    path.write_text(text, encoding="utf-8")
    return published.load(path)


def test_table_1_is_the_printed_one():
    # Retyped from the paper, reading across: accuracy, DSC, F1, AJI.
    printed = """
        resnext50  0.9706 0.822  0.8255 0.6893
        vgg19      0.9691 0.8239 0.8273 0.6851
        ensemble   0.9717 0.8249 0.8282 0.702
    """
    lines = [line.split() for line in printed.split("\n") if line.strip()]
    expected = [
        (line[0], metric, value) for line in lines for metric, value in zip(["accuracy", "dsc", "f1", "aji"], line[1:])
    ]
    assert list(published.load(TNBC / "table1.yaml").numbers()) == expected


def test_table_2_is_the_printed_one():
    # Retyped from the paper; a dash is a value that it does not give.
    printed = """
        SPN                        -      0.7492 0.76   0.5854
        DSREDN                     -      -      0.7653 0.6854
        MFFNet                     0.954  -      0.813  0.642
        BAWGNet                    0.8294 0.7857 -      -
        Robust-Nuclei-Segmentation -      -      0.8376 0.611
        ANet                       -      0.753  -      0.559
        Proposed-(ensemble)        0.9717 0.8249 0.8282 0.702
    """
    expected = [line.split() for line in printed.split("\n") if line.strip()]
    table = published.load(TNBC / "table2.yaml")
    assert [
        [row.label.replace(" ", "-"), *(row.values.get(metric, "-") for metric in ("accuracy", "dsc", "f1", "aji"))]
        for row in table.rows.values()
    ] == expected
    assert [name for name, row in table.rows.items() if row.citation is None] == ["ensemble"]
    assert [metric for _, metric, _ in table.numbers()] == ["accuracy", "dsc", "f1", "aji"]


def test_both_tables_read_the_paper_alike():
    first, second = (published.load(TNBC / f"table{number}.yaml") for number in (1, 2))
    assert first.rows["ensemble"] == second.rows["ensemble"]
    for metric, column in first.metrics.items():
        assert column.assumed_aggregation == second.metrics[metric].assumed_aggregation
        assert column.band == second.metrics[metric].band
    assert first.metrics["f1"].assumed_aggregation != first.metrics["dsc"].assumed_aggregation


def test_decimals_survive(tmp_path):
    table = load_text(tmp_path, GOOD)
    assert list(table.numbers()) == [("unet", "dsc", "0.820")]
    assert table.metrics["dsc"].band == Decimal("0.01")
    assert table.metrics["dsc"].assumed_aggregation is None
    assert table.rows["other"].citation == "Somebody, 2020"
    assert table.open == ("the seed",)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('"0.820"', "0.820", r'rows\.unet\.values\.dsc: .*quoted number.* got 0\.82$'),
        ('"0.820"', '"0,820"', r"rows\.unet\.values\.dsc: .*'0,820'"),
        ('"0.820"', '".82"', r"rows\.unet\.values\.dsc"),
        ('"0.820"', '"nan"', r"rows\.unet\.values\.dsc"),
        ('dsc: "0.820"', 'iou: "0.820"', r"rows\.unet\.values\.iou: expected one of the metrics dsc"),
        ('{dsc: "0.820"}', "{}", r"rows\.unet: values: expected a mapping"),
        ('{dsc: "0.820"}', '{dsc: "0.820", dsc: "0.9"}', r"dsc: given twice in the mapping that starts on line 10"),
        ("  other:", "  unet:", r"unet: given twice"),
        ("source: this paper", "source: my paper", r"rows\.unet: expected 'source: this paper'"),
        ("source: this paper", "source: quoted", r"rows\.unet: .* with a citation"),
        ("label: U-Net, source", "name: U-Net, source", r"rows\.unet: expected .* got 'name'"),
        ("  unet:", "  50:", r"top level: rows: expected a mapping of ids \(quote them\)"),
        ("{label: U-Net, source: this paper, values: {dsc: \"0.820\"}}", "0.82", r"rows\.unet: expected a mapping"),
        ('band: "0.01"', "band: 0.01", r"metrics\.dsc: band: expected text \(quote it\), got 0\.01"),
        ('band: "0.01"', 'band: "1 %"', r"metrics\.dsc\.band: expected a quoted number"),
        ("aggregation: mean over images", "aggregation: not stated", r"metrics\.dsc: expected assumed_aggregation"),
        ("unit:", "assumed_aggregation: pooled, unit:", r"metrics\.dsc: expected assumed_aggregation"),
        ("title: Results\n", "", r"top level: title: expected text"),
        ("open: [the seed]", "open: [1]", r"open: expected a list of texts"),
        ("open: [the seed]", "open: [", r"expected the node content"),
    ],
)  # fmt: skip
def test_broken_tables_are_refused_in_one_line(tmp_path, old, new, named):
    assert GOOD.count(old) == 1
    with pytest.raises(InputError, match=named) as caught:
        load_text(tmp_path, GOOD.replace(old, new, 1))
    assert "table.yaml: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_table_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"absent\.yaml: expected a published table: No such file"):
        published.load(tmp_path / "absent.yaml")
    (tmp_path / "empty.yaml").touch()
    with pytest.raises(InputError, match=r"empty\.yaml: top level: expected a mapping .* got None"):
        published.load(tmp_path / "empty.yaml")
    (tmp_path / "image.yaml").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xd8")
    with pytest.raises(InputError, match=r"image\.yaml: "):
        published.load(tmp_path / "image.yaml")
