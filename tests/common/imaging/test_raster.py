from __future__ import annotations

import io
import struct
import tempfile
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from common.errors import InputError
from common.imaging import limits, reading
from common.imaging.levels import GreyRange
from common.imaging.reading import read, read_rgb

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (5, 7, 3), np.uint8)
MASK = RNG.random((5, 7)) > 0.5
DEEP = RNG.integers(0, 65536, (5, 7, 3), np.uint16)


def save(path, array, mode=None, **options):
    Image.fromarray(array, mode).save(path, **options)
    return path


def test_rgba_rgb_and_palette_load_alike(tmp_path):
    alpha = RNG.integers(0, 256, (5, 7, 1), np.uint8)
    expected = read_rgb(save(tmp_path / "rgb.png", RGB))
    assert expected.dtype == np.uint8
    np.testing.assert_array_equal(expected, RGB)
    np.testing.assert_array_equal(
        read_rgb(save(tmp_path / "rgba.png", np.dstack([RGB, alpha]))), RGB
    )
    Image.fromarray(RGB).quantize(256).save(tmp_path / "p.png", transparency=0)
    assert Image.open(tmp_path / "p.png").mode == "P"
    np.testing.assert_array_equal(read_rgb(tmp_path / "p.png"), RGB)


def test_grey_is_one_channel_and_is_repeated(tmp_path):
    grey = RGB[..., 0]
    expected = np.repeat(grey[..., None], 3, axis=2)
    for name, array in [("l.png", grey), ("la.png", np.dstack([grey, grey])), ("l.bmp", grey)]:
        path = save(tmp_path / name, array)
        np.testing.assert_array_equal(read_rgb(path), expected)
        if path.suffix == ".png":
            np.testing.assert_array_equal(read(path).pixels, grey[..., None])
    np.testing.assert_array_equal(
        read_rgb(save(tmp_path / "1.png", MASK)), np.repeat(MASK[..., None] * 255, 3, axis=2)
    )


def test_the_result_can_be_written_to(tmp_path):
    read_rgb(save(tmp_path / "a.png", RGB))[0, 0] = 0


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_bytes_of_every_format_are_those_that_pillow_decodes(encoded, format, mode):
    image = Image.effect_noise((40, 30), 60).convert(mode)
    content = encoded(image, format)
    expected = np.array(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(reading.to_rgb(read(content).pixels), expected)


def test_colours_for_printing_are_refused_by_what_they_are(tmp_path, refused):
    path = tmp_path / "a.jpg"
    Image.fromarray(RGB).convert("CMYK").save(path)
    refused(path, "CMYK", "convert it to RGB")


def deep_png(path, array):
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(array)))
    return path


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_of_16_bits_is_read_over_its_full_range(tmp_path, channels):
    stored = np.dstack([DEEP, DEEP[..., :1]])[..., :channels]
    if channels == 1:
        stored = stored[..., 0]
    loaded = read(deep_png(tmp_path / "a.png", stored))
    colours = 1 if channels < 3 else 3
    expected = (DEEP[..., :colours] // 257).astype(np.uint8)
    np.testing.assert_array_equal(loaded.pixels, expected)
    assert loaded.levels.startswith("full range of 16 bits, 0 to 65535")


def test_a_png_of_16_bits_is_read_over_a_range_or_percentiles(tmp_path):
    path = deep_png(tmp_path / "a.png", np.arange(0, 4000, 40, dtype=np.uint16).reshape(10, 10))
    loaded = read(path, grey_range=GreyRange(400, 2000))
    assert loaded.pixels.ravel()[[0, 10, 30, 50, 99]].tolist() == [0, 0, 127, 255, 255]
    assert loaded.levels == "range 400 to 2000 as asked for"
    loaded = read(path, grey_range=GreyRange(10, 90, percentiles=True))
    assert (loaded.pixels == 0).sum() == pytest.approx(10, abs=1)
    assert loaded.levels == "percentiles 10%,90% of the image, 360 to 3560"


def test_bytes_are_read_as_they_are_whatever_the_range(tmp_path):
    loaded = read(save(tmp_path / "a.png", RGB), grey_range=GreyRange(0, 10))
    np.testing.assert_array_equal(loaded.pixels, RGB)
    assert loaded.levels == "as stored"


FRAMES = [np.roll(RGB, shift, 1) for shift in range(3)]


@pytest.mark.parametrize("format", ["PNG", "GIF", "WEBP"])
def test_of_an_animation_one_frame_is_chosen(encoded, refused, format):
    first, *others = map(Image.fromarray, FRAMES)
    options = {} if format == "GIF" else {"lossless": True}
    content = encoded(first, format, save_all=True, append_images=others, **options)
    refused(content, "got 3 frames", "--frame N", "--frame all", name="scan")
    assert reading.count_frames(content) == 3
    for number, expected in enumerate(FRAMES, start=1):
        loaded = read(content, frame=number)
        assert loaded.frames == 3
        if format != "GIF":
            np.testing.assert_array_equal(loaded.pixels, expected)
    np.testing.assert_array_equal(
        read(content, frame="all").pixels, [read(content, frame=n).pixels for n in (1, 2, 3)]
    )
    for number in (0, 4, -1, "last"):
        refused(content, f"no frame {number} among its 3", frame=number, name="scan")


def test_frames_count_together(encoded):
    first, *others = map(Image.fromarray, FRAMES)
    content = encoded(first, "PNG", save_all=True, append_images=others)
    assert read(content, frame=1, most_pixels=35).pixels.shape == (5, 7, 3)
    with pytest.raises(limits.TooManyPixels):
        read(content, frame="all", most_pixels=35 * 3 - 1)


@settings(max_examples=150, deadline=None)
@given(
    cut=st.integers(1, 10_000),
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), max_size=3),
)
def test_damaged_files_are_refused_or_read_whole(cut, flips):
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, format="PNG")
    whole = stream.getvalue()
    damaged = bytearray(whole[: cut % len(whole) or None])
    for position, change in flips:
        damaged[position % len(damaged)] ^= change
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.png")
        path.write_bytes(damaged)
        try:
            image = read_rgb(path)
        except InputError as error:
            assert str(path) in str(error)
            assert "\n" not in str(error)
        else:
            assert flips or (image == RGB).all()


