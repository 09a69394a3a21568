"""The published tables hold what the papers print, retyped from the papers."""

import re
from decimal import Decimal

import pytest

from common.files import PROJECT
from common.published import schema

REPRODUCTIONS = PROJECT / "reproductions"
FOLDERS = sorted(REPRODUCTIONS.glob("*/published"))
TNBC = REPRODUCTIONS / "tnbc_linknet" / "published"
BUSI = REPRODUCTIONS / "busi_resnext_unet" / "published"
BRECAHAD = REPRODUCTIONS / "brecahad_slicing" / "published"


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
        assert column.resolution == second.metrics[metric].resolution
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


def numbers_of(path):
    return [text for _, _, text in schema.load(path).all_numbers()]


def test_numbers_of_texts_are_the_printed_ones():
    # In the order of the text: section 3.1 of TNBC's paper, 2.1 of BUSI's, 1 and 7 of BreCaHAD's.
    assert numbers_of(TNBC / "dataset.yaml") == ["50", "11", "4022", "512", "512"]
    assert numbers_of(BUSI / "sizes.yaml") == ["190", "335", "1048", "578"]
    assert numbers_of(BRECAHAD / "dataset.yaml") == ["162", "1360", "1024", "6", "22"]
    assert numbers_of(BRECAHAD / "section7.yaml") == ["74.22", "59.24", "74.58", "59.71"]
    own = schema.load(BRECAHAD / "section7.yaml")
    assert [row for row, _, _ in own.numbers()] == ["p256_s128_zero"] * 2


def test_results_quoted_in_the_texts_are_the_printed_ones():
    tnbc = """0.9779 0.7658 0.6226 0.738 0.585 0.7741 0.6539 83.03 15.68 73.23 17.11 0.9468 0.7977
        0.7072 0.793 0.72"""
    assert numbers_of(TNBC / "literature.yaml") == tnbc.split()
    busi = """99.86 912 89.00 82.00 93.00 2032 75.94 66.37 85.23 86.87 1061 97.16 43 98.84 43 99.35
        1030 97.8 97.68 99.21 98.44 82.60 882 92.90 780"""
    assert numbers_of(BUSI / "literature.yaml") == busi.split()
    assert not list(schema.load(BUSI / "literature.yaml").numbers())


def test_no_band_is_left_and_a_resolution_is_only_ever_lowered():
    for path in (path for folder in FOLDERS for path in schema.table_files(folder)):
        assert not re.search(r"\bbands?\b", path.read_text(encoding="utf-8")), path
        for metric in schema.load(path).metrics.values():
            default = schema.default_resolution(metric.kind, metric.unit)
            assert metric.resolution == default or metric.resolution < default


def test_sums_divided_by_images_are_told_to_a_sixteenth():
    table = schema.load(REPRODUCTIONS / "polyp_unet/published/table.yaml")
    for name in ("accuracy", "precision", "recall"):
        metric = table.metrics[name]
        assert metric.resolution == schema.RESOLUTIONS[name] / 16
        assert "sixteenth" in metric.resolution_reason
    assert table.metrics["f1"].resolution == Decimal("0.05")
