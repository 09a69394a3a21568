"""A published table is read strictly: one that loses a digit or a row is refused."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from common.errors import InputError
from common.published import schema

GOOD = """
id: table1
title: Results
paper: A paper
where: section 4
data: phantoms
metrics:
  dsc: {label: DSC, kind: dice, unit: fraction, aggregation: mean over images}
rows:
  unet: {label: U-Net, source: this paper, values: {dsc: "0.820"}}
  other: {label: Other, source: quoted, citation: "Somebody, 2020", values: {dsc: "0.8"}}
open: [the seed]
"""

RELATED = """
id: table1
title: Results
paper: A paper
where: section 4
data: phantoms
model: U-Net
batch_size: "16"
split_percent: {images: "50", test: "20"}
metrics:
  dsc:
    label: DSC
    kind: dice
    split: train
    target: benign
    unit: percent
    aggregation: pooled
    resolution: "1.5"
    resolution_reason: the field tells a point and a half apart
  mean: {label: Mean, mean_of: [dsc], unit: points, aggregation: mean}
  size: {label: size, kind: size, unit: tiles, aggregation: count}
rows:
  unet: {label: U-Net, source: this paper, values: {dsc: "82.0"}}
  tiles:
    label: Tiles
    source: this paper
    cut: {source: unet, image: "1024", tile: "512", step: "256", tiles: "9"}
    filtered_from: unet
    in_data: {size: "9"}
    rows_of: [table1]
    values: {dsc: "82.0"}
  total: {label: Total, source: this paper, sum_of: [unet, tiles], values: {dsc: "164.0"}}
  other:
    label: Other
    source: quoted
    citation: Somebody, 2020
    omitted_from: table2
    values: {dsc: "90.0"}
our_runs:
  unet: {encoder: vgg16}
