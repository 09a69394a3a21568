"""Every case once, as small as it goes: that it runs and that the contenders agree, not how fast
they are.
"""

from __future__ import annotations

import contextlib

import numpy as np
import pandas
import pytest
from rich.console import Console

from common.imaging.reading import read_rgb
from common.training import cuda
from tools.bench import __main__ as command
from tools.bench import device, encoders, figure, table
from tools.bench.child import Worker
from tools.bench.encoders import Work
from tools.bench.scale import SMOKE
from tools.bench.timing import Row

CASES = {
    "metrics": ("AJI, ", "AJI+, ", "PQ and matching, ", "PQ, 20 nuclei, 256×256: memory"),
    "tiling": (
        "pad + split + merge, ",
        "split, overlap 50 %, blend, ",
        "split, overlap 50 %, blend from disk to disk",
    ),
    "pipeline": (
        "decode, CLAHE, augment, batch: ",
        "2 training steps on files",
        "1 images of 1024×1024",
    ),
}


@pytest.fixture
def plain_cpu(monkeypatch):
    monkeypatch.setattr(cuda, "device_name", lambda: "CPU (2 cores, invented)")


def check(rows):
    assert rows
    for row in rows:
        assert row.note == "not installed" or (row.n >= 1 and row.ratio > 0 and row.ours > 0)


@pytest.mark.slow
@pytest.mark.parametrize("subject", CASES)
def test_a_subject_runs_and_leaves_its_files(subject, tmp_path):
    measured = command.measure([subject, "gpu"], SMOKE, tmp_path)
    rows = measured[subject]
    check(rows)
    for case in CASES[subject]:
        assert any(row.case.startswith(case) for row in rows), case
    written = pandas.read_csv(tmp_path / f"{subject}.csv")
    assert list(written.columns) == list(Row._fields) and len(written) == len(rows)
    assert (tmp_path / f"{subject}.json").exists()
    rows_read, commits = command.load(tmp_path)
    assert [(row.case, row.peer, row.n) for row in rows_read[subject]] == [
        (row.case, row.peer, row.n) for row in rows
    ]
    assert np.allclose(
        [row.ratio for row in rows_read[subject]], [row.ratio for row in rows], equal_nan=True
    )
    assert commits
    figure.draw(tmp_path / "bench.png", rows_read, "smoke")
    assert read_rgb(tmp_path / "bench.png").std() > 5
    console = Console(record=True, width=200)
    command.show(measured, console)
    assert rows[0].case in console.export_text()


@pytest.mark.slow
def test_networks(plain_cpu, tmp_path):
    rows = encoders.measure(Work("Linknet", "vgg16", 32, 2), SMOKE, torch_python=tmp_path / "none")
    assert [row.n for row in rows] == [0, 1, 0]
    assert "AVX512" in rows[0].note and rows[2].note == "not installed"
    assert rows[1].ratio > 0


@pytest.mark.slow
def test_the_whole_table_with_stock_parts():
    with Worker(
        "bench.table:regeneration", table=SMOKE.table, networks=["vgg16"], stock=True
    ) as worker:
        assert worker() > 0
        assert (
            worker.last["result"] > 10
        )  # a heading, and the metrics of the network and of the "ensemble"


def test_the_table_is_regenerated_with_each_set_of_parts(plain_cpu, monkeypatch):
    asked = []

    class Stub(contextlib.nullcontext):
        def __init__(self, target, **arguments):
            asked.append(arguments)
            super().__init__(lambda: 6.0 if arguments.get("stock") else 2.0)

    monkeypatch.setattr(table, "Worker", Stub)
    (row,) = table.run(SMOKE)
    assert (
        row.case == "TNBC table 1, vgg16, 5 phantoms of 64×64, epochs 1, float32" and row.ratio == 3
    )
    assert [arguments.get("stock", False) for arguments in asked] == [False, True]


@pytest.mark.slow
def test_what_is_measured_on_a_gpu_runs_on_a_cpu(monkeypatch):
    monkeypatch.setattr(device.shutil, "which", lambda name: None)
    settings = (device.Setting(fast=True, precision="float32", tf32=False, xla=False),)
    rows, (result,) = device.run(SMOKE, Work("Linknet", "vgg16", 32, 1), settings)
    assert rows == [] and np.isnan(result.busy)
    assert (
        result.images_per_second > 0 and 0 < result.share_of_limit < np.inf
    )  # of a limit measured beside other work
    assert result.limited_by in ("operations", "bytes")
