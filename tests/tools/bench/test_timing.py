from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tools.bench import child, timing
from tools.bench.scale import QUICK, SMOKE

THREE = dataclasses.replace(QUICK, rounds=3, seconds=60)


def test_contenders_take_turns_in_alternating_order():
    order = []
    contenders = {name: lambda name=name: order.append(name) or float(len(order)) for name in "abc"}
    costs = timing.race(contenders, THREE)
    assert "".join(order) == "abc" + "cba" + "abc"
    assert costs == {"a": [1, 6, 7], "b": [2, 5, 8], "c": [3, 4, 9]}


def test_no_round_begins_after_the_time_is_up():
    assert len(timing.race({"a": lambda: 0.0}, dataclasses.replace(THREE, seconds=0))["a"]) == 1


def test_a_row_is_the_median_of_the_rounds_ratios():
    row = timing.row("case", [1, 2, 4, 1], "peer", [2, 8, 4, 3], target=2)
    assert (row.ours, row.theirs, row.ratio, row.n) == (1.5, 3.5, 2.5, 4)  # ratios 2, 4, 1, 3
    assert row.spread == (3.25 - 1.75) / 2 / 2.5


def test_limits_and_growth_are_ratios_too():
    assert timing.limit("memory", [512.0], 2048, "MiB")[:7] == (
        "memory",
        512,
        "limit",
        2048,
        "MiB",
        4,
        1,
    )
    (row,) = timing.growth("cut", {"small": 10, "large": 30}, {"small": [2.0], "large": [12.0]})
    assert (row.case, row.peer, row.ours, row.theirs, row.ratio) == (
        "cut, large",
        "in proportion to small",
        12,
        6,
        0.5,
    )


def test_another_result_is_no_comparison():
    with pytest.raises(AssertionError, match="sum: peer gives another result"):
        timing.compare("sum", lambda: 4, {"peer": lambda: 5}, SMOKE)


def test_a_peer_that_is_not_installed_gives_a_row_that_says_so():
    assert timing.installed("no_such_peer") is None
    (row,) = timing.compare("sum", lambda: 4, {"peer": None}, SMOKE, {"peer": 3})
    assert (row.note, row.target, row.n) == ("not installed", 3, 0)
    assert np.isnan([row.ours, row.theirs, row.ratio]).all()


def test_a_fast_call_is_repeated_and_its_mean_counts():
    calls = []
    seconds = timing.timed(lambda: calls.append(1))()
    assert len(calls) > 100
    assert seconds * len(calls) >= timing.SHORTEST


def test_a_worker_gives_facts_results_and_its_own_peak_of_memory():
    with child.Worker("tools.bench.metrics:score_many", count=4, side=1024, score="AJI") as worker:
        assert worker.facts == {}
        assert 0 < worker() < 60
        assert 0.5 < worker.last["result"] < 1
        first = worker.last["peak_mib"]
        assert 20 < first < child.peak_mib() + 2000
        worker()
        assert worker.last["peak_mib"] >= first


def test_a_worker_that_cannot_start_says_why():
    with pytest.raises(RuntimeError, match="No module named 'bench.missing'"):
        child.Worker("bench.missing:function")
