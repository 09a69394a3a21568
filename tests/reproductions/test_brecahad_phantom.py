"""Synthetic histology in the layout of BreCaHAD."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from reproductions.brecahad_slicing import phantom as brecahad_phantom


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides") / "brecahad"
    brecahad_phantom.write(folder, cases=2, images_per_case=3, size=(170, 128))
    return folder


def test_histology_has_the_layout_of_brecahad(slides):
    names = {f"Case_{case}-{number:02d}" for case in (1, 2) for number in (1, 2, 3)}
    assert {path.stem for path in slides.glob("groundTruth/*.json")} == names
    pictures = {path.stem: path.suffix for path in slides.glob("images/*")}
    assert pictures == {name: ".jpg" if name.endswith("3") else ".tif" for name in names}
    assert {Image.open(path).size for path in slides.glob("images/*")} == {(170, 128)}
    classes = ["mitosis", "non_mitosis", "apoptosis", "tumor", "non_tumor", "lumen", "non_lumen"]
    for path in slides.glob("groundTruth/*.json"):
        content = json.loads(path.read_text())
        assert list(content) == classes
        assert len(content["tumor"]) > 5
        assert all(
            0 <= point[axis] <= 1
            for points in content.values()
            for point in points
            for axis in "xy"
        )


def test_centres_lie_on_nuclei(slides):
    depths = []
    for path in sorted(slides.glob("images/*")):
        red = cv2.GaussianBlur(np.asarray(Image.open(path))[..., 0], (0, 0), 2).astype(float)
        content = json.loads((slides / f"groundTruth/{path.stem}.json").read_text())
        for point in content["tumor"] + content["non_tumor"]:
            depths.append(np.median(red) - red[int(point["y"] * 128), int(point["x"] * 170)])
    assert np.mean(np.array(depths) > 0) > 0.8  # nuclei are darker than what is around them


def test_the_first_two_images_of_a_case_overlap(slides):
    first, second, third = (
        np.asarray(Image.open(path)).astype(int) for path in sorted(slides.glob("images/Case_1*"))
    )
    np.testing.assert_array_equal(second[:-42, :-42], first[42:, 42:])
    assert np.abs(third - first).mean() > 10
