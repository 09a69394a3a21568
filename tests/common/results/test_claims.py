"""Mean differences between rows, and the claims that rest on them."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from common.results.claims import (
    Comparison,
    Side,
    judge_claim,
    what_the_paper_could_show,
)
from common.results.intervals import Spread, paired_difference, unpaired_difference

BETTER = Side("VGG19", {0: 0.71, 1: 0.74, 2: 0.70, 3: 0.73})
WORSE = Side("ResNeXt50", {0: 0.66, 1: 0.70, 2: 0.64, 3: 0.69})
CLOSE = Side("the ensemble", {0: 0.715, 1: 0.735, 2: 0.71, 3: 0.72})

runs = st.lists(st.floats(0, 1), min_size=3, max_size=8)


def verdict_of(*pairs, **options):
    return judge_claim([Comparison(*pair, "DSC", **options) for pair in pairs]).verdict


# Differences


@given(runs, runs)
def test_a_paired_interval_is_that_of_the_t_test(a, b):
    n = min(len(a), len(b))
    differences = np.subtract(a[:n], b[:n])
    difference = paired_difference(a[:n], b[:n])
    assert difference.mean == pytest.approx(differences.mean())
    half_width = scipy.stats.t.ppf(0.975, n - 1) * scipy.stats.sem(differences)
    assert (difference.high - difference.low) / 2 == pytest.approx(half_width)
    assert (difference.n, difference.n_b, difference.paired) == (n, n, True)


@given(runs, runs)
def test_an_unpaired_interval_ends_at_zero_at_the_p_value_of_welch(a, b):
    difference = unpaired_difference(a, b)
    _, p = scipy.stats.ttest_ind(a, b, equal_var=False)
    if difference.se > 1e-6 and 1e-6 < p < 0.999:
        ends = difference.interval(p)
        assert min(abs(end) for end in ends) == pytest.approx(0, abs=1e-6)
    assert (difference.n, difference.n_b, difference.paired) == (len(a), len(b), False)


def test_pairs_are_matched_by_seed():
    a, b = {0: 0.9, 1: 0.5, 5: 0.7}, {5: 0.6, 0: 0.7, 9: 0.1}
    difference = paired_difference(a, b)
    assert difference.n == 2 and difference.mean == pytest.approx((0.2 + 0.1) / 2)


def test_one_pair_gives_a_mean_and_no_interval():
    for difference in (paired_difference([0.8], [0.7]), unpaired_difference([0.8], [0.7, 0.6])):
        assert (difference.low, difference.high) == (-math.inf, math.inf)


def test_a_given_test_set_adds_the_variance_over_images():
    """By hand: seeds 0.02² with 3 degrees of freedom, images 0.04² with 9."""
    a = 0.7 + 0.02 * math.sqrt(4) * np.array([1, -1, 1, -1]) * math.sqrt(3 / 4)
    difference = paired_difference(a, [0.6] * 4, given_test_set=Spread(0.04, 10))
    assert difference.se == pytest.approx(math.sqrt(0.02**2 + 0.04**2))
    assert difference.dof == pytest.approx(0.002**2 / (0.0004**2 / 3 + 0.0016**2 / 9))
    alone = paired_difference(a, [0.6] * 4, given_test_set=Spread(0.0, 10))
    assert (alone.se, alone.dof) == pytest.approx((0.02, 3))
    single = paired_difference(a, [0.6] * 4, given_test_set=Spread(math.inf, 1))
    assert single.high == math.inf


@pytest.mark.parametrize(
    "difference, a, b, message",
    [
        (paired_difference, [0.1, 0.2], [0.1], "expected pairs, got 2 and 1 values"),
        (paired_difference, {0: 0.1}, {1: 0.1}, "none in common"),
        (paired_difference, [math.nan], [0.1], "expected finite values"),
        (unpaired_difference, [0.1, math.inf], [0.1], "expected finite values"),
        (unpaired_difference, [], [0.1], "expected finite values"),
    ],
)
def test_differences_that_make_no_sense_are_refused(difference, a, b, message):
    with pytest.raises(ValueError, match=message):
        difference(a, b)


def test_the_interval_covers_the_true_difference_in_19_of_20_trials():
    """Given test set: one draw of image luck for all seeds, training luck anew for each."""
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(2_000):
        image_luck = 0.02 * generator.standard_normal()
        values = 0.1 + image_luck + 0.02 * generator.standard_normal(5)
        image_se = 0.02 * math.sqrt(generator.chisquare(19) / 19)
        difference = paired_difference(values, [0.0] * 5, given_test_set=Spread(image_se, 20))
        covered.append(difference.low <= 0.1 <= difference.high)
    assert 0.94 <= np.mean(covered) <= 0.97


# Claims


def test_supported_contradicted_and_undecided():
    assert verdict_of((BETTER, WORSE)) == "supported"
    assert verdict_of((WORSE, BETTER)) == "contradicted"
    assert verdict_of((CLOSE, BETTER)) == "undecided"


def test_a_claim_of_several_comparisons_needs_all_and_falls_with_any():
    assert verdict_of((BETTER, WORSE), (CLOSE, WORSE)) == "supported"
    assert verdict_of((BETTER, WORSE), (CLOSE, BETTER)) == "undecided"
    assert verdict_of((BETTER, WORSE), (CLOSE, BETTER), (WORSE, BETTER)) == "contradicted"


def test_a_contradiction_among_many_comparisons_takes_a_stricter_level():
    """t = 3.46 of 5 seeds: p = 0.026, below 0.05 and not below 0.05 / 4."""
    behind = Side("a", dict(enumerate([-0.8, -0.2, 0.0, -0.5, -0.5])))
    assert verdict_of((behind, Side("b", dict.fromkeys(range(5), 0.0)))) == "contradicted"
    level = [(behind, Side("b", dict.fromkeys(range(5), 0.0)))]
    level += [(CLOSE, BETTER)] * 3
    assert verdict_of(*level) == "undecided"


def test_lower_may_be_better():
    assert verdict_of((WORSE, BETTER), lower_is_better=True) == "supported"


def test_a_given_test_set_takes_more_to_tell():
    certain, uncertain = Spread(0.01, 39), Spread(0.03, 39)
    assert verdict_of((BETTER, WORSE), drawn=False, over_images=certain) == "supported"
    assert verdict_of((BETTER, WORSE), drawn=False, over_images=uncertain) == "undecided"
    assert verdict_of((BETTER, WORSE), drawn=True, over_images=uncertain) == "supported"
    with pytest.raises(ValueError, match="over_images: expected the error of VGG19 against"):
        verdict_of((BETTER, WORSE), drawn=False)
    single = judge_claim([Comparison(BETTER, WORSE, "DSC", False, Spread(math.inf, 1))])
    assert single.verdict == "undecided" and "too few test images" in single.reason


def test_fewer_than_three_seeds_cannot_tell():
    two = judge_claim([Comparison(Side("a", {0: 0.9, 1: 0.9}), Side("b", {0: 0.1, 1: 0.1}), "IoU")])
    assert (two.verdict, two.reason) == (
        "undecided",
        "A against b in IoU: at least one more seed is needed.",
    )


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"values": {}}, "the ensemble was not run"),
        ({"values": {9: 0.7}}, "the two have no seed in common"),
        ({"scored_on": "tiles of 256"}, "the two are not scored on the same pixels"),
        (
            {"differences": ("8 epochs instead of 20",)},
            "the ensemble departs from the paper (8 epochs instead of 20), VGG19 does not depart "
            "from the paper",
        ),
    ],
)
def test_what_is_not_comparable_is_not_tested(changes, reason):
    other = dataclasses.replace(CLOSE, **changes)
    claim = judge_claim([Comparison(other, BETTER, "DSC")])
    assert claim.verdict == "not tested"
    assert claim.reason == f"The ensemble against VGG19 in DSC is not tested: {reason}."
    several = [Comparison(BETTER, WORSE, "DSC"), Comparison(other, BETTER, "DSC")]
    assert judge_claim(several).verdict == "not tested"
    against = [*several, Comparison(WORSE, BETTER, "DSC")]
    assert judge_claim(against).verdict == "contradicted"


def test_rows_that_depart_from_the_paper_alike_are_tested_and_the_reason_says_how():
    alike = [
        dataclasses.replace(side, differences=("8 epochs instead of 20",))
        for side in (BETTER, WORSE)
    ]
    claim = judge_claim([Comparison(*alike, "DSC")])
    assert claim.verdict == "supported"
    assert "both depart from the paper alike: 8 epochs instead of 20" in claim.reason


def test_reasons_give_the_size_of_the_difference():
    assert judge_claim([Comparison(WORSE, BETTER, "DSC")]).reason == (
        "ResNeXt50 is worse than VGG19 in DSC by 0.047 on average (0.032 to 0.063, four seeds)."
    )
    assert judge_claim([Comparison(CLOSE, BETTER, "DSC")]).reason == (
        "The ensemble against VGG19 in DSC cannot be told: the difference is 0.000 on average "
        "(−0.015 to 0.015, four seeds)."
    )
    both = judge_claim([Comparison(BETTER, WORSE, metric) for metric in ("DSC", "F1")]).reason
    assert both.startswith("Both comparisons: VGG19 is better than ResNeXt50 in DSC")


def test_what_one_test_set_could_have_shown_stands_beside_the_printed_difference():
    ensemble = dataclasses.replace(CLOSE, printed="0.8249")
    vgg19 = dataclasses.replace(BETTER, printed="0.8239")
    claim = judge_claim([Comparison(ensemble, vgg19, "DSC", over_images=Spread(0.0106, 10))])
    (finding,) = claim.findings
    assert finding.detectable == pytest.approx(0.024, abs=5e-4)
    assert what_the_paper_could_show(finding) == (
        "The paper prints a difference of 0.0010, which one test set of ten images cannot tell "
        "from chance (±0.024)."
    )
    (silent,) = judge_claim([Comparison(ensemble, vgg19, "DSC")]).findings
    assert what_the_paper_could_show(silent) is None


def test_a_claim_without_comparisons_is_refused():
    with pytest.raises(ValueError, match="comparisons: expected at least one"):
        judge_claim([])
