from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixel_data_handlers import util

from common.imaging import reading
from common.imaging.levels import GreyRange
from common.imaging.reading import read

RNG = np.random.default_rng(0)
BYTES = RNG.integers(20, 150, (6, 9), np.uint8)
DEEP = RNG.integers(400, 2981, (6, 9), np.uint16)
DEEP[0, :2] = 400, 2980
ABSENT = {"RescaleSlope": None, "RescaleIntercept": None}


def grey(path, **options):
    return read(path, **options).pixels[..., 0]


def item(**elements):
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"RescaleSlope": 1, "RescaleIntercept": 0},
        ABSENT,
        {"RescaleSlope": "", "RescaleIntercept": ""},
        {"WindowCenter": 40, "WindowWidth": 0},
        {"WindowCenter": None, "WindowWidth": None},
        {"WindowCenter": 128, "WindowWidth": 256},
        {**ABSENT, "WindowCenter": 128, "WindowWidth": 256, "VOILUTFunction": ""},
        {"PixelPaddingValue": None},
    ],
    ids=str,
)
def test_bytes_that_nothing_changes_stay_as_they_are(dicom, elements):
    np.testing.assert_array_equal(grey(dicom(BYTES, **elements)), BYTES)
    np.testing.assert_array_equal(grey(dicom(BYTES, "MONOCHROME1", **elements)), 255 - BYTES)


def test_signed_bytes_are_dark_below_zero(dicom):
    values = np.array([[-128, -64, 0, 127]], np.int8)
    assert grey(dicom(values))[0].tolist() == [0, 64, 128, 255]


def test_bytes_in_words_are_bytes(dicom):
    path = dicom(BYTES.astype(np.uint16), BitsStored=8, HighBit=7)
    np.testing.assert_array_equal(grey(path), BYTES)


def test_a_window_maps_by_its_own_range_and_not_by_the_slice(dicom):
    window = {"WindowCenter": 1600, "WindowWidth": 4000, "BitsStored": 12, "HighBit": 11}
    loaded = read(dicom(DEEP, **window))
    assert (loaded.pixels.min(), loaded.pixels.max()) == (51, 215)
    assert loaded.levels == "window 1600/4000"
    darker = read(dicom(np.minimum(DEEP, 900), **window)).pixels
    np.testing.assert_array_equal(darker[DEEP <= 900], loaded.pixels[DEEP <= 900])


@given(
    centre=st.integers(-1500, 1500),
    width=st.floats(1, 5000).map(lambda value: round(value, 2)),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    slope=st.sampled_from([1, 2, 0.5]),
)
def test_windows_are_those_of_pydicom(tmp_path_factory, centre, width, function, slope):
    dataset = item(
        WindowCenter=centre,
        WindowWidth=width,
        VOILUTFunction=function,
        PhotometricInterpretation="MONOCHROME2",
        BitsStored=12,
        PixelRepresentation=0,
        RescaleSlope=slope,
        RescaleIntercept=-1000,
    )
    values = np.arange(4096)
    ours = _voi(dataset)(values * slope - 1000.0)
    theirs = util.apply_windowing(util.apply_modality_lut(values, dataset), dataset)
    # pydicom's range is that of all 12-bit values, rescaled.
    ends = [end * slope - 1000 for end in (0, 4095)]
    expected = (theirs - ends[0]) / (ends[1] - ends[0]) * 255
    if function == "LINEAR" and width == 1:
        expected = np.where(theirs > np.mean(ends), 255, 0)
    np.testing.assert_allclose(ours, expected, atol=1.01)


def _voi(dataset):
    from common.imaging import dicom_grey

    return dicom_grey._voi(dataset, None, 0, "a")[0]


def test_of_several_windows_the_first_counts(dicom):
    several = dicom(DEEP, WindowCenter=[1600, 40], WindowWidth=[4000, 400])
    assert read(several).levels == "window 1600/4000"


@pytest.mark.parametrize(("width", "expected"), [(1, [0, 255, 255]), (0.5, [0, 127, 255])])
def test_narrow_windows_are_thresholds(dicom, width, expected):
    values = np.array([[99, 100, 101]], np.uint16)
    path = dicom(values, WindowCenter=100, WindowWidth=width)
    assert grey(path)[0].tolist() == expected


def test_a_window_is_of_rescaled_values(dicom):
    values = np.array([[0, 1024, 1064, 1104, 4000]], np.uint16)  # air, water … of a CT
    rescale = {"RescaleSlope": 1, "RescaleIntercept": -1024}
    path = dicom(values, WindowCenter=40, WindowWidth=80, **rescale)
    assert grey(path)[0].tolist() == [0, 0, 129, 255, 255]


