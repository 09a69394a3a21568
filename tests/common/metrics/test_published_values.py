"""Expected values that other libraries publish with their own tests or examples, where their
definitions are ours.

Sources: Project-MONAI/MONAI (tests/metrics), stardist/stardist (tests/test_matching.py and the
example of `matching`), TissueImageAnalytics/tiatoolbox (tests/test_metrics.py), and what
vqdang/hover_net (metrics/stats_utils.py) gives for the same maps. Where their definitions differ,
the tests say how.
"""

import math

import numpy as np
import pytest
from skimage.draw import disk

from common.metrics import aji, dice

# MONAI, panoptic quality of one image.
TRUE = np.array([[1, 1, 2, 1], [0, 0, 0, 0], [1, 3, 0, 0], [4, 3, 3, 3]])
PRED = np.array([[0, 1, 1, 1], [0, 0, 0, 0], [2, 0, 3, 3], [4, 2, 2, 0]])
RENAMED = np.array([0, 7, 1, 8, 9])[PRED]

# MONAI, two images of three classes, each pixel in one of them.
TRUE_MAPS = np.array([[[1, 2], [1, 0]], [[1, 1], [2, 0]]])
PRED_MAPS = np.array([[[2, 0], [1, 1]], [[1, 2], [2, 0]]])

# MONAI, two images and three channels that overlap: the ground truth of two channels is empty in
# the first image.
TRUE_CHANNELS = np.array(
    [
        [[[1, 1], [1, 1]], [[0, 0], [0, 0]], [[0, 0], [0, 0]]],
        [[[0, 0], [0, 1]], [[1, 1], [0, 0]], [[0, 0], [1, 0]]],
    ]
)
PRED_CHANNELS = np.array(
    [
        [[[1, 1], [1, 0]], [[0, 1], [0, 0]], [[0, 1], [1, 1]]],
        [[[1, 0], [1, 1]], [[0, 1], [1, 1]], [[0, 1], [1, 0]]],
    ]
)


def matrices(true_maps, pred_maps, classes):
    pairs = zip(true_maps, pred_maps)
    return np.stack([dice.confusion(true, pred, classes) for true, pred in pairs])


@pytest.mark.parametrize("pred", [PRED, RENAMED])
def test_panoptic_quality_of_monai(pred):
    assert aji.panoptic_quality(TRUE, pred).pq == pytest.approx(0.25, abs=1e-4)
    same = np.random.default_rng(0).integers(0, 5, (64, 64))
    assert aji.panoptic_quality(same, same, iou=0.99).pq == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("number", "expected"), [(1, 0.0), (2, 0.0), (3, 0.25)])
def test_panoptic_quality_by_class_of_monai(number, expected):
    # Instances and classes of two images.
    true_instances = np.array(
        [[[2, 0, 0], [2, 0, 0], [2, 2, 3]], [[1, 1, 1], [0, 0, 3], [0, 0, 3]]]
    )
    true_classes = np.array([[[3, 3, 3], [3, 2, 1], [2, 2, 3]], [[0, 1, 3], [2, 1, 0], [3, 0, 3]]])
    pred_instances = np.array(
        [[[2, 0, 1], [2, 1, 1], [0, 1, 1]], [[1, 1, 1], [3, 2, 0], [3, 2, 1]]]
    )
    pred_classes = np.array([[[0, 1, 3], [0, 0, 0], [1, 2, 1]], [[1, 1, 3], [3, 1, 1], [0, 3, 0]]])
    # It adds the counts of all images up, and a class without an instance scores 0 there.
    true = true_instances * (true_classes == number)
    pred = pred_instances * (pred_classes == number)
    by_image = [aji.panoptic_quality(*pair, empty=0) for pair in zip(true, pred)]
    iou_sum = sum(quality.sq * quality.tp for quality in by_image)
    halves = sum(quality.tp + quality.fp / 2 + quality.fn / 2 for quality in by_image)
    assert iou_sum / halves == pytest.approx(expected, abs=1e-4)


def test_what_hover_net_gives_for_these_maps():
    assert aji.aji_counts(TRUE, PRED) == (6, 16)
    assert aji.aji_plus_counts(TRUE, PRED) == (5, 14)
    quality = aji.panoptic_quality(TRUE, PRED)
    assert (quality.dq, quality.sq) == pytest.approx((0.25, 1), abs=1e-5)
    touching, merged = np.array([[1, 1, 2, 2]]), np.array([[1, 1, 1, 1]])
    assert aji.aji(touching, merged) == pytest.approx(0.5)
    assert aji.aji_plus(touching, merged) == pytest.approx(1 / 3)
    assert aji.aji(merged, touching) == aji.aji_plus(merged, touching) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("shift", "counts"), [(0, (5, 0, 0)), (5, (0, 5, 5)), (10, (0, 5, 5))])
