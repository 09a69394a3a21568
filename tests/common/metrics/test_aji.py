import itertools
import math
import os
import time
import tracemalloc
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from common.metrics import aji, dice, matching

SCORES = (aji.aji, aji.aji_plus, lambda true, pred: aji.panoptic_quality(true, pred).pq)


@st.composite
def label_map_pairs(draw, most=4):
    shape = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    labels = hnp.arrays(np.int32, shape, elements=st.integers(0, most))
    return draw(labels), draw(labels)


# The oracle: instances as sets of pixels, exact fractions, every possible matching.


def pixel_sets(labels):
    """Instances in the order of their first pixel."""
    instances = {}
    for pixel, label in np.ndenumerate(labels):
        if label:
            instances.setdefault(label, set()).add(pixel)
    return list(instances.values())


def iou(a, b):
    return Fraction(len(a & b), len(a | b))


def counts(true, pred, pairs):
    """Sums of intersections and unions over the index pairs, and the areas of all that is in
    none.
    """
    intersection = sum(len(true[t] & pred[p]) for t, p in pairs)
    union = sum(len(true[t] | pred[p]) for t, p in pairs)
    union += sum(len(pixels) for t, pixels in enumerate(true) if t not in {t for t, _ in pairs})
    union += sum(len(pixels) for p, pixels in enumerate(pred) if p not in {p for _, p in pairs})
    return intersection, union


def slow_aji_counts(true, pred):
    true, pred = pixel_sets(true), pixel_sets(pred)
    pairs = []
    for t, pixels in enumerate(true):
        ious = [iou(pixels, other) for other in pred]
        if any(ious):
            pairs.append((t, ious.index(max(ious))))
    return counts(true, pred, pairs)


def slow_aji_plus_counts(true, pred):
    """The counts of every matching that reaches the greatest sum of IoU."""
    true, pred = pixel_sets(true), pixel_sets(pred)
    matchings = []
    for partners in itertools.permutations([*range(len(pred)), *[None] * len(true)], len(true)):
        pairs = [(t, p) for t, p in enumerate(partners) if p is not None and true[t] & pred[p]]
        matchings.append((sum(iou(true[t], pred[p]) for t, p in pairs), counts(true, pred, pairs)))
    best = max(total for total, _ in matchings)
    return {result for total, result in matchings if total == best}


def slow_panoptic_quality(true, pred, threshold):
    true, pred = pixel_sets(true), pixel_sets(pred)
    limit = Fraction(
        str(threshold)
    )  # 3/5 is not above 0.6, although it is above the float that stands for it
    matched = [iou(t, p) for t in true for p in pred if iou(t, p) > limit]
    tp, fp, fn = len(matched), len(pred) - len(matched), len(true) - len(matched)
    return sum(matched) / (tp + Fraction(fp + fn, 2)), tp, fp, fn


@given(label_map_pairs())
def test_aji_equals_the_set_based_definition(maps):
    assert aji.aji_counts(*maps) == slow_aji_counts(*maps)


@given(label_map_pairs(most=3))
def test_aji_plus_equals_the_best_of_all_matchings(maps):
    assert aji.aji_plus_counts(*maps) in slow_aji_plus_counts(*maps)


@given(label_map_pairs(), st.sampled_from([0.5, 0.6, 0.75]))
def test_panoptic_quality_equals_the_set_based_definition(maps, threshold):
    result = aji.panoptic_quality(*maps, iou=threshold, empty=math.nan)
    if not maps[0].any() and not maps[1].any():
        assert math.isnan(result.pq)
        return
    pq, tp, fp, fn = slow_panoptic_quality(*maps, threshold)
    assert result.pq == pytest.approx(float(pq))
    assert (result.tp, result.fp, result.fn) == (tp, fp, fn)
    assert result.pq == result.sq * result.dq


@given(label_map_pairs(), st.data())
def test_renaming_instances_changes_nothing(maps, data):
    # Maps this small are full of ties.
    dtype = data.draw(st.sampled_from([np.uint8, np.int64, np.uint64]))
    names = st.lists(st.integers(1, np.iinfo(dtype).max), min_size=4, max_size=4, unique=True)
    renamed = [np.array([0, *data.draw(names)], dtype)[labels] for labels in maps]
    assert aji.aji_counts(*renamed) == aji.aji_counts(*maps)
    assert aji.aji_plus_counts(*renamed) == aji.aji_plus_counts(*maps)
    assert aji.panoptic_quality(*renamed) == aji.panoptic_quality(*maps)


