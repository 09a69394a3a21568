import dataclasses
import re

import numpy as np
import pytest

from common.report import collect, training


@pytest.fixture
def alpha(project):
    return collect.gather(project / "results", project)[0]


def ticks(chart):
    return re.findall('text-anchor="end"[^>]*>(.*?)<', chart)


def test_curves_share_a_scale_and_are_named_by_what_differs(alpha):
    published, corrected = training.curves(alpha)
    assert (published[0], corrected[0]) == (["protocol published"], ["protocol corrected"])
    assert list(published[1]) == ["loss"]
    charts = [curve[1]["loss"] for curve in (published, corrected)]
    told = [re.search('aria-label="(.*?)"', chart).group(1) for chart in charts]
    assert told[0] == "training loss from 1 to 0.5; validation loss from 1.4 to 0.9 in 2 epochs"
    assert told[1] == "training loss from 1.2 to 0.6; validation loss from 1.5 to 1.5 in 2 epochs"
    assert ticks(charts[0]) == ticks(charts[1]) == ["0", "0.8", "1.6", "2"]


def test_a_loss_that_is_infinite_is_left_out(alpha):
    history = alpha.runs[1].history.assign(loss=[np.inf, 0.5])
    first = dataclasses.replace(alpha.runs[1], history=history)
    ((_, charts),) = training.curves(dataclasses.replace(alpha, runs=(first,)))
    assert "training loss from 0.5 to 0.5; validation" in charts["loss"]


def test_losses_of_different_kinds_do_not_share_a_scale(alpha):
    kinds = {"net-none-published-seed0": "dice", "net-none-corrected-seed0": "focal"}
    runs = [
        dataclasses.replace(run, config={**run.config, "loss": kinds.get(run.id)})
        for run in alpha.runs
    ]
    small = runs[2].history.assign(loss=[0.02, 0.01], val_loss=0.015)
    runs[2] = dataclasses.replace(runs[2], history=small)
    curves = training.curves(dataclasses.replace(alpha, runs=tuple(runs)))
    assert [ticks(charts["loss"])[2] for _, charts in curves] == ["1.4", "0.02"]


def test_provenance_says_what_where_and_when(alpha):
    grid = training.provenance(alpha)
    runs = {line[0]: dict(zip(grid.columns, line)) for line in grid.lines}
    assert training.combined(alpha) == [("ensemble-seed0", "members one, two")]
    assert list(runs) == ["net-none-published-seed0", "net-none-corrected-seed0"]
    run = runs["net-none-published-seed0"]
    expected = {"seed": "0", "weights": "none", "epochs": "2", "images": "2 train, 1 test"}
    expected.update(commit="c0ffee", device="CPU")
    expected["began, UTC"] = "2026-01-02 03:04"
    assert {name: run[name] for name in expected} == expected
    assert training.evaluations(alpha).lines == [
        ["table1", "c0ffee", "2026-01-02 03:04", "python 3.8, numpy 1"]
    ]
