"""Checks of one row call impossible only what no masks can give."""

import math
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from common.metrics import dice
from common.published.schema import Row

ANY, MEAN, POOLED = (
    ("not stated", "mean over images", "pooled over pixels"),
    ("not stated", "mean over images"),
    "pooled",
)


@pytest.mark.parametrize(
    ("values", "aggregations", "expected"),
    [
        # Fractions end at 0 and 1.
        ({"dice": "1.00"}, ANY, None),
        ({"dice": "1.01"}, ANY, "fraction_range"),
        ({"iou": "-0.1"}, ANY, "fraction_range"),
        # Dice 0.8 is IoU 2/3 where pooled, and 2/3 to 0.8 for means over images.
        ({"dice": "0.8000", "iou": "0.6667"}, ANY, None),
        ({"dice": "0.8000", "iou": "0.6600"}, ANY, "dice_iou"),
        ({"f1": "0.8000", "iou": "0.6600"}, ANY, "dice_iou"),
        ({"dice": "0.8000", "iou": "0.7999"}, MEAN, None),
        ({"dice": "0.8000", "iou": "0.6700"}, [POOLED], "dice_iou"),
        ({"dice": "0.8000", "iou": "0.8003"}, ANY, "dice_iou"),
        ({"dice": "0.8", "iou": "0.6"}, ANY, None),
        # 0.2566 may be 0.25655 and 0.1471 may be 0.1471999: the digits that are not printed make
        # room for each other.
        ({"dice": "0.2566", "iou": "0.1471"}, ANY, None),
        # P 0.9 and R 0.5: their mean is 0.7, the harmonic one 9/14, P + R - 1 is 0.4, and the
        # pooled IoU 9/19.
        ({"precision": "0.900", "recall": "0.500", "f1": "0.643"}, ANY, None),
        ({"precision": "0.900", "recall": "0.500", "f1": "0.700"}, MEAN, None),
        ({"precision": "0.900", "recall": "0.500", "f1": "0.700"}, [POOLED], "precision_recall"),
        ({"precision": "0.900", "recall": "0.500", "f1": "0.703"}, ANY, "precision_recall"),
        ({"precision": "0.900", "recall": "0.500", "f1": "0.400"}, MEAN, None),
        ({"precision": "0.900", "recall": "0.500", "dice": "0.397"}, ANY, "precision_recall"),
        ({"precision": "0.900", "recall": "0.500", "iou": "0.474"}, ANY, None),
        ({"precision": "0.900", "recall": "0.500", "iou": "0.500"}, MEAN, None),
        ({"precision": "0.900", "recall": "0.500", "iou": "0.490"}, [POOLED], "precision_recall"),
        ({"precision": "0.900", "recall": "0.500", "iou": "0.503"}, ANY, "precision_recall"),
        ({"precision": "0.0", "recall": "0.0", "f1": "0.0"}, ANY, None),
        # IoU is at most accuracy; Dice 0.8 needs an IoU of 2/3.
        ({"accuracy": "0.65", "iou": "0.65"}, ANY, None),
        ({"accuracy": "0.65", "iou": "0.68"}, ANY, "accuracy"),
        ({"accuracy": "0.667", "f1": "0.800"}, ANY, None),
        ({"accuracy": "0.660", "f1": "0.800"}, ANY, "accuracy"),
        # AJI is at most IoU.
        ({"aji": "0.60", "dice": "0.80"}, ANY, None),
        ({"aji": "0.82", "dice": "0.80"}, ANY, "aji_jaccard"),
        ({"aji": "0.70", "dice": "0.80"}, [POOLED], "aji_jaccard"),
        ({"aji": "0.68", "iou": "0.65"}, ANY, "aji_jaccard"),
        # Dice and F1 are one quantity.
        ({"dice": "0.8249", "f1": "0.8250"}, ANY, None),
        ({"dice": "0.8249", "f1": "0.8282"}, [MEAN[1], POOLED], "dice_f1"),
    ],
)  # fmt: skip
def test_rows_are_held_to_what_their_aggregation_allows(
    values, aggregations, expected, found_in_row
):
    for aggregation in aggregations:
        assert found_in_row(aggregation, **values) == (
            [(expected, "impossible")] if expected else []
        ), aggregation


