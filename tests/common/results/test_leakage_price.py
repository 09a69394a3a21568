"""The price of leakage: whom it compares with whom, and the interval that it gives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import fake_paper
import numpy as np
import pandas
import pytest
from fake_paper import DATA, MEMBERS, FakeTrainer, aggregate, per_image
from scipy import stats

from common.results import leakage_price
from common.results.experiment import Paper
from common.training import runs

GAIN = {0: 0.05, 1: 0.02, 2: 0.08}  # of the leak, by seed


@dataclass(frozen=True)
class Leaking(fake_paper.Config):
    leakage: Literal["none", "with", "without"] = "none"

    @property
    def run_id(self):
        return runs.readable_id(self, PROFILES[self.profile])


PROFILES = {"paper": Leaking(), "quick": Leaking(profile="quick", epochs=3)}


def _per_image(behind, config, data_set):
    table = per_image(behind, config, data_set)
    gain = GAIN[config.seed] if getattr(config, "leakage", "") == "with" else 0
    # Without a setting for leakage, the protocols stand side by side.
    gain = gain + (0.1 if config.protocol == "corrected" else 0)
    return table.assign(dice=table["dice"] + gain)


@pytest.fixture
def seeds(request_):
    return replace(request_, protocol=None, seeds=(0, 1, 2))


def test_pairs_share_a_seed_and_differ_by_the_leak_alone(paper, seeds, tmp_path, capsys):
    leaking = Paper(FakeTrainer(lambda *_: None, PROFILES, ("set",)), _per_image, aggregate)
    leakage_price.show(leaking, [MEMBERS[0]], seeds, DATA)
    (line,) = pandas.read_csv(tmp_path / "results/fake/leakage.csv").itertuples()
    gains = np.array(list(GAIN.values()))
    half = stats.t.ppf(0.975, 2) * gains.std(ddof=1) / np.sqrt(3)
    assert line.difference == pytest.approx(gains.mean(), abs=1e-6)
    assert (line.low, line.high) == pytest.approx(
        (gains.mean() - half, gains.mean() + half), abs=1e-5
    )
    assert (line.n, line.paired, line.protocol) == (3, "yes", "published")
    assert "on the same test images (paired)" in capsys.readouterr().out
    assert len(FakeTrainer.asked) == 6


def test_without_such_a_setting_the_protocols_are_compared_unpaired(paper, seeds, tmp_path):
    plain = Paper(
        FakeTrainer(lambda *_: None, fake_paper.PROFILES, ("set",)), _per_image, aggregate
    )
    leakage_price.show(plain, [MEMBERS[0]], seeds, DATA)
    (line,) = pandas.read_csv(tmp_path / "results/fake/leakage.csv").itertuples()
    assert line.difference == pytest.approx(-0.1, abs=1e-6)
    # Scores of a protocol are 0.73, 0.74 and 0.75: equal variances, so that Welch has 4 degrees.
    half = stats.t.ppf(0.975, 4) * 0.01 * np.sqrt(2 / 3)
    assert (line.low, line.high) == pytest.approx((-0.1 - half, -0.1 + half), abs=1e-5)
    assert (line.paired, line.protocol) == ("no", "published − corrected")


def test_one_seed_has_no_interval_and_other_profiles_stay(paper, seeds, tmp_path, capsys):
    leaking = Paper(FakeTrainer(lambda *_: None, PROFILES, ("set",)), _per_image, aggregate)
    one = replace(seeds, seeds=(1,))
    path = tmp_path / "results/fake/leakage.csv"
    leakage_price.show(leaking, [MEMBERS[0]], replace(one, profile="paper"), DATA)
    leakage_price.show(leaking, [MEMBERS[0]], one, DATA)
    leakage_price.show(leaking, [MEMBERS[0]], one, DATA)
    table = pandas.read_csv(path)
    assert table["profile"].tolist() == ["paper", "quick"]
    assert table["low"].isna().all() and table["n"].eq(1).all()
    assert "–" in capsys.readouterr().out
