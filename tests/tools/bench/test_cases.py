"""Every case once, as small as it goes: that it runs and that the contenders agree, not how fast
they are.
"""

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
from tools.bench.timing import Cost, Row

CASES = {
    "metrics": (
        "AJI, ",
        "AJI+, ",
        "PQ and matching, ",
        "PQ, 20 nuclei, 256×256: memory",
        "AJI+, 300 nuclei, 512×512",
        "AJI+, an id per pixel, 64×64",
        "AJI+, 128×128",
        "PQ, 128×128",
    ),
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


class StubWorker:
    """A worker whose steps always take the same time."""

    facts = {"parameters": 7, "build": 1.0}
    last = {"result": 0.5}

    def __init__(self, seconds):
        self.seconds = seconds

    def __call__(self):
        return self.step()

    def step(self):
        return Cost(self.seconds, self.seconds, self.seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.mark.slow
def test_networks():
    (row,) = encoders.measure(Work("Linknet", "vgg16", 32, 2), SMOKE, (encoders.FLOAT32,))
    assert row.peer == "stock segmentation_models, float32"
    assert row.ratio > 0 and row.ratio_cpu > 0 and row.ratio_least > 0


def test_each_precision_is_held_against_the_same(monkeypatch):
    def keras(work, precision, fast):
        return StubWorker((4.0 if fast else 6.0) / (2 if precision == encoders.BFLOAT16 else 1))

    monkeypatch.setattr(encoders, "_keras", keras)
    both = (encoders.FLOAT32, encoders.BFLOAT16)
    rows = encoders.measure(Work("Linknet", "resnext50", 32, 2), SMOKE, both)
    assert [(row.case.split(",")[0], row.peer, row.ratio) for row in rows] == [
        ("build + first step", "stock segmentation_models, float32", 7 / 5),
        ("training step", "stock segmentation_models, float32", 1.5),
        ("build + first step", "stock segmentation_models, mixed_bfloat16", 4 / 3),
        ("training step", "stock segmentation_models, mixed_bfloat16", 1.5),
        ("training step", "ours, float32", 2),
    ]


def test_another_first_loss_is_no_comparison(monkeypatch):
    def keras(work, precision, fast):
        worker = StubWorker(1.0)
        worker.last = {"result": 0.5 if fast else 0.6}
        return worker

    monkeypatch.setattr(encoders, "_keras", keras)
    with pytest.raises(AssertionError, match="float32: loss 0.5, stock 0.6"):
        encoders.measure(Work("Unet", "vgg16", 32, 2), SMOKE, (encoders.FLOAT32,))


def test_what_pytorch_is_not_there_for_is_said(plain_cpu, tmp_path):
    rows = encoders.beside_torch(Work("Linknet", "vgg16", 32, 2), SMOKE, tmp_path / "none")
    assert [row.note for row in rows] == ["not installed"] * 2
    assert {row.peer for row in rows} == {
        "segmentation_models_pytorch, float32, channels_last",
        "segmentation_models_pytorch, float32, channels_last, compiled",
    }


def test_networks_beside_pytorch(plain_cpu, monkeypatch, tmp_path):
    asked = []

    def fail():
        raise RuntimeError("no compiler")

    def torch_worker(python, target, **arguments):
        asked.append(arguments)
        worker = StubWorker(6.0)
        if arguments["compiled"]:
            worker.step = fail
        return worker

    monkeypatch.setattr(encoders, "torch_worker", torch_worker)
    monkeypatch.setattr(encoders, "_keras", lambda *_, **__: StubWorker(2.0))
    rows = encoders.beside_torch(Work("Linknet", "vgg16", 32, 2), SMOKE, tmp_path)
    assert [arguments["precision"] for arguments in asked] == ["float32"] * 2
    assert [(row.note, row.ratio) for row in rows if row.n] == [("7 parameters, ours 7", 3)]
    assert [row.note for row in rows if not row.n] == ["does not run here: no compiler"]


@pytest.mark.slow
def test_the_whole_table_with_stock_parts():
    with Worker(
        "tools.bench.table:regeneration", table=SMOKE.table, networks=["vgg16"], stock=True
    ) as worker:
        assert worker().wall > 0
        assert (
            worker.last["result"] > 10
        )  # a heading, and the metrics of the network and of the "ensemble"


def test_the_table_is_regenerated_with_each_set_of_parts(plain_cpu, monkeypatch):
    asked = []

    class Stub(contextlib.nullcontext):
        def __init__(self, target, **arguments):
            asked.append(arguments)
            super().__init__(lambda: Cost(6.0 if arguments["stock"] else 2.0))

    monkeypatch.setattr(table, "Worker", Stub)
    (row,) = table.run(SMOKE)
    assert (
        row.case == "TNBC table 1, vgg16, 5 phantoms of 64×64, epochs 1, float32" and row.ratio == 3
    )
    assert [arguments["stock"] for arguments in asked] == [False, True]
    assert {arguments["precision"] for arguments in asked} == {"float32"}


@pytest.mark.slow
def test_what_is_measured_on_a_gpu_runs_on_a_cpu(monkeypatch):
    monkeypatch.setattr(device.shutil, "which", lambda name: None)
    settings = (device.Setting(fast=True, precision="float32", tf32=False, xla=False),)
    rows, (result,) = device.run(SMOKE, Work("Linknet", "vgg16", 32, 1), settings)
    assert rows == [] and np.isnan(result.busy)
    assert (
        result.images_per_second > 0 and 0 < result.fraction_of_limit < np.inf
    )  # of a limit measured beside other work
    assert result.limited_by in ("operations", "bytes")
