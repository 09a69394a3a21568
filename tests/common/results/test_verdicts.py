"""Verdicts on numbers: hand-made cases, an oracle, properties, and error rates by simulation."""

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from common.results import intervals, verdicts
from common.results.verdict_summary import summarise
from common.results.verdicts import judge, not_comparable
from tools import verdict_rates

PERCENT = {"resolution": 5, "bounds": (0, 100)}
COUNT = {"resolution": 0, "count": True}

scores = st.floats(0, 1, allow_nan=False)
errors = st.one_of(st.none(), st.floats(0, 0.2))


# Hand-made cases


@pytest.mark.parametrize("values", [(0.30, 0.40), (0.70, 0.9498)])
@pytest.mark.parametrize("image_se", [None, 0.0, 0.005, 0.02, 0.1, math.inf])
def test_two_seeds_far_apart_never_confirm_a_value(values, image_se):
    verdict = judge("0.8249", values, image_se=image_se, images=10, resolution=0.05)
    assert verdict.verdict not in ("within", "match")


def test_one_run_is_below_or_undecided_by_the_spread_over_its_images():
    one_run = {"printed": "0.8249", "values": [0.7163], "images": 10, "resolution": 0.05}
    assert judge(**one_run, image_se=0.01).verdict == "below"
    assert judge(**one_run, image_se=0.05).verdict == "undecided"


def test_one_run_on_a_given_test_set_tells_nothing():
    verdict = judge("0.8249", [0.2], resolution=0.05)
    assert (verdict.verdict, verdict.low, verdict.high) == ("undecided", 0, 1)
    assert verdict.seeds_needed == 2 and not verdict.never


@pytest.mark.parametrize(
    "values, expected",
    [
        ([437], "match"),
        ([437, 437, 437], "match"),
        ([436], "below"),
        ([438], "above"),
        ([436, 436], "below"),
        ([436, 438], "undecided"),
        ([437, 438], "undecided"),
        ([436.6], "below"),
        ([437.4], "above"),
    ],
)
def test_counts(values, expected):
    verdict = judge("437", values, **COUNT)
    assert verdict.verdict == expected
    assert (verdict.low, verdict.high) == (min(values), max(values))
    assert verdict.exact


def test_a_quantity_printed_with_decimals_is_equal_at_its_precision():
    assert judge("31.99", [31.99327], **COUNT).verdict == "match"  # rounded
    assert judge("51.14", [51.14807], **COUNT).verdict == "match"  # cut off
    assert judge("51.14", [51.2], **COUNT).verdict == "above"


def test_ten_seeds_around_the_published_value_are_within():
    values = 0.8249 + 0.01 * np.array([-1.6, -1, -0.6, -0.4, -0.1, 0.1, 0.4, 0.6, 1, 1.6])
    assert judge("0.8249", values, resolution=0.05).verdict == "within"


def test_percent_is_not_clipped_at_one():
    verdict = judge("73.17", [72.0, 73.5, 74.1, 72.8, 73.3], **PERCENT)
    assert verdict.verdict == "within"
    assert 60 < verdict.low < 72 and 74.1 < verdict.high < 85


def test_a_score_equal_to_the_printed_one_is_within_and_no_match():
    assert judge("0.8249", [0.8249] * 5, resolution=0.05).verdict == "within"


def test_nearer_than_the_resolution_is_within_and_says_so():
    verdict = judge("0.8249", [0.80, 0.801, 0.802], resolution=0.05)
    assert verdict.verdict == "within" and not verdict.inside
    assert "by less than 0.05" in verdict.reason


def test_a_wide_interval_that_leaves_the_value_out_is_decided():
    verdict = judge("0.95", [0.40, 0.45, 0.42], resolution=0.05)
    assert verdict.half_width > 0.05 and verdict.verdict == "below"


def test_the_interval_is_clipped_after_the_comparison_with_the_resolution():
    verdict = judge("0.97", [0.95, 0.99, 0.97], resolution=0.05)
    assert verdict.half_width > 0.05
    assert (verdict.high, verdict.verdict) == (1, "undecided")


@pytest.mark.parametrize("value, inside", [(0.8215, True), (0.823, True), (0.8214, False)])
def test_a_printed_value_stands_for_what_rounds_or_truncates_to_it(value, inside):
    assert judge("0.822", [value] * 3, resolution=0.05).inside == inside


