"""Matching nuclei: from a predicted mask to points, and from points to true positives, false
negatives (`missed`) and false positives (`invented`).
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from reproductions.brecahad_slicing.config import CONNECTIVITY


class Detection(NamedTuple):
    """How each true and each predicted nucleus fared, bool (n,) and (m,).

    Near the border of a tile a nucleus may be cut: what has no partner there counts neither as a
    false negative nor as a false positive.
    """

    found: np.ndarray  # true nuclei with a partner: true positives
    missed: np.ndarray  # true nuclei without one, away from the border: false negatives
    right: np.ndarray  # predicted nuclei with a partner, as many as `found`
    invented: np.ndarray  # predicted nuclei without one, away from the border: false positives


def points(mask: np.ndarray) -> np.ndarray:
    """Give the centroids of the connected components of a mask, bool (H, W): float64 (n, 2) of x
    and y in pixels.

    Pixel (row, column) has its middle at x = column + 1/2, y = row + 1/2.
    """
    _, _, _, centroids = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=CONNECTIVITY
    )
    return np.asarray(centroids)[1:] + 0.5


def match(true: np.ndarray, pred: np.ndarray, radius: float, size: int) -> Detection:
    """Pair true and predicted nuclei one to one, at most `radius` apart: as many pairs as can be,
    the nearest of these.

    Args:
        true: (n, 2) of x and y in the pixels of a square tile.
        pred: (m, 2) likewise.
        radius: pixels; also how near to the tile's border something may be cut.
        size: of the tile, pixels.
    """
    distance = cdist(true, pred)
    # Another pair is worth more than any sum of distances that it could cost.
    gain = np.where(distance <= radius, radius * (min(distance.shape) + 1) - distance, 0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    paired = distance[rows, columns] <= radius
    found, right = np.zeros(len(true), bool), np.zeros(len(pred), bool)
    found[rows[paired]] = right[columns[paired]] = True

    def inside(positions: np.ndarray) -> np.ndarray:
        return ((positions >= radius) & (positions <= size - radius)).all(axis=1)

    return Detection(found, ~found & inside(true), right, ~right & inside(pred))