@pytest.mark.parametrize(
    "elements",
    [
        {},
        ABSENT,
        {"WindowCenter": 1600, "WindowWidth": 0},
        {"RescaleSlope": 0, "RescaleIntercept": 0},
        {"RescaleSlope": 2, "RescaleIntercept": -1000},
        {"VOILUTFunction": "", "WindowCenter": "", "WindowWidth": ""},
    ],
    ids=str,
)
def test_without_a_window_the_anatomy_has_the_whole_range(dicom, elements):
    loaded = read(dicom(DEEP, **elements))
    expected = np.floor((DEEP - 400) / (2980 - 400) * 255 + 1e-6)
    np.testing.assert_array_equal(loaded.pixels[..., 0], expected)
    assert loaded.levels.startswith("lowest and highest value of the frame")


def test_a_negative_slope_inverts(dicom):
    path = dicom(DEEP, RescaleSlope=-1, RescaleIntercept=0)
    assert grey(path)[0, :2].tolist() == [255, 0]


SIGNED = DEEP.astype(np.int16)
PADDED = np.where(DEEP > 2500, np.int16(-32768), SIGNED)
PADDINGS = {
    "signed": (PADDED, {"tags": {0x00280120: ("SS", -32768)}}),
    "with the other sign": (PADDED, {"tags": {0x00280120: ("US", 32768)}}),
    "unsigned": (np.where(DEEP > 2500, np.uint16(0), DEEP), {"PixelPaddingValue": 0}),
    "white": (np.where(DEEP > 2500, np.uint16(65535), DEEP), {"PixelPaddingValue": 65535}),
    "a range": (
        np.where(DEEP > 2500, np.uint16(60_000) + DEEP % 7, DEEP),
        {"PixelPaddingValue": 60_000, "PixelPaddingRangeLimit": 60_010},
    ),
    "a range the other way round": (
        np.where(DEEP > 2500, np.uint16(60_000) + DEEP % 7, DEEP),
        {"PixelPaddingValue": 60_010, "PixelPaddingRangeLimit": 60_000},
    ),
    "beyond the bits of values": (
        np.where(DEEP > 2500, np.uint16(63_536), DEEP),
        {"PixelPaddingValue": 63_536, "BitsStored": 12, "HighBit": 11},
    ),
}


