from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from common.errors import InputError
from common.files import PROJECT
from common.imaging import formats, reading
from common.imaging.masks import read_mask
from common.imaging.reading import read, read_any, read_rgb, to_rgb

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
GREY = RGB[..., 0]


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("source", ["file", "text", "content"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_file_and_its_content_are_read_alike(tmp_path, source, suffix):
    for stored in (RGB, GREY):
        path = save(tmp_path / f"a{suffix}", stored)
        what = {"file": path, "text": str(path), "content": path.read_bytes()}[source]
        loaded = read(what)
        np.testing.assert_array_equal(loaded.pixels, stored.reshape(5, 7, -1))
        assert loaded.pixels.dtype == np.uint8 and loaded.pixels.flags.writeable
        assert (loaded.frames, loaded.orientation, loaded.spacing) == (1, 1, None)


def test_what_is_told_of_an_image_fits_into_json(tmp_path, dicom):
    for path in (
        save(tmp_path / "a.png", RGB),
        save(tmp_path / "a.tif", GREY),
        dicom(GREY, PixelSpacing=[0.5, 0.25], WindowCenter=9, WindowWidth=99),
    ):
        told = {
            field.name: getattr(read(path), field.name)
            for field in dataclasses.fields(reading.LoadedImage)
            if field.name != "pixels"
        }
        assert json.loads(json.dumps(told))["levels"]


def test_grey_is_repeated_and_alpha_dropped():
    stack = np.stack([np.dstack([RGB, GREY])] * 2)
    np.testing.assert_array_equal(to_rgb(stack), np.stack([RGB, RGB]))
    expected = np.repeat(GREY[..., None], 3, axis=2)
    np.testing.assert_array_equal(to_rgb(GREY[None, ..., None]), expected[None])


def test_the_shorter_ways_of_reading_give_the_same(tmp_path):
    path = save(tmp_path / "a.png", RGB)
    np.testing.assert_array_equal(read_any(path), RGB)
    np.testing.assert_array_equal(read_rgb(path), RGB)
    np.testing.assert_array_equal(read(path.read_bytes()).pixels, RGB)
    pages = tmp_path / "a.tif"
    tifffile.imwrite(pages, np.stack([GREY, 255 - GREY]), photometric="minisblack")
    np.testing.assert_array_equal(read_any(pages, 2)[..., 0], 255 - GREY)
    np.testing.assert_array_equal(read(pages.read_bytes(), 1).pixels[..., 0], GREY)


@pytest.mark.parametrize("read", [read_rgb, read_any, read_mask], ids=lambda read: read.__name__)
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_text("<html>"), "a web page, expected PNG"),
        (lambda path: path.write_text("text"), "not an image in a known format"),
        (lambda path: path.symlink_to(path.name), "cannot be read"),
        (lambda path: path.write_bytes(b"II*\0"), "a damaged TIFF"),
        (lambda path: path.write_bytes(b"BM" + bytes(12) + b"\x28" + bytes(30)), "damaged"),
        (lambda path: path.write_bytes(bytes(128) + b"DICM" + b"\1" * 50), "readable DICOM"),
    ],
)
def test_unusable_files_are_named_in_one_line(tmp_path, refused, read, make, words):
    path = tmp_path / "slide.png"
    make(path)
    refused(path, words, read=read)


@pytest.mark.parametrize("known", formats.FORMATS[:-1], ids=lambda known: known.name)
def test_truncated_files_of_every_format_are_refused(encoded, refused, known):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    content = encoded(noise, known.name)
    for keep in (0.3, 0.7, 0.95):
        refused(content[: int(len(content) * keep)], name="scan")


@pytest.mark.parametrize("known", formats.FORMATS[:-1], ids=lambda known: known.name)
def test_images_with_too_many_pixels_are_refused_before_decoding(encoded, known):
    content = encoded(RGB, known.name)
    assert read(content, name="scan", most_pixels=35).pixels.shape == RGB.shape
    with pytest.raises(reading.TooManyPixels, match=r"scan: expected at most 34 pixels, got 7x5"):
        read(content, name="scan", most_pixels=34)
    if known.name in ("PNG", "TIFF"):
        # Of the pixels nothing is left: who decoded would find damage instead.
        with pytest.raises(reading.TooManyPixels):
            read(content[: -RGB.nbytes // 2], name="scan", most_pixels=34)


def test_a_dicom_file_with_too_many_pixels_is_refused_before_decoding(dicom):
    content = dicom(RGB, "RGB").read_bytes()
    with pytest.raises(reading.TooManyPixels, match=r"scan: expected at most 34 pixels, got 7x5"):
        read(content[:-50], name="scan", most_pixels=34)


def test_an_image_too_large_for_pillow_is_one_of_too_many_pixels(encoded, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(reading.TooManyPixels, match="scan: expected at most 12 pixels"):
        read(encoded(RGB, "PNG"), name="scan", most_pixels=12)


@pytest.mark.parametrize("format", ["EPS", "PPM", "ICO", "PCX"])
def test_formats_that_nobody_asked_for_are_not_tried(encoded, refused, format):
    refused(encoded(RGB, format), formats.NAMES, name="scan")  # for EPS a program would be started


def test_the_common_formats_load_no_slow_library():
    code = (
        "import sys; from common.imaging import masks, reading, writing; "
        "print({'pydicom', 'gdcm', 'tensorflow'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"


def test_content_without_a_name_is_called_an_image():
    with pytest.raises(InputError, match=r"^image: the file is empty"):
        read(b"")