@given(label_map_pairs())
def test_aji_never_exceeds_jaccard_and_jaccard_never_dice(maps):
    counted = dice.confusion(maps[0] > 0, maps[1] > 0)
    jaccard = dice.iou(counted)
    assert max(aji.aji(*maps), aji.aji_plus(*maps)) <= jaccard <= dice.dice(counted)


@given(label_map_pairs())
def test_a_perfect_prediction_scores_one(maps):
    for score in SCORES:
        assert score(maps[0], maps[0]) == 1


@pytest.mark.parametrize("k", range(1, 9))
def test_one_prediction_over_k_equal_touching_nuclei(k):
    true = np.kron(np.arange(1, k + 1), np.ones((3, 4), np.int32))
    merged = (true > 0).astype(np.int32)
    assert aji.aji(true, merged) == pytest.approx(1 / k)
    assert aji.aji_plus(true, merged) == pytest.approx(1 / (2 * k - 1))


def test_one_nucleus_split_in_two():
    true, halves = np.ones((4, 4), int), np.kron([[3, 9]], np.ones((4, 2), int))
    assert aji.aji(true, halves) == aji.aji_plus(true, halves) == pytest.approx(1 / 3)


def test_a_missed_nucleus_adds_only_its_own_area():
    true, pred = np.array([[1, 1, 0, 2, 2, 2]]), np.array([[0, 0, 0, 7, 7, 7]])
    assert aji.aji_counts(true, pred) == aji.aji_plus_counts(true, pred) == (3, 5)


def test_ties_go_to_the_prediction_that_comes_first_in_raster_order():
    # Both predictions have IoU 1/3 with the one nucleus, but different areas.
    true, small_first = np.array([[1, 1, 1, 0, 0, 0]]), np.array([[1, 2, 2, 2, 2, 2]])
    for swap in ([0, 1, 2], [0, 2, 1]):
        pred = np.array(swap)[small_first]
        assert aji.aji_counts(true, pred) == (1, 8)
        assert aji.aji_counts(true[:, ::-1], pred[:, ::-1]) == (2, 7)


def test_aji_plus_gives_up_the_best_pair_for_a_greater_sum():
    # IoU 71/129 for the overlap in the middle, against 29/100 twice for the two at the ends.
    true, pred = np.repeat([1, 2], [100, 29])[None], np.repeat([1, 2], [29, 100])[None]
    assert aji.aji_plus_counts(true, pred) == (58, 200)


def test_pooled_counts_differ_from_the_mean_of_images():
    good = np.kron([[1, 0]], np.ones((10, 10), int))
    missed = np.zeros_like(good)
    missed[0, 0] = 1
    pairs = [(good, good), (missed, np.zeros_like(good))]
    intersections, unions = zip(*(aji.aji_counts(*pair) for pair in pairs))
    assert sum(intersections) / sum(unions) == 100 / 101
    assert np.mean([aji.aji(*pair) for pair in pairs]) == 0.5


def test_panoptic_quality_needs_more_than_half():
    assert aji.panoptic_quality(np.array([[1, 1]]), np.array([[1, 0]])) == (0, 0, 0, 0, 1, 1)
    assert aji.panoptic_quality(np.array([[1, 1, 1]]), np.array([[1, 1, 0]])) == (
        2 / 3,
        2 / 3,
        1,
        1,
        0,
        0,
    )
    with pytest.raises(ValueError, match="got 0.4"):
        aji.panoptic_quality(np.array([[1]]), np.array([[1]]), iou=0.4)


@pytest.mark.parametrize("shape", [(3, 5), (1, 1), (0, 4)])
def test_empty_maps(shape):
    nothing = np.zeros(shape, int)
    assert [score(nothing, nothing) for score in SCORES] == [1, 1, 1]
    for score in (aji.aji, aji.aji_plus, aji.panoptic_quality):
        assert score(nothing, nothing, empty=0.25) in (0.25, (0.25, 0.25, 0.25, 0, 0, 0))
    assert math.isnan(aji.aji(nothing, nothing, empty=math.nan))
    assert aji.aji_counts(nothing, nothing) == aji.aji_plus_counts(nothing, nothing) == (0, 0)


