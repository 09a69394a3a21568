"""Synthetic brain MR slices with outlined tumours."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from common.imaging.reading import read_rgb
from reproductions.brain_tumour_mask_rcnn import phantom as brain_phantom


@pytest.fixture(scope="module")
def brains(tmp_path_factory):
    folder = tmp_path_factory.mktemp("brains") / "brain_mri"
    brain_phantom.write(folder, train=6, val=3, test=4, size=96)
    return folder


def outlined(folder, part):
    """Image and mask of every tumour of a part."""
    for entry in json.loads((folder / part / "annotations.json").read_text()).values():
        image = read_rgb(folder / part / entry["filename"])
        masks = []
        for region in entry["regions"]:
            shape = region["shape_attributes"]
            points = np.stack([shape["all_points_x"], shape["all_points_y"]], axis=-1)
            assert (
                shape["name"] == "polygon"
                and (points >= 0).all()
                and (points < image.shape[1::-1]).all()
            )
            masks.append(
                cv2.fillPoly(np.zeros(image.shape[:2], np.uint8), [points.astype(np.int32)], 1) > 0
            )
        assert entry["size"] == (folder / part / entry["filename"]).stat().st_size
        yield image, masks


def test_brains_have_the_layout_of_brain_tumor_data(brains):
    numbers = [
        int(path.stem) for part in ("train", "val", "test") for path in brains.glob(f"{part}/*.jpg")
    ]
    assert sorted(numbers) == list(range(13))
    assert Image.open(brains / "train/2.jpg").size == (96, 84) and Image.open(
        brains / "train/3.jpg"
    ).size == (96, 96)


def test_tumours_are_bright_and_inside_of_the_head(brains):
    counts = []
    for part in ("train", "val", "test"):
        for image, masks in outlined(brains, part):
            counts.append(len(masks))
            brain = image[..., 0][image.shape[0] // 4 : -image.shape[0] // 4, 30:-30]
            for mask in masks:
                assert 0.003 < mask.mean() < 0.06
                assert image[mask].mean() > np.median(brain) + 40
    assert set(counts) == {1, 2}


def test_the_first_test_slice_shows_the_last_training_head_again(brains):
    (*_, (last, masks)), (again, outlines) = (
        outlined(brains, "train"),
        next(outlined(brains, "test")),
    )
    assert last.shape == again.shape and not np.array_equal(last, again)
    assert np.corrcoef(last.ravel(), again.ravel())[0, 1] > 0.95
    assert (masks[0] & outlines[0]).sum() > 0.6 * (masks[0] | outlines[0]).sum()
    other = next(outlined(brains, "train"))[0]
    assert np.corrcoef(last.ravel(), other.ravel())[0, 1] < 0.95
