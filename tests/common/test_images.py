from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from common.errors import InputError
from common.images import read_mask, read_pair, read_rgb, write_png

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
MASK = np.random.default_rng(1).random((5, 7)) > 0.5


def save(path: Path, array: np.ndarray, mode: str | None = None, **options) -> Path:
    Image.fromarray(array, mode).save(path, **options)
    return path


def png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG")
    return stream.getvalue()


def test_rgba_rgb_and_palette_load_alike(tmp_path):
    alpha = np.random.default_rng(2).integers(0, 256, (5, 7, 1), np.uint8)
    expected = read_rgb(save(tmp_path / "rgb.png", RGB))
    assert expected.dtype == np.uint8
    np.testing.assert_array_equal(expected, RGB)
    np.testing.assert_array_equal(read_rgb(save(tmp_path / "rgba.png", np.dstack([RGB, alpha]))), RGB)
    Image.fromarray(RGB).quantize(256).save(tmp_path / "p.png", transparency=0)
    assert Image.open(tmp_path / "p.png").mode == "P"
    np.testing.assert_array_equal(read_rgb(tmp_path / "p.png"), RGB)


def test_grey_is_repeated(tmp_path):
    grey = RGB[..., 0]
    expected = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_rgb(save(tmp_path / "l.png", grey)), expected)
    np.testing.assert_array_equal(read_rgb(save(tmp_path / "la.png", np.dstack([grey, grey]))), expected)
    np.testing.assert_array_equal(read_rgb(save(tmp_path / "1.png", MASK)), np.repeat(MASK[..., None] * 255, 3, axis=2))


def test_the_result_can_be_written_to(tmp_path):
    read_rgb(save(tmp_path / "a.png", RGB))[0, 0] = 0


@pytest.mark.parametrize("read", [read_rgb, read_mask])
@pytest.mark.parametrize(
    "make, words",
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "folder"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_text("<html>"), "not a picture"),
        (lambda path: path.write_bytes(png(RGB)[:-40]), "truncated"),
        (lambda path: save(path, RGB[..., 0].astype(np.uint16) * 257), "8 bits per channel"),
    ],
)
def test_unusable_files_are_named_in_one_line(tmp_path, read, make, words):
    path = tmp_path / "slide.png"
    make(path)
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(cut=st.integers(1, 10_000), flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), max_size=3))
def test_damaged_files_are_refused_or_read_whole(cut, flips):
    whole = png(RGB)
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


@pytest.mark.parametrize(
    "array, mode",
    [
        (MASK, None),
        (MASK.astype(np.uint8), "L"),
        (MASK.astype(np.uint8) * 255, "L"),
        (np.repeat(MASK[..., None], 3, axis=2).astype(np.uint8) * 255, "RGB"),
        (np.dstack([np.repeat(MASK[..., None], 3, axis=2) * 255, np.full(MASK.shape, 90)]).astype(np.uint8), "RGBA"),
    ],
)
def test_masks_of_every_mode_read_alike(tmp_path, array, mode):
    mask = read_mask(save(tmp_path / "m.png", array, mode))
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, MASK)


def test_a_palette_mask_is_read_by_its_colours(tmp_path):
    image = Image.fromarray(MASK.astype(np.uint8))
    for palette, expected in [([0] * 3 + [255] * 3, MASK), ([255] * 3 + [0] * 3, ~MASK)]:
        image.putpalette(palette)
        image.save(tmp_path / "p.png")
        np.testing.assert_array_equal(read_mask(tmp_path / "p.png"), expected)
    image.putpalette([0, 0, 0, 128, 0, 0])
    image.save(tmp_path / "p.png")
    with pytest.raises(InputError, match="colours"):
        read_mask(tmp_path / "p.png")


@pytest.mark.parametrize("value, expected", [(0, False), (1, True), (255, True)])
def test_a_mask_may_have_one_value(tmp_path, value, expected):
    assert (read_mask(save(tmp_path / "m.png", np.full((3, 4), value, np.uint8))) == expected).all()


@pytest.mark.parametrize("values", [(0, 128), (0, 1, 255), (0, 2), (7,), tuple(range(20))])
def test_a_mask_with_other_values_is_refused(tmp_path, values):
    path = save(tmp_path / "m.png", np.array([values], np.uint8))
    with pytest.raises(InputError, match=r"m\.png.*0/255.*got"):
        read_mask(path)


def test_pair(tmp_path):
    image, mask = read_pair(save(tmp_path / "i.png", RGB), save(tmp_path / "m.png", MASK))
    np.testing.assert_array_equal(image, RGB)
    np.testing.assert_array_equal(mask, MASK)


def test_a_pair_that_does_not_fit_names_both_files(tmp_path):
    image = save(tmp_path / "image.png", RGB)
    with pytest.raises(InputError, match=r"absent\.png.*image\.png"):
        read_pair(image, tmp_path / "absent.png")
    with pytest.raises(InputError, match=r"mask\.png.*5x7.*image\.png.*7x5"):
        read_pair(image, save(tmp_path / "mask.png", MASK.T))


@pytest.mark.parametrize("array", [RGB, RGB[..., 0], np.dstack([RGB, RGB[..., 0]]), MASK])
def test_write_png_round_trip(tmp_path, array):
    path = tmp_path / "new" / "a.png"
    write_png(path, array)
    written = np.array(Image.open(path))
    np.testing.assert_array_equal(written, array * np.uint8(255) if array.dtype == bool else array)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("shape, dtype", [((4, 4), float), ((4, 4, 2), np.uint8), ((4,), np.uint8), ((0, 4), np.uint8)])
def test_write_png_refuses_other_arrays(tmp_path, shape, dtype):
    with pytest.raises(ValueError, match="got"):
        write_png(tmp_path / "a.png", np.zeros(shape, dtype))
    assert not list(tmp_path.iterdir())
