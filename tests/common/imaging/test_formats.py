from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from common.files import PROJECT
from common.imaging import formats, reading

IMAGE = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))


@pytest.mark.parametrize("known", formats.FORMATS[:-1], ids=lambda known: known.name)
def test_each_format_is_recognised_and_read_by_its_content_under_any_name(tmp_path, known):
    path = tmp_path / "image.of.no.known.suffix"
    IMAGE.save(path, format=known.name)
    assert formats.recognise(path.read_bytes()[: formats.START]) == known.name
    loaded = reading.read(path)
    assert loaded.format == known.name
    assert loaded.pixels.shape == (4, 4, 3)


def test_dicom_is_recognised_and_read_under_any_name(dicom):
    path = dicom(np.arange(12, dtype=np.uint8).reshape(3, 4), name="1.2.840.99.7")
    assert reading.read(path).format == "DICOM"


# The first bytes of files as programs write them.
OTHERS = {
    "an SVG drawing": b'<?xml version="1.0"?>\n<!-- made by hand -->\n<svg xmlns="http://',
    "a web page": b"\n<!DOCTYPE html><html><body>log in first",
    "a PDF document": b"%PDF-1.7\n",
    "a PostScript drawing": b"%!PS-Adobe-3.0 EPSF",
    "a Photoshop file": b"8BPS\0\1",
    "a JPEG 2000 image": b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ",
    "a HEIC or AVIF image": b"\0\0\0\x18ftypheic\0\0\0\0",
    "a video": b"\0\0\0\x18ftypmp42\0\0\0\0",
    "a PNM image": b"P5\n4 4\n255\n",
    "a NIfTI volume": b"\x5c\1\0\0" + bytes(340) + b"n+1\0",
    "an NRRD volume": b"NRRD0004\ntype: short",
    "a MetaImage volume": b"ObjectType = Image\nNDims = 3\n",
    "an HDF5 file": b"\x89HDF\r\n\x1a\n",
    "a NumPy array": b"\x93NUMPY\1\0v\0{'descr'",
    "a zip archive": b"PK\3\4\x14\0",
    "a gzip archive": b"\x1f\x8b\x08\0",
}


@pytest.mark.parametrize("what", OTHERS)
def test_other_files_are_refused_by_what_they_are(tmp_path, refused, what):
    path = tmp_path / "image.png"
    path.write_bytes(OTHERS[what])
    message = refused(path, what, *(known.name for known in formats.FORMATS))
    assert len(message) < 250


def test_a_text_is_refused_with_the_list(tmp_path, refused):
    path = tmp_path / "image.png"
    path.write_text("what a fine image")
    refused(path, "not an image in a known format", formats.NAMES)


@pytest.mark.parametrize("page", ["README.md", "docs/images.md"])
def test_documents_have_the_same_list(page):
    text = " ".join((PROJECT / page).read_text(encoding="utf-8").split())
    assert formats.NAMES in text


def test_suffixes_are_small_and_of_one_format():
    assert len(set(formats.SUFFIXES)) == len(formats.SUFFIXES)
    assert all(re.fullmatch(r"\.[a-z0-9]+", suffix) for suffix in formats.SUFFIXES)
    assert ".dcm" in formats.ACCEPT.split(",") and "image/png" in formats.ACCEPT.split(",")
