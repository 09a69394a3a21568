"""The audit of the papers finds what is known of them, says why, and needs no images."""

import csv
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from common.files import PROJECT
from common.metrics import dice
from common.published import audit
from common.published.claims import Claim, Comparison
from common.published.schema import Cut, Row

ROOT = PROJECT

# What is known of the papers, read off their tables by hand: paper, table, check, severity, how
# often.
KNOWN = """
    brecahad_slicing  table1     dice_iou         impossible 1
    brecahad_slicing  table2     dice_iou         impossible 4
    brecahad_slicing  table3     dice_iou         impossible 1
    brecahad_slicing  table1     split_percent    note       1
    brecahad_slicing  table3     repeated         suspicious 1
    brecahad_slicing  dataset    row_count        suspicious 1
    brecahad_slicing  table3     one_value        suspicious 6
    brecahad_slicing  table2     filtered         impossible 1
    brecahad_slicing  table3     filtered         note       1
    brecahad_slicing  table2     tiles            suspicious 3
    brecahad_slicing  table3     tiles            suspicious 4
    brecahad_slicing  table2     tile_fraction    note       1
    brecahad_slicing  table3     tile_fraction    note       1
    brecahad_slicing  table3     removal          impossible 1
    brecahad_slicing  table3     removal          suspicious 2
    brecahad_slicing  table2     claim_printed    suspicious 1
    busi_resnext_unet sizes      stated_size      suspicious 2
    busi_resnext_unet literature omitted          suspicious 1
    polyp_unet        table      precision_recall impossible 2
    polyp_unet        table      accuracy         impossible 2
    polyp_unet        table      batch_size       note       1
    tnbc_linknet      table1     dice_f1          suspicious 3
    tnbc_linknet      table2     dice_f1          suspicious 2
    tnbc_linknet      table1     aji_jaccard      suspicious 1
    tnbc_linknet      table2     aji_jaccard      suspicious 2
    tnbc_linknet      table2     claim_printed    suspicious 1
"""


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """The command's output, its findings as read back from the CSV, its processor seconds, and
    what it imported.
    """
    path = tmp_path_factory.mktemp("audit") / "audit.csv"
    code = "import runpy, sys, time;"
    code += "runpy.run_module('common.published.audit', run_name='__main__', alter_sys=True);"
    code += "print('IMPORTED', time.process_time(), *sys.modules)"
    command = [sys.executable, "-c", code, "--csv", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    report, _, rest = done.stdout.partition("IMPORTED")
    seconds, *imported = rest.split()
    with path.open(newline="", encoding="utf-8") as stream:
        return report, list(csv.DictReader(stream)), float(seconds), imported, path


def without_test_sets(findings):
    """The findings that need no run of ours; the others change with the runs."""
    return [finding for finding in findings if finding["check"] != "test_set"]


def test_the_papers_have_exactly_the_known_findings(audited):
    lines = [line.split() for line in KNOWN.strip().splitlines()]
    expected = {tuple(line[:4]): int(line[4]) for line in lines}
    counts = {}
    for finding in without_test_sets(audited[1]):
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
        "table1:ensemble.aji table1:ensemble.dsc",
        "table2:dsredn.aji table2:dsredn.f1",
        "table2:ensemble.aji table2:ensemble.dsc",
    ]
    assert cells("omitted") == ["literature:skmat_unet.dice table4:resnext50.dice"]
    assert cells("stated_size") == ["sizes:smallest.height", "sizes:largest.height"]


def test_new_findings_name_their_arithmetic(audited):
    def messages(check):
        return [finding["message"] for finding in audited[1] if finding["check"] == check]

    assert messages("tile_fraction") == [
        "247 = int(17 % of 1458), 1349 = int(17 % of 7938), 6196 = int(17 % of 36450); by chance "
        "one size in 15, 79, 364",
        "453 = int(70 % of 648), 247 = int(17 % of 1458), 1190 = int(15 % of 7938), 5103 = int(14 "
        "% of 36450); by chance one size in 6, 15, 79, 364",
    ]
    quarter, middle, small = messages("removal")
    assert "18 of 453 (4.0 %)" in quarter and "13 of 648 (2.0 %)" in quarter
    assert "0 of 1190 (0.0 %)" in middle and "91 of 1349 (6.7 %)" in middle
    assert "448 of 5103 (8.8 %)" in small and "1541 of 6196 (24.9 %)" in small
    assert small.endswith("both leave 4655")
    assert "22 - 1 = 21" in messages("row_count")[0]
    assert "92.90 - 83.42 = 9.48" in messages("omitted")[0]
    dsredn = 0.7653 / (2 - 0.7653)
    assert dsredn == pytest.approx(0.620, abs=0.001)
    assert any("DSREDN (quoted)" in message for message in messages("aji_jaccard"))


