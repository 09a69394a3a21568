"""Full and read-only disks, and too little memory."""

import contextlib
import errno
import os
import resource
import subprocess
import sys
import tempfile
import types

import numpy as np
import pandas
import pytest
from PIL import Image

from common import files
from common.errors import exits_cleanly
from common.files import PROJECT
from common.imaging.reading import LoadedImage
from common.imaging.writing import write_png
from common.prediction import mapped, masks, one_image
from common.prediction.journal import Journal
from common.prediction.one_image import Writing
from common.prediction.predictor import Member, Way
from common.prediction.source import Item
from common.results import provenance
from common.training import predictions, runs
from reproductions.busi_resnext_unet import predictor as busi
from reproductions.busi_resnext_unet.config import Config as BusiConfig
from reproductions.tnbc_linknet import phantom as tnbc_phantom

NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


def keep_provenance(results_root):
    """Copy the small files of a run folder, which are not that small, beside the results."""
    folder = results_root / "run"
    folder.mkdir(exist_ok=True)
    for name in runs.RECORDS:
        (folder / name).write_text("a" * 5000)
    behind = [types.SimpleNamespace(folder=folder)]
    packing = provenance.Packing(provenance.no_seed)
    scores = pandas.DataFrame()
    provenance.keep(results_root / "tnbc_linknet", "run", behind, scores, {}, packing, None)


WRITERS = {
    "text": lambda path: files.write_text(path, "a" * 5000),
    "json": lambda path: files.write_json(path, ["a" * 5000]),
    "csv": lambda path: runs.write_csv(path, pandas.DataFrame({"a": range(2000)})),
    "png": lambda path: write_png(path, NOISE),
    "tiff": lambda path: masks.write_tiled(path, NOISE, "rgb"),
    "provenance": lambda path: keep_provenance(path.parents[3]),
    "map": lambda path: predictions.save_map(
        runs.Run(path.parent, {}), "../" + path.stem, NOISE[..., 0] / 255
    ),
    "exact map": lambda path: predictions.save_map(
        runs.Run(path.parent, {}), "../" + path.stem, NOISE[..., 0] / 255, exact=True
    ),
    "classes": lambda path: predictions.save_classes(
        runs.Run(path.parent, {}), "../" + path.stem, NOISE[..., 0]
    ),
}


@contextlib.contextmanager
def files_of_at_most(size):
    """A limit on the size of files, which fails as a full disk does: in the middle of a write."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_leaves_the_old_file_whole_and_nothing_half_written(tmp_path, fails, kind):
    kept = f"tnbc_linknet/provenance/run/{runs.RECORDS[0]}"
    names = {"map": "old.png", "exact map": "old.npy", "classes": "old.png"}
    names["provenance"] = kept
    path = tmp_path / names.get(kind, f"old.{kind}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"old")
    (tmp_path / "predictions").mkdir()
    (tmp_path / "config.json").write_text("{}")

    def write():
        with files_of_at_most(1000):
            WRITERS[kind](path)

    fails(write, "File too large", "make room")
    assert path.read_bytes() == b"old"
    WRITERS[kind](path)
    assert path.stat().st_size > 1000


def test_phantoms_on_a_full_disk_leave_nothing(tmp_path, fails):
    def write():
        with files_of_at_most(3000):
            tnbc_phantom.write(tmp_path / "out")

    fails(write, "File too large")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.fixture
def disk(tmp_path):
    """A disk of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_is_really_full_or_read_only(disk, fails):
    files.write_text(disk / "table.csv", "old")
    fails(
        lambda: files.write_text(disk / "table.csv", "a" * 100_000),
        disk,
        "No space left on device",
        "make room",
    )
    assert (disk / "table.csv").read_text() == "old"
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    fails(
        lambda: files.write_text(disk / "table.csv", "new"),
        disk,
        "Read-only file system",
        "another folder",
    )
    fails(lambda: runs.Run(disk / "run", {}), disk, "Read-only file system")
    assert [path.name for path in disk.iterdir()] == ["table.csv"] and (
        disk / "table.csv"
    ).read_text() == "old"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount a small disk")
