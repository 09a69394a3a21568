"""Broken surroundings: what the tests of faults share."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Callable, NamedTuple

import pytest

from common.datasets import manifests
from common.errors import exits_cleanly
from reproductions.brain_tumour_mask_rcnn import data as brain
from reproductions.brain_tumour_mask_rcnn import phantom as brain_phantom
from reproductions.brecahad_slicing import data as brecahad
from reproductions.brecahad_slicing import phantom as brecahad_phantom
from reproductions.brecahad_slicing.config import PROFILES as BRECAHAD
from reproductions.busi_resnext_unet import data as busi
from reproductions.busi_resnext_unet import phantom as busi_phantom
from reproductions.polyp_unet import data as polyp
from reproductions.polyp_unet import phantom as polyp_phantom
from reproductions.polyp_unet.config import PROFILES as POLYP
from reproductions.tnbc_linknet import data as tnbc
from reproductions.tnbc_linknet import phantom as tnbc_phantom
from reproductions.tnbc_linknet.config import PROFILES as TNBC


class Paper(NamedTuple):
    """How a paper's data are made, and read by its own code."""

    data_set: str
    make: Callable[[Path], None]
    read: Callable[[manifests.DataSet], object]
    picture: str  # one of the images
    mask: str = ""  # that belongs to it, where that is a picture


def _read_busi(found):
    return busi.load(found.folder, busi.find(found.folder))


def _read_brain(found):
    return brain.load(
        found.folder, [image_id for part in brain.PARTS for image_id in _ids(found.folder, part)]
    )


def _ids(folder, part):
    name = {"validation": "val"}.get(part, part)
    return [path.stem for path in manifests.matching(folder, f"{name}/*.jpg")]


PAPERS = {
    "tnbc": Paper(
        "tnbc",
        lambda folder: tnbc_phantom.write(folder, patients=2, images_per_patient=2, size=32),
        lambda found: tnbc.load(found.folder, list(tnbc.patients(found.folder)), TNBC["smoke"]),
        "Slide_01/01_1.png",
        "GT_01/01_1.png",
    ),
    "busi": Paper(
        "busi",
        lambda folder: busi_phantom.write(folder, benign=2, malignant=1, normal=1),
        _read_busi,
        "malignant/malignant (1).png",
        "malignant/malignant (1)_mask.png",
    ),
    "brecahad": Paper(
        "brecahad",
        lambda folder: brecahad_phantom.write(folder, cases=2, images_per_case=1, size=(64, 48)),
        lambda found: brecahad.load(found, BRECAHAD["smoke"]),
        "images/Case_1-01.jpg",
    ),
    "polyp": Paper(
        "kvasir_standin",
        lambda folder: polyp_phantom.write_folder(folder, images=10, size=32),
        lambda found: polyp.load(found, POLYP["smoke"]),
        "images/0001.jpg",
        "masks/0001.png",
    ),
    "brain": Paper(
        "brain_mri",
        lambda folder: brain_phantom.write(folder, train=2, val=1, test=1, size=64),
        _read_brain,
        "train/0.jpg",
    ),
}


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    """Phantoms of all papers, by paper; not to be changed."""
    root = tmp_path_factory.mktemp("faults")
    for paper in PAPERS:
        PAPERS[paper].make(root / paper)
    return root


@pytest.fixture
def broken(originals, tmp_path):
    """Copy a paper's phantom, let a function change one of its files, and give a function that
    reads the copy.
    """

    def prepare(
        paper: str, change: Callable[[Path], object], which: str = "picture", place: str = "data"
    ):
        folder = tmp_path / place / paper
        shutil.copytree(originals / paper, folder)
        path = folder / getattr(PAPERS[paper], which)
        assert path.is_file(), path
        change(path)
        # Some readers keep what they have read of a data set, by its fingerprint.
        found = manifests.DataSet(PAPERS[paper].data_set, "", folder, True, str(tmp_path))
        return path, lambda: PAPERS[paper].read(found)

    return prepare


@pytest.fixture
def fails(capsys, tmp_path):
    """Call as a command would be, and expect one line with these words, the exit code 2 and no
    half-written file.
    """

    def run(function: Callable[[], object], *words: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            exits_cleanly(function)()
        *before, message = (
            capsys.readouterr().err.splitlines()
        )  # a download shows its progress first
        assert caught.value.code == 2
        assert message.startswith("error: ") and not any(
            line.startswith(("error", "Trace")) for line in before
        )
        for word in words:
            assert str(word) in message
        assert not list(tmp_path.rglob(".partial-*"))
        return message

    return run
