"""The published tables hold what the paper prints, and a table that loses a digit or a row is
refused.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from common.errors import InputError
from common.files import PROJECT
from common.published import schema

REPRODUCTIONS = PROJECT / "reproductions"
TNBC = REPRODUCTIONS / "tnbc_linknet" / "published"
BUSI = REPRODUCTIONS / "busi_resnext_unet" / "published"
BRECAHAD = REPRODUCTIONS / "brecahad_slicing" / "published"

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
    band: "1"
    band_reason: chosen
  mean: {label: Mean, mean_of: [dsc], unit: points, aggregation: mean, band: "1", band_reason: chosen}
rows:
  unet: {label: U-Net, source: this paper, values: {dsc: "82.0"}}
  tiles:
    label: Tiles
    source: this paper
    cut: {source: unet, image: "1024", tile: "512", step: "256"}
    filtered_from: unet
    values: {dsc: "82.0"}
  total: {label: Total, source: this paper, sum_of: [unet, tiles], values: {dsc: "164.0"}}
open: [the seed]
"""


def load_text(tmp_path: Path, text: str) -> schema.PublishedTable:
    path = tmp_path / "table.yaml"
    path.write_text(text, encoding="utf-8")
    return schema.load(path)


def test_table_1_is_the_printed_one():
    # Retyped from the paper, reading across: accuracy, DSC, F1, AJI.
    printed = """
        resnext50  0.9706 0.822  0.8255 0.6893
        vgg19      0.9691 0.8239 0.8273 0.6851
        ensemble   0.9717 0.8249 0.8282 0.702
    """
    lines = [line.split() for line in printed.split("\n") if line.strip()]
    expected = [
        (line[0], metric, value)
        for line in lines
        for metric, value in zip(["accuracy", "dsc", "f1", "aji"], line[1:])
    ]
    assert list(schema.load(TNBC / "table1.yaml").numbers()) == expected


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
    table = schema.load(TNBC / "table2.yaml")
    assert [
        [
            row.label.replace(" ", "-"),
            *(row.values.get(metric, "-") for metric in ("accuracy", "dsc", "f1", "aji")),
        ]
        for row in table.rows.values()
    ] == expected
    assert [name for name, row in table.rows.items() if row.citation is None] == ["ensemble"]
    assert [metric for _, metric, _ in table.numbers()] == ["accuracy", "dsc", "f1", "aji"]


def test_both_tables_read_the_paper_alike():
    first, second = (schema.load(TNBC / f"table{number}.yaml") for number in (1, 2))
    assert first.rows["ensemble"] == second.rows["ensemble"]
    for metric, column in first.metrics.items():
        assert column.assumed_aggregation == second.metrics[metric].assumed_aggregation
        assert column.band == second.metrics[metric].band
    assert first.metrics["f1"].assumed_aggregation != first.metrics["dsc"].assumed_aggregation


def test_the_busi_tables_are_the_printed_ones():
    # Retyped from the paper, which prints classes down and models across.
    printed = """
        Background  89.06 87.27 84.10
        Benign      71.44 68.34 65.33
        Malignant   59.01 61.11 54.79
        Mean-IoU    73.17 72.24 68.07
    """
    by_class = [line.split()[1:] for line in printed.split("\n") if line.strip()]
    table3 = schema.load(BUSI / "table3.yaml")
    assert list(table3.rows) == ["resnext50", "resnext101", "vgg16"]
    assert list(table3.metrics) == ["iou_background", "iou_benign", "iou_malignant", "iou_mean"]
    assert [list(row.values.values()) for row in table3.rows.values()] == [
        list(column) for column in zip(*by_class)
    ]
    assert table3.metrics["iou_mean"].mean_of == ("iou_background", "iou_benign", "iou_malignant")
    assert [metric.target for metric in table3.metrics.values()] == [
        "background",
        "benign",
        "malignant",
        None,
    ]
    assert {metric.unit for metric in table3.metrics.values()} == {"percent"}

    table4 = schema.load(BUSI / "table4.yaml")
    quoted = [
        (row.values.get("iou_mean"), row.values["dice"])
        for row in table4.rows.values()
        if row.citation
    ]
    assert quoted == [("58.30", "73.26"), (None, "63.40"), (None, "73.70"), (None, "62.00")]
    assert [value for _, _, value in table4.numbers()] == ["73.17", "83.42"]

    table1 = schema.load(BUSI / "table1.yaml")
    counts = [("benign", "437"), ("malignant", "210"), ("normal", "133"), ("total", "780")]
    assert [(row, value) for row, _, value in table1.numbers()] == counts
    assert table1.rows["total"].sum_of == ("benign", "malignant", "normal")
    assert table1.split_percent == {
        "images": "780",
        "training": "70",
        "validation": "20",
        "test": "10",
    }

    params = {row: value for row, _, value in schema.load(BUSI / "params.yaml").numbers()}
    assert params == {"vgg16": "23748531", "resnext50": "31993270", "resnext101": "51142070"}


