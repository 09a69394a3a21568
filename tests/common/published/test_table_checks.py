"""Checks of tables against each other and against the data."""

import pytest

from common.published.schema import Row


def test_class_means_are_means(column, table, found):
    classes = {
        name: column("iou", unit="percent", target=name)
        for name in ("background", "benign", "malignant")
    }
    metrics = {**classes, "mean": column("iou", unit="percent", mean_of=tuple(classes))}
    values = {"background": "89.06", "benign": "71.44", "malignant": "59.01"}
    mean = {"mean": "73.17"}
    assert found(table({"unet": {**values, **mean}}, metrics)) == []
    assert found(table({"unet": {**values, "mean": "73.2"}}, metrics)) == []
    assert found(table({"unet": {**values, "mean": "73.20"}}, metrics)) == [
        ("table1", "class_mean", "suspicious")
    ]
    assert found(table({"unet": {"benign": "71.44", "mean": "80.00"}}, metrics)) == []
    metrics.update(
        {name: column("iou", "pooled over pixels", unit="percent", target=name) for name in classes}
    )
    assert found(table({"unet": {**values, "mean": "73.20"}}, metrics)) == [
        ("table1", "class_mean", "impossible")
    ]


def test_totals_are_sums(table, found):
    rows = {"benign": {"size": "437"}, "malignant": {"size": "210"}, "normal": {"size": "133"}}
    for printed, expected in ("780", []), ("781", [("table1", "total", "impossible")]):
        assert (
            found(
                table({**rows, "total": Row("Total", None, {"size": printed}, sum_of=tuple(rows))})
            )
            == expected
        )


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ({"images": "780", "train": "70", "val": "20", "test": "10"}, []),
        ({"images": "50", "train": "80", "test": "20"}, []),
        ({"images": "300", "train": "33.33", "val": "33.33", "test": "33.33"}, ["note"]),
        ({"images": "162", "train": "80", "test": "20"}, ["note"]),
        ({"images": "780", "train": "70", "val": "20", "test": "15"}, ["impossible"]),
        ({"images": "780", "train": "70", "val": "20", "test": "5"}, ["impossible"]),
    ],
)
def test_splits_are_of_whole_images_and_of_all(split, expected, table, found):
    findings = found(table({"unet": {"dice": "0.8"}}, split_percent=split))
    assert findings == [("table1", "split_percent", severity) for severity in expected]


SCORES = {"dice": "0.3101", "iou": "0.2143"}


def test_repeated_digits_are_found_only_where_the_settings_differ(table, found):
    found_once = [("table3", "repeated", "suspicious")]
    first = table({"prep_aug": SCORES}, model="U-net")
    assert found(first, table({"original": SCORES}, id="table3", model="ResNet50")) == found_once
    assert found(first, table({"prep_aug": SCORES}, id="table3", model="ResNet50")) == found_once
    assert found(first, table({"original": SCORES}, id="table3", model="U-net")) == found_once
    assert found(table({"one": SCORES, "other": SCORES}, id="table3")) == found_once
    assert found(first, table({"prep_aug": SCORES}, id="table3", model="U-net")) == []
    assert (
        found(
            first, table({"original": {**SCORES, "iou": "0.2144"}}, id="table3", model="ResNet50")
        )
        == []
    )
    assert (
        found(
            table(
                {"one": {"dice": "0.80", "iou": "0.70"}, "other": {"dice": "0.80", "iou": "0.70"}}
            )
        )
        == []
    )


def test_one_name_has_one_value(table, found):
    first = table({"original": {"size": "648", "dice": "0.80"}}, model="U-net")
    for rows, model, expected in [
        ({"original": {"size": "453"}}, "U-net", True),
        ({"original": {"size": "453"}}, "ResNet50", True),
        ({"original": {"size": "648"}}, "ResNet50", False),
        ({"quarter": {"size": "453"}}, "ResNet50", False),
        ({"original": {"dice": "0.70"}}, "U-net", True),
        ({"original": {"dice": "0.804"}}, "U-net", False),
        ({"original": {"dice": "0.70"}}, "ResNet50", False),
    ]:
        findings = found(first, table(rows, id="table2", model=model))
        assert findings == ([("table2", "one_value", "suspicious")] if expected else [])


def test_a_stated_number_of_results_is_that_of_rows_without_copies(column, table, found):
    def stated(number):
        row = Row("Experiments", None, {"results": number}, rows_of=("table1", "table3"))
        return table({"all": row}, {"results": column("size")}, id="dataset")

    first = table({"one": SCORES, "two": {"dice": "0.5000", "iou": "0.4000"}}, model="U-net")
    second = table({"one": SCORES}, id="table3", model="ResNet50")
    other = table({"one": {"dice": "0.6000", "iou": "0.5000"}}, id="table3", model="ResNet50")
    wrong = ("dataset", "row_count", "suspicious")
    assert wrong in found(first, second, stated("3"))
    assert wrong not in found(first, second, stated("2"))  # one of three is a copy
    assert found(first, other, stated("3")) == []
    assert found(first, stated("7")) == []  # table3 is not there: nothing can be counted


def test_a_stated_size_is_that_of_the_data(column, table, found):
    metrics = {"height": column("pixels", unit="pixels")}
    for counted, expected in ("578", []), ("719", [("table1", "stated_size", "suspicious")]):
        row = Row("largest", None, {"height": "578"}, in_data={"height": counted})
        assert found(table({"largest": row}, metrics)) == expected
    assert found(table({"largest": Row("largest", None, {"height": "578"})}, metrics)) == []


@pytest.mark.parametrize(
    ("quoted", "omitted_from", "expected"),
    [
        ("92.90", "table4", [("literature", "omitted", "suspicious")]),
        ("83.42", "table4", []),
        ("83.424", "table4", []),
        ("82.60", "table4", []),
        ("92.90", None, []),
        ("92.90", "table9", []),
    ],
)
def test_a_better_result_that_is_quoted_belongs_in_the_comparison(
    quoted, omitted_from, expected, column, table, found
):
    metrics = {"dice": column("dice", unit="percent")}
    others = Row("SKMAT", "Somebody", {"dice": quoted}, omitted_from=omitted_from)
    comparison = table({"own": {"dice": "83.42"}, "weak": {"dice": "60.00"}}, metrics, id="table4")
    assert found(comparison, table({"others": others}, metrics, id="literature")) == expected
