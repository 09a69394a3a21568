import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse import csgraph

from common.metrics import matching


@pytest.fixture
def never_scipy(monkeypatch):
    def refuse(self):
        raise AssertionError("handed over to scipy")

    monkeypatch.setattr(matching._Assignment, "_solve_by_scipy", refuse)


def by_scipy(rows, columns, weights):
    """The same choice by scipy's solver; a row that stays alone has a partner of its own."""
    n_rows, n_columns = rows.max() + 1, columns.max() + 1
    alone = np.arange(n_rows)
    graph = sparse.csr_matrix(
        (
            np.append(2 - weights, np.full(n_rows, 2.0)),
            (np.append(rows, alone), np.append(columns, n_columns + alone)),
        )
    )
    partners = csgraph.min_weight_full_bipartite_matching(graph)[1]
    return np.flatnonzero(partners[rows] == columns)


@st.composite
def problems(draw):
    """Sparse tables with few different weights, so that ties are the rule."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = rng.integers(1, 30, 2)
    there = rng.random(shape) < rng.choice([0.05, 0.2, 0.6])
    rows, columns = np.nonzero(there)
    kinds = rng.choice([1, 2, 5, 1000])
    weights = rng.integers(1, kinds + 1, rows.size) / kinds
    return rows, columns, weights


@given(problems())
def test_the_choice_is_scipys_among_ties_too(problem):
    if not problem[0].size:
        return
    expected = by_scipy(*problem)
    patient, step = matching._CALL, matching._STEP
    try:
        for matching._CALL, matching._STEP in ((10**9, 1), (-(10**9), 1)):  # Python alone; scipy
            assert matching.one_to_one(*problem).tolist() == expected.tolist()
    finally:
        matching._CALL, matching._STEP = patient, step
    assert matching.one_to_one(*problem).tolist() == expected.tolist()


@given(problems())
def test_no_row_and_no_column_has_two_pairs(problem):
    rows, columns, _ = problem
    chosen = matching.one_to_one(*problem)
    assert np.unique(rows[chosen]).size == np.unique(columns[chosen]).size == chosen.size
    # Nothing is left that could be added.
    left = ~np.isin(rows, rows[chosen]) & ~np.isin(columns, columns[chosen])
    assert not left.any()


def test_a_column_is_passed_on_along_a_chain(never_scipy):
    # Each row takes the column of the next one first, until the last has nowhere to go.
    n = 50
    rows = np.repeat(np.arange(n), 2)[:-1]
    columns = rows + np.arange(2 * n - 1) % 2
    weights = np.where(rows == columns, 0.6, 0.605)
    chosen = matching.one_to_one(rows, columns, weights)
    assert rows[chosen].tolist() == columns[chosen].tolist() == [*range(n)]


def test_no_pairs_no_choice():
    nothing = np.empty(0, int)
    assert matching.one_to_one(nothing, nothing, np.empty(0)).size == 0
    assert matching.best_of_each(nothing, np.empty(0)).size == 0


def test_the_first_of_equals_is_the_best_of_a_row():
    rows, costs = np.array([0, 0, 1, 3, 3, 3]), np.array([2.0, 1.0, 5.0, 4.0, 3.0, 3.0])
    assert matching.best_of_each(rows, costs).tolist() == [1, 2, 4]


@pytest.mark.parametrize("name", ["one chain", "one column for all", "alone"])
def test_time_grows_with_the_pairs_even_in_one_piece(name, never_scipy):
    # A solver that goes through all columns for every row takes minutes for these.
    n = 100_000
    rows = np.arange(n)
    if name == "one chain":
        rows, columns = np.repeat(rows, 2), np.arange(1, 2 * n + 1) // 2
    else:
        columns = rows if name == "alone" else np.zeros(n, int)
    start = time.process_time()
    chosen = matching.one_to_one(rows, columns, np.linspace(0.1, 0.9, rows.size))
    assert chosen.size == (1 if name == "one column for all" else n)
    assert time.process_time() - start < 5


def test_long_searches_are_left_to_scipy():
    # Dense, with weights that make nearly every row compete for every column.
    rng = np.random.default_rng(0)
    table = 0.5 + 0.001 * rng.random((120, 100))
    rows, columns = (part.ravel() for part in np.indices(table.shape))
    problem = matching._Assignment(rows, columns, 2 - table.ravel())
    partners = problem.solve()
    assert problem.most_steps < problem.steps < problem.most_steps + 2 * table.size
    assert np.unique(partners[partners < 100]).size == 100