# Retyped from the paper with its commas: train Dice and IoU, test Dice and IoU, and in tables 2 and
# 3 the size.
BRECAHAD_PRINTED = {
    "table1": """
        prep              0,902  0,8239 0,2566 0,1471
        prep,-augmented   0,3101 0,2143 0,439  0,3767
        n_prep,-augmented 0,0281 0,0142 0,0484 0,0248
        n_prep            0,7631 0,6312 0,2843 0,1547
    """,
    "table2": """
        Original       0,9631 0,8312 0,3843 0,2547 162
        1/4            0,92   0,7632 0,431  0,377  648
        1/4/zero       0,4029 0,3855 0,4011 0,3641 635
        512p/256s      0,1873 0,1013 0,3126 0,223  247
        512p/256s/zero 0,1789 0,0986 0,3037 0,179  286
        256p/128s      0,8742 0,7962 0,7271 0,5661 1349
        256p/128s/zero 0,8923 0,8084 0,742  0,5921 1258
        128p/64s       0,8134 0,6903 0,6615 0,5008 6196
        128p/64s/zero  0,8553 0,7509 0,7084 0,5547 4655
    """,
    "table3": """
        Original       0,3101 0,2143 0,439  0,3767 162
        1/4            0,8934 0,8077 0,2562 0,1469 453
        1/4/zero       0,6918 0,6194 0,3538 0,2721 435
        512p/256s      0,841  0,7268 0,6359 0,4664 247
        512p/256s/zero 0,1962 0,1041 0,3218 0,278  228
        256p/128s      0,901  0,822  0,7416 0,5934 1190
        256p/128s/zero 0,8845 0,7948 0,7458 0,5971 1190
        128p/64s       0,8293 0,712  0,676  0,5154 5103
        128p/64s/zero  0,8623 0,7617 0,691  0,5333 4655
    """,
}


@pytest.mark.parametrize("name", BRECAHAD_PRINTED)
def test_the_brecahad_tables_are_the_printed_ones(name):
    expected = [
        line.replace(",", ".").split()
        for line in BRECAHAD_PRINTED[name].split("\n")
        if line.strip()
    ]
    table = schema.load(BRECAHAD / f"{name}.yaml")
    columns = [
        "train_dice",
        "train_iou",
        "test_dice",
        "test_iou",
        *(["size"] if name != "table1" else []),
    ]
    assert list(table.metrics) == columns
    rows = [
        [row.label.replace(", ", ".-"), *(row.values[column] for column in columns)]
        for row in table.rows.values()
    ]
    assert rows == expected
    assert {table.metrics[column].split for column in columns[:2]} == {"train"}
    assert table.model == ("U-net_ResNet50" if name == "table3" else "U-net")


def test_the_brecahad_sets_are_made_as_the_paper_says():
    second, third = (schema.load(BRECAHAD / f"table{number}.yaml").rows for number in (2, 3))
    assert [(row.cut, row.filtered_from) for row in second.values()] == [
        (row.cut, row.filtered_from) for row in third.values()
    ]
    cuts = [
        (name, row.cut.image, row.cut.tile, row.cut.step) for name, row in second.items() if row.cut
    ]
    assert cuts == [
        ("quarter", 1024, 512, 512),
        ("p512_s256", 1024, 512, 256),
        ("p256_s128", 1024, 256, 128),
        ("p128_s64", 1024, 128, 64),
    ]
    filtered = {name: row.filtered_from for name, row in second.items() if row.filtered_from}
    assert filtered == {f"{name}_zero": name for name, *_ in cuts}


def test_the_brain_tumour_numbers_are_the_printed_ones():
    table = schema.load(REPRODUCTIONS / "brain_tumour_mask_rcnn" / "published" / "splits.yaml")
    assert list(table.numbers()) == [
        ("train", "images", "202"),
        ("val", "images", "61"),
        ("test", "images", "39"),
        ("mask_rcnn", "weights_size", "244"),
    ]


def test_the_polyp_table_is_the_printed_one():
    table = schema.load(REPRODUCTIONS / "polyp_unet" / "published" / "table.yaml")
    printed = {
        "f1": "0.2811",
        "iou": "0.1850",
        "accuracy": "0.0499",
        "precision": "0.0142",
        "recall": "0.0377",
    }
    assert {metric: value for _, metric, value in table.numbers()} == printed
    assert table.batch_size == 16


def test_decimals_survive(tmp_path):
    table = load_text(tmp_path, GOOD)
    assert list(table.numbers()) == [("unet", "dsc", "0.820")]
    assert table.metrics["dsc"].band == Decimal("0.01")
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
        schema.Cut("unet", 1024, 512, 256),
        "unet",
        (),
    )
    assert (total.cut, total.filtered_from, total.sum_of) == (None, None, ("unet", "tiles"))


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
            r"metrics\.mean\.mean_of: expected one of dsc, mean, got 'iou'",
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
        ('dsc: "0.820"', 'iou: "0.820"', r"rows\.unet\.values\.iou: expected one of the metrics dsc"),
        ('{dsc: "0.820"}', "{}", r"rows\.unet: values: expected a mapping"),
        ('{dsc: "0.820"}', '{dsc: "0.820", dsc: "0.9"}', r"dsc: given twice in the mapping that starts on line 10"),
        ("  other:", "  unet:", r"unet: given twice"),
        ("source: this paper", "source: my paper", r"rows\.unet: expected 'source: this paper'"),
        ("source: this paper", "source: quoted", r"rows\.unet: .* with a citation"),
        ("label: U-Net, source", "name: U-Net, source", r"rows\.unet: expected .* got 'name'"),
        ("  unet:", "  50:", r"top level: rows: expected a mapping of ids \(quote them\)"),
        ("{label: U-Net, source: this paper, values: {dsc: "
         "\"0.820\"}}", "0.82", r"rows\.unet: expected a mapping"),
        ('band: "0.01"', "band: 0.01", r"metrics\.dsc: band: expected text \(quote it\), got 0\.01"),
        ('band: "0.01"', 'band: "1 %"', r"metrics\.dsc\.band: expected a quoted number"),
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