def test_the_ensembles_gain_is_smaller_than_what_ten_images_do_to_it(audited):
    """Printed: 0.0010 of DSC over VGG19. The estimate is ours, and its finding says so."""
    (finding,) = (
        finding
        for finding in audited[1]
        if finding["check"] == "test_set"
        and finding["message"].startswith("Proposed (ensemble) over LinkNet-VGG19")
    )
    half = float(re.search(r"DSC 0\.0010 ±(0\.\d+)", finding["message"]).group(1))
    assert 0.01 < half < 0.08
    assert "10 test images" in finding["message"] and "of ours" in finding["message"]
    assert "estimated from our networks" in finding["reason"]


def test_it_takes_seconds_and_no_tensorflow(audited):
    _, _, seconds, imported, _ = audited
    assert seconds < 5
    assert (
        "common.published.audit" not in imported and "rich" in imported
    )  # it ran as a program, and we see its imports
    assert not {"tensorflow", "keras", "segmentation_models", "reproductions"} & set(imported)


def test_the_report_names_every_paper_check_and_reason_within_80_columns(audited):
    report, findings, _, _, path = audited
    *lines, written = report.strip().splitlines()
    assert max(map(len, lines)) <= 80
    flat = " ".join(report.split())
    for finding in findings:
        assert f"{finding['check']}: {finding['reason']}" in flat
        assert f"- {finding['severity']}, {finding['table']}: {finding['message']}" in flat
    for paper, numbers in (
        ("brain_tumour_mask_rcnn", 4),
        ("brecahad_slicing", 115),
        ("busi_resnext_unet", 55),
        ("polyp_unet", 5),
        ("tnbc_linknet", 51),
    ):
        assert f"{paper}: {numbers} numbers checked, " in flat
    assert "5 papers, 230 numbers checked: 12 impossible, 30 suspicious, " in flat
    assert report.strip().endswith(f"written: {path}")


def test_a_wide_terminal_changes_nothing(audited):
    command = [sys.executable, "-m", "common.published.audit"]
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_kept_findings_are_those_of_the_tables(audited):
    assert (ROOT / "results" / "audit.csv").read_bytes() == audited[4].read_bytes(), (
        "run `make audit`"
    )


def test_files_and_folders_can_be_named(capsys):
    tnbc = ROOT / "reproductions" / "tnbc_linknet"
    audit.main([str(tnbc / "published" / "table1.yaml"), str(tnbc)])
    assert "tnbc_linknet: 51 numbers checked, 9 suspicious" in capsys.readouterr().out
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


def test_a_consistent_paper_is_quiet(column, table, found):
    """Masks of a random network and a better one, sets of tiles in full, and a claim that holds."""
    rng = np.random.default_rng(0)
    truth = rng.random((40, 64, 64)) < 0.3
    metrics = {name: column(name) for name in ("dice", "iou", "precision", "recall", "accuracy")}
    rows = {}
    for name, wrong in (("good", 0.02), ("poor", 0.2)):
        masks = truth ^ (rng.random(truth.shape) < wrong)
        matrices = np.stack([dice.confusion(*pair) for pair in zip(truth, masks)])
        rows[name] = {kind: f"{getattr(dice, kind)(matrices):.4f}" for kind in metrics}
    cut = Cut("original", 1024, 256, 128, 49)
    sizes = {
        "original": {"size": "40"},
        "tiles": Row("tiles", None, {"size": "1960"}, cut=cut),
        "zero": Row("zero", None, {"size": "1800"}, filtered_from="tiles"),
        "counted": Row("counted", None, {"size": "2"}, rows_of=("table1",)),
    }
    split = {"images": "40", "train": "75", "test": "25"}
    tables = (
        table(rows, metrics, split_percent=split),
        table(sizes, id="sizes", model="U-Net"),
        table({**sizes, "counted": {"size": "2"}}, id="again", model="ResNet50"),
    )
    pairs = [Comparison("good", "poor", kind, "table1", kind, "table1") for kind in metrics]
    claim = Claim("best", "Good is better than poor.", "abstract", "better", tuple(pairs))
    assert found(*tables, claimed=[claim]) == []
