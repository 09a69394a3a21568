"""Intervals: for one further run, and for the mean difference between two networks.

A published value is one run. It is compared with the interval for one further run of ours (a
prediction interval), which keeps its width however many seeds are added, and not with the
confidence interval of our mean, which shrinks to nothing.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Dict, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from scipy.special import chdtri, stdtrit

FEWEST_SEEDS = 3  # for an interval that rests on the spread between seeds
MOST_SEEDS = 30  # how many more are worth proposing
NORMAL = 1.96  # 97.5 % point of the normal distribution

BySeed = Union[Mapping[int, float], Sequence[float]]


class Spread(NamedTuple):
    """Standard error of a score, and the number of units (images, cases, patients) that enter it.

    `se` is infinite where a single unit enters: it says nothing about the spread between units.
    """

    se: float
    units: int


def over_images(image_se: Optional[float], images: Optional[int]) -> Optional[Spread]:
    """Give both as one, None where there is no `image_se`.

    Raises:
        ValueError: no standard error, or one without a number of images. The message names it.
    """
    if image_se is None:
        return None
    if not image_se >= 0:
        raise ValueError(f"image_se: expected a standard error of at least 0, got {image_se}")
    if images is None or not images >= 1:
        raise ValueError(f"images: expected the number of test images, got {images}")
    return Spread(float(image_se), int(images))


def prediction_half_width(n, sd, image_se=0.0):
    """Half-width of the 95 % prediction interval for one further run, from n ≥ 3 seeds.

    max(t(0.975, n-1) · sd, 1.96 · image_se) · √(1 + 1/n). `sd` is over seeds, `image_se` the
    standard error over test images (0 for a given test set): it stops an sd that is small by luck.
    Numbers or arrays, which broadcast.

    >>> round(float(prediction_half_width(5, 0.02)), 4)
    0.0608
    >>> round(float(prediction_half_width(5, 0.02, image_se=0.04)), 4)
    0.0859
    """
    spread = np.maximum(stdtrit(np.subtract(n, 1), 0.975) * sd, NORMAL * np.asarray(image_se))
    return spread * np.sqrt(1 + 1 / np.asarray(n))


def single_test_set(test_set: Spread) -> float:
    """How far a single test set may move a score or a difference: t(0.975, m-1) · SE.

    Infinite for a single image, which says nothing about the spread between images.

    >>> round(single_test_set(Spread(0.01, 10)), 4)
    0.0226
    """
    if test_set.units < 2:
        return math.inf
    return float(stdtrit(test_set.units - 1, 0.975)) * test_set.se


def half_width_of_few(test_set: Spread) -> float:
    """Half-width for one further run from one or two seeds, each with a test set drawn at random.

    t(0.975, m-1) · 2 · SE for m test images. It allows for training luck as large as test luck:
    then the difference of two single runs has a standard deviation of √2 · √2 · SE.

    >>> round(half_width_of_few(Spread(0.01, 10)), 4)
    0.0452
    """
    return 2 * single_test_set(test_set)


def more_seeds(n: int, sd: float, image_se: float, resolution: float) -> Optional[int]:
    """Fewest further seeds, at most MOST_SEEDS, that make the half-width at most `resolution`.

    It supposes that `sd` and `image_se` stay as they are. None if more would be needed, or if none
    suffice.

    >>> more_seeds(3, sd=0.02, image_se=0.0, resolution=0.05)
    6
    >>> print(more_seeds(3, sd=0.02, image_se=0.03, resolution=0.05))
    None
    """
    more = np.arange(max(1, FEWEST_SEEDS - n), MOST_SEEDS + 1)
    enough = more[prediction_half_width(n + more, sd, image_se) <= resolution]
    return int(enough[0]) if enough.size else None


def smallest_sd(n: int, sd: float) -> float:
    """Lower 95 % confidence limit of the standard deviation behind the `sd` of n seeds (χ²).

    >>> round(smallest_sd(3, 0.02), 4)
    0.0116
    """
    return sd * math.sqrt((n - 1) / chdtri(n - 1, 0.05))


@dataclasses.dataclass(frozen=True)
class MeanDifference:
    """Mean of a - b with its standard error and degrees of freedom.

    `n` and `n_b` count the runs of a and of b. They are the same pairs where `paired`. `sd` is that
    of the paired differences, NaN where there is none.
    """

    mean: float
    se: float
    dof: float
    n: int
    n_b: int
    paired: bool
    sd: float = math.nan

    def interval(self, level: float = 0.05) -> Tuple[float, float]:
        """Student-t interval that misses the true mean with probability `level`."""
        if self.dof <= 0:
            return -math.inf, math.inf
        half_width = float(stdtrit(self.dof, 1 - level / 2)) * self.se
        return self.mean - half_width, self.mean + half_width

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.interval()[0]

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.interval()[1]


def paired_difference(
    a: BySeed, b: BySeed, *, given_test_set: Optional[Spread] = None
) -> MeanDifference:
    """Mean of a - b over the seeds that both have, with the t interval over the differences.

    Args:
        a, b: values by seed; two sequences of equal length are paired in their order.
        given_test_set: for a given test set, which the spread between seeds knows nothing of: the
            error of the difference over its images. Its variance is added to that of the mean over
            seeds; degrees of freedom after Satterthwaite (1946). None where each seed draws its
            test images.

    Raises:
        ValueError: no seed in common, sequences of unequal length, or a number that is not finite.

    >>> price = paired_difference({0: 0.84, 1: 0.80, 2: 0.83}, {0: 0.80, 1: 0.77, 2: 0.81})
    >>> f"{price.mean:.3f} ({price.low:.3f} to {price.high:.3f}), n = {price.n}"
    '0.030 (0.005 to 0.055), n = 3'
    """
    differences = _paired(a, b)
    n = len(differences)
    mean = float(differences.mean())
    sd = float(differences.std(ddof=1)) if n > 1 else math.nan
    se, dof = sd / math.sqrt(n), float(n - 1)
    if given_test_set is not None:
        se, dof = _add_variance(se, dof, given_test_set.se, given_test_set.units - 1.0)
    return MeanDifference(mean, se, dof, n, n, True, sd)


def unpaired_difference(a: BySeed, b: BySeed) -> MeanDifference:
    """Mean of a minus mean of b, with Welch's (1947) t interval.

    Raises:
        ValueError: no values, or one that is not finite.

    >>> price = unpaired_difference([0.84, 0.80, 0.83], [0.80, 0.77, 0.81, 0.78])
    >>> f"{price.mean:.3f} ({price.low:.3f} to {price.high:.3f}), n = {price.n} and {price.n_b}"
    '0.033 (-0.008 to 0.075), n = 3 and 4'
    """
    values_a, values_b = (np.array(list(_by_seed(values).values()), float) for values in (a, b))
    _check_finite(values_a, values_b)
    mean = float(values_a.mean() - values_b.mean())
    n_a, n_b = len(values_a), len(values_b)
    if min(n_a, n_b) < 2:
        return MeanDifference(mean, math.nan, 0.0, n_a, n_b, False)
    se_a = float(values_a.std(ddof=1)) / math.sqrt(n_a)
    se_b = float(values_b.std(ddof=1)) / math.sqrt(n_b)
    se, dof = _add_variance(se_a, n_a - 1.0, se_b, n_b - 1.0)
    return MeanDifference(mean, se, dof, n_a, n_b, False)


def _add_variance(se_a: float, dof_a: float, se_b: float, dof_b: float) -> Tuple[float, float]:
    """Standard error of a sum or difference, and its degrees of freedom after Satterthwaite."""
    largest = max(se_a, se_b)
    if min(dof_a, dof_b) <= 0 or math.isinf(largest):
        return math.nan, 0.0  # nothing is known
    if largest == 0:
        return 0.0, min(dof_a, dof_b)
    # Relative to the larger one: fourth powers of small errors would underflow.
    variance_a, variance_b = (se_a / largest) ** 2, (se_b / largest) ** 2
    variance = variance_a + variance_b
    dof = variance**2 / (variance_a**2 / dof_a + variance_b**2 / dof_b)
    return largest * math.sqrt(variance), dof


def _paired(a: BySeed, b: BySeed) -> np.ndarray:
    if not isinstance(a, Mapping) and not isinstance(b, Mapping) and len(a) != len(b):
        raise ValueError(f"expected pairs, got {len(a)} and {len(b)} values")
    a, b = _by_seed(a), _by_seed(b)
    seeds = [seed for seed in a if seed in b]
    if not seeds:
        raise ValueError("expected seeds that both have, got none in common")
    values_a = np.array([a[seed] for seed in seeds], float)
    values_b = np.array([b[seed] for seed in seeds], float)
    _check_finite(values_a, values_b)
    return values_a - values_b


def _by_seed(values: BySeed) -> Dict[int, float]:
    return dict(values) if isinstance(values, Mapping) else dict(enumerate(values))


def _check_finite(*groups: np.ndarray) -> None:
    for values in groups:
        if not values.size or not np.isfinite(values).all():
            raise ValueError(f"expected finite values, got {values.tolist()}")
