"""Precision-recall and calibration curves of networks' probabilities, per pixel.

A score at one threshold does not tell whether another one would do better, nor whether pixels of
probability 0.8 are foreground eight times in ten. These curves do. Maps are counted into LEVELS
bins one by one, so that memory does not grow with the images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterable, Mapping, NamedTuple, Tuple

import numpy as np

from common.results import figures

LEVELS = 512  # twice those of a saved map: the mean of two maps lies between its levels
BINS = 16  # of the calibration curve; they divide LEVELS
Maps = Iterable[Tuple[np.ndarray, np.ndarray]]  # truth, bool, and probability, float, of one shape


class Calibration(NamedTuple):
    """Of each bin that holds pixels: mean probability, fraction of foreground, fraction of all
    pixels.
    """

    predicted: np.ndarray
    observed: np.ndarray
    weight: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of the two, weighted by the pixels."""
        return float(np.sum(self.weight * np.abs(self.predicted - self.observed)))


def count(maps: Maps) -> np.ndarray:
    """Count pixels by truth and level of probability, int64 (2, LEVELS).

    >>> counts = count([(np.array([True, False]), np.array([1.0, 0.0]))])
    >>> counts[1].argmax(), counts[0].argmax(), counts.sum()
    (511, 0, 2)
    """
    counts = np.zeros((2, LEVELS), np.int64)
    for truth, probability in maps:
        levels = np.clip((probability * LEVELS).astype(int), 0, LEVELS - 1)
        for row, chosen in enumerate((~truth, truth)):
            counts[row] += np.bincount(levels[chosen], minlength=LEVELS)
    return counts


def precision_recall(counts: np.ndarray) -> Tuple[np.ndarray, np.ndarray, float]:
    """Give precision and recall at every level, and the average precision.

    Raises:
        ValueError: the truth has no foreground.
    """
    from sklearn import metrics  # not at the top: it takes as long as a plan of runs

    if not counts[1].any():
        raise ValueError("expected foreground in the ground truth, got none")
    truth = np.repeat([0, 1], LEVELS)
    scores = np.tile(_probabilities(), 2)
    weights = counts.ravel()
    precision, recall, _ = metrics.precision_recall_curve(truth, scores, sample_weight=weights)
    average = metrics.average_precision_score(truth, scores, sample_weight=weights)
    return precision, recall, float(average)


def calibration(counts: np.ndarray) -> Calibration:
    """Compare probability and frequency in BINS bins of equal width."""
    bins = np.arange(LEVELS) * BINS // LEVELS
    of_all = np.bincount(bins, counts.sum(axis=0), BINS)
    foreground = np.bincount(bins, counts[1], BINS)
    probability = np.bincount(bins, counts.sum(axis=0) * _probabilities(), BINS)
    used = of_all > 0
    return Calibration(
        probability[used] / of_all[used],
        foreground[used] / of_all[used],
        of_all[used] / of_all.sum(),
    )


def draw(path: Path, series: Mapping[str, Maps], title: str) -> None:
    """Draw both curves of several networks into a PNG file.

    Args:
        path: the PNG file, written atomically.
        series: maps of the test images, by the network's name.
        title: names data, protocol, profile, encoder weights, seed and number of images.
    """
    curves, reliability = [], []
    for name, maps in series.items():
        counts = count(maps)
        precision, recall, average = precision_recall(counts)
        curves.append((f"{name}: average precision {average:.3f}", recall, precision))
        calibrated = calibration(counts)
        label = f"{name}: calibration error {calibrated.error:.3f}"
        reliability.append((label, calibrated.predicted, calibrated.observed))
    axes = {
        ("recall", "precision"): curves,
        ("mean probability", "fraction of foreground"): reliability,
    }
    figures.squares(path, axes, title)


def _probabilities() -> np.ndarray:
    """The middle of each level, float64 (LEVELS,)."""
    return (np.arange(LEVELS) + 0.5) / LEVELS
