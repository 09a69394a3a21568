"""Every kind of bad picture, given to the code of every paper that reads one."""

import errno
import os
import pathlib
import shutil
import struct
import unicodedata
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from common.datasets import manifests
from common.imaging.writing import write_png

PAPERS = ("tnbc", "busi", "brecahad", "polyp", "brain")
MASKED = ("tnbc", "busi", "polyp")


def replaced(path, make):
    path.unlink()
    make(path)


def png(width, height, payload=b""):
    """A PNG file whose header declares these sides, over whatever follows."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", payload)
        + chunk(b"IEND", b"")
    )


def sixteen_bits(path):
    Image.fromarray(np.full((32, 32), 4000, np.uint16)).save(path, format="PNG")


def colours_of_sixteen_bits(path):
    tifffile.imwrite(path, np.full((32, 32, 3), 255, np.uint16), photometric="rgb")


def colours_of_sixteen_bits_as_png(path):
    path.write_bytes(cv2.imencode(".png", np.full((32, 32, 3), 255, np.uint16))[1].tobytes())


KINDS = {
    "truncated": (
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        "truncated",
    ),
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "text": (lambda path: path.write_text("<html>log in first</html>"), "a web page"),
    "folder": (lambda path: replaced(path, pathlib.Path.mkdir), "is a folder"),
    "missing target": (
        lambda path: replaced(path, lambda p: p.symlink_to(p.with_name("gone"))),
        "no such file",
    ),
    "symlink loop": (lambda path: replaced(path, lambda p: p.symlink_to(p.name)), "symbolic links"),
    "16 bits": (sixteen_bits, "8 bits per channel"),
    "colours of 16 bits": (colours_of_sixteen_bits_as_png, "8 bits per channel"),
    "TIFF of 16 bits": (colours_of_sixteen_bits, "8 bits per channel"),
    "60000x60000": (lambda path: path.write_bytes(png(60_000, 60_000)), "pixels"),
    "checksum": (lambda path: path.write_bytes(png(8, 8, b"\0" * 40)), "damaged"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("paper", PAPERS)
def test_a_bad_image_is_named_in_one_line(broken, fails, paper, kind):
    change, words = KINDS[kind]
    path, read = broken(paper, change)
    message = fails(read, path.name)
    assert (
        words in message.lower() or "no such image" in message
    )  # brain_mri looks for it before it reads it


@pytest.mark.parametrize("paper", MASKED)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: write_png(path, np.zeros((7, 9), bool)), "the mask is 9x7"),
        (lambda path: write_png(path, np.full((32, 32), 128, np.uint8)), "0/255 or 0/1"),
        (lambda path: write_png(path, np.full((32, 32, 3), (255, 0, 0), np.uint8)), "colours"),
        (lambda path: path.unlink(), "mask"),
    ],
    ids=["other size", "greys", "colours", "missing"],
)
def test_a_bad_mask_is_named_in_one_line(broken, fails, paper, change, words):
    _, read = broken(paper, change, "mask")
    fails(read, words, "mask")


@pytest.mark.parametrize("paper", PAPERS)
def test_a_file_that_may_not_be_read_is_named(broken, fails, monkeypatch, paper):
    path, read = broken(paper, lambda path: path.chmod(0))

    def opened(self, *arguments, **options):  # root may read what its modes forbid
        if self == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return real(self, *arguments, **options)

    real = pathlib.Path.open
    monkeypatch.setattr(pathlib.Path, "open", opened)
    fails(read, path.name, "Permission denied")


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_with_spaces_and_turkish_letters_are_like_any_other(broken, paper, form):
    place = unicodedata.normalize(form, "Göğüs ışını İĞŞÇ (2. kopya)")
    path, read = broken(paper, lambda path: None, place=place)
    assert place in str(path) and read()


@pytest.mark.parametrize(
    "kind", ["truncated", "empty", "text", "folder", "symlink loop", "60000x60000"]
)
def test_the_check_of_a_data_set_names_a_bad_image(originals, tmp_path, fails, kind):
    shutil.copytree(originals / "tnbc", tmp_path / "tnbc")
    path = tmp_path / "tnbc/Slide_01/01_1.png"
    KINDS[kind][0](path)
    if (
        kind == "truncated"
    ):  # its header, which is all that is looked at, is whole: the reader will find it
        assert manifests.find("tnbc", tmp_path)
    else:
        fails(lambda: manifests.main(["tnbc", "--data-root", str(tmp_path)]), path, "image")


@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
def test_a_folder_of_data_that_is_none_is_named(tmp_path, fails, kind):
    if kind == "file":
        (tmp_path / "tnbc").write_text("")
    elif kind == "empty":
        (tmp_path / "tnbc").mkdir()
    fails(
        lambda: manifests.main(["tnbc", "--data-root", str(tmp_path)]),
        tmp_path / "tnbc",
        "expected",
    )
