"""The files that pydicom comes with: of each kind that programs in hospitals write, a real one."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.pixel_data_handlers import util

from common.imaging import dicom_elements, dicom_frames, dicom_layout, dicom_pixels
from common.imaging.reading import read

FOLDER = Path(pydicom.__file__).parent / "data/test_files"
FILES = sorted(path for path in FOLDER.glob("*.dcm"))
# What is refused, and by what it is.
REFUSED = {
    "ExplVR_BigEndNoMeta": "without pixels: RT Ion Plan Storage",
    "ExplVR_LitEndNoMeta": "without pixels: RT Ion Plan Storage",
    "JPEG2000-embedded-sequence-delimiter": "tiles",  # the mark of the end is in its header
    "MR_truncated": "truncated",
    "SC_rgb_rle_16bit_2frame": "2 frames",
    "SC_rgb_rle_2frame": "2 frames",
    "SC_rgb_rle_32bit_2frame": "2 frames",
    "UN_sequence": "without pixels: CT Image Storage",
    "badVR": "a radiation dose",
    "empty_charset_LEI": "without pixels",
    "liver_1frame": "a segmentation",
    "liver_expb_1frame": "a segmentation",
    "meta_missing_tsyntax": "is missing",
    "nested_priv_SQ": "is missing",
    "no_meta": "not an image in a known format",  # a byte too many before its first element
    "no_meta_group_length": "without pixels",
    "priv_SQ": "without pixels",
    "reportsi": "without pixels: Basic Text SR Storage",
    "reportsi_with_empty_number_tags": "without pixels: Basic Text SR Storage",
    **dict.fromkeys(("rtdose", "rtdose_1frame", "rtdose_expb"), "a radiation dose"),
    **dict.fromkeys(("rtdose_expb_1frame", "rtdose_rle"), "a radiation dose"),
    "rtdose_rle_1frame": "a radiation dose",
    **dict.fromkeys(("rtplan", "rtplan_truncated"), "without pixels: RT Plan Storage"),
    "rtstruct": "without pixels: RT Structure Set Storage",
    "test-SR": "without pixels: Comprehensive SR Storage",
    "waveform_ecg": "without pixels: 12-lead ECG Waveform Storage",
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_is_read_or_refused_by_what_it_is(refused, path):
    if path.stem in REFUSED:
        refused(path, REFUSED[path.stem])
        return
    loaded = read(path)
    assert loaded.pixels.dtype == np.uint8
    assert loaded.pixels.max() > loaded.pixels.min()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("MR_small*.dcm")), ids=lambda path: path.stem)
def test_one_image_is_the_same_however_it_is_packed(path):
    np.testing.assert_array_equal(read(path).pixels, read(FOLDER / "MR_small.dcm").pixels)


def test_odd_images_are_the_same_in_big_endian():
    names = ("SC_rgb_small_odd", "SC_rgb_small_odd_big_endian")
    little, big = (read(FOLDER / f"{name}.dcm").pixels for name in names)
    np.testing.assert_array_equal(little, big)


def packed(path):
    """Whether a file holds one packed image, and is read."""
    if path.stem in REFUSED:
        return False
    syntax = pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
    return syntax.is_encapsulated


PACKED = [path for path in FILES if packed(path)]
# By the last number of a transfer syntax.
PEERS = {
    "51": imagecodecs.jpeg8_decode,
    "70": imagecodecs.ljpeg_decode,
    "80": imagecodecs.jpegls_decode,
    "90": imagecodecs.jpeg2k_decode,
    "91": imagecodecs.jpeg2k_decode,
}


def unpacked(path):
    file = dicom_elements.parse(path.open("rb"), "a")
    layout = dicom_layout.read_layout(file, 1, "a")
    (content,) = dicom_frames.contents(file, layout, "a")
    return next(dicom_pixels.frames(file, layout, [0], "a")), layout, content


@pytest.mark.parametrize("path", PACKED, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore")
def test_packed_values_are_those_that_pydicom_gives(path):
    dataset = pydicom.dcmread(path)
    pixels, kind = dataset.pixel_array, dataset.PhotometricInterpretation
    if kind.startswith("YBR_FULL"):
        pixels = util.convert_color_space(pixels, kind, "RGB")
    np.testing.assert_array_equal(unpacked(path)[0], pixels)


def test_packed_values_are_those_of_other_decoders():
    compared = 0
    for path in PACKED:
        pixels, layout, content = unpacked(path)
        peer = PEERS.get(layout.syntax.rpartition(".")[2])
        if peer and path.stem != "J2K_pixelrep_mismatch":  # whose stream leaves out the sign
            np.testing.assert_array_equal(pixels, peer(content))
            compared += 1
    assert compared >= 9