@pytest.mark.parametrize("large", [False, True])
def test_a_prediction_for_which_the_disk_is_too_small(disk, fails, monkeypatch, tmp_path, large):
    if large:  # its maps lie on the disk as well
        monkeypatch.setattr(mapped, "LARGE", 1000)
    network = types.SimpleNamespace(predict_on_batch=lambda images: images / 255)
    predictor = busi.LesionPredictor(Member(disk, BusiConfig(encoder_weights="none"), network))
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    writing = Writing(disk, "U-Net", "", Journal(disk, predictor.classes))
    (tmp_path / "a.png").touch()  # its checksum is kept, its pixels are here already

    def predict():
        image = LoadedImage(noise, "PNG", "as stored")
        item = Item(tmp_path / "a.png", "a")
        one_image.predict(item, image, predictor, Way(), writing, lambda count: None)

    fails(predict, "No space left on device")
    assert not list(disk.glob(".partial-*")) and not list(disk.glob("*mask*"))


@pytest.mark.parametrize(
    "number", ["EACCES", "EROFS", "EPERM", "EDQUOT", "ENOSPC", "EIO", "ENAMETOOLONG"]
)
def test_what_a_disk_refuses_is_one_line_with_the_remedy(tmp_path, fails, monkeypatch, number):
    def refuse(*arguments, **options):
        raise OSError(
            getattr(errno, number), os.strerror(getattr(errno, number)), str(tmp_path / "results")
        )

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    monkeypatch.setattr(os, "open", refuse)
    message = fails(
        lambda: files.write_text(tmp_path / "results/table.csv", ""), tmp_path / "results"
    )
    assert message.count(";") == 1 and os.strerror(getattr(errno, number)) in message


@pytest.mark.parametrize(
    "obstacle", ["file as parent", "folder as target", "loop as parent", "long name"]
)
def test_what_is_in_the_way_of_a_result_is_named(tmp_path, fails, obstacle):
    target = tmp_path / "results/table.csv"
    if obstacle == "file as parent":
        target.parent.write_text("")
    elif obstacle == "folder as target":
        target.mkdir(parents=True)
    elif obstacle == "loop as parent":
        target.parent.symlink_to("results")
    else:
        target = target.with_name("a" * 300)
    fails(lambda: files.write_text(target, "new"), tmp_path / "results")
    assert obstacle == "long name" or not target.is_file()


def test_a_bug_keeps_its_traceback_and_an_interruption_says_how_to_go_on(capsys):
    @exits_cleanly
    def command(error):
        raise error

    with pytest.raises(FileNotFoundError):
        command(FileNotFoundError(errno.ENOENT, "gone"))
    with pytest.raises(KeyError):
        command(KeyError("a"))
    with pytest.raises(SystemExit) as caught:
        command(KeyboardInterrupt())
    assert caught.value.code == 130 and "the same command resumes" in capsys.readouterr().err


MEMORY = """
import resource, sys
from pathlib import Path
from common.imaging import masks, reading
from common.training import predictions, runs
from common.errors import exits_cleanly

folder, limit = Path(sys.argv[1]), int(sys.argv[2]) << 20
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + limit, used + limit))
calls = {
    "image": lambda: reading.read_rgb(folder / "wide.png"),
    "mask": lambda: masks.read_mask(folder / "wide.png"),
    "map": lambda: predictions.load_map(runs.Run(folder, {}), "wide"),
}
exits_cleanly(calls[sys.argv[3]])()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited as on Linux")
@pytest.mark.parametrize(
    ("what", "megabytes", "words"),
    [
        ("image", 60, "wide.png: not enough memory to decode this image"),
        ("mask", 250, "wide.png: not enough memory to decode this image"),
        ("map", 250, "not enough memory (Unable to allocate"),
    ],
)
def test_too_little_memory_is_one_line(tmp_path, what, megabytes, words):
    Image.new("1", (12_000, 12_000)).save(tmp_path / "wide.png")  # in few bytes, as all is black
    (tmp_path / "predictions").mkdir()
    header = {"descr": "<f4", "fortran_order": False, "shape": (3_500, 3_500, 4)}
    with (tmp_path / "predictions/wide.npy").open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        stream.truncate(
            1000 + 4 * 3_500 * 3_500 * 4
        )  # without its blocks: as large as it says, on a small disk
    command = [sys.executable, "-W", "ignore", "-c", MEMORY, str(tmp_path), str(megabytes), what]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert result.returncode == 2, result.stderr
    assert (
        result.stderr.startswith("error: ")
        and result.stderr.count("\n") == 1
        and words in result.stderr
    )
