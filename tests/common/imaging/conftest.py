"""Files of many kinds, made by the tests themselves."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

from common.errors import InputError
from common.imaging import reading


@pytest.fixture
def refused():
    """Read, and expect one line that begins with the file's name and holds these words."""

    def expect(source, *words, read=reading.read, **options):
        name = options.get("name") or str(source)
        with pytest.raises(InputError) as caught:
            read(source, **options)
        message = str(caught.value)
        assert message.startswith(f"{name}: ")
        assert "\n" not in message
        for word in words:
            assert word in message
        return message

    return expect


def _elements(pixels: np.ndarray, kind: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.UltrasoundImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.SOPClassUID = pydicom.uid.UltrasoundImageStorage
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = kind
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    return dataset


@pytest.fixture
def dicom(tmp_path):
    """Write a DICOM file, and give its path.

    `pixels` are (H, W) or (H, W, 3), the values of one frame; `frames` the packed frames instead,
    in the transfer syntax `syntax`; other elements by keyword, or by tag as (VR, value).
    """

    def write(
        pixels: np.ndarray,
        kind: str = "MONOCHROME2",
        *,
        name: str = "a.dcm",
        frames: list | None = None,
        syntax: str = "",
        tags: dict | None = None,
        **elements,
    ) -> Path:
        dataset = _elements(pixels, kind)
        for keyword, value in elements.items():
            if isinstance(value, list) and value and isinstance(value[0], Dataset):
                value = Sequence(value)
            setattr(dataset, keyword, value)
        for tag, (vr, value) in (tags or {}).items():
            dataset.add_new(tag, vr, value)
        content = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
        if frames is not None:
            content = encapsulate(frames)
        if syntax:
            dataset.file_meta.TransferSyntaxUID = syntax
        if "FloatPixelData" not in elements:
            vr = "OB" if pixels.itemsize == 1 else "OW"
            dataset.add_new("PixelData", vr, content)
            dataset["PixelData"].is_undefined_length = frames is not None
        path = tmp_path / name
        dataset.save_as(path, write_like_original=False)
        return path

    return write


@pytest.fixture
def encoded():
    """Encode an array, or a Pillow image, in a format that Pillow writes."""
    from PIL import Image

    def encode(array, format: str, **options) -> bytes:
        stream = io.BytesIO()
        image = array if isinstance(array, Image.Image) else Image.fromarray(array)
        image.save(stream, format=format, **options)
        return stream.getvalue()

    return encode
