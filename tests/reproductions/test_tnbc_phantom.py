"""Synthetic histology in the layout of TNBC."""

import cv2
import numpy as np
import pytest
from PIL import Image

from common.imaging.masks import read_mask, read_pair
from reproductions.tnbc_linknet import phantom as tnbc_phantom


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms") / "tnbc"
    tnbc_phantom.write(folder, patients=3, images_per_patient=3)
    return folder


def pairs(folder):
    for image in sorted(folder.glob("Slide_*/*.png")):
        yield read_pair(image, folder / image.parent.name.replace("Slide", "GT") / image.name)


def test_layout_is_that_of_tnbc(folder):
    slides = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    expected = {
        f"{kind}_{p:02d}/{p:02d}_{n}.png"
        for kind in ("Slide", "GT")
        for p in (1, 2, 3)
        for n in (1, 2, 3)
    }
    assert slides == expected
    assert Image.open(folder / "Slide_02/02_1.png").mode == "RGBA"
    assert Image.open(folder / "Slide_02/02_3.png").mode == "RGB"
    assert Image.open(folder / "GT_02/02_1.png").mode == "L"


def test_nuclei_stand_out_by_colour(folder):
    dice = []
    for image, mask in pairs(folder):
        assert image.shape == (128, 128, 3)
        assert image[mask].mean(axis=0).argmax() == 2  # nuclei are blue
        assert (image[~mask].mean(axis=0) > image[mask].mean(axis=0) + 15).all()
        threshold, _ = cv2.threshold(image[..., 0], 0, 255, cv2.THRESH_OTSU)
        dark = image[..., 0] <= threshold
        assert (
            cv2.erode((dark & ~mask).astype(np.uint8), np.ones((5, 5))).sum() < 20
        )  # no nucleus without a mask
        dice.append(2 * (dark & mask).sum() / (dark.sum() + mask.sum()))
    assert np.mean(dice) > 0.85


def test_masks_are_like_those_of_tnbc(folder):
    counts, radii = [], []
    for _, mask in pairs(folder):
        assert 0.05 < mask.mean() < 0.6
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
        counts.append(count - 1)
        radii.extend(np.sqrt(stats[1:, cv2.CC_STAT_AREA] / np.pi))
    assert min(counts) >= 5
    assert 5 < np.median(radii) < 12


def test_patients_differ_more_than_their_images(folder):
    means = np.array([image[~mask].mean(axis=0) for image, mask in pairs(folder)]).reshape(3, 3, 3)
    assert means.mean(axis=1).std(axis=0).sum() > 2 * means.std(axis=1).mean(axis=0).sum()


@pytest.mark.parametrize("size", [32, 200])
def test_other_sizes(tmp_path, size):
    tnbc_phantom.write(
        tmp_path, patients=1, images_per_patient=1, size=size
    )  # an empty folder may be given
    assert read_mask(tmp_path / "GT_01/01_1.png").shape == (size, size)