def chunk(kind, content):
    crc = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + crc


def test_more_chunks_markers_or_scans_than_an_image_has_are_refused(encoded, refused, monkeypatch):
    png = encoded(RGB, "PNG")
    refused(png[:33] + chunk(b"tEXt", b"a\0b") * 30_000 + png[33:], "chunks", name="a")
    jpeg = encoded(RGB, "JPEG", progressive=True)
    refused(jpeg[:2] + b"\xff\xfe\0\2" * 20_000 + jpeg[2:], "markers", name="a")
    start = jpeg.rfind(b"\xff\xda")
    many = jpeg[:-2] + jpeg[start:-2] * 200 + jpeg[-2:]
    refused(many, "scans", name="a")
    monkeypatch.setattr("common.imaging.jpeg.MOST_SCANNED", 35 * 5)
    refused(jpeg, "scans, too many for its size", name="a")


@pytest.mark.parametrize(
    ("marker", "words"), [(0xC3, "a lossless JPEG"), (0xC5, "a hierarchical JPEG")]
)
def test_kinds_of_jpeg_that_are_not_read_are_named(encoded, refused, marker, words):
    content = encoded(RGB, "JPEG").replace(b"\xff\xc0", bytes([0xFF, marker]), 1)
    refused(content, words, "convert it to PNG", name="a")


def test_a_jpeg_of_12_bits_is_named(encoded, refused):
    content = bytearray(encoded(RGB, "JPEG"))
    content[content.index(b"\xff\xc0") + 4] = 12
    refused(bytes(content), "a JPEG of 12 bits", name="a")


def test_a_file_of_more_bytes_than_are_read_at_once_is_refused(tmp_path, refused, monkeypatch):
    monkeypatch.setattr("common.imaging.raster.MOST_BYTES", 50)
    refused(save(tmp_path / "a.png", RGB), "expected at most 50 bytes, except in a TIFF")


@pytest.mark.parametrize("shape", [(1, 1), (8, 1600), (1, 30_000), (30_000, 1)])
def test_images_of_any_proportions_are_read(tmp_path, shape):
    grey = RNG.integers(0, 256, shape, np.uint8)
    for name in ("a.png", "a.tif"):
        np.testing.assert_array_equal(read(save(tmp_path / name, grey)).pixels[..., 0], grey)


@pytest.mark.parametrize("length", [12, 30, 45])
def test_messages_do_not_name_objects_in_memory(encoded, length):
    with pytest.raises(InputError, match="scan: damaged") as raised:
        read(encoded(Image.new("L", (9, 9)), "PNG")[:length], name="scan")
    assert "object at" not in str(raised.value)
