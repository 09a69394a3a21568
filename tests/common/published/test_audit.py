"""The audit calls impossible only what is, finds what is known of the five papers, and needs
nothing but the tables.
"""

from __future__ import annotations

import csv
import math
import subprocess
import sys
import time
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from common.files import PROJECT
from common.metrics import dice
from common.published import audit
from common.published.schema import SHARES, Cut, Metric, PublishedTable, Row

ROOT = PROJECT


def column(kind, aggregation="not stated", assumed="mean over images", unit=None, **relations):
    unit = unit or ("fraction" if kind in SHARES else "images")
    assumed = assumed if aggregation == "not stated" else None
    return Metric(kind, unit, aggregation, assumed, Decimal("0.01"), "chosen", kind, **relations)


def table(rows, metrics=None, id="table1", **declared):
    """A table whose columns are named after their kind, unless `metrics` says what they are."""
    rows = {
        name: row if isinstance(row, Row) else Row(name, None, row) for name, row in rows.items()
    }
    metrics = metrics or {name: column(name) for row in rows.values() for name in row.values}
    return PublishedTable(
        id, "Results", "A paper", "section 4", "phantoms", metrics, rows, ("the seed",), **declared
    )


def found(*tables):
    return [
        (finding.table, finding.check, finding.severity) for finding in audit.audit("paper", tables)
    ]


def found_in_row(aggregation, unit="fraction", **values):
    metrics = {kind: column(kind, aggregation, unit=unit) for kind in values}
    return [finding[1:] for finding in found(table({"unet": values}, metrics))]


ANY, MEAN, POOLED = (
    ("not stated", "mean over images", "pooled over pixels"),
    ("not stated", "mean over images"),
    "pooled",
)