def test_the_five_discs_of_stardist(shift, counts):
    true = np.zeros((128, 128), np.uint16)
    for number, column in enumerate(np.linspace(0, 128, 7)[1:-1], 1):
        true[disk((64, column), radius=128 // 15, shape=true.shape)] = number
    pred = np.roll(true, shift, axis=0)
    overlap = ((pred == true) & (true > 0)).sum() / ((true + pred) > 0).sum()
    quality = aji.panoptic_quality(true, pred)
    # There the threshold is half the IoU of the discs; a lower one than 0.5 is refused here.
    assert (quality.tp, quality.fp, quality.fn) == counts
    assert aji.aji(true, pred) == aji.aji_plus(true, pred) == pytest.approx(overlap)


def test_the_shifted_square_of_stardist():
    true = np.zeros((100, 100), np.uint16)
    true[10:20, 10:20] = 1
    quality = aji.panoptic_quality(true, np.roll(true, 5, axis=0))
    assert quality == (0, 0, 0, 0, 1, 1)
    # Shifted by a third of its height it has an IoU of exactly 1/2, a match for stardist alone.
    true = np.kron(np.eye(3, dtype=int), np.ones((6, 6), int))
    pred = np.roll(true, 2, axis=0)
    assert aji.aji(true, pred) == 0.5
    assert aji.panoptic_quality(true, pred) == (0, 0, 0, 0, 1, 1)


def test_dice_and_iou_of_monai():
    one = dice.confusion(np.array([[1, 0], [1, 1]]), np.array([[1, 0], [0, 1]]))
    assert dice.dice(one) == pytest.approx(0.8, abs=1e-4)
    assert dice.iou(one) == pytest.approx(0.6667, abs=1e-4)
    stack = matrices(TRUE_MAPS, PRED_MAPS, 3)
    dices, ious = (
        score(stack, class_index=None, reduction=None)[:, 1:] for score in (dice.dice, dice.iou)
    )
    np.testing.assert_allclose(dices, [[0.5, 0], [0.6667, 0.6667]], atol=1e-4)
    np.testing.assert_allclose(ious, [[0.3333, 0], [0.5, 0.5]], atol=1e-4)


@pytest.mark.parametrize(
    ("score", "by_class"),
    [
        (dice.recall, [0.5, 0.5, 0.5]),
        (dice.precision, [0.5, 0.75, 0.25]),
        (dice.f1, [0.5, 0.5833, 0.3333]),
    ],
)
def test_confusion_scores_of_monai(score, by_class):
    stack = matrices(TRUE_MAPS, PRED_MAPS, 3)
    np.testing.assert_allclose(score(stack, class_index=None), by_class, atol=1e-4)


def test_accuracy_of_monai_is_that_of_one_class_against_the_rest():
    by_class = [
        dice.accuracy(matrices(number == TRUE_MAPS, number == PRED_MAPS, 2)) for number in range(3)
    ]
    np.testing.assert_allclose(by_class, [0.75, 0.625, 0.625], atol=1e-4)


@pytest.mark.parametrize(
    ("score", "by_class", "overall"),
    [
        (dice.dice, [0.6786, 0.4, 0.6667], 0.689683),
        (dice.iou, [0.5416, 0.25, 0.5], 0.5555),
    ],
)
def test_monai_leaves_out_images_whose_ground_truth_is_empty(score, by_class, overall):
    scores = np.array(
        [
            score(matrices(TRUE_CHANNELS[:, c], PRED_CHANNELS[:, c], 2), reduction=None)
            for c in range(3)
        ]
    ).T
    present = TRUE_CHANNELS.any(axis=(2, 3))
    assert scores[~present].tolist() == [0, 0]  # here they count as 0, since something is predicted
    scores[~present] = np.nan
    np.testing.assert_allclose(np.nanmean(scores, axis=0), by_class, atol=1e-4)
    # MONAI's mean of all goes over the classes of an image first.
    assert np.nanmean(scores, axis=1).mean() == pytest.approx(overall, abs=1e-4)


def test_empty_maps_of_monai_and_tiatoolbox():
    nothing, everything = np.zeros((3, 3), int), np.ones((3, 3), int)
    assert dice.dice(dice.confusion(everything, everything)) == 1
    assert dice.dice(dice.confusion(everything, nothing)) == 0
    for score in (dice.dice, dice.iou):  # MONAI with ignore_empty=False
        assert score(dice.confusion(nothing, nothing)) == 1
        assert score(dice.confusion(nothing, everything)) == 0
    assert math.isnan(dice.dice(dice.confusion(nothing, nothing), empty=math.nan))  # tiatoolbox