def test_what_needs_an_explanation_is_suspicious_only(found_in_row):
    assert found_in_row("not stated", dice="0.8249", f1="0.8282") == [("dice_f1", "suspicious")]
    for aggregation in ANY:  # 0.8249 / (2 − 0.8249) = 0.70198
        assert found_in_row(aggregation, aji="0.702", dice="0.8249") == [
            ("aji_jaccard", "suspicious")
        ]
        assert found_in_row(aggregation, aji="0.6893", dice="0.822") == []
    for aggregation in MEAN:
        assert found_in_row(aggregation, aji="0.75", dice="0.80") == [("aji_jaccard", "suspicious")]


def test_percentages_are_fractions_of_a_hundred(found_in_row):
    assert found_in_row("not stated", unit="percent", dice="83.42", iou="73.17") == []
    assert found_in_row("not stated", unit="percent", dice="83.42", iou="71.50") == [
        ("dice_iou", "impossible")
    ]


def test_only_what_can_be_compared_is(column, table, found, found_in_row):
    values = {"one": "0.80", "other": "0.10"}
    for apart in ({"split": "train"}, {"target": "benign"}, {"aggregation": "pooled"}):
        metrics = {"one": column("dice", **apart), "other": column("iou")}
        assert found(table({"unet": values}, metrics)) == []
    assert found(table({"unet": values}, {"one": column("dice"), "other": column("iou")})) != []
    assert (
        found(
            table({"unet": values}, {"one": column("dice"), "other": column(None, unit="fraction")})
        )
        == []
    )
    assert found_in_row("median over images", dice="0.80", iou="0.10") == []


def test_quoted_rows_are_held_against_arithmetic_too(table, findings):
    quoted = {"other": Row("Others", "Somebody, 2020", {"dice": "0.80", "iou": "0.10"})}
    (finding,) = findings(table(quoted))
    assert (finding.check, finding.severity) == ("dice_iou", "impossible")
    assert finding.message.startswith("Others (quoted): iou 0.10 is below")


def test_the_reason_of_an_impossible_pair_says_what_it_presumes(table, findings):
    (finding,) = findings(table({"unet": {"dice": "0.80", "iou": "0.10"}}))
    assert "Presumes hard Dice and hard IoU" in finding.reason
    # A soft Dice beside a hard IoU does break the bound: 0.49 everywhere on the object.
    soft, hard = 2 * 0.49 / (1 + 0.49), 0.0
    assert hard < soft / (2 - soft)


IMAGE = st.tuples(*[st.integers(0, 12)] * 4).filter(any)


def print_number(value, digits, rounding, percent):
    return str(
        Decimal(float(value) * (100 if percent else 1)).quantize(
            Decimal(1).scaleb(-digits), rounding
        )
    )


