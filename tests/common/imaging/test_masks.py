from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from common.errors import InputError
from common.imaging.masks import read_mask, read_pair

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
MASK = np.random.default_rng(1).random((5, 7)) > 0.5
GREY = MASK.astype(np.uint8)
COLOURS = np.repeat(GREY[..., None], 3, axis=2) * np.uint8(255)


def save(path, array, mode=None, **options):
    Image.fromarray(array, mode).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(
    ("array", "mode"),
    [
        (MASK, None),
        (GREY, "L"),
        (GREY * 255, "L"),
        (COLOURS, "RGB"),
        (np.dstack([COLOURS, np.full(MASK.shape, 90, np.uint8)]), "RGBA"),
        (GREY.astype(np.uint16), None),
        (GREY.astype(np.uint16) * 255, None),
        (GREY.astype(np.uint16) * 65535, None),
    ],
)
def test_masks_of_every_mode_read_alike(tmp_path, suffix, array, mode):
    mask = read_mask(save(tmp_path / f"m{suffix}", array, mode))
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, MASK)


@pytest.mark.parametrize("compression", [None, "lzw", "packbits"])
def test_a_tiff_mask_whose_white_is_zero_is_read_as_it_is_seen(tmp_path, compression):
    options = {"photometric": "miniswhite", "compression": compression, "software": "a scanner"}
    for values in (GREY * 255, MASK):
        tifffile.imwrite(tmp_path / "m.tif", values, **options)
        np.testing.assert_array_equal(read_mask(tmp_path / "m.tif"), ~MASK)


@pytest.mark.parametrize("compression", ["group3", "group4"])
def test_a_fax_mask_is_read(tmp_path, compression):
    wide = np.repeat(np.repeat(MASK, 8, 0), 8, 1)
    np.testing.assert_array_equal(
        read_mask(save(tmp_path / "m.tif", wide, compression=compression)), wide
    )


def test_a_palette_mask_is_read_by_its_colours(tmp_path):
    image = Image.fromarray(GREY)
    for palette, expected in [([0] * 3 + [255] * 3, MASK), ([255] * 3 + [0] * 3, ~MASK)]:
        image.putpalette(palette)
        for name in ("p.png", "p.tif"):
            image.save(tmp_path / name)
            np.testing.assert_array_equal(read_mask(tmp_path / name), expected)
    image.putpalette([0, 0, 0, 128, 0, 0])
    image.save(tmp_path / "p.png")
    with pytest.raises(InputError, match="colours"):
        read_mask(tmp_path / "p.png")


@pytest.mark.parametrize("background", [0, 255])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_a_mask_whose_shape_is_in_its_alpha_channel_is_refused(tmp_path, background, suffix):
    plain = np.full((*MASK.shape, 3), background, np.uint8)
    path = save(tmp_path / f"m{suffix}", np.dstack([plain, GREY * np.uint8(255)]), lossless=True)
    with pytest.raises(InputError, match=r"alpha channel of several values.*without alpha"):
        read_mask(path)


def test_a_mask_of_one_grey_made_transparent_is_refused(tmp_path):
    image = Image.fromarray(GREY * np.uint8(255))
    image.save(tmp_path / "m.png", transparency=0)  # black is transparent
    with pytest.raises(InputError, match="alpha channel"):
        read_mask(tmp_path / "m.png")


@pytest.mark.parametrize("value, expected", [(0, False), (1, True), (255, True)])
def test_a_mask_may_have_one_value(tmp_path, value, expected):
    assert (read_mask(save(tmp_path / "m.png", np.full((3, 4), value, np.uint8))) == expected).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("values", [(0, 128), (0, 1, 255), (0, 2), (7,), tuple(range(20))])
def test_a_mask_with_other_values_is_refused(tmp_path, values, dtype):
    path = save(tmp_path / "m.png", np.array([values], dtype))
    with pytest.raises(InputError, match=r"m\.png.*0/255.*got"):
        read_mask(path)


def test_a_mask_of_several_pages_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", np.stack([GREY, GREY]), photometric="minisblack")
    with pytest.raises(InputError, match="expected one image, got 2 pages"):
        read_mask(tmp_path / "m.tif")


def test_a_dicom_file_is_no_mask(dicom):
    with pytest.raises(InputError, match="expected a mask as PNG"):
        read_mask(dicom(GREY * np.uint8(255)))


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
