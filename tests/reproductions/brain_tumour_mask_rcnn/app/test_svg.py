from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reproductions.brain_tumour_mask_rcnn.app import findings, svg


def finding(mask: np.ndarray, box) -> findings.Finding:
    return findings.from_masks(np.float32([0.9]), np.float32([box]), mask[None])[0]


def test_an_outline_runs_along_the_rim_of_its_mask_and_around_its_holes():
    mask = np.zeros((20, 30), bool)
    mask[4:14, 5:20] = True
    mask[8:10, 9:12] = False
    drawn = svg.drawing((20, 30), "label", [finding(mask, [4, 5, 14, 20])], ["1 · 0,90"])
    assert "x='5' y='4' width='15' height='10'" in drawn
    path = re.search(r"d='([^']*)'", drawn).group(1)
    pairs = re.findall(r"([\d.]+),([\d.]+)", path)
    points = np.array(pairs, float)
    assert path.count("M") == 2
    assert points.min(axis=0).tolist() == [5.5, 4.5] and points.max(axis=0).tolist() == [19.5, 13.5]


@pytest.mark.parametrize("box", [(0, 0, 5, 5), (0, 25, 20, 30), (15, 29, 20, 30), (0, 0, 20, 30)])
def test_labels_stay_in_the_image(box):
    plate = svg.place_labels([box], ["1 · 0,90"], (60, 90))[0]
    assert plate.x >= 0 and plate.x + plate.width <= 90.001
    assert plate.y >= 0 and plate.y + plate.height <= 60.001


sides = st.integers(100, 400)


@given(st.lists(st.tuples(sides, sides), min_size=2, max_size=5))
def test_labels_of_findings_that_touch_do_not_cover_each_other(corners):
    boxes = [(y, x, y + 20, x + 30) for y, x in corners]
    plates = svg.place_labels(boxes, ["1 · 0,90"] * len(boxes), (512, 512))
    for index, plate in enumerate(plates):
        assert not any(plate.overlap(other) for other in plates[:index])


def test_a_mask_without_pixels_is_drawn_as_its_box():
    drawn = svg.drawing((9, 9), "x", [finding(np.zeros((9, 9), bool), [1, 1, 3, 3])], ["1"])
    assert "bt-box" in drawn