@pytest.mark.parametrize("kind", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize("padding", PADDINGS)
def test_padding_is_black_and_no_part_of_the_range(dicom, kind, padding):
    values, elements = PADDINGS[padding]
    pixels = grey(dicom(values, kind, **elements))
    is_padding = DEEP > 2500
    seen = DEEP[~is_padding].astype(float)
    expected = np.floor((seen - 400) / (seen.max() - 400) * 255 + 1e-6)
    expected = 255 - expected if kind == "MONOCHROME1" else expected
    np.testing.assert_array_equal(pixels[~is_padding], expected)
    assert (pixels[is_padding] == 0).all()


def test_padding_is_black_under_a_window_too(dicom):
    values, elements = PADDINGS["white"]
    pixels = grey(dicom(values, WindowCenter=1600, WindowWidth=4000, **elements))
    assert (pixels[DEEP > 2500] == 0).all()
    assert pixels[DEEP <= 2500].min() == 51


def test_a_frame_of_padding_is_black_and_says_so(dicom):
    loaded = read(dicom(np.full((3, 4), 7, np.uint16), PixelPaddingValue=7))
    assert not loaded.pixels.any()
    assert loaded.levels == "nothing but padding"


@pytest.mark.parametrize(("bits", "top"), [(8, 255), (12, 4095), (16, 4095), (16, 65535)])
def test_a_voi_lut_maps_by_the_range_of_its_bits(dicom, bits, top):
    entries = np.linspace(0, top, 3000).astype(int)
    lut = item(LUTDescriptor=[len(entries), 200, bits])
    lut.add_new(0x00283006, "US", entries.tolist())
    path = dicom(DEEP, VOILUTSequence=[lut], WindowCenter=1, WindowWidth=2)
    expected = np.floor(entries[DEEP.astype(int) - 200] / top * 255 + 1e-6)
    np.testing.assert_array_equal(grey(path), expected)
    assert read(path).levels == f"VOI LUT, 0 to {top}"


def test_a_modality_lut_comes_before_the_window(dicom):
    entries = np.arange(4096)[::-1]
    lut = item(LUTDescriptor=[4096, 0, 16], ModalityLUTType="US")
    lut.add_new(0x00283006, "US", entries.tolist())
    path = dicom(DEEP, ModalityLUTSequence=[lut], WindowCenter=2048, WindowWidth=4096)
    np.testing.assert_allclose(grey(path), entries[DEEP] / 4095 * 255, atol=1)


def test_each_frame_has_its_own_groups(dicom):
    frames = np.stack([DEEP, DEEP]).reshape(12, 9)
    groups = [
        item(FrameVOILUTSequence=[item(WindowCenter=centre, WindowWidth=4000)])
        for centre in (1600, 600)
    ]
    rescale = item(PixelValueTransformationSequence=[item(RescaleSlope=2, RescaleIntercept=0)])
    path = dicom(
        frames,
        Rows=6,
        NumberOfFrames=2,
        PerFrameFunctionalGroupsSequence=groups,
        SharedFunctionalGroupsSequence=[rescale],
    )
    for frame, centre in ((1, 1600), (2, 600)):
        low, high = centre - 0.5 - 3999 / 2, centre - 0.5 + 3999 / 2
        expected = np.floor(np.clip((DEEP * 2.0 - low) / (high - low), 0, 1) * 255 + 1e-6)
        np.testing.assert_array_equal(grey(path, frame=frame), expected)
        np.testing.assert_array_equal(read(path, "all").pixels[frame - 1], read(path, frame).pixels)


def test_a_range_that_is_asked_for_goes_before_the_window(dicom):
    rescale = {"RescaleSlope": 1, "RescaleIntercept": -1000}
    path = dicom(DEEP, WindowCenter=1, WindowWidth=2, **rescale)
    loaded = read(path, grey_range=GreyRange(-600, 1980))
    np.testing.assert_array_equal(loaded.pixels[..., 0], np.floor((DEEP - 400) / 2580 * 255 + 1e-6))
    assert loaded.levels == "range -600 to 1980 as asked for"
    loaded = read(path, grey_range=GreyRange(0, 100, percentiles=True))
    assert "-600 to 1980" in loaded.levels


def test_floats_are_read_by_their_range(dicom, refused):
    values = np.array([[0.25, 1.0, 0.5], [0.5, 0.75, 0.25]], np.float32)
    elements = {"FloatPixelData": values.tobytes(), "BitsAllocated": 32}
    path = dicom(values, **elements)
    np.testing.assert_array_equal(grey(path), np.floor((values - 0.25) / 0.75 * 255 + 1e-6))
    values[0, 0] = np.nan
    refused(dicom(values, **{**elements, "FloatPixelData": values.tobytes()}), "NaN")


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"tags": {0x00281053: ("DS", "nan")}}, "RescaleSlope"),
        ({"tags": {0x00281053: ("DS", "inf")}}, "RescaleSlope"),
        ({"tags": {0x00281052: ("DS", "-inf")}}, "RescaleIntercept"),
        ({"tags": {0x00281050: ("DS", "nan")}, "WindowWidth": 9}, "WindowCenter"),
        ({"tags": {0x00281051: ("DS", "inf")}, "WindowCenter": 9}, "WindowWidth"),
        ({"WindowWidth": -5, "WindowCenter": 9}, "WindowWidth"),
        ({"WindowWidth": 5, "WindowCenter": 9, "VOILUTFunction": "CUBIC"}, "VOILUTFunction"),
    ],
)
def test_what_is_no_number_is_named_and_not_taken_for_black(dicom, refused, elements, words):
    refused(dicom(DEEP, **elements), words)


def test_a_text_as_slope_is_named(dicom, refused):
    path = dicom(DEEP, RescaleSlope="1.5")
    path.write_bytes(path.read_bytes().replace(b"DS\4\0" + b"1.5 ", b"DS\4\0" + b"a.b "))
    refused(path, "RescaleSlope")


def test_bits_beyond_the_stored_ones_are_overlays_or_refused(dicom, refused):
    values = np.array([[0, 1000, 4095]], np.uint16)
    marked = values | np.array([[0x8000, 0, 0x1000]], np.uint16)
    twelve = {"BitsStored": 12, "HighBit": 11}
    refused(dicom(marked, **twelve), "more than the 12 bits of BitsStored")
    overlay = {"tags": {0x60000102: ("US", 15)}}
    np.testing.assert_array_equal(
        grey(dicom(marked, **twelve, **overlay)), grey(dicom(values, **twelve))
    )


def test_values_may_lie_in_the_upper_bits(dicom):
    values = np.array([[0, 1000, 4095]], np.uint16)
    path = dicom(values << 4, BitsStored=12, HighBit=15)
    np.testing.assert_array_equal(grey(path), [[0, 62, 255]])


def test_negative_values_have_their_sign_in_the_bits_that_are_stored(dicom):
    values = np.array([[-1000, 0, 1000]], np.int16)
    twelve = {"BitsStored": 12, "HighBit": 11}
    np.testing.assert_array_equal(grey(dicom(values, **twelve)), [[0, 127, 255]])
    np.testing.assert_array_equal(grey(dicom(values & 0xFFF, **twelve)), [[0, 127, 255]])


def test_all_windows_and_ranges_are_recorded(dicom):
    path = dicom(np.stack([DEEP, DEEP // 2]).reshape(12, 9), Rows=6, NumberOfFrames=2)
    told = read(path, frame="all").levels
    assert told.count("lowest and highest value") == 2
    assert reading.count_frames(path) == 2
