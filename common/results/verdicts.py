"""Verdicts: whether a published number holds, given our runs.

`judge` is a pure function of the number as printed and of our values. docs/verdicts.md explains it
on one page, with its measured error rates.
"""

from __future__ import annotations

import dataclasses
import math
import re
from fractions import Fraction
from typing import Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from common.published.rounding import last_digit
from common.results import intervals
from common.results import verdict_reasons as reasons
from common.results.intervals import FEWEST_SEEDS, Spread

VERDICTS = ("match", "within", "above", "below", "undecided", "not comparable", "not run")

_FLOAT_ERROR = 1e-9  # two numbers that are closer are equal

Range = Tuple[float, float]  # lowest and highest
Values = Union[Sequence[float], Mapping[int, float]]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The verdict on one published number, with what it rests on, in the printed unit.

    `low` and `high` bound where one further run of ours may land, within the bounds of the metric
    (for counts: our smallest and largest); `half_width` is that of the interval before it was
    clipped. NaN stands for what does not exist.
    """

    verdict: str  # one of VERDICTS
    low: float
    high: float
    reason: str  # one plain sentence
    mean: float = math.nan
    sd: float = math.nan  # over seeds, n - 1
    n_seeds: int = 0
    half_width: float = math.nan
    inside: bool = False  # whether the printed number meets low..high
    seeds_needed: Optional[int] = None  # about so many more settle an `undecided`; None: unknown
    never: bool = False  # no number of further seeds settles it
    exact: bool = False  # a count, which chance plays no part in


def judge(
    printed: str,
    values: Values,
    *,
    image_se: Optional[float] = None,
    images: Optional[int] = None,
    resolution: float,
    bounds: Tuple[float, float] = (0, 1),
    count: bool = False,
) -> Verdict:
    """Hold a published number against the 95 % prediction interval for one further run of ours.

    The printed number stands for all numbers that round or truncate to it. Our values, the
    standard error, resolution and bounds are in its unit.

    Args:
        printed: the number as printed, "0.822" or "73.17"; its decimals count.
        values: ours, one per seed, or by seed. Each seed redraws what the protocol draws.
        image_se: standard error over test images, where the test set was drawn at random
            (`common.results.bootstrap`); None for a given test set and for scores on training
            images. Infinite for a single image.
        images: the number m of images that enter the score; needed beside `image_se`.
        resolution: the smallest difference that matters (that of the published metric).
        bounds: lowest and highest value that the metric can take, unless this is a count.
        count: whether this is a deterministic quantity such as a number of images or parameters.

    Returns:
        A `Verdict`. With three seeds or more: `within`, `above`, `below` or `undecided`, from
        mean ± max(t(0.975, n-1) · sd, 1.96 · image_se) · √(1 + 1/n). With one or two and a drawn
        test set: `above`, `below` or `undecided`, from mean ± t(0.975, m-1) · 2 · image_se; with a
        given test set `undecided`. A count: `match`, `above`, `below` or `undecided`, without any
        interval. No values: `not run`.

    Raises:
        ValueError: `printed` is no plain number; a value, or the printed number, is not finite or
            outside `bounds`; another argument makes no sense. The message names it.

    >>> judge("0.8249", [0.80, 0.83, 0.82, 0.81, 0.83], resolution=0.05).verdict
    'within'
    >>> judge("0.8249", [0.7163], image_se=0.01, images=10, resolution=0.05).verdict
    'below'
    >>> print(judge("0.8249", [0.30, 0.40], image_se=0.02, images=10, resolution=0.05).reason)
    Ours, 0.35, is lower than chance in splits and training explains (0.26–0.44).
    >>> print(judge("0.8249", [0.78, 0.74, 0.80], resolution=0.05).reason)
    Ours may lie anywhere in 0.62–0.93; it would take more than 30 more seeds to tell.
    >>> judge("437", [437, 437], resolution=0, count=True).verdict
    'match'
    """
    stands_for = _stands_for(printed, count)
    bounds = (-math.inf, math.inf) if count else (float(bounds[0]), float(bounds[1]))
    _check(printed, stands_for, resolution, bounds)
    test_set = intervals.over_images(image_se, images)
    ours = _checked(values, bounds)
    if not ours.size:
        return Verdict("not run", math.nan, math.nan, reasons.not_run())
    if count:
        return _judge_count(printed, stands_for, ours)
    return _judge_score(printed, stands_for, ours, test_set, resolution, bounds)


def not_comparable(verdict: Verdict, differences: Sequence[str]) -> Verdict:
    """Mark a verdict as `not comparable` if our runs differ from the paper in what it states.

    `differences` say how, in the paper's terms. The numbers of the verdict stay. Without any
    difference, and where nothing was run, the verdict stays as it is.

    >>> ours = judge("0.8249", [0.80, 0.83, 0.82], resolution=0.05)
    >>> not_comparable(ours, ["8 epochs instead of 20"]).reason
    '8 epochs instead of 20'
    """
    if not differences or verdict.verdict == "not run":
        return verdict
    return dataclasses.replace(
        verdict,
        verdict="not comparable",
        reason="; ".join(differences),
        seeds_needed=None,
        never=False,
    )


def _judge_score(
    printed: str,
    stands_for: Range,
    ours: np.ndarray,
    test_set: Optional[Spread],
    resolution: float,
    bounds: Range,
) -> Verdict:
    n, mean = ours.size, float(ours.mean())
    sd = float(ours.std(ddof=1)) if n > 1 else math.nan
    half_width = _half_width(n, sd, test_set)
    low, high = max(mean - half_width, bounds[0]), min(mean + half_width, bounds[1])
    inside = _meets(stands_for, (low, high))
    distance = max(stands_for[0] - mean, mean - stands_for[1], 0.0)
    far = distance > resolution + _FLOAT_ERROR
    facts = reasons.Facts(
        printed, stands_for, mean, sd, low, high, half_width, resolution, n, test_set
    )
    if not inside and far:
        word = "above" if mean > stands_for[1] else "below"
        reason, never, more = reasons.differs(facts), False, None
    elif n >= FEWEST_SEEDS and half_width <= resolution + _FLOAT_ERROR:
        word = "within"
        reason = reasons.agrees(facts) if inside else reasons.nearer_than_resolution(facts)
        never, more = False, None
    else:
        word = "undecided"
        never = _least_half_width(n, sd, test_set) > resolution
        more = None if never else _more_seeds(n, sd, test_set, resolution)
        reason = reasons.undecided(facts, more, never)
    return Verdict(
        word, low, high, reason, mean, sd, n, half_width, inside, seeds_needed=more, never=never
    )


def _judge_count(printed: str, stands_for: Range, ours: np.ndarray) -> Verdict:
    equal = (ours >= stands_for[0]) & (ours <= stands_for[1])
    never = False
    if equal.all():
        word, reason = "match", reasons.count_matches(printed, ours)
    elif (ours > stands_for[1]).all():
        word, reason = "above", reasons.count_differs(printed, ours)
    elif (ours < stands_for[0]).all():
        word, reason = "below", reasons.count_differs(printed, ours)
    else:
        word, reason, never = (
            "undecided",
            reasons.count_varies(printed, ours, bool(equal.any())),
            True,
        )
    low, high, mean = float(ours.min()), float(ours.max()), float(ours.mean())
    sd = float(ours.std(ddof=1)) if ours.size > 1 else math.nan
    inside = _meets(stands_for, (low, high))
    return Verdict(
        word, low, high, reason, mean, sd, ours.size, inside=inside, never=never, exact=True
    )


def _half_width(n: int, sd: float, test_set: Optional[Spread]) -> float:
    if n >= FEWEST_SEEDS:
        return float(intervals.prediction_half_width(n, sd, _error(test_set)))
    if test_set is None:
        return math.inf  # nothing is known about the luck of training
    return intervals.half_width_of_few(test_set)


def _more_seeds(n: int, sd: float, test_set: Optional[Spread], resolution: float) -> Optional[int]:
    image_se = _error(test_set)
    if n < FEWEST_SEEDS:
        # Training luck at least as large as test luck, as for their interval.
        at_least = math.sqrt(2) * image_se
        sd = max(sd, at_least) if n > 1 else at_least
    return intervals.more_seeds(n, sd, image_se, resolution)


def _least_half_width(n: int, sd: float, test_set: Optional[Spread]) -> float:
    """What the half-width cannot fall below, however many seeds are added."""
    sd_at_least = intervals.smallest_sd(n, sd) if n >= FEWEST_SEEDS else 0.0
    return intervals.NORMAL * max(sd_at_least, _error(test_set))


def _error(test_set: Optional[Spread]) -> float:
    return 0.0 if test_set is None else test_set.se


def _meets(one: Range, other: Range) -> bool:
    return one[0] <= other[1] + _FLOAT_ERROR and other[0] <= one[1] + _FLOAT_ERROR


def _stands_for(printed: str, count: bool) -> Range:
    """Lowest and highest number that rounds or truncates to a printed one.

    A whole count stands for itself.
    """
    if not isinstance(printed, str) or not re.fullmatch(r"-?\d*\.?\d+", printed, re.ASCII):
        raise ValueError(f'printed: expected a number as printed, such as "0.820", got {printed!r}')
    number, last = Fraction(printed), last_digit(printed)
    if count and last == 1:
        last = Fraction(0)
    nearer_zero, farther = last / 2, last  # by rounding away from zero, and by truncation
    if number < 0:
        return float(number - farther), float(number + nearer_zero)
    return float(number - nearer_zero), float(number + farther)


def _check(printed: str, stands_for: Range, resolution: float, bounds: Range) -> None:
    if not 0 <= resolution < math.inf:
        raise ValueError(f"resolution: expected a number of at least 0, got {resolution}")
    if not bounds[0] < bounds[1]:
        raise ValueError(f"bounds: expected the lower one first, got {bounds}")
    if not _meets(stands_for, bounds):
        raise ValueError(f"the printed {printed} lies outside {bounds[0]:g}–{bounds[1]:g}")


def _checked(values: Values, bounds: Range) -> np.ndarray:
    """Our values; raises ValueError for one that is not finite or outside the bounds."""
    if isinstance(values, Mapping):
        named = {f"seed {seed}": value for seed, value in values.items()}
    else:
        named = {f"value {place}": value for place, value in enumerate(values, start=1)}
    for name, value in named.items():
        if not math.isfinite(value):
            raise ValueError(f"{name}: expected a finite number, got {value}")
        if not bounds[0] - _FLOAT_ERROR <= value <= bounds[1] + _FLOAT_ERROR:
            raise ValueError(f"{name}: {value:g} lies outside {bounds[0]:g}–{bounds[1]:g}")
    return np.array(list(named.values()), float)
