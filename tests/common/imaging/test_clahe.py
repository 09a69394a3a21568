from __future__ import annotations

import cv2
import numpy as np
import pytest

from common.imaging.clahe import clahe

RNG = np.random.default_rng(0)
# A smooth, coloured picture of low contrast.
FIELD = cv2.GaussianBlur(RNG.normal(size=(64, 96, 3)), (0, 0), 6)
IMAGE = (np.array([150, 110, 140]) + 8 * FIELD / FIELD.std()).clip(0, 255).astype(np.uint8)
SPACES = ["lab", "hsv", "rgb"]


def lightness(image):
    return cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[..., 0].astype(float)


@pytest.mark.parametrize("space", SPACES)
def test_raises_contrast_more_with_a_higher_limit(space):
    spreads = [lightness(clahe(IMAGE, limit, (4, 4), space)).std() for limit in (1, 2, 4)]
    assert lightness(IMAGE).std() * 1.1 < spreads[1] < spreads[2]
    assert spreads[0] < spreads[1]


@pytest.mark.parametrize("space", SPACES)
def test_a_constant_image_stays_constant(space):
    result = clahe(np.full((40, 56, 3), (210, 160, 190), np.uint8), colour_space=space)
    assert (result == result[0, 0]).all()


def test_one_unlimited_tile_is_histogram_equalisation():
    grey = IMAGE[..., 0]
    cumulative = np.bincount(grey.ravel(), minlength=256).cumsum()
    expected = np.rint(cumulative * (255 / grey.size))[grey]
    np.testing.assert_allclose(clahe(grey, clip_limit=256, tile_grid=(1, 1)), expected, atol=1)
    for channel in range(3):
        alone = clahe(IMAGE[..., channel], 256, (1, 1))
        np.testing.assert_array_equal(clahe(IMAGE, 256, (1, 1), "rgb")[..., channel], alone)


@pytest.mark.parametrize("limit", [1e3, 1e12, np.inf])
def test_a_huge_limit_is_none(limit):
    # As a number of pixels it overflows in OpenCV, which then clips most of all.
    unlimited = clahe(IMAGE, clip_limit=256)
    np.testing.assert_array_equal(clahe(IMAGE, clip_limit=limit), unlimited)


def test_the_grid_is_rows_by_columns():
    grey = IMAGE[..., 0]
    below, beside = grey.copy(), grey.copy()
    below[32:] //= 2
    beside[:, 48:] //= 2
    # The outer half of a tile depends on no other tile.
    np.testing.assert_array_equal(
        clahe(below, tile_grid=(2, 1))[:16], clahe(grey, tile_grid=(2, 1))[:16]
    )
    np.testing.assert_array_equal(
        clahe(beside, tile_grid=(1, 2))[:, :24], clahe(grey, tile_grid=(1, 2))[:, :24]
    )
    assert (clahe(below, tile_grid=(1, 2))[:16] != clahe(grey, tile_grid=(1, 2))[:16]).any()


@pytest.mark.parametrize(
    "space, there", [("lab", cv2.COLOR_RGB2LAB), ("hsv", cv2.COLOR_RGB2HSV_FULL)]
)
def test_colour_is_kept(space, there):
    brightness = {"lab": 0, "hsv": 2}[space]
    before, after = (
        cv2.cvtColor(image, there).astype(int)
        for image in (IMAGE, clahe(IMAGE, colour_space=space))
    )
    change = np.abs(after - before)
    assert np.percentile(change[..., brightness], 95) > 10
    assert np.percentile(np.delete(change, brightness, axis=-1), 99) <= 3


@pytest.mark.parametrize("space", SPACES)
def test_repeats_itself_and_leaves_its_argument_alone(space):
    before = IMAGE.copy()
    first = clahe(IMAGE, colour_space=space)
    assert first.dtype == np.uint8
    assert first.shape == IMAGE.shape
    np.testing.assert_array_equal(clahe(IMAGE, colour_space=space), first)
    np.testing.assert_array_equal(IMAGE, before)


def test_sizes_that_the_grid_does_not_divide():
    assert clahe(IMAGE[:37, :53]).shape == (37, 53, 3)
    assert clahe(IMAGE[:3, :5]).shape == (3, 5, 3)
    assert clahe(IMAGE[::2, ::2, 1]).shape == (32, 48)


@pytest.mark.parametrize(
    "image, options",
    [
        (IMAGE.astype(np.float32), {}),
        (IMAGE[..., :2], {}),
        (IMAGE[:0], {}),
        (IMAGE[0, 0], {}),
        (np.ma.masked_equal(IMAGE, 150), {}),
        (IMAGE, {"clip_limit": 0}),
        (IMAGE, {"clip_limit": -np.inf}),
        (IMAGE, {"clip_limit": np.nan}),
        (IMAGE, {"tile_grid": (0, 8)}),
        (IMAGE, {"tile_grid": (8.5, 8)}),
        (IMAGE, {"tile_grid": (8, np.nan)}),
        (IMAGE, {"tile_grid": (8,)}),
        (IMAGE, {"tile_grid": (8, 10**6)}),
        (IMAGE, {"colour_space": "luv"}),
    ],
)
def test_wrong_arguments(image, options):
    with pytest.raises(ValueError, match="got"):
        clahe(image, **options)
