"""One-to-one matching with the greatest sum of weights, in time that grows with the number of
pairs.
"""

from __future__ import annotations

import heapq
import math
from typing import Sequence

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

ALONE = 2.0  # cost of a row without a partner; no cost is 0, which a sparse matrix could not hold
# A step of a search in Python takes about as long as scipy's solver needs to clear _STEP entries of
# its arrays, and calling that solver at all as long as it needs to clear _CALL of them.
_STEP, _CALL = 600, 50_000


def one_to_one(rows: np.ndarray, columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Choose pairs such that no row and no column has two of them and the sum of their weights is
    the greatest.

    Args:
        rows: (n,) integers from 0 upwards, in ascending order; the row of each pair.
        columns: (n,) integers from 0 upwards, ascending within a row. No pair comes twice.
        weights: (n,) floats above 0 and at most 1.

    Returns:
        Positions of the chosen pairs, ascending, intp. Among several best choices it is the one
        that `scipy.sparse.csgraph.min_weight_full_bipartite_matching` makes.

    >>> one_to_one(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0.6, 0.5, 0.4])).tolist()
    [1, 2]
    """
    if not len(weights):
        return np.empty(0, np.intp)
    partners = _Assignment(rows, columns, ALONE - weights).solve()
    return np.flatnonzero(partners[rows] == columns)


def best_of_each(rows: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Position of the least cost of each row that occurs, the first of equals.

    `rows` is (n,) integers from 0 upwards in ascending order, `costs` (n,) numbers.

    >>> best_of_each(np.array([0, 0, 0, 2]), np.array([3, 1, 1, 5])).tolist()
    [1, 3]
    """
    order = np.lexsort((costs, rows))  # stable
    return order[np.flatnonzero(np.diff(rows, prepend=-1))]


class _Assignment:
    """The assignment of least cost in which every row takes one of its columns or stays alone.

    Row by row, by shortest augmenting paths (R. Jonker and A. Volgenant, Computing 38:325, 1987).
    scipy's solver takes the same steps in the same order, but clears arrays of all columns for
    every row, so that its time is quadratic. Here a row whose cheapest column is free takes it at
    once, and the search for any other keeps only what it meets. Where searches go far, as on noise,
    scipy's compiled ones are faster in spite of that, and take over.
    """

    def __init__(self, rows: np.ndarray, columns: np.ndarray, costs: np.ndarray):
        self.rows, self.columns, self.costs = rows, columns, costs
        self.n_rows, self.n_columns = int(rows[-1]) + 1, int(columns.max()) + 1
        # The pairs of a row lie between two of these bounds. Lists: they are read one by one.
        self.bounds = np.searchsorted(rows, np.arange(self.n_rows + 1)).tolist()
        self.column_of_pair, self.cost_of_pair = columns.tolist(), costs.tolist()
        # Staying alone is a column, too: one of the row's own, after all others.
        self.owner = [-1] * (self.n_columns + self.n_rows)
        self.surcharge = [0.0] * (self.n_columns + self.n_rows)
        self.taken = [-1] * self.n_rows
        self.steps = 0
        self.most_steps = (_CALL + self.n_rows * (self.n_columns + self.n_rows)) // _STEP

    def solve(self) -> np.ndarray:
        """Give the column that each row takes; `n_columns` and above, or -1, stand for none."""
        cheapest = best_of_each(self.rows, self.costs)
        for row, column in zip(self.rows[cheapest].tolist(), self.columns[cheapest].tolist()):
            if self.owner[column] < 0:
                # Surcharges only make columns dearer, and a free column has none yet.
                self.owner[column], self.taken[row] = row, column
            elif self.steps > self.most_steps:
                return self._solve_by_scipy()
            else:
                self._search(row)
        return np.array(self.taken)

    def _choices(self, row: int) -> dict[int, float]:
        """Costs of the columns that a row may take, in ascending order of the columns."""
        pairs = slice(self.bounds[row], self.bounds[row + 1])
        choices = dict(zip(self.column_of_pair[pairs], self.cost_of_pair[pairs]))
        choices[self.n_columns + row] = ALONE
        self.steps += len(choices)
        return choices

    def _search(self, start: int) -> None:
        """Find the cheapest way to give `start` a column by passing columns on from row to row."""
        distance: dict[int, float] = {}
        source: dict[int, int] = {}  # the row that would take this column
        farther: list[tuple[float, int]] = []  # heap of (distance, column)
        nearest = -math.inf
        at_nearest: list[int] = []  # columns at this distance whose owners are still to be asked
        met: set[int] = set()  # those and all that are nearer
        asked: list[int] = []
        nearer = 0  # how many of the asked are nearer than `nearest`
        row, spent = start, 0.0
        while True:
            for column, cost in self._choices(row).items():
                length = cost + self.surcharge[column] - spent
                if column in met or length >= distance.get(column, math.inf):
                    continue
                distance[column], source[column] = length, row
                if length != nearest:
                    heapq.heappush(farther, (length, column))
                    continue
                if self.owner[column] < 0:
                    self._raise_surcharges(asked[:nearer], distance, nearest)
                    return self._pass_on(start, column, source)
                at_nearest.append(column)
                met.add(column)
            if not at_nearest:
                nearer = len(asked)
                nearest, at_nearest = _next_level(farther, distance, met)
                for column in at_nearest:
                    if self.owner[column] < 0:
                        self._raise_surcharges(asked, distance, nearest)
                        return self._pass_on(start, column, source)
                met.update(at_nearest)
            column = at_nearest.pop()
            asked.append(column)
            row = self.owner[column]
            spent = self._choices(row)[column] + self.surcharge[column] - nearest

    def _raise_surcharges(
        self, columns: Sequence[int], distance: dict[int, float], nearest: float
    ) -> None:
        for column in columns:
            self.surcharge[column] += nearest - distance[column]

    def _pass_on(self, start: int, column: int, source: dict[int, int]) -> None:
        """Give a column to the row that asked for it, that row's own to the one before, and so on
        up to `start`.
        """
        row = -1
        while row != start:
            row = source[column]
            self.owner[column] = row
            column, self.taken[row] = self.taken[row], column

    def _solve_by_scipy(self) -> np.ndarray:
        own = np.arange(self.n_rows)
        costs = np.concatenate([self.costs, np.full(self.n_rows, ALONE)])
        places = (
            np.concatenate([self.rows, own]),
            np.concatenate([self.columns, self.n_columns + own]),
        )
        graph = sparse.csr_matrix(
            (costs, places), shape=(self.n_rows, self.n_columns + self.n_rows)
        )
        return csgraph.min_weight_full_bipartite_matching(graph)[1]


def _next_level(
    farther: list[tuple[float, int]], distance: dict[int, float], met: set[int]
) -> tuple[float, list[int]]:
    """Take the nearest columns that are not yet met off the heap: their distance, and all of them
    in ascending order.
    """
    nearest = math.inf
    columns: list[int] = []
    while farther and (not columns or farther[0][0] == nearest):
        length, column = heapq.heappop(farther)
        if column not in met and length == distance[column]:  # else a nearer way has been found
            nearest = length
            columns.append(column)
    return nearest, columns