@settings(max_examples=300, deadline=None)
@given(
    images=st.lists(IMAGE, min_size=1, max_size=6),
    lost=st.lists(st.integers(0, 12), min_size=6, max_size=6),
    aggregation=st.sampled_from(ANY),
    pooled=st.booleans(),
    empty=st.sampled_from([0.0, 1.0, "skip"]),
    digits=st.integers(2, 4),
    rounding=st.sampled_from([ROUND_HALF_EVEN, ROUND_DOWN]),
    percent=st.booleans(),
)
def test_an_honest_row_is_never_impossible(
    images, lost, aggregation, pooled, empty, digits, rounding, percent, found_in_row
):
    assume(aggregation == "not stated" or pooled == aggregation.startswith("pooled"))
    matrices = np.array(images).reshape(-1, 2, 2)
    reduction = "pooled" if pooled else "per_image"
    names = ("dice", "f1", "iou", "precision", "recall")
    values = {
        name: getattr(dice, name)(matrices, reduction=reduction, empty=empty) for name in names
    }
    values["accuracy"] = dice.accuracy(matrices, reduction=reduction)
    # AJI's intersection is a part of the true positives, its union at least that of the masks.
    tp = matrices[:, 1, 1]
    union = tp + matrices[:, 0, 1] + matrices[:, 1, 0]
    matched, counted = np.minimum(tp, lost[: len(tp)]), union + np.array(lost)[: len(tp)]
    if pooled:
        matched, counted, union = (
            matched.sum(keepdims=True),
            counted.sum(keepdims=True),
            union.sum(keepdims=True),
        )
    shown = union > 0
    perfect = [] if empty == "skip" else [empty] * int((~shown).sum())
    scores = [*(matched[shown] / counted[shown]), *perfect]
    values["aji"] = np.mean(scores) if scores else math.nan
    assume(not any(math.isnan(value) for value in values.values()))
    printed = {
        kind: print_number(value, digits, rounding, percent) for kind, value in values.items()
    }
    findings = found_in_row(aggregation, unit="percent" if percent else "fraction", **printed)
    assert not {severity for _, severity in findings} - {"suspicious"}
    assert not {check for check, _ in findings} - {"aji_jaccard"}


@settings(max_examples=100, deadline=None)
@given(
    images=st.lists(st.tuples(*[st.integers(1, 12)] * 9), min_size=1, max_size=5),
    aggregation=st.sampled_from(ANY),
    digits=st.integers(2, 4),
)
def test_an_honest_table_of_classes_is_quiet(images, aggregation, digits, column, table, found):
    matrices = np.array(images).reshape(-1, 3, 3)
    reduction = "pooled" if aggregation.startswith("pooled") else "per_image"
    ious = dice.iou(matrices, class_index=None, reduction=reduction)
    values = {f"iou{index}": value for index, value in enumerate(ious)}
    values.update(
        iou=ious.mean(), dice=dice.dice(matrices, class_index=None, reduction=reduction).mean()
    )
    metrics = {f"iou{index}": column("iou", aggregation, target=str(index)) for index in range(3)}
    mean = aggregation.replace("pooled", "mean over classes of what is pooled")
    metrics.update(
        iou=column("iou", mean, mean_of=("iou0", "iou1", "iou2")), dice=column("dice", mean)
    )
    printed = {
        name: print_number(value, digits, ROUND_HALF_EVEN, False) for name, value in values.items()
    }
    assert found(table({"unet": printed}, metrics)) == []


POLYP = {
    "f1": "0.2811",
    "iou": "0.1850",
    "accuracy": "0.0499",
    "precision": "0.0142",
    "recall": "0.0377",
}


@pytest.fixture
def polyp(column, table):
    def build(assumed="summed over batches, divided by images", values=POLYP, **declared):
        sums = {kind: column(kind, assumed=assumed) for kind in ("accuracy", "precision", "recall")}
        metrics = {"f1": column("f1"), "iou": column("iou"), **sums}
        return table({"unet": values}, metrics, **declared)

    return build


def test_the_batch_size_is_tried_on_metrics_that_are_aggregated_alike(found, findings, polyp):
    note = ("table1", "batch_size", "note")
    assert note in found(polyp(batch_size=16))
    (finding,) = (
        finding for finding in findings(polyp(batch_size=16)) if finding.check == "batch_size"
    )
    assert "accuracy 0.7984, precision 0.2272, recall 0.6032" in finding.message
    assert note not in found(polyp())
    assert note not in found(polyp(batch_size=2))  # too little
    assert note not in found(polyp(batch_size=64))  # accuracy would be above 1
    assert note not in found(polyp(assumed="mean over images", batch_size=16))  # then all five grow
    assert (
        found(
            polyp(
                values={**POLYP, "accuracy": "0.80", "precision": "0.23", "recall": "0.60"},
                batch_size=16,
            )
        )
        == []
    )