def test_one_side_empty_scores_zero_whatever_the_policy():
    nothing, something = np.zeros((3, 5), int), np.eye(3, 5, dtype=int)
    for maps in ((nothing, something), (something, nothing)):
        assert aji.aji(*maps, empty=math.nan) == aji.aji_plus(*maps, empty=math.nan) == 0
        assert aji.panoptic_quality(*maps, empty=math.nan).pq == 0


def test_ids_that_float64_cannot_tell_apart():
    true = np.array([[2**64 - 1, 2**64 - 2, 2**63, 0]], np.uint64)
    assert aji.aji(true, np.array([[5, 8, 200, 0]], np.uint8)) == 1


def test_a_negative_id_is_refused_beside_one_of_any_size():
    true = np.array([[2**40, -1]])
    with pytest.raises(ValueError, match="negative id, got -1"):
        aji.aji(true, np.abs(true))


@pytest.mark.parametrize("pixels", [1, 7, 40, 1199])
def test_maps_of_several_bands_score_as_in_one(pixels, monkeypatch):
    true, pred = np.random.default_rng(pixels).integers(0, 30, (2, 40, 30)) * 2**36
    true[:20, 5:9], pred[3:33, 7:12] = 1, 2
    expected = [score(true, pred) for score in SCORES]
    monkeypatch.setattr(aji, "_BAND", pixels)
    assert [score(true, pred) for score in SCORES] == expected


def test_a_bool_map_is_one_instance():
    true = np.array([[True, False, True]])
    assert aji.aji(true, np.array([[4, 0, 4]])) == 1
    assert aji.aji(true, np.array([[4, 0, 5]])) == 1 / 3


def test_views_of_any_layout_are_read_in_raster_order():
    true, pred = np.random.default_rng(0).integers(0, 4, (2, 40, 30))
    for view in (np.s_[::2, ::-1], np.s_[3:, 1::3]):
        expected = aji.aji_counts(true[view].copy(), pred[view].copy())
        assert aji.aji_counts(true[view], np.asfortranarray(pred[view])) == expected


@pytest.mark.parametrize(
    ("true", "pred"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int)),
        (np.zeros(4, int), np.zeros(4, int)),
        (np.zeros((2, 2, 1), int), np.zeros((2, 2, 1), int)),
        (np.zeros((2, 2)), np.zeros((2, 2), int)),
        (np.zeros((2, 2), int), np.full((2, 2), np.nan)),
        (np.zeros((2, 2), int), np.zeros((2, 2), complex)),
        (np.zeros((2, 2), int), np.array([["1", "2"], ["0", "0"]])),
        (np.zeros((2, 2), int), np.array([[1, None], [0, 0]])),
        (np.zeros((2, 2), int), np.full((2, 2), -1)),
        (np.array([[1, -7]]), np.zeros((1, 2), int)),
    ],
)
def test_what_is_no_pair_of_label_maps_is_refused(true, pred):
    for score in SCORES:
        with pytest.raises(ValueError, match="got .+"):
            score(true, pred)


def test_masked_arrays_are_refused():
    plain = np.array([[1, 0, 2]])
    masked = np.ma.masked_equal(plain, 2)
    for score in SCORES:
        for maps in ((masked, plain), (plain, masked)):
            with pytest.raises(ValueError, match="must be no masked array"):
                score(*maps)
    with pytest.raises(ValueError, match="mask must be no masked array"):
        aji.instances(np.ma.masked_equal([[1, 0]], 0))


@pytest.mark.parametrize("empty", ["skip", None, 1j, "nan"])
def test_a_policy_that_is_no_number_is_refused(empty):
    for maps in ((np.zeros((2, 2), int),) * 2, (np.eye(2, dtype=int),) * 2):
        for score in (aji.aji, aji.aji_plus, aji.panoptic_quality):
            with pytest.raises(ValueError, match="empty must be a number, got"):
                score(*maps, empty=empty)


def test_scores_are_plain_numbers():
    maps = np.array([[1, 1, 2]]), np.array([[1, 0, 2]])
    for score in SCORES:
        assert type(score(*maps)) is float
        assert type(score(np.zeros((2, 2), int), np.zeros((2, 2), int))) is float
    assert [type(value) for value in aji.panoptic_quality(*maps)] == [float] * 3 + [int] * 3


def test_connectivity_decides_about_corners():
    mask = np.eye(3, dtype=bool)
    assert aji.instances(mask).tolist() == mask.astype(int).tolist()
    assert sorted(aji.instances(mask, connectivity=4)[mask]) == [1, 2, 3]


