"""Whether our runs bear out what a paper concludes: which row is better than which, in what metric.

The target is the mean difference over splits and trainings on this data set. docs/verdicts.md
explains it on one page.
"""

from __future__ import annotations

import dataclasses
import math
from decimal import Decimal
from typing import Hashable, List, Mapping, Optional, Sequence, Tuple

from common.results.intervals import (
    FEWEST_SEEDS,
    MeanDifference,
    Spread,
    paired_difference,
    single_test_set,
)
from common.results.verdict_reasons import capitalised, counted, decimals_to, minus, word

CLAIM_VERDICTS = ("supported", "contradicted", "undecided", "not tested")
DECISIVE = ("contradicted", "not tested", "undecided", "supported")  # the first of a claim counts
LEVEL = 0.05


@dataclasses.dataclass(frozen=True)
class Side:
    """One row of a comparison.

    `values` are by seed. `scored_on` tells the pixels that it is scored on, such as the test ids by
    seed; two sides must have it equal. None where the claim itself compares different images.
    `differences` say how its runs depart from the paper, `printed` is the paper's own value.
    """

    label: str
    values: Mapping[int, float]
    scored_on: Optional[Hashable] = None
    differences: Tuple[str, ...] = ()
    printed: Optional[str] = None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """`better` is said to be better than `worse` in `metric`.

    `over_images` is the error, over the test images, of the difference between the two on the same
    image (`common.results.bootstrap`). With a given test set (`drawn` false) the verdict needs it;
    with drawn ones it tells what one test set could have shown.
    """

    better: Side
    worse: Side
    metric: str
    drawn: bool = True
    over_images: Optional[Spread] = None
    lower_is_better: bool = False


@dataclasses.dataclass(frozen=True)
class Finding:
    """What our runs say about one comparison.

    `difference` is that of the better over the worse, positive where the claim holds; None where
    nothing was tested. `detectable` is the smallest difference that one test set of so
    many images could have shown, None where that is unknown.
    """

    comparison: Comparison
    verdict: str  # one of CLAIM_VERDICTS
    reason: str
    difference: Optional[MeanDifference] = None
    detectable: Optional[float] = None


@dataclasses.dataclass(frozen=True)
class ClaimVerdict:
    """The verdict on a claim, and the findings of its comparisons."""

    verdict: str  # one of CLAIM_VERDICTS
    reason: str
    findings: Tuple[Finding, ...]


def judge_claim(comparisons: Sequence[Comparison]) -> ClaimVerdict:
    """Judge a claim by the mean differences of its comparisons over seeds.

    A comparison is `supported` where the 95 % interval of the mean difference lies wholly on the
    claim's side, and `contradicted` where the interval of level 0.05 / number of comparisons lies
    wholly on the other. A claim is `supported` if all its comparisons are, `contradicted` if any
    is, `not tested` if one of them could not be, and else `undecided`.

    Drawn test sets: t interval over the differences per seed. Given test set: t with the variances
    over images and over seeds added (Satterthwaite). Both need three seeds in common.

    Raises:
        ValueError: no comparisons, a value that is not finite, or a given test set without
            `over_images`.

    >>> vgg19 = Side("VGG19", {0: 0.71, 1: 0.74, 2: 0.70, 3: 0.73})
    >>> resnext50 = Side("ResNeXt50", {0: 0.66, 1: 0.70, 2: 0.64, 3: 0.69})
    >>> claim = judge_claim([Comparison(vgg19, resnext50, "DSC")])
    >>> claim.verdict
    'supported'
    >>> print(claim.reason)
    VGG19 is better than ResNeXt50 in DSC by 0.047 on average (0.032 to 0.063, four seeds).
    """
    if not comparisons:
        raise ValueError("comparisons: expected at least one")
    findings = tuple(_compare(comparison, len(comparisons)) for comparison in comparisons)
    verdicts = {finding.verdict for finding in findings}
    verdict = next(one for one in DECISIVE if one in verdicts)
    deciding = [finding for finding in findings if finding.verdict == verdict]
    return ClaimVerdict(verdict, _reason(deciding, len(findings)), findings)


