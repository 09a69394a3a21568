import dataclasses
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from tools.bench import child, timing
from tools.bench.scale import QUICK, SMOKE
from tools.bench.timing import Cost

THREE = dataclasses.replace(QUICK, rounds=3, seconds=60)


def test_contenders_take_turns_in_alternating_order():
    order = []

    def contender(name):
        return lambda: order.append(name) or Cost(float(len(order)))

    costs = timing.race({name: contender(name) for name in "abc"}, THREE)
    assert "".join(order) == "abc" + "cba" + "abc"
    walls = {name: [cost.wall for cost in rounds] for name, rounds in costs.items()}
    assert walls == {"a": [1, 6, 7], "b": [2, 5, 8], "c": [3, 4, 9]}


def test_no_round_begins_after_the_time_is_up():
    at_once = dataclasses.replace(THREE, seconds=0)
    assert len(timing.race({"a": lambda: Cost(0.0)}, at_once)["a"]) == 1


def test_a_row_is_the_median_of_the_rounds_ratios():
    ours = [Cost(1, 0.5, 2), Cost(2, 0.8, 2), Cost(4, 0.9, 2), Cost(1, 0.7, 2)]
    theirs = [Cost(2, 2, 2), Cost(8, 3, 4), Cost(4, 4, 8), Cost(3, 3, 6)]
    row = timing.row("case", ours, "peer", theirs, target=2)
    assert (row.ours, row.theirs, row.ratio, row.n) == (1.5, 3.5, 2.5, 4)  # ratios 2, 4, 1, 3
    assert row.spread == (3.25 - 1.75) / 2 / 2.5
    assert (row.ours_least, row.theirs_least, row.ratio_least) == (0.5, 2, 4)
    assert (row.ours_cpu, row.theirs_cpu, row.ratio_cpu) == (2, 5, 2.5)  # ratios 1, 2, 4, 3


def test_memory_has_no_processor_time():
    row = timing.row("case", [Cost(2.0)], "peer", [Cost(3.0)], unit="MiB")
    assert row.ratio == 1.5
    assert np.isnan([row.ratio_least, row.ratio_cpu, row.spread]).all()


def test_limits_and_growth_are_ratios_too():
    assert timing.limit("memory", [Cost(512.0)], 2048, "MiB")[:7] == (
        "memory",
        512,
        "limit",
        2048,
        "MiB",
        4,
        1,
    )
    costs = {"small": [Cost(2.0, 1.0, 4.0)], "large": [Cost(12.0, 6.0, 6.0)]}
    (row,) = timing.growth("cut", {"small": 10, "large": 30}, costs)
    assert (row.ratio_least, row.ratio_cpu) == (0.5, 2)
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
    cost = timing.timed(lambda: calls.append(1))()
    assert len(calls) > 100
    assert cost.wall * len(calls) >= timing.SHORTEST
    assert 0 < cost.least <= cost.wall and 0 < cost.cpu < 2 * cost.wall


def test_a_worker_gives_facts_results_and_its_own_peak_of_memory():
    with child.Worker("tools.bench.metrics:score_many", count=4, side=1024, score="AJI") as worker:
        assert worker.facts == {}
        cost = worker()
        assert 0 < cost.wall < 60 and cost.least == cost.wall and 0 < cost.cpu < 60
        assert 0.5 < worker.last["result"] < 1
        first = worker.last["peak_mib"]
        assert 20 < first < child.peak_mib() + 2000
        worker()
        assert worker.last["peak_mib"] >= first


def test_a_worker_that_cannot_start_says_why():
    with pytest.raises(RuntimeError, match="No module named 'tools.bench.missing'"):
        child.Worker("tools.bench.missing:function")


def test_a_peer_of_pytorch_that_is_not_installed_is_none_and_a_mistake_is_none_of_that(tmp_path):
    here = Path(sys.executable)
    step = "tools.bench.torch_tiling:blending"
    assert child.torch_worker(tmp_path / "python", step) is None
    if importlib.util.find_spec("torch") is None:
        assert child.torch_worker(here, step, side=8, channels=1, tile=4, overlap=0.5) is None
    with pytest.raises(RuntimeError, match="No module named 'tools.bench.missing'"):
        child.torch_worker(here, "tools.bench.missing:function")