def test_a_negative_value_is_truncated_towards_zero():
    negative = {"resolution": 0.05, "bounds": (-1, 1)}
    assert judge("-0.5", [-0.59] * 3, **negative).inside
    assert not judge("-0.5", [-0.44] * 3, **negative).inside


def test_values_by_seed_are_as_good_as_a_sequence():
    values = [0.80, 0.83, 0.82]
    by_seed = dict(zip((7, 3, 5), values))
    assert judge("0.8", by_seed, resolution=0.05) == judge("0.8", values, resolution=0.05)


@pytest.mark.parametrize("values", [[], {}, np.array([])])
def test_without_values_nothing_was_run(values):
    assert judge("0.8", values, resolution=0.05).verdict == "not run"


# Sentences


@pytest.mark.parametrize(
    "values, spread, expected",
    [
        (
            [0.7163, 0.72, 0.70],
            {"image_se": 0.005, "images": 10},
            "Ours, 0.71, is lower than chance in splits and training explains (0.66–0.76).",
        ),
        (
            [0.78, 0.80, 0.82, 0.77],
            {},
            "Ours may lie anywhere in 0.71–0.87; about ten more seeds would tell.",
        ),
        (
            [0.7163],
            {"image_se": 0.05, "images": 10},
            "Ours may lie anywhere in 0.49–0.94; no number of seeds can tell: a single test set of "
            "ten images moves this score by ±0.10.",
        ),
        (
            [0.60, 0.92, 0.70],
            {},
            "Ours may lie anywhere in 0.00–1.00; no number of seeds can tell: from run to run, "
            "chance in training moves this score by ±0.32.",
        ),
        (
            [0.79],
            {},
            "One seed does not show where a further run may land; at least two more seeds are "
            "needed.",
        ),
        (
            [0.79, 0.80],
            {"image_se": math.inf, "images": 1},
            "One test image does not show how far others would move this score; no number of seeds "
            "can tell.",
        ),
    ],
)
def test_reasons(values, spread, expected):
    assert judge("0.8249", values, **spread, resolution=0.05).reason == expected


def test_a_reason_never_contradicts_its_verdict_by_rounding():
    verdict = judge("0.8249", [0.76, 0.7602, 0.7604], resolution=0.05)
    assert verdict.verdict == "below" and "(0.759–0.761)" in verdict.reason
    by_rounding = judge("0.97", [0.962, 0.963, 0.961], resolution=0.01)
    assert by_rounding.inside and by_rounding.high < 0.97
    assert "0.97, which may stand for 0.965 to 0.98, " in by_rounding.reason


# Refused


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"values": [0.8, 1.2]}, "value 2: 1.2 lies outside 0–1"),
        ({"values": {4: -0.1}}, "seed 4: -0.1 lies outside 0–1"),
        ({"values": [0.8, math.nan]}, "value 2: expected a finite number, got nan"),
        ({"values": [math.inf]}, "value 1: expected a finite number, got inf"),
        ({"printed": "82.49"}, "the printed 82.49 lies outside 0–1"),
        ({"printed": "0.82 ± 0.1"}, "printed: expected a number as printed"),
        ({"printed": "nan"}, "printed: expected a number as printed"),
        ({"printed": 0.82}, "printed: expected a number as printed"),
        ({"resolution": -0.1}, "resolution: "),
        ({"resolution": math.nan}, "resolution: "),
        ({"bounds": (1, 0)}, "bounds: "),
        ({"image_se": 0.1}, "images: expected the number of test images"),
        ({"image_se": 0.1, "images": 0}, "images: expected the number of test images"),
        ({"image_se": math.nan, "images": 9}, "image_se: "),
        ({"image_se": -1.0, "images": 9}, "image_se: "),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(changes, message):
    arguments = {"printed": "0.8249", "values": [0.8, 0.8, 0.8], "resolution": 0.05, **changes}
    with pytest.raises(ValueError) as error:
        judge(**arguments)
    assert str(error.value).startswith(message)


# Defaults, differences and the summary


def test_differences_make_a_verdict_not_comparable_and_keep_its_numbers():
    ours = judge("0.8249", [0.7163], image_se=0.05, images=10, resolution=0.05)
    marked = not_comparable(ours, ["8 epochs instead of 20", "synthetic images"])
    assert (marked.verdict, marked.never) == ("not comparable", False)
    assert marked.reason == "8 epochs instead of 20; synthetic images"
    assert (marked.low, marked.high, marked.mean) == (ours.low, ours.high, ours.mean)
    assert not_comparable(ours, []) is ours
    nothing = judge("0.8", [], resolution=0.05)
    assert not_comparable(nothing, ["synthetic images"]) is nothing


