from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from common.errors import InputError
from common.imaging import reading
from common.imaging.masks import read_mask, read_pair
from common.imaging.orientation import upright

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
TURNED = range(2, 9)


def save(path, array, orientation):
    """Save an array with this orientation, as TIFF with its own tag, else in EXIF data."""
    if path.suffix == ".tif":
        tifffile.imwrite(path, array, extratags=[(274, "H", 1, orientation, True)])
    else:
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(array).save(path, exif=exif, lossless=True)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_is_that_of_pillow(orientation):
    image = Image.fromarray(RGB)
    image.getexif()[274] = orientation
    expected = np.array(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(upright(RGB, orientation), expected)
    np.testing.assert_array_equal(upright(RGB[None], orientation)[0], expected)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
@pytest.mark.parametrize("orientation", TURNED)
def test_images_of_every_format_are_turned_alike(tmp_path, suffix, orientation):
    loaded = reading.read(save(tmp_path / f"a{suffix}", RGB, orientation))
    assert loaded.orientation == orientation
    expected = upright(RGB, orientation)
    assert loaded.pixels.shape == expected.shape
    if suffix != ".jpg":
        np.testing.assert_array_equal(loaded.pixels, expected)
    np.testing.assert_array_equal(reading.read_rgb(tmp_path / f"a{suffix}"), loaded.pixels)


@pytest.mark.parametrize("orientation", [0, 9, 30000])
def test_an_unknown_orientation_is_none(tmp_path, orientation):
    loaded = reading.read(save(tmp_path / "a.tif", RGB, orientation))
    np.testing.assert_array_equal(loaded.pixels, RGB)
    np.testing.assert_array_equal(reading.read(save(tmp_path / "a.png", RGB, 9)).pixels, RGB)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_what_has_been_drawn_on_is_refused_unless_stored_upright(tmp_path, suffix):
    mask = np.zeros((5, 5), np.uint8)
    image = save(tmp_path / f"image{suffix}", RGB[:5, :5], 3)
    upright_mask = save(tmp_path / f"mask{suffix}", mask, 1)
    turned_mask = save(tmp_path / f"turned{suffix}", mask, 3)
    words = r"stored turned or mirrored \(EXIF orientation 3\)"
    with pytest.raises(InputError, match=rf"image\{suffix}: {words}"):
        read_pair(image, upright_mask)
    with pytest.raises(InputError, match=rf"turned\{suffix}: {words}"):
        read_mask(turned_mask)
    with pytest.raises(InputError, match=words):
        reading.read_rgb(image, annotated=True)


def test_damaged_exif_data_do_not_matter_and_are_not_told(tmp_path, capfd):
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\1")
    np.testing.assert_array_equal(reading.read(tmp_path / "a.png").pixels, RGB)
    assert capfd.readouterr().err == ""
