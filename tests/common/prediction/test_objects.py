import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask
from skimage import measure

from common.prediction import coco, objects, qupath
from common.prediction.objects import Object
from common.prediction.predictor import Found, TargetClass

CLASSES = (TargetClass(1, "a", (1, 2, 3), ("", "")), TargetClass(2, "b", (4, 5, 6), ("", "")))
MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))).filter(np.any)


def whole(one, shape):
    mask = np.zeros(shape, bool)
    height, width = one.mask.shape
    mask[one.top : one.top + height, one.left : one.left + width] = one.mask
    return mask


@pytest.mark.parametrize("connectivity", [4, 8])
def test_components_are_scikit_images(connectivity):
    labels = np.random.default_rng(0).choice(3, (40, 50), p=[0.6, 0.2, 0.2]).astype(np.uint8)
    levels = np.random.default_rng(1).integers(0, 256, (40, 50, 2), np.uint8)
    found = objects.components(labels, levels, CLASSES, connectivity)
    everything = list(found.objects)
    regions = []
    for target in CLASSES:
        numbered = measure.label(labels == target.value, connectivity=connectivity // 4)
        regions += [
            (target.value, *region.bbox, region.area) for region in measure.regionprops(numbered)
        ]
    ours = [
        (one.value, one.top, one.left, one.top + one.box[3], one.left + one.box[2], one.area)
        for one in everything
    ]
    assert sorted(ours) == sorted(regions) and found.count == len(ours)
    assert [one.number for one in everything] == list(range(1, len(ours) + 1))
    for one in everything:
        inside = whole(one, labels.shape)
        assert (found.labels[inside] == one.number).all()
        expected = (levels[inside][:, one.value - 1] + 0.5).mean() / 256
        assert one.probability == pytest.approx(expected)
        rows, columns = np.nonzero(inside)
        assert one.centroid == pytest.approx((columns.mean() + 0.5, rows.mean() + 0.5))


def test_too_many_objects_are_not_told_apart(monkeypatch):
    monkeypatch.setattr(objects, "MOST_OBJECTS", 3)
    labels = np.eye(4, dtype=np.uint8)
    levels = np.zeros((4, 4, 2), np.uint8)
    assert objects.components(labels, levels, CLASSES, 8).count == 1
    with pytest.raises(objects.TooMany):
        objects.components(labels, levels, CLASSES, 4)


def test_detections_may_overlap_and_the_likelier_is_on_top():
    square = np.ones((4, 4), bool)
    found = objects.detections([Found(1, 0.5, 0, 0, square), Found(1, 0.9, 2, 2, square)], (8, 8))
    first, second = found.objects
    assert (first.probability, second.probability) == (0.9, 0.5)
    assert found.labels[3, 3] == first.number == 1 and found.labels[0, 0] == second.number == 2
    assert second.area == 16 and (found.labels == 2).sum() == 12


@given(MASKS, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_run_lengths_are_pycocotools(mask, above, below, before, after):
    one = Object(1, 1, above, before, mask, 1.0)
    height, width = mask.shape[0] + above + below, mask.shape[1] + before + after
    full = np.asfortranarray(whole(one, (height, width)), np.uint8)
    expected = coco_mask.encode(full)
    ours = coco.run_lengths(one, (height, width))
    assert ours["counts"] == expected["counts"].decode() and ours["size"] == expected["size"]


@given(MASKS, st.integers(0, 3), st.integers(0, 3))
def test_outlines_are_valid_and_cover_just_the_pixels(mask, top, left):
    one = Object(1, 1, top, left, mask, 1.0)
    outline = qupath.outline(one)
    assert outline.is_valid and outline.area == one.area
    rows, columns = np.nonzero(mask)
    assert shapely.contains_xy(outline, columns + left + 0.5, rows + top + 0.5).all()


def test_a_hole_is_a_ring_and_straight_edges_have_no_points():
    mask = np.ones((5, 6), bool)
    mask[2, 2:4] = False
    outline = qupath.outline(Object(1, 1, 0, 0, mask, 1.0))
    assert len(outline.exterior.coords) == 5 and len(outline.interiors) == 1