def test_the_summary_counts_every_number_once():
    score = {"resolution": 0.05}
    by_place = {
        "within": judge("0.82", [0.81, 0.82, 0.80], **score),
        "above": judge("0.50", [0.81, 0.82, 0.80], **score),
        "match": judge("50", [50], **COUNT),
        "below": judge("50", [49], **COUNT),
        "yet": judge("0.8", [0.78, 0.81, 0.79], **score),
        "never": judge("0.8", [0.78, 0.81, 0.79], image_se=0.06, images=10, **score),
        "other": not_comparable(judge("0.82", [0.81, 0.82, 0.80], **score), ["synthetic images"]),
        "none": judge("0.8", [], **score),
        "wrong": judge("0.82", [0.81, 0.82, 0.80], **score),
    }
    total = summarise(by_place, impossible={"wrong"})
    assert [number for _, number in total.parts] == [2, 2, 1, 1, 1]
    assert (total.not_comparable, total.not_run) == (1, 1)
    assert sum(number for _, number in total.parts) + 2 == len(by_place)
    assert (total.scores_decided, total.outside_by_chance) == (2, 0.1)  # counts have no luck
    assert "Of 2 decided scores, chance alone would put about 0.1 outside" in total.sentence()
    assert summarise({}).sentence() == "No score is decided yet."


# An oracle and properties


def oracle(printed, values, image_se, images, resolution):
    """The rule as docs/verdicts.md words it, written a second time; no interval: None."""
    n, mean = len(values), sum(values) / len(values)
    if n >= 3:
        t = scipy.stats.t.ppf(0.975, n - 1)
        sd = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
        half_width = max(t * sd, 1.96 * (image_se or 0)) * math.sqrt(1 + 1 / n)
    elif image_se is None:
        return "undecided", None
    else:
        half_width = scipy.stats.t.ppf(0.975, images - 1) * 2 * image_se
    step = Fraction(1, 10 ** len(printed.split(".")[1]))
    lowest, highest = float(Fraction(printed) - step / 2), float(Fraction(printed) + step)
    inside = lowest <= mean + half_width and highest >= mean - half_width
    nearest = min(max(mean, lowest), highest)
    distance = abs(mean - nearest)
    margins = (
        abs(lowest - mean - half_width),
        abs(mean - half_width - highest),
        abs(half_width - resolution),
        abs(distance - resolution),
    )
    assume(min(margins) > 1e-6)  # a tie is decided by the rounding of floats
    if not inside and distance > resolution:
        return ("above" if mean > highest else "below"), half_width
    return ("within" if n >= 3 and half_width <= resolution else "undecided"), half_width


@given(
    st.integers(0, 9999),
    st.lists(scores, min_size=1, max_size=8),
    st.floats(0.01, 1),
    errors,
    st.integers(2, 100),
    st.sampled_from([0.01, 0.05, 0.2]),
)
def test_the_rule_is_the_one_that_is_documented(
    digits, values, scale, image_se, images, resolution
):
    printed = f"{digits / 10_000:.4f}"
    values = [scale * value for value in values]  # smaller ones lie closer together
    expected, half_width = oracle(printed, values, image_se, images, resolution)
    verdict = judge(printed, values, image_se=image_se, images=images, resolution=resolution)
    assert verdict.verdict == expected
    assert 0 <= verdict.low <= verdict.mean + 1e-12 and verdict.mean - 1e-12 <= verdict.high <= 1
    assert verdict.reason.endswith(".") and "\n" not in verdict.reason
    if half_width is not None:
        assert verdict.half_width == pytest.approx(half_width, rel=1e-6)


@given(st.integers(0, 9999), st.lists(scores, min_size=1, max_size=6), errors)
def test_fractions_and_percent_get_the_same_verdict(digits, values, image_se):
    fraction = judge(
        f"{digits / 10_000:.4f}", values, image_se=image_se, images=20, resolution=0.05
    )
    percent_se = None if image_se is None else 100 * image_se
    percent = judge(
        f"{digits / 100:.2f}",
        [100 * value for value in values],
        image_se=percent_se,
        images=20,
        **PERCENT,
    )
    assert percent.half_width == pytest.approx(100 * fraction.half_width)
    assume(abs(fraction.half_width - 0.05) > 1e-6)
    assert (percent.verdict, percent.seeds_needed) == (fraction.verdict, fraction.seeds_needed)


