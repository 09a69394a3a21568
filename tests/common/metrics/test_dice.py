import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics

from common.metrics import dice

OVERLAPS = (dice.dice, dice.f1, dice.iou)
SCORES = (*OVERLAPS, dice.precision, dice.recall)

PERFECT = np.array([[60, 0], [0, 40]])
MISSED = np.array([[99, 0], [1, 0]])
FALSE_ALARM = np.array([[95, 5], [0, 0]])
EMPTY = np.array([[100, 0], [0, 0]])


@st.composite
def class_map_pairs(draw):
    classes = draw(st.integers(2, 4))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=6))
    labels = hnp.arrays(
        draw(st.sampled_from([np.uint8, np.int64])), shape, elements=st.integers(0, classes - 1)
    )
    return draw(labels), draw(labels), classes


@given(class_map_pairs())
def test_every_score_equals_scikit_learn(maps):
    true, pred, classes = maps
    flat, labels = (true.ravel(), pred.ravel()), range(classes)
    counted = dice.confusion(*maps)
    assert counted.dtype == np.int64
    assert np.array_equal(counted, metrics.confusion_matrix(*flat, labels=labels))
    assert dice.accuracy(counted) == pytest.approx(metrics.accuracy_score(*flat))
    options = {"labels": labels, "average": None, "zero_division": 0}
    for ours, theirs in (
        (dice.dice, metrics.f1_score),
        (dice.f1, metrics.f1_score),
        (dice.iou, metrics.jaccard_score),
        (dice.precision, metrics.precision_score),
        (dice.recall, metrics.recall_score),
    ):
        scores = ours(counted, class_index=None, empty=0)
        assert scores == pytest.approx(theirs(*flat, **options))
        assert [ours(counted, class_index=c, empty=0) for c in labels] == list(scores)


@given(class_map_pairs(), st.sampled_from(["per_image", "pooled", None]))
def test_f1_is_dice_and_follows_from_iou_only_per_image(maps, reduction):
    stack = np.stack([dice.confusion(*maps), dice.confusion(maps[1], maps[0], maps[2])])
    f1, overlap = (
        score(stack, class_index=None, reduction=reduction) for score in (dice.f1, dice.dice)
    )
    assert f1 == pytest.approx(overlap)
    if reduction != "per_image":
        jaccard = dice.iou(stack, class_index=None, reduction=reduction)
        assert overlap == pytest.approx(2 * jaccard / (1 + jaccard))


def test_closed_forms():
    counted = np.array([[50, 10], [15, 25]])
    assert dice.dice(counted) == 50 / 75
    assert dice.iou(counted) == 25 / 50
    assert dice.precision(counted) == 25 / 35
    assert dice.recall(counted) == 25 / 40
    assert dice.accuracy(counted) == 75 / 100
    assert dice.recall(counted, class_index=0) == 50 / 60
    assert (
        dice.dice(np.array([[0, 10], [0, 200]], np.uint8)) == 400 / 410
    )  # twice 200 is more than uint8 holds


def test_rows_are_the_truth():
    assert dice.confusion(np.array([True, True, False]), np.array([0, 1, 1])).tolist() == [
        [0, 1],
        [1, 1],
    ]


def test_a_missed_small_lesion_counts_half_per_image_and_next_to_nothing_pooled():
    stack = np.stack([PERFECT, MISSED])
    assert dice.iou(stack) == 0.5
    assert dice.iou(stack, reduction="pooled") == 40 / 41
    assert dice.iou(stack, reduction=None).tolist() == [1, 0]
    assert dice.iou(stack, reduction=None, class_index=None).tolist() == [[1, 1], [0.99, 0]]
    assert dice.accuracy(stack) == dice.accuracy(stack, reduction="pooled") == 0.995
    assert dice.accuracy(stack, reduction=None).tolist() == [1, 0.99]


@pytest.mark.parametrize("score", SCORES)
def test_a_class_on_one_side_only_scores_zero(score):
    for counted in (MISSED, FALSE_ALARM):
        assert score(counted, empty=math.nan) == score(counted, empty="skip") == 0


