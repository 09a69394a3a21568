"""What the tests of the page share: images as files, a run folder, and the stand-in network."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from common import files
from common.files import PROJECT
from reproductions.brain_tumour_mask_rcnn.app.facts import Measured, Network

STUB = Path(__file__).with_name("stub_model.py")
NETWORK = Network(
    run="resnet101-paper-seed0",
    data="brain tumours of somewhere",
    profile="paper",
    encoder="resnet101",
    encoder_weights="imagenet",
    min_score=0.7,
    lowest_score=0.05,
    steps=1500,
    full_steps=1500,
    measured=Measured(0.6585, 0.171, 0.6243, 39),
)


def encoded(image: np.ndarray, format: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format=format, **options)
    return stream.getvalue()


def plain(red: int = 200, height: int = 40, width: int = 60) -> np.ndarray:
    """An image of one grey, whose first pixel tells the stand-in network how to behave."""
    image = np.full((height, width, 3), 150, np.uint8)
    image[0, 0, 0] = red
    return image


def dicom(image: np.ndarray, frames: int = 0, **elements) -> bytes:
    """A DICOM file of 8-bit grey: `image` is (H, W, …) or, with `frames`, (frames, H, W)."""
    pixels = image if frames else image[..., 0]
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.UID("1.2.840.10008.5.1.4.1.1.4")  # an MR image
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset = pydicom.dataset.FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.PixelRepresentation = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    if frames:
        dataset.NumberOfFrames = frames
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.PixelData = pixels.tobytes()
    stream = io.BytesIO()
    dataset.save_as(stream, write_like_original=False)
    return stream.getvalue()


def run_folder(folder: Path, title: str = "brain tumours of somewhere", **config) -> Path:
    """What is read of a finished training; its weights are empty."""
    settings = {"profile": "quick", "encoder": "resnet101", "encoder_weights": "none"}
    settings.update({"min_score": 0.8, "epochs": 15, "steps_per_epoch": 100}, **config)
    files.write_json(folder / "config.json", settings)
    files.write_json(folder / "environment.json", {"sessions": [{"data": "old"}, {"data": title}]})
    files.write_text(folder / "weights.h5", "")
    return folder


def stub_command(folder: Path) -> list:
    return [sys.executable, str(STUB), str(folder)]


@pytest.fixture(scope="session", autouse=True)
def stub_finds_the_project():
    """The stand-in is a script of its own, started as the network's process is."""
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(PROJECT))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def chromium():
    """A browser; no longer than for one file, since other tests run event loops of their own."""
    from . import browser

    if not browser.CHROMIUM:
        pytest.skip("no Chromium in PATH")
    yield from browser.launch()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A page that many tests share; none of them may leave a tab open."""
    from . import browser

    if not browser.CHROMIUM:
        pytest.skip("no Chromium in PATH")

    started = browser.start(tmp_path_factory.mktemp("too_long_for_the_address_of_a_socket_in_it"))
    yield started
    browser.stop(started)


@pytest.fixture
def scan(tmp_path):
    """An image under the name of a patient."""
    path = tmp_path / "hasta-4711.jpg"
    pixels = np.random.default_rng(0).integers(0, 200, (300, 400, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path
