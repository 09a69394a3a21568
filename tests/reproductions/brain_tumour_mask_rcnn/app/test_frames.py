from __future__ import annotations

import io
import sys

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate

from common.errors import InputError
from common.imaging import reading
from reproductions.brain_tumour_mask_rcnn.app import downloads, frames, uploads

from .conftest import dicom, encoded, plain

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 256, (3, 8, 10), np.uint8)
LIMIT = uploads.SIDE**2


def read(content: bytes, index: int, number: int) -> np.ndarray:
    return reading.decode(frames.single(content, index, number, "x", LIMIT), "x", LIMIT)[..., 0]


def test_frames_of_a_dicom_file_are_read_one_by_one():
    content = dicom(STACK, frames=3)
    assert frames.count(content) == 3
    for index in range(3):
        assert (read(content, index, 3) == STACK[index]).all()


def test_compressed_frames_too():
    dataset = pydicom.dcmread(io.BytesIO(dicom(STACK, frames=3)))
    coded = [encoded(frame, "JPEG2000", irreversible=False) for frame in STACK]
    dataset.PixelData = encapsulate(coded)
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
    stream = io.BytesIO()
    dataset.save_as(stream)
    for index in range(3):
        assert (read(stream.getvalue(), index, 3) == STACK[index]).all()


def test_pages_of_a_tiff_file_and_frames_of_an_animation():
    images = [Image.fromarray(frame) for frame in STACK]
    for format in ("TIFF", "PNG"):
        stream = io.BytesIO()
        images[0].save(stream, format, save_all=True, append_images=images[1:])
        assert frames.count(stream.getvalue()) == 3
        for index in range(3):
            assert (read(stream.getvalue(), index, 3) == STACK[index]).all()


def test_functional_groups_say_spacing_and_window_of_a_frame():
    def item(**elements):
        dataset = pydicom.Dataset()
        for name, value in elements.items():
            setattr(dataset, name, value)
        return dataset

    measures = item(PixelMeasuresSequence=[item(PixelSpacing=[0.5, 0.25])])
    windows = [
        item(FrameVOILUTSequence=[item(WindowCenter=100 + n, WindowWidth=50)]) for n in range(3)
    ]
    content = dicom(
        STACK,
        frames=3,
        SharedFunctionalGroupsSequence=[measures],
        PerFrameFunctionalGroupsSequence=windows,
    )
    for index in range(3):
        alone = frames.single(content, index, 3, "x", LIMIT)
        assert reading.pixel_area(alone) == 0.125 and frames.spacing(alone) == (0.5, 0.25)
        assert pydicom.dcmread(io.BytesIO(alone)).WindowCenter == 100 + index


def test_a_file_of_one_image_is_left_as_it_is():
    for content in (dicom(plain()), encoded(plain()), encoded(plain(), "JPEG")):
        assert frames.count(content) == 1
        assert frames.single(content, 0, 1, "x", LIMIT) is content
    assert frames.spacing(dicom(plain())) is None and frames.spacing(encoded(plain())) is None


@pytest.mark.parametrize("content", [b"", b"junk", b"\0" * 128 + b"DICM" + b"\xff" * 50])
def test_damage_counts_as_one_image_and_is_named_when_it_is_read(content):
    assert frames.count(content) == 1
    with pytest.raises(InputError):
        reading.decode(frames.single(content, 0, 1, "x", LIMIT), "x", LIMIT)


def test_what_a_file_promises_and_does_not_have_is_named():
    cut = dicom(STACK[:2], frames=3)
    with pytest.raises(InputError, match="x: frame 3 cannot be read"):
        frames.single(cut, 2, 3, "x", LIMIT)
    stream = io.BytesIO()
    image = Image.fromarray(STACK[0])
    image.save(stream, "TIFF", save_all=True, append_images=[image])
    with pytest.raises(reading.TooManyPixels):
        frames.single(stream.getvalue(), 1, 2, "x", 79)


def test_a_file_with_a_million_frames_is_not_counted_to_the_end():
    assert frames.count(dicom(STACK, frames=1_000_000)) == frames.MOST


def test_dicom_seg_repeats_the_image_it_belongs_to_and_holds_the_mask():
    place = {"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    place.update(FrameOfReferenceUID="1.2.3.6", SliceThickness=3, PixelSpacing=[0.5, 0.25])
    ids = {"StudyInstanceUID": "1.2.3.4", "SeriesInstanceUID": "1.2.3.5", "PatientID": "p"}
    content = dicom(plain(), **ids, **place)
    mask = np.zeros((1, 40, 60), bool)
    mask[0, 5:9, 3:20] = True
    written = downloads.dicom_seg(content, mask, "network", "Research use only.")
    seg = pydicom.dcmread(io.BytesIO(written))
    assert seg.Modality == "SEG" and (seg.pixel_array == mask[0]).all()
    assert (seg.StudyInstanceUID, seg.PatientID) == ("1.2.3.4", "p")
    assert seg.ContentDescription == "Research use only."
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert list(measures.PixelSpacing) == [0.5, 0.25]
    source = pydicom.dcmread(io.BytesIO(content))
    assert written.count(source.SOPInstanceUID.encode()) >= 1
    assert "highdicom" not in sys.modules  # a process of its own has loaded it