def what_the_paper_could_show(finding: Finding) -> Optional[str]:
    """Hold the paper's own difference against what one test set of its size can show at all.

    One sentence; None unless both sides have a printed value and the error over images is known.
    """
    better, worse = finding.comparison.better.printed, finding.comparison.worse.printed
    test_set = finding.comparison.over_images
    if better is None or worse is None or test_set is None or finding.detectable is None:
        return None
    printed = abs(Decimal(better) - Decimal(worse))
    limit = f"{finding.detectable:.{decimals_to(finding.detectable) + 1}f}"
    images = counted(test_set.units, "image")
    verb = "cannot" if printed < finding.detectable else "can"
    return (
        f"The paper prints a difference of {printed}, which one test set of {images} "
        f"{verb} tell from chance (±{limit})."
    )


def _compare(comparison: Comparison, number: int) -> Finding:
    """Judge one of so many comparisons."""
    test_set, detectable = comparison.over_images, None
    if test_set is None and not comparison.drawn:
        raise ValueError(
            f"over_images: expected the error of {_title(comparison)}, because its test set is "
            "given"
        )
    if test_set is not None:
        limit = single_test_set(test_set)
        detectable = limit if math.isfinite(limit) else None
    obstacle = _obstacle(comparison)
    if obstacle:
        reason = f"{_title(comparison)} is not tested: {obstacle}."
        return Finding(comparison, "not tested", reason, detectable=detectable)

    ahead, behind = comparison.better.values, comparison.worse.values
    if comparison.lower_is_better:
        ahead, behind = behind, ahead
    given = None if comparison.drawn else test_set
    difference = paired_difference(ahead, behind, given_test_set=given)
    if difference.n < FEWEST_SEEDS:
        verdict, missing = "undecided", FEWEST_SEEDS - difference.n
        verb = "is" if missing == 1 else "are"
        reason = f"{_title(comparison)}: at least {counted(missing, 'more seed')} {verb} needed."
    elif math.isinf(difference.low):
        verdict = "undecided"
        reason = f"{_title(comparison)} cannot be told: there are too few test images."
    else:
        verdict = _verdict(difference, number)
        reason = _sentence(comparison, difference, verdict, number)
    return Finding(comparison, verdict, reason, difference, detectable)


def _obstacle(comparison: Comparison) -> Optional[str]:
    """Why the two sides cannot be compared."""
    better, worse = comparison.better, comparison.worse
    for side in (better, worse):
        if not side.values:
            return f"{side.label} was not run"
    if not set(better.values) & set(worse.values):
        return "the two have no seed in common"
    if better.scored_on != worse.scored_on:
        return "the two are not scored on the same pixels"
    if set(better.differences) != set(worse.differences):
        sides = (
            f"{side.label} departs from the paper ({'; '.join(side.differences)})"
            if side.differences
            else f"{side.label} does not depart from the paper"
            for side in (better, worse)
        )
        return ", ".join(sides)
    return None


def _verdict(difference: MeanDifference, number: int) -> str:
    if difference.low > 0:
        return "supported"
    _, highest = difference.interval(LEVEL / number)
    return "contradicted" if highest < 0 else "undecided"


def _sentence(comparison: Comparison, difference: MeanDifference, verdict: str, number: int) -> str:
    level = LEVEL / number if verdict == "contradicted" else LEVEL
    low, high = difference.interval(level)
    mean = difference.mean
    if verdict == "contradicted":
        low, mean, high = -high, -mean, -low
    half_width = (high - low) / 2
    decimals = decimals_to(half_width or abs(mean)) + 1
    shown = minus(f"{mean:.{decimals}f} on average ({low:.{decimals}f} to {high:.{decimals}f}, ")
    shown += counted(difference.n, "seed")
    if comparison.better.differences:
        departures = "; ".join(comparison.better.differences)
        shown += f"; both depart from the paper alike: {departures}"
    if verdict == "undecided":
        return f"{_title(comparison)} cannot be told: the difference is {shown})."
    order = "better" if verdict == "supported" else "worse"
    sentence = (
        f"{comparison.better.label} is {order} than {comparison.worse.label} in "
        f"{comparison.metric} by {shown})."
    )
    return capitalised(sentence)


def _title(comparison: Comparison) -> str:
    sides = f"{comparison.better.label} against {comparison.worse.label}"
    return capitalised(f"{sides} in {comparison.metric}")


def _reason(deciding: List[Finding], number: int) -> str:
    """Sum up the findings that decide a claim."""
    sentences = " ".join(finding.reason for finding in deciding)
    if number == 1:
        return sentences
    if len(deciding) == number:
        every = "Both" if number == 2 else f"All {word(number)}"
        return f"{every} comparisons: {sentences}"
    return capitalised(f"{word(len(deciding))} of {word(number)} comparisons: {sentences}")
