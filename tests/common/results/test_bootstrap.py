"""Standard errors over test images: closed forms, clusters, absent classes, and speed."""

import math
import time

import numpy as np
import pandas as pd
import pytest

from common.metrics import dice
from common.results.bootstrap import Spread, bootstrap_se


def image_counts(images, seed=0):
    """Pixels by class of simulated test images, one line each."""
    generator = np.random.default_rng(seed)
    quality = generator.uniform(0.5, 0.95, images)
    nuclei = generator.integers(1_000, 60_000, images)
    tp = (quality * nuclei).astype(int)
    fn, fp = nuclei - tp, (generator.uniform(0, 0.4, images) * nuclei).astype(int)
    return pd.DataFrame(
        {"id": [f"image{place:03}" for place in range(images)], "tp": tp, "fp": fp, "fn": fn}
    ).assign(dice=lambda table: 2 * table.tp / (2 * table.tp + table.fp + table.fn))


def pooled(table):
    tp, fp, fn = (table[name].sum() for name in ("tp", "fp", "fn"))
    return {"dsc": table["dice"].mean(), "f1": 2 * tp / (2 * tp + fp + fn)}


def test_the_error_of_a_mean_is_the_textbook_one():
    table = image_counts(10)
    spread = bootstrap_se(table, pooled, "id", replicates=4_000)["dsc"]
    assert spread.se == pytest.approx(table["dice"].std() / math.sqrt(10), rel=0.04)
    assert spread.units == 10


def test_the_error_of_a_ratio_is_that_of_the_delta_method():
    table = image_counts(200)
    tp, fp, fn = (table[name].to_numpy(float) for name in ("tp", "fp", "fn"))
    denominator = 2 * tp + fp + fn
    ratio = 2 * tp.sum() / denominator.sum()
    influence = (2 * tp - ratio * denominator) / denominator.mean()
    expected = influence.std(ddof=1) / math.sqrt(200)
    spread = bootstrap_se(table, pooled, "id", replicates=4_000)["f1"]
    assert spread.se == pytest.approx(expected, rel=0.04)


def test_tiles_of_one_case_are_drawn_together():
    cases = image_counts(8)
    tiles = pd.concat([cases] * 25)  # equal tiles tell nothing new
    of_cases, of_tiles = (
        bootstrap_se(table, pooled, "id", replicates=300) for table in (cases, tiles)
    )
    assert of_tiles["dsc"] == pytest.approx(of_cases["dsc"])
    by_tile = bootstrap_se(tiles, pooled, range(len(tiles)), replicates=300)
    assert by_tile["dsc"].se < of_cases["dsc"].se / 3


def test_a_class_absent_from_a_replicate_is_left_out_of_it_by_name():
    """Two of nine images hold the class: every tenth replicate has none of it."""
    table = image_counts(9)
    table["malignant"] = [0.4, 0.6, *[np.nan] * 7]

    def aggregate(lines):
        scores = {"benign": lines["dice"].mean(), "malignant": lines["malignant"].mean()}
        return {name: value for name, value in scores.items() if not np.isnan(value)}

    spreads = bootstrap_se(table, aggregate, "id")
    assert spreads["malignant"].units == 2
    assert spreads["benign"].units == 9
    as_nan = bootstrap_se(table, lambda lines: dict(lines[["malignant"]].mean()), "id")
    assert as_nan["malignant"] == spreads["malignant"]
    # Mean of k draws from {0.4, 0.6}, given that at least one of nine draws is among them.
    draws = np.random.default_rng(1).integers(9, size=(20_000, 9))
    drawn = [np.array([0.4, 0.6])[draw[draw < 2]] for draw in draws]
    expected = np.std([values.mean() for values in drawn if values.size]) * math.sqrt(2)
    assert spreads["malignant"].se == pytest.approx(expected, rel=0.07)


def test_one_image_says_nothing_about_others():
    spread = bootstrap_se(image_counts(1), pooled, "id")["dsc"]
    assert spread == Spread(math.inf, 1)
    table = image_counts(5).assign(rare=[0.5, *[np.nan] * 4])
    assert bootstrap_se(table, lambda lines: {"rare": lines["rare"].mean()}, "id")["rare"] == (
        math.inf,
        1,
    )


def test_the_result_depends_neither_on_chance_nor_on_the_order_of_the_lines():
    table = image_counts(30)
    first, again = (bootstrap_se(table, pooled, "id", replicates=50) for _ in range(2))
    assert first == again
    shuffled = table.sample(frac=1, random_state=0)
    other = bootstrap_se(shuffled, pooled, "id", replicates=50)
    for name, spread in first.items():
        assert other[name] == pytest.approx(spread)


@pytest.mark.parametrize(
    "groups, message",
    [
        (["a", "b"], "groups: expected one label per line, got 2 of 3"),
        (["a", None, "b"], "groups: line 1 has no label"),
    ],
)
def test_labels_that_do_not_fit_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_se(image_counts(3), pooled, groups)


def test_no_lines_and_infinite_scores_are_refused():
    with pytest.raises(ValueError, match="expected one label per line"):
        bootstrap_se(image_counts(3)[:0], pooled, "id")
    with pytest.raises(ValueError, match="loss: expected finite scores"):
        bootstrap_se(image_counts(3), lambda table: {"loss": math.inf}, "id", replicates=5)


def test_eleven_scores_of_78_images_take_seconds():
    # Less than two of an idle core; busy ones and the measuring of coverage slow it.
    table = image_counts(78).assign(tn=200_000)

    def eleven(lines):
        matrices = lines[["tn", "fp", "fn", "tp"]].to_numpy().reshape(-1, 2, 2)
        scores = {}
        for reduction in ("per_image", "pooled"):
            for score in (dice.dice, dice.iou, dice.f1, dice.precision, dice.recall):
                scores[f"{score.__name__}_{reduction}"] = score(matrices, reduction=reduction)
        return {**scores, "accuracy": dice.accuracy(matrices)}

    taken = []
    for _ in range(3):  # other programs may slow one of them down
        started = time.process_time()
        assert len(bootstrap_se(table, eleven, "id")) == 11
        taken.append(time.process_time() - started)
        if taken[-1] < 4:
            break
    assert min(taken) < 4
