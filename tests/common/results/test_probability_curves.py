import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn import calibration, metrics

from common.results import probability_curves as curves


def maps(seed, images=3, size=40):
    """Probabilities on the middle of the levels, so that binning loses nothing, and truths."""
    rng = np.random.default_rng(seed)
    for _ in range(images):
        probability = (rng.integers(0, curves.LEVELS, (size, size)) + 0.5) / curves.LEVELS
        yield rng.random((size, size)) < probability**2, probability.astype(np.float32)


@given(st.integers(0, 99))
def test_counted_curves_are_those_of_all_pixels_at_once(seed):
    counts = curves.count(maps(seed))
    truth, probability = (np.stack(each).ravel() for each in zip(*maps(seed)))
    assert counts.sum() == truth.size and counts[1].sum() == truth.sum()
    precision, recall, average = curves.precision_recall(counts)
    assert average == pytest.approx(metrics.average_precision_score(truth, probability))
    theirs = metrics.precision_recall_curve(truth, probability)
    at_half = theirs[1][np.searchsorted(theirs[2], 0.5)]
    assert np.abs(recall - at_half).min() < 1e-9
    observed, predicted = calibration.calibration_curve(truth, probability, n_bins=curves.BINS)
    ours = curves.calibration(counts)
    np.testing.assert_allclose(ours.predicted, predicted, atol=1e-6)
    np.testing.assert_allclose(ours.observed, observed, atol=1e-6)


def test_closed_forms():
    truth = np.array([[True, True, False, False]])
    perfect = curves.count([(truth, truth.astype(float))])
    assert curves.precision_recall(perfect)[2] == 1
    assert curves.calibration(perfect).error == pytest.approx(0.5 / curves.LEVELS)
    coin = curves.calibration(curves.count([(truth, np.full(truth.shape, 0.5))]))
    assert coin.observed.tolist() == [0.5] and coin.weight.tolist() == [1]
    sure = curves.calibration(curves.count([(truth, np.ones(truth.shape))]))
    assert sure.error == pytest.approx(0.5, abs=0.001)


def test_a_ground_truth_without_foreground_has_no_curve():
    counts = curves.count([(np.zeros((2, 2), bool), np.ones((2, 2)))])
    with pytest.raises(ValueError, match="expected foreground"):
        curves.precision_recall(counts)


def test_the_figure_is_written(tmp_path):
    path = tmp_path / "curves.png"
    curves.draw(path, {"one": maps(1), "two": maps(2)}, "synthetic, 3 test images")
    with Image.open(path) as image:
        assert image.width > 800