@given(st.integers(3, 20), st.floats(0, 0.1), st.floats(0, 0.05))
def test_the_seeds_proposed_are_the_fewest_that_suffice(n, sd, image_se):
    more = intervals.more_seeds(n, sd, image_se, 0.05)
    widths = intervals.prediction_half_width(n + np.arange(1, 31), sd, image_se)
    if more is None:
        assert (widths > 0.05).all()
    else:
        assert widths[more - 1] <= 0.05 and (widths[: more - 1] > 0.05).all()


def test_one_or_two_seeds_plan_with_training_luck_as_large_as_test_luck():
    near = {"image_se": 0.01, "images": 10, "resolution": 0.05}
    one = judge("0.82", [0.82], **near)
    assert one.seeds_needed == intervals.more_seeds(1, math.sqrt(2) * 0.01, 0.01, 0.05) == 4
    apart = judge("0.82", [0.84, 0.80], **near)  # sd 0.028: more than the images explain
    assert apart.seeds_needed == intervals.more_seeds(2, math.sqrt(2) * 0.02, 0.01, 0.05)
    assert apart.seeds_needed is None and "at least one more seed is needed" in apart.reason


def test_never_is_said_of_the_test_set_and_not_of_a_spread_that_three_seeds_guess():
    guessed = judge("0.80", [0.77, 0.83, 0.80], resolution=0.05)  # 1.96 · sd = 0.059
    assert guessed.verdict == "undecided" and not guessed.never and guessed.seeds_needed is None
    assert "more than 30 more seeds" in guessed.reason
    measured = judge("0.80", [0.77, 0.83, 0.80] * 8, resolution=0.035)
    assert measured.verdict == "undecided" and measured.never


# Error rates


@pytest.mark.parametrize("luck", verdict_rates.TRAINING_LUCK)
@pytest.mark.parametrize("seeds", verdict_rates.SEEDS)
def test_a_published_value_that_holds_is_seldom_called_different(seeds, luck):
    trials = verdict_rates.simulate(seeds, luck)
    for resolution in (2.5, 3, 5):
        rates = verdict_rates.rates(trials, resolution)
        assert rates.outside <= 0.07
        assert rates.differs_of_decided <= 0.05


def test_more_seeds_do_not_make_a_good_reproduction_fail_but_tell_more():
    same = [verdict_rates.rates(verdict_rates.simulate(n, 1), 2.5) for n in verdict_rates.SEEDS]
    decided = [rates.decided for rates in same]
    assert decided == sorted(decided) and decided[-1] > 0.8
    moved = [
        verdict_rates.rates(verdict_rates.simulate(n, 1, shift=5), 2.5).differs
        for n in verdict_rates.SEEDS
    ]
    assert moved == sorted(moved) and moved[-1] > 0.9


def test_scores_of_images_need_not_be_normal():
    """Skewed image scores (many good, a few bad), means of ten, SE from the images themselves."""
    generator = np.random.default_rng(0)
    images = 0.9 - 0.1 * generator.exponential(size=(20_000, 6, 10))
    means = images.mean(axis=2)
    image_se = np.sqrt(images[:, 1:].var(axis=2, ddof=1).mean(axis=1) / 10)
    trials = verdict_rates.Trials(means[:, 1:], image_se, means[:, 0], 0.1 / math.sqrt(10))
    rates = verdict_rates.rates(trials, 2.5)
    assert rates.outside <= 0.07 and rates.differs_of_decided <= 0.05


@pytest.mark.parametrize("seeds", (*verdict_rates.FEW_SEEDS, *verdict_rates.SEEDS))
def test_the_simulation_judges_as_judge_does(seeds):
    trials = verdict_rates.simulate(seeds, 1, shift=1.5, trials=100)
    _, within, differs = verdict_rates.decide(trials, 2.5)
    for values, image_se, published, *expected in zip(
        trials.values, trials.image_se, trials.published, within, differs
    ):
        verdict = judge(
            f"{0.5 + 0.01 * published:.12f}",
            0.5 + 0.01 * values,
            image_se=0.01 * image_se,
            images=verdict_rates.IMAGES,
            resolution=2.5 * 0.01 * trials.sd,
        ).verdict
        assert [verdict == "within", verdict in ("above", "below")] == expected


def test_the_words_of_the_verdicts_are_all_there_are():
    words = {"match", "within", "above", "below", "undecided", "not comparable", "not run"}
    assert set(verdicts.VERDICTS) == words
