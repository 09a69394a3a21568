"""Synthetic ultrasound in the layout of BUSI."""

import cv2
import numpy as np
import pytest
from PIL import Image

from common.imaging.masks import read_pair
from reproductions.busi_resnext_unet import phantom as busi_phantom


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms") / "busi"
    busi_phantom.write(folder, benign=5, malignant=4, normal=2)
    return folder


def test_scans_have_the_layout_of_busi(scans):
    found = {path.relative_to(scans).as_posix() for path in scans.rglob("*.png")}
    names = {
        f"{kind}/{kind} ({n})"
        for kind, count in [("benign", 5), ("malignant", 4), ("normal", 2)]
        for n in range(1, count + 1)
    }
    several = {"benign/benign (1)_mask_1.png", "benign/benign (5)_mask_1.png"}
    assert (
        found
        == {f"{name}.png" for name in names} | {f"{name}_mask.png" for name in names} | several
    )
    assert Image.open(scans / "benign/benign (4).png").mode == "RGB"
    assert Image.open(scans / "benign/benign (3).png").mode == "L"


def test_lesions_are_dark_and_normal_scans_have_none(scans):
    sizes = set()
    for path in sorted(scans.glob("*/*).png")):
        image, mask = read_pair(path, path.with_name(f"{path.stem}_mask.png"))
        sizes.add(mask.shape)
        assert mask.any() == (path.parent.name != "normal")
        if mask.any():
            around = cv2.dilate(mask.astype(np.uint8), np.ones((25, 25))) > mask
            assert image[mask].mean() < 0.75 * image[around].mean()
            assert 0.01 < mask.mean() < 0.2
    assert len(sizes) > 5 and min(min(size) for size in sizes) < 256 < max(
        max(size) for size in sizes
    )