@pytest.mark.parametrize(
    ("values", "aggregations", "expected"),
    [
        # Shares end at 0 and 1.
        ({"dice": "1.00"}, ANY, None),
        ({"dice": "1.01"}, ANY, "share_range"),
        ({"iou": "-0.1"}, ANY, "share_range"),
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
def test_rows_are_held_to_what_their_aggregation_allows(values, aggregations, expected):
    for aggregation in aggregations:
        assert found_in_row(aggregation, **values) == (
            [(expected, "impossible")] if expected else []
        ), aggregation


def test_what_needs_an_explanation_is_suspicious_only():
    assert found_in_row("not stated", dice="0.8249", f1="0.8282") == [("dice_f1", "suspicious")]
    for aggregation in ANY:  # 0.8249 / (2 − 0.8249) = 0.70198
        assert found_in_row(aggregation, aji="0.702", dice="0.8249") == [
            ("aji_jaccard", "suspicious")
        ]
        assert found_in_row(aggregation, aji="0.6893", dice="0.822") == []
    for aggregation in MEAN:
        assert found_in_row(aggregation, aji="0.75", dice="0.80") == [("aji_jaccard", "suspicious")]


def test_percentages_are_fractions_of_a_hundred():
    assert found_in_row("not stated", unit="percent", dice="83.42", iou="73.17") == []
    assert found_in_row("not stated", unit="percent", dice="83.42", iou="71.50") == [
        ("dice_iou", "impossible")
    ]


def test_only_what_can_be_compared_is():
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
    quoted = {"other": Row("Others", "Somebody, 2020", {"dice": "0.80", "iou": "0.10"})}
    assert found(table(quoted)) == []


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
    images, lost, aggregation, pooled, empty, digits, rounding, percent
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
def test_an_honest_table_of_classes_is_quiet(images, aggregation, digits):
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


def polyp(assumed="summed over batches, divided by images", values=POLYP, **declared):
    sums = {kind: column(kind, assumed=assumed) for kind in ("accuracy", "precision", "recall")}
    return table({"unet": values}, {"f1": column("f1"), "iou": column("iou"), **sums}, **declared)


def test_the_batch_size_is_tried_on_metrics_that_are_aggregated_alike():
    note = ("table1", "batch_size", "note")
    assert note in found(polyp(batch_size=16))
    (finding,) = (
        finding
        for finding in audit.audit("paper", [polyp(batch_size=16)])
        if finding.check == "batch_size"
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


def test_class_means_are_means():
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


def test_totals_are_sums():
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
def test_splits_are_of_whole_images_and_of_all(split, expected):
    findings = found(table({"unet": {"dice": "0.8"}}, split_percent=split))
    assert findings == [("table1", "split_percent", severity) for severity in expected]


SCORES = {"dice": "0.3101", "iou": "0.2143"}


def test_repeated_digits_are_found_only_where_the_settings_differ():
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


def test_one_name_has_one_value():
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


@pytest.mark.parametrize(
    ("size", "severity"), [("246", None), ("247", "note"), ("286", "impossible")]
)
def test_a_filtered_set_is_not_larger(size, severity):
    findings = found(
        table(
            {"all": {"size": "247"}, "some": Row("some", None, {"size": size}, filtered_from="all")}
        )
    )
    assert findings == ([("table1", "filtered", severity)] if severity else [])


@pytest.mark.parametrize(
    ("tile", "step", "size", "severity"),
    [
        (512, 512, "648", None),  # 2 × 2 × 162
        (512, 256, "1458", None),  # 3 × 3 × 162
        (256, 128, "7938", None),  # 7 × 7 × 162
        (128, 64, "36450", None),  # 15 × 15 × 162
        (512, 256, "1459", "impossible"),
        (512, 256, "247", "suspicious"),
    ],
)
def test_a_cut_set_has_the_tiles_of_its_images(tile, step, size, severity):
    tiles = Row("tiles", None, {"size": size}, cut=Cut("original", 1024, tile, step))
    findings = found(table({"original": {"size": "162"}, "tiles": tiles}))
    assert findings == ([("table1", "tiles", severity)] if severity else [])


# What is known of the papers, read off their tables by hand: paper, table, check, severity, how
# often.
KNOWN = """
    brecahad_slicing table1 dice_iou         impossible 1
    brecahad_slicing table2 dice_iou         impossible 4
    brecahad_slicing table3 dice_iou         impossible 1
    brecahad_slicing table1 split_percent    note       1
    brecahad_slicing table3 repeated         suspicious 1
    brecahad_slicing table3 one_value        suspicious 6
    brecahad_slicing table2 filtered         impossible 1
    brecahad_slicing table3 filtered         note       1
    brecahad_slicing table2 tiles            suspicious 3
    brecahad_slicing table3 tiles            suspicious 4
    polyp_unet       table  precision_recall impossible 2
    polyp_unet       table  accuracy         impossible 2
    polyp_unet       table  batch_size       note       1
    tnbc_linknet     table1 dice_f1          suspicious 3
    tnbc_linknet     table2 dice_f1          suspicious 1
    tnbc_linknet     table1 aji_jaccard      suspicious 1
    tnbc_linknet     table2 aji_jaccard      suspicious 1
"""


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """The command's output, its findings as read back from the CSV, its seconds, and what it
    imported.
    """
    path = tmp_path_factory.mktemp("audit") / "audit.csv"
    code = "import runpy, sys; runpy.run_module('common.published.audit', run_name='__main__', alter_sys=True);"
    code += "print('IMPORTED', *sys.modules)"
    start = time.monotonic()
    command = [sys.executable, "-c", code, "--csv", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    seconds = time.monotonic() - start
    report, _, imported = done.stdout.partition("IMPORTED")
    with path.open(newline="", encoding="utf-8") as stream:
        return report, list(csv.DictReader(stream)), seconds, imported.split(), path


def test_the_papers_have_exactly_the_known_findings(audited):
    lines = [line.split() for line in KNOWN.strip().splitlines()]
    expected = {tuple(line[:4]): int(line[4]) for line in lines}
    counts = {}
    for finding in audited[1]:
        key = (finding["paper"], finding["table"], finding["check"], finding["severity"])
        counts[key] = counts.get(key, 0) + 1
    assert counts == expected


def test_the_known_findings_are_in_the_known_cells(audited):
    def cells(check):
        return [finding["cells"] for finding in audited[1] if finding["check"] == check]

    assert cells("dice_iou") == [
        f"{row}.{split}_dice {row}.{split}_iou"
        for row, split in [
            ("table1:n_prep", "test"),
            ("table2:original", "train"),
            ("table2:quarter", "train"),
            ("table2:p512_s256", "train"),
            ("table2:p256_s128", "test"),
            ("table3:p512_s256_zero", "train"),
        ]
    ]
    scores = ("train_dice", "train_iou", "test_dice", "test_iou")
    places = [
        f"{row}.{score}" for row in ("table3:original", "table1:prep_aug") for score in scores
    ]
    assert cells("repeated") == [" ".join(places)]
    assert cells("aji_jaccard") == [
        f"{table}:ensemble.aji {table}:ensemble.dsc" for table in ("table1", "table2")
    ]


def test_it_takes_seconds_and_no_tensorflow(audited):
    _, _, seconds, imported, _ = audited
    assert seconds < 5
    assert (
        "common.published.audit" not in imported and "rich" in imported
    )  # it ran as a program, and we see its imports
    assert not {"tensorflow", "keras", "segmentation_models", "reproductions"} & set(imported)


def test_the_report_names_every_paper_check_and_reason_within_80_columns(audited):
    report, findings, _, _, _ = audited
    assert max(map(len, report.splitlines())) <= 80
    flat = " ".join(report.split())
    for finding in findings:
        assert f"{finding['check']}: {finding['reason']}" in flat
        assert f"- {finding['severity']}, {finding['table']}: {finding['message']}" in flat
    assert "busi_resnext_unet: 21 numbers checked, no findings" in flat
    assert "brecahad_slicing: 106 numbers checked, 7 impossible, 14 suspicious, 2 notes " in flat
    assert "polyp_unet: 5 numbers checked, 4 impossible, 1 note " in flat


def test_the_kept_findings_are_those_of_the_tables(audited):
    assert (ROOT / "results" / "audit.csv").read_bytes() == audited[4].read_bytes(), (
        "run `make audit`"
    )


def test_files_and_folders_can_be_named(capsys):
    tnbc = ROOT / "reproductions" / "tnbc_linknet"
    audit.main([str(tnbc / "published" / "table1.yaml"), str(tnbc)])
    assert "tnbc_linknet: 16 numbers checked, 6 suspicious" in capsys.readouterr().out
    audit.main([str(tnbc / "published" / "table1.yaml")])
    assert "tnbc_linknet: 12 numbers checked, 4 suspicious" in capsys.readouterr().out


def test_broken_input_is_one_line_and_leaves_nothing_behind(tmp_path, capsys):
    kept = tmp_path / "audit.csv"
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.yaml").write_text("id: table1\n")
    for name, problem in (
        ("empty", "expected a folder with"),
        ("broken.yaml", "title"),
        ("absent.yaml", "No such file"),
    ):
        with pytest.raises(SystemExit) as stopped:
            audit.main([str(tmp_path / name), "--csv", str(kept)])
        error = capsys.readouterr().err
        assert stopped.value.code == 2 and error.count("\n") == 1
        assert f"{tmp_path / name}: " in error and problem in error
    assert not kept.exists()
