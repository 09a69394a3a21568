"""Standard error of a score over the test images, by bootstrap (Efron, 1979)."""

from __future__ import annotations

import math
import warnings
from typing import Callable, Dict, List, Sequence, Union

import numpy as np
import pandas as pd

from common.results.intervals import Spread

REPLICATES = 1000  # gives the standard error itself to about 2 %
Labels = Union[str, Sequence]


def bootstrap_se(
    scores: pd.DataFrame,
    aggregate: Callable[[pd.DataFrame], Dict[str, float]],
    groups: Labels,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Dict[str, Spread]:
    """Standard error of every aggregated score, as if other test units had been drawn.

    Whole units are drawn with replacement and the aggregate is computed anew, so means over images
    and scores pooled over all pixels are treated alike. The standard deviation over the replicates
    is multiplied by √(m/(m-1)), without which a mean over m units would come out too certain.

    Args:
        scores: one line per test image, scores or counts.
        aggregate: from such a table to scores by name, in the unit in which they are printed.
        groups: the unit that the protocol splits by: a column of `scores`, or one label per line.
        replicates: how many test sets are drawn.
        seed: of the drawing. The same lines in another order give the same result, unless
            `aggregate` looks at their order.

    Returns:
        By name of the score, its standard error and the m units that enter it: those that have the
        score when they are alone. A score that a replicate lacks or has as NaN, because its class
        is in none of the units drawn, is left out of that replicate.

    Raises:
        ValueError: no lines, labels that are missing or of another number, a score that is
            infinite.

    >>> scores = pd.DataFrame({"id": list("abcd"), "dice": [0.7, 0.8, 0.9, 0.6]})
    >>> spread = bootstrap_se(scores, lambda table: {"dice": table["dice"].mean()}, "id")["dice"]
    >>> f"{spread.se:.3f} from {spread.units} images"
    '0.065 from 4 images'
    """
    unit_of_line = _units(scores, groups)
    m = int(unit_of_line.max()) + 1
    frame = scores.reset_index(drop=True)
    draws = np.random.default_rng(seed).integers(m, size=(replicates, m))
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        # A class that is in no unit drawn is expected here, and so is numpy's "mean of empty".
        warnings.simplefilter("ignore", RuntimeWarning)
        alone = _evaluate(frame, aggregate, unit_of_line, np.arange(m)[:, None])
        replicated = _evaluate(frame, aggregate, unit_of_line, draws)
    return {name: _spread(name, alone.get(name, []), replicated[name]) for name in replicated}


def _units(scores: pd.DataFrame, groups: Labels) -> np.ndarray:
    """Number of the unit that each line belongs to, 0..m-1 in the order of the labels."""
    labels = np.asarray(scores[groups] if isinstance(groups, str) else groups)
    if len(labels) != len(scores) or not len(labels):
        raise ValueError(f"groups: expected one label per line, got {len(labels)} of {len(scores)}")
    units, _ = pd.factorize(labels, sort=True)
    if (units < 0).any():
        raise ValueError(f"groups: line {int(np.argmin(units))} has no label")
    return units


def _evaluate(
    frame: pd.DataFrame, aggregate: Callable, unit_of_line: np.ndarray, draws: np.ndarray
) -> Dict[str, List[float]]:
    """Scores by name, over the rows of `draws`: unit numbers (replicates, drawn)."""
    lines = [np.flatnonzero(unit_of_line == unit) for unit in range(int(unit_of_line.max()) + 1)]
    scores: Dict[str, List[float]] = {}
    for draw in draws:
        drawn = frame.take(np.concatenate([lines[unit] for unit in draw]))
        for name, value in aggregate(drawn).items():
            scores.setdefault(name, []).append(float(value))
    return scores


def _spread(name: str, alone: Sequence[float], replicated: Sequence[float]) -> Spread:
    values = np.array(replicated)
    values = values[~np.isnan(values)]
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: expected finite scores, got an infinite one")
    m = int(np.count_nonzero(~np.isnan(alone)))
    if m < 2 or values.size < 2:
        return Spread(math.inf, m)
    return Spread(float(values.std(ddof=1)) * math.sqrt(m / (m - 1)), m)