@pytest.mark.parametrize("score", SCORES)
def test_a_class_on_neither_side_scores_what_the_policy_says(score):
    stack = np.stack([MISSED, EMPTY, PERFECT])
    assert score(stack, reduction=None).tolist() == [0, 1, 1]
    assert score(stack, empty=0.25) == pytest.approx(1.25 / 3)
    assert score(stack, empty="skip") == 0.5
    assert score(stack, empty="skip", class_index=None)[1] == 0.5
    assert np.isnan(score(stack, empty="skip", reduction=None)).tolist() == [False, True, False]
    assert math.isnan(score(stack, empty=math.nan))


@pytest.mark.parametrize("reduction", ["per_image", "pooled"])
def test_skipping_every_image_leaves_no_score(reduction):
    stack = np.stack([EMPTY, EMPTY])
    for score in SCORES:
        assert math.isnan(score(stack, empty="skip", reduction=reduction))
        assert score(stack, empty=0.25, reduction=reduction) == 0.25


@pytest.mark.parametrize(
    ("true", "pred", "classes"),
    [
        (np.zeros(3, int), np.zeros(4, int), 2),
        (np.zeros(0, int), np.zeros(0, int), 2),
        (np.zeros(3), np.zeros(3, int), 2),
        (np.zeros(3, int), np.full(3, 2), 2),
        (np.full(3, -1), np.zeros(3, int), 2),
        (np.full(3, 255, np.uint8), np.zeros(3, bool), 3),
        (np.full(3, 2**63, np.uint64), np.zeros(3, int), 3),
        (np.zeros(3, int), np.zeros(3, int), 2.5),
        (np.zeros(3, int), np.zeros(3, int), 0),
        (np.zeros(3, int), np.zeros(3, int), True),
        (np.ma.masked_equal([0, 1, 1], 1), np.zeros(3, int), 2),
        (np.zeros(3, int), np.ma.masked_equal([0, 1, 1], 1), 2),
    ],
)
def test_what_is_no_pair_of_class_maps_is_refused(true, pred, classes):
    with pytest.raises(ValueError, match="got .+"):
        dice.confusion(true, pred, classes)


@pytest.mark.parametrize(
    "matrices",
    [
        np.ones(4, int),
        np.ones((2, 3), int),
        np.ones((2, 2)),
        np.zeros((0, 2, 2), int),
        np.stack([PERFECT, 0 * PERFECT]),
        -PERFECT,
        np.array([[5, -1], [2, 3]]),
        np.array([[1, 0], [0, 2**63]], np.uint64),
        np.array([[1, 0], [0, 2**63 - 1]]),
        np.full((4, 2, 2), 2**60),
        np.ones((2, 2), bool),
        np.ma.masked_equal(PERFECT, 60),
        [PERFECT, np.ma.masked_equal(PERFECT, 60)],
    ],
)
def test_what_is_no_confusion_matrix_is_refused(matrices):
    for score in (*SCORES, dice.accuracy):
        with pytest.raises(ValueError, match="got .+"):
            score(matrices)


@pytest.mark.parametrize(
    "options",
    [
        {"reduction": "mean"},
        {"empty": "ignore"},
        {"empty": None},
        {"class_index": 2},
        {"class_index": -1},
        {"class_index": 0.5},
        {"class_index": True},
    ],
)
def test_unknown_options_are_refused(options):
    for score in SCORES:
        with pytest.raises(ValueError, match="got .+"):
            score(PERFECT, **options)


def test_the_score_of_a_class_is_a_float_and_other_results_are_arrays():
    stack = np.stack([PERFECT, MISSED])
    for matrices in (PERFECT, stack):
        for reduction in ("per_image", "pooled"):
            for score in (*SCORES, dice.accuracy):
                assert type(score(matrices, reduction=reduction)) is float
            for score in SCORES:
                assert score(matrices, reduction=reduction, class_index=None).shape == (2,)
    for score in (*SCORES, dice.accuracy):
        assert score(stack, reduction=None).shape == (2,)


def test_large_counts_do_not_overflow():
    large = np.array([[0, 2**60], [0, 2**61]])
    assert dice.dice(large) == pytest.approx(4 / 5)
    assert dice.iou(large) == pytest.approx(2 / 3)