open: [the seed]
"""


def load_text(tmp_path: Path, text: str) -> schema.PublishedTable:
    path = tmp_path / "table.yaml"
    path.write_text(text, encoding="utf-8")
    return schema.load(path)


def test_decimals_survive(tmp_path):
    table = load_text(tmp_path, GOOD)
    assert list(table.numbers()) == [("unet", "dsc", "0.820")]
    assert list(table.all_numbers()) == [("unet", "dsc", "0.820"), ("other", "dsc", "0.8")]
    assert table.metrics["dsc"].resolution == Decimal("0.05")
    assert table.metrics["dsc"].assumed_aggregation is None
    assert table.rows["other"].citation == "Somebody, 2020"
    assert table.open == ("the seed",)


def test_relations_are_read_and_absent_ones_are_empty(tmp_path):
    table = load_text(tmp_path, RELATED)
    assert (table.model, table.batch_size, table.split_percent) == (
        "U-Net",
        16,
        {"images": "50", "test": "20"},
    )
    dsc, mean = table.metrics["dsc"], table.metrics["mean"]
    assert (dsc.kind, dsc.split, dsc.target, dsc.mean_of) == ("dice", "train", "benign", ())
    assert (mean.kind, mean.split, mean.target, mean.mean_of) == (None, None, None, ("dsc",))
    tiles, total = table.rows["tiles"], table.rows["total"]
    assert (tiles.cut, tiles.filtered_from, tiles.sum_of) == (
        schema.Cut("unet", 1024, 512, 256, 9),
        "unet",
        (),
    )
    assert (total.cut, total.filtered_from, total.sum_of) == (None, None, ("unet", "tiles"))
    assert (tiles.in_data, tiles.rows_of, total.in_data) == ({"size": "9"}, ("table1",), {})
    assert table.rows["other"].omitted_from == "table2"
    assert table.our_runs == {"unet": {"encoder": "vgg16"}}


@pytest.mark.parametrize(
    ("kind", "unit", "expected"),
    [
        ("dice", "fraction", "0.05"),
        ("f1", "fraction", "0.05"),
        ("iou", "percent", "5"),
        ("aji", "fraction", "0.05"),
        ("precision", "percent", "5"),
        ("recall", "fraction", "0.05"),
        ("accuracy", "fraction", "0.01"),
        ("accuracy", "percent", "1"),
        ("size", "images", None),
        ("parameters", "parameters", None),
        ("pixels", "pixels", None),
        ("file_size", "MB", None),
        (None, "percent", None),
    ],
)
def test_every_kind_has_one_resolution(kind, unit, expected):
    expected = None if expected is None else Decimal(expected)
    assert schema.default_resolution(kind, unit) == expected
    made = schema.Metric("", unit, "count", None, kind)
    assert made.resolution == expected
    assert made.deterministic == (kind in ("size", "parameters", "pixels", "file_size"))


def test_a_resolution_can_be_lowered_with_a_reason(tmp_path):
    dsc = load_text(tmp_path, RELATED).metrics["dsc"]
    assert dsc.resolution == Decimal("1.5")
    assert dsc.resolution_reason == "the field tells a point and a half apart"


def test_claims_are_no_table(tmp_path):
    for name in ("b", "a", "claims"):
        (tmp_path / f"{name}.yaml").write_text(GOOD, encoding="utf-8")
    assert [path.stem for path in schema.table_files(tmp_path)] == ["a", "b"]
    assert len(schema.load_folder(tmp_path)) == 2


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("kind: dice", "kind: dsc", r"metrics\.dsc\.kind: expected one of dice, f1, .*, got 'dsc'"),
        (
            "unit: percent",
            "unit: parts",
            r"metrics\.dsc\.unit: expected one of fraction, percent, got 'parts'",
        ),
        (
            "mean_of: [dsc]",
            "mean_of: [iou]",
            r"metrics\.mean\.mean_of: expected one of dsc, mean, size, got 'iou'",
        ),
        ("mean_of: [dsc]", "mean_of: dsc", r"metrics\.mean: mean_of: expected a list"),
        (
            "sum_of: [unet, tiles]",
            "sum_of: [unets]",
            r"rows\.total\.sum_of: expected one of unet, .*, got 'unets'",
        ),
        (
            "filtered_from: unet",
            "filtered_from: all",
            r"rows\.tiles\.filtered_from: expected one of .*, got 'all'",
        ),
        ("source: unet", "source: all", r"rows\.tiles\.cut\.source: expected one of .*, got 'all'"),
        (
            'tile: "512"',
            'tile: "2048"',
            r"rows\.tiles\.cut\.tile: expected at most the 1024 pixels .*, got 2048",
        ),
        ('step: "256"', 'step: "0"', r"rows\.tiles\.cut\.step: expected a whole number"),
        (', step: "256"', "", r"rows\.tiles\.cut: step: expected text"),
        ('tiles: "9"', 'tiles: "9.5"', r"rows\.tiles\.cut\.tiles: expected a whole number"),
        ('in_data: {size: "9"}', "in_data: {size: 9}", r"rows\.tiles\.in_data\.size: .*quoted"),
        ("in_data: {size:", "in_data: {nuclei:", r"rows\.tiles\.in_data\.nuclei: expected one of"),
        ("rows_of: [table1]", "rows_of: table1", r"rows\.tiles: rows_of: expected a list"),
        ("  unet: {encoder: vgg16}", "  vgg: {encoder: vgg16}", r"our_runs: expected one of unet"),
        ("{encoder: vgg16}", "vgg16", r"our_runs\.unet: expected a mapping of texts"),
        (
            'resolution: "1.5"',
            'resolution: "5"',
            r"resolution: .*default of the kind, 5\.00, got 5; it ",
        ),
        (
            'resolution: "1.5"',
            'resolution: "0"',
            r"metrics\.dsc\.resolution: expected a number between",
        ),
        ('resolution: "1.5"', "resolution: 1.5", r"metrics\.dsc: resolution: expected text"),
        ('    resolution: "1.5"\n', "", r"metrics\.dsc: expected resolution and resolution_reason"),
        (
            "    kind: dice\n",
            "",
            r"metrics\.dsc\.resolution: .*which this kind does not have, got 1\.5",
        ),
        ('batch_size: "16"', 'batch_size: "1.5"', r"batch_size: expected a whole number"),
        ('images: "50", ', "", r"split_percent: expected the number of images"),
        ('test: "20"', 'test: "20 %"', r"split_percent\.test: expected a quoted number"),
    ],
)
def test_broken_relations_are_refused_in_one_line(tmp_path, old, new, named):
    assert RELATED.count(old) == 1
    with pytest.raises(InputError, match=named) as caught:
        load_text(tmp_path, RELATED.replace(old, new, 1))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('"0.820"', "0.820", r'rows\.unet\.values\.dsc: .*quoted number.* got 0\.82$'),
        ('"0.820"', '"0,820"', r"rows\.unet\.values\.dsc: .*'0,820'"),
        ('"0.820"', '".82"', r"rows\.unet\.values\.dsc"),
        ('"0.820"', '"nan"', r"rows\.unet\.values\.dsc"),
        ('"0.820"', f'"{"9" * 400}"', r"rows\.unet\.values\.dsc: .*got '9{79}$"),
        ('dsc: "0.820"', 'iou: "0.8"', r"rows\.unet\.values\.iou: expected one of the metrics dsc"),
        ('{dsc: "0.820"}', "{}", r"rows\.unet: values: expected a mapping"),
        ('{dsc: "0.820"}', '{dsc: "0.8", dsc: "0.9"}', r"dsc: given twice in .* starts on line 10"),
        ("  other:", "  unet:", r"unet: given twice"),
        ("source: this paper", "source: my paper", r"rows\.unet: expected 'source: this paper'"),
        ("source: this paper", "source: quoted", r"rows\.unet: .* with a citation"),
        ("label: U-Net, source", "name: U-Net, source", r"rows\.unet: expected .* got 'name'"),
        ("  unet:", "  50:", r"top level: rows: expected a mapping of ids \(quote them\)"),
        ("{label: U-Net, source: this paper, values: {dsc: "
         "\"0.820\"}}", "0.82", r"rows\.unet: expected a mapping"),
        ("aggregation: mean over "
         "images", "aggregation: not stated", r"metrics\.dsc: expected assumed_aggregation"),
        ("unit:", "assumed_aggregation: pooled, "
                  "unit:", r"metrics\.dsc: expected assumed_aggregation"),
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
        schema.load(tmp_path / "absent.yaml")
    (tmp_path / "empty.yaml").touch()
    with pytest.raises(InputError, match=r"empty\.yaml: top level: expected a mapping .* got None"):
        schema.load(tmp_path / "empty.yaml")
    (tmp_path / "image.yaml").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xd8")
    with pytest.raises(InputError, match=r"image\.yaml: "):
        schema.load(tmp_path / "image.yaml")
