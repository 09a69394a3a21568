"""Files with several frames or pages in the list of images."""

from __future__ import annotations

import io
import sys

import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image

from reproductions.brain_tumour_mask_rcnn.app import downloads, uploads
from reproductions.brain_tumour_mask_rcnn.app.uploads import Uploads, pixels

from .conftest import dicom, encoded, plain

STACK = np.random.default_rng(0).integers(0, 256, (3, 8, 10), np.uint8)


def entries(content: bytes) -> list:
    chosen = Uploads()
    assert chosen.add("x", content, len(content)) == 0
    return chosen.entries


def animation(format: str) -> bytes:
    first, *others = map(Image.fromarray, STACK)
    stream = io.BytesIO()
    first.save(stream, format, save_all=True, append_images=others)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["DICOM", "TIFF", "PNG"])
def test_every_frame_or_page_is_an_image_of_the_list(kind):
    content = dicom(STACK, frames=3) if kind == "DICOM" else animation(kind)
    found = entries(content)
    assert [(entry.index, entry.frames) for entry in found] == [(0, 3), (1, 3), (2, 3)]
    for entry, frame in zip(found, STACK):
        assert (pixels(entry) == frame[..., None]).all() and entry.size == (8, 10)


def test_functional_groups_say_the_spacing_of_a_frame():
    measures, shared = pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing = [0.5, 0.25]
    shared.PixelMeasuresSequence = [measures]
    for entry in entries(dicom(STACK, frames=3, SharedFunctionalGroupsSequence=[shared])):
        assert pixels(entry) is not None
        assert entry.spacing == (0.5, 0.25) and entry.pixel_area == 0.125


def test_files_of_one_image_have_one_entry():
    for content in (dicom(plain()), encoded(plain()), encoded(plain(), "JPEG")):
        (entry,) = entries(content)
        assert pixels(entry) is not None and entry.spacing is entry.pixel_area is None
        assert entry.is_dicom == (b"DICM" in content)


RAMP = np.linspace(100, 1100, 80).reshape(8, 10)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
def test_an_image_that_uses_few_of_its_greys_is_not_black(dtype):
    stream = io.BytesIO()
    tifffile.imwrite(stream, RAMP.astype(dtype))
    written = [stream.getvalue()]
    if dtype == np.uint16:
        written.append(encoded(RAMP.astype(dtype)))
    for content in written:
        (entry,) = entries(content)
        image = pixels(entry)
        assert image.min() == 0 and image.max() == 255 and abs(image.mean() - 127.5) < 2
        assert entry.greys == "greys_of_image"


def test_a_dicom_file_says_itself_what_is_black_and_white():
    sixteen = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
    content = dicom(RAMP.astype(np.uint16)[..., None], **sixteen, WindowCenter=600, WindowWidth=200)
    (entry,) = entries(content)
    image = pixels(entry)
    assert (image == 0).mean() > 0.3 and (image == 255).mean() > 0.3
    assert entry.greys == "greys_of_window"
    (entry,) = entries(dicom(plain()))
    assert (pixels(entry) == plain()[..., :1]).all() and not entry.greys


@pytest.mark.parametrize("content", [b"", b"junk", b"\0" * 128 + b"DICM" + b"\xff" * 50])
def test_damage_counts_as_one_image_and_is_told_when_it_is_read(content):
    (entry,) = entries(content)
    assert pixels(entry) is None and entry.problem == "unreadable"


def test_what_a_file_promises_and_does_not_have_is_told():
    *_, last = entries(dicom(STACK[:2], frames=3))
    assert pixels(last) is None and last.problem == "unreadable"
    wide = np.zeros((1, uploads.SIDE**2 + 1), np.uint8)
    (entry,) = entries(encoded(wide))
    assert pixels(entry) is None and entry.problem == "too_many_pixels"


def test_a_file_with_a_million_frames_does_not_fit_into_the_list():
    content = dicom(STACK, frames=1_000_000)
    assert uploads.count(content) == uploads.ENTRIES + 1
    assert Uploads().add("x", content, len(content)) is None


def test_dicom_seg_repeats_the_image_it_belongs_to_and_holds_the_mask():
    place = {"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    place.update(FrameOfReferenceUID="1.2.3.6", SliceThickness=3, PixelSpacing=[0.5, 0.25])
    ids = {"StudyInstanceUID": "1.2.3.4", "SeriesInstanceUID": "1.2.3.5", "PatientID": "p"}
    content = dicom(plain(), **ids, **place)
    mask = np.zeros((1, 40, 60), bool)
    mask[0, 5:9, 3:20] = True
    loaded = "highdicom" in sys.modules
    written = downloads.dicom_seg(content, mask, "network", "Research use only.")
    seg = pydicom.dcmread(io.BytesIO(written))
    assert seg.Modality == "SEG" and (seg.pixel_array == mask[0]).all()
    assert (seg.StudyInstanceUID, seg.PatientID) == ("1.2.3.4", "p")
    assert seg.ContentDescription == "Research use only."
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert list(measures.PixelSpacing) == [0.5, 0.25]
    source = pydicom.dcmread(io.BytesIO(content))
    assert written.count(source.SOPInstanceUID.encode()) >= 1
    assert ("highdicom" in sys.modules) == loaded  # a process of its own has loaded it