@given(
    hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)), st.sampled_from([4, 8])
)
def test_instances_are_the_components_that_scipy_finds(mask, connectivity):
    labels = aji.instances(mask, connectivity)
    expected, n = ndimage.label(mask, np.ones((3, 3)) if connectivity == 8 else None)
    assert labels.dtype == np.int32 and labels.max() == n
    # One id on our side for each of scipy's and the reverse, background included.
    pairs = np.unique(np.stack([labels.ravel(), expected.ravel()]), axis=1)
    assert all(np.unique(side).size == side.size for side in pairs)
    assert np.array_equal(labels, aji.instances(mask.astype(np.int64), connectivity))


@pytest.mark.parametrize(
    "mask", [np.full((2, 2), 255), np.full((2, 2), -1), np.ones((2, 2)), np.ones(3, int)]
)
def test_what_is_no_binary_mask_is_refused(mask):
    with pytest.raises(ValueError, match="got .+"):
        aji.instances(mask)
    with pytest.raises(ValueError, match="got 6"):
        aji.instances(np.eye(2, dtype=bool), connectivity=6)


def five_thousand(block, shift):
    """71 x 71 copies of a shape on 4096 x 4096, the prediction shifted to the right and
    shuffled.
    """
    ids = np.arange(1, 71 * 71 + 1, dtype=np.int32)
    true = np.zeros((4096, 4096), np.int32)
    true[: 71 * 57, : 71 * 57] = np.kron(ids.reshape(71, 71), block)
    shuffled = np.append(0, np.random.default_rng(0).permutation(ids)).astype(np.int32)
    return true, np.roll(shuffled[true], shift, axis=1)


def test_five_thousand_nuclei_take_less_than_two_seconds_and_two_gibibytes():
    y, x = np.mgrid[-28:29, -28:29]
    disc = (y**2 + x**2 <= 25**2).astype(np.int32)
    intersection = int((disc[:, 4:] & disc[:, :-4]).sum())
    jaccard = intersection / (2 * int(disc.sum()) - intersection)
    true, pred = five_thousand(disc, shift=4)
    for score in SCORES:
        start = time.process_time()
        assert score(true, pred) == pytest.approx(jaccard)
        assert time.process_time() - start < 2
    tracemalloc.start()
    aji.aji_plus(true, pred)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 30


def test_chains_of_overlapping_nuclei_are_matched_in_time():
    # Every square overlaps two predictions equally, so that each row is one large matching problem.
    true, pred = five_thousand(
        np.repeat([[1, 0]], [56, 1], axis=1) * np.ones((57, 1), np.int32), shift=28
    )
    start = time.process_time()
    result = aji.aji_plus(true, pred)
    assert time.process_time() - start < 2
    assert 0.3 < result < 0.34


def test_the_cost_of_aji_plus_grows_with_the_pixels_alone():
    """An id per pixel, and rows of dominoes whose chain never ends: all of it once took minutes."""
    side = 512
    ids = np.arange(1, side * side + 1, dtype=np.int32).reshape(side, side)
    start = time.process_time()
    assert aji.aji_plus_counts(ids, ids[::-1].copy()) == (ids.size, ids.size)
    assert aji.aji_plus_counts(ids, (ids + 1) // 2) == (ids.size // 2, ids.size * 3 // 2)
    assert aji.aji_plus((ids + 1) // 2, (ids + 2) // 2) == pytest.approx(1 / 3, abs=1e-4)
    assert time.process_time() - start < 10


@pytest.mark.skipif("DATA_ROOT" not in os.environ, reason="DATA_ROOT names no real images")
def test_real_nuclei_are_matched_as_by_scipy(monkeypatch):
    paths = sorted(Path(os.environ["DATA_ROOT"]).glob("tnbc/GT_*/*.png"))
    if not paths:
        pytest.skip("no TNBC images in DATA_ROOT")
    for path in paths[::5]:
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0
        true, shifted = aji.instances(mask), aji.instances(np.roll(mask, (5, 7), axis=(0, 1)))
        rough = aji.instances(cv2.erode(mask.astype(np.uint8), np.ones((5, 5))))
        for pred in (shifted, rough, true[::-1]):
            counts = []
            for call in (10**9, -(10**9)):  # by the searches in Python, by scipy
                monkeypatch.setattr(matching, "_CALL", call)
                counts.append(aji.aji_plus_counts(true, pred))
            assert counts[0] == counts[1]
