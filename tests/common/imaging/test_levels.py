from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from common.errors import InputError
from common.imaging import levels
from common.imaging.levels import GreyRange, to_bytes


def test_the_ends_become_black_and_white_and_what_is_beyond_them_too():
    values = np.array([-9, 100, 101, 299, 300, 9999])
    np.testing.assert_array_equal(to_bytes(values, 100, 300), [0, 0, 1, 253, 255, 255])
    assert to_bytes(values, 100, 300).dtype == np.uint8


def test_bytes_over_their_own_range_stay_as_they_are():
    every = np.arange(256)
    np.testing.assert_array_equal(to_bytes(every, 0, 255), every)


def test_values_of_one_kind_are_black():
    assert not to_bytes(np.full((2, 3), 7), 7, 7).any()


@given(
    st.sampled_from(["u1", "i1", "u2", "i2", ">u2", "u4", "f4"]).flatmap(
        lambda dtype: arrays.arrays(
            dtype, (3, 4, 1), elements={"allow_nan": False} if dtype == "f4" else None
        )
    )
)
def test_a_table_gives_what_the_function_gives(pixels):
    def function(values):
        return to_bytes(values, -50, 5000)

    np.testing.assert_array_equal(levels.mapped(pixels, function), function(pixels))


@given(
    arrays.arrays(st.sampled_from(["u2", "i2", "i1"]), (5, 4, 2)),
    st.integers(0, 50),
    st.integers(51, 100),
)
def test_percentiles_are_values_of_the_image_with_that_many_below(pixels, low, high):
    for part, value in zip(
        (low, high), levels.percentiles(pixels, GreyRange(low, high, percentiles=True))
    ):
        assert value in pixels
        assert (pixels < value).mean() <= part / 100 <= (pixels <= value).mean() + 1e-9 or part == 0


def test_percentiles_of_floats_are_those_of_numpy():
    pixels = np.random.default_rng(0).normal(size=(20, 20, 1)).astype(np.float32)
    wanted = np.percentile(pixels, [1, 99])
    np.testing.assert_allclose(levels.percentiles(pixels, GreyRange(1, 99, True)), wanted)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("full", None),
        ("0,4095", GreyRange(0, 4095)),
        (" -1000 , 400.5", GreyRange(-1000, 400.5)),
        ("1%,99.5%", GreyRange(1, 99.5, percentiles=True)),
    ],
)
def test_a_range_is_parsed(text, expected):
    assert GreyRange.parse(text) == expected
    assert expected is None or GreyRange.parse(str(expected)) == expected


@pytest.mark.parametrize(
    "text", ["", "5", "1,2,3", "a,b", "9,1", "4,4", "nan,1", "0,inf", "1%,101%", "-1%,5%", "1%,99"]
)
def test_what_is_no_range_is_one_line_with_an_example(text):
    with pytest.raises(InputError, match=r"^--range .*0,4095") as caught:
        GreyRange.parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("dtype", "bits"), [("i1", 8), ("i2", 16), ("u4", 32), ("f4", 32)])
def test_values_without_black_and_white_of_their_own_need_a_range(dtype, bits):
    pixels = np.array([[[0], [100]]], dtype)
    with pytest.raises(InputError, match=r"a\.tif: .*--range low,high"):
        levels.choose(pixels, bits, None, "a.tif")
    assert levels.choose(pixels, bits, GreyRange(0, 100), "a.tif")[:2] == (0, 100)


def test_nan_is_refused_whatever_the_range():
    pixels = np.array([[[0], [np.nan]]], np.float32)
    with pytest.raises(InputError, match="NaN"):
        levels.choose(pixels, 32, GreyRange(0, 1), "a.tif")


def test_the_mapping_is_told():
    pixels = np.array([[[300], [2700]]], np.uint16)
    assert levels.choose(pixels, 12, None, "a")[2].startswith("full range of 12 bits, 0 to 4095")
    assert "300 to 2700" in levels.choose(pixels, 16, None, "a")[2]
    assert levels.choose(pixels, 16, GreyRange(0, 9), "a")[2] == "range 0 to 9 as asked for"
    told = levels.choose(pixels, 16, GreyRange(0, 100, True), "a")[2]
    assert told == "percentiles 0%,100% of the image, 300 to 2700"
