"""Timing side by side: contenders take turns, in an order that alternates, so that a shared
machine's noise hits all.

A row's ratio is the median over the rounds of (peer's cost / our cost), so above 1 means that ours
is cheaper.
"""

from __future__ import annotations

import importlib
import time
from types import ModuleType
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional

import numpy as np

from tools.bench.scale import Scale

SHORTEST = 0.05  # seconds: a faster call is repeated this long, and its mean counts


class Row(NamedTuple):
    """One line of results/bench/*.csv: the cost of a case here and elsewhere, each the median of
    `n` rounds.
    """

    case: str
    ours: float
    peer: str
    theirs: float
    unit: str = "s"
    ratio: float = np.nan  # theirs / ours, median of the rounds
    target: float = np.nan  # least ratio that is wanted
    spread: float = (
        np.nan
    )  # half the interquartile range of the rounds' ratios, relative to `ratio`
    n: int = 0
    note: str = ""


def compare(
    case: str,
    ours: Callable[[], Any],
    peers: Mapping[str, Optional[Callable[[], Any]]],
    scale: Scale,
    targets: Mapping[str, float] = {},  # noqa: B006  never written to
    same: Callable[[Any, Any], bool] = np.array_equal,
    note: str = "",
) -> List[Row]:
    """Time one piece of work done in several ways, after checking that all give the same.

    Args:
        case: names the work.
        ours: does it here.
        peers: do it elsewhere, by name; None for one that is not installed.
        scale: how many rounds.
        targets: least ratio wanted, by the peer's name.
        same: whether two results are equal, to the rounding that the case states.
        note: kept in the rows.

    Raises:
        AssertionError: a peer gives another result.
    """
    expected = ours()
    for name, peer in peers.items():
        if peer and not same(expected, peer()):
            raise AssertionError(f"{case}: {name} gives another result")
    there = {name: timed(peer) for name, peer in peers.items() if peer}
    costs = race({"": timed(ours), **there}, scale)
    rows = [row(case, costs[""], name, costs[name], targets.get(name), note) for name in there]
    return rows + [
        missing(case, name, targets.get(name)) for name, peer in peers.items() if not peer
    ]


def race(contenders: Mapping[str, Callable[[], float]], scale: Scale) -> Dict[str, List[float]]:
    """Call all contenders in turn, every other round backwards, and give the costs that they
    return, by round.
    """
    costs: Dict[str, List[float]] = {name: [] for name in contenders}
    began = time.perf_counter()
    for number in range(scale.rounds):
        names = list(contenders)
        for name in names if number % 2 == 0 else reversed(names):
            costs[name].append(contenders[name]())
        if time.perf_counter() - began > scale.seconds:
            break
    return costs


def timed(function: Callable[[], Any]) -> Callable[[], float]:
    """Return a function that calls `function`, often if it is fast, and gives the seconds of one
    call.
    """

    def seconds() -> float:
        calls, began = 0, time.perf_counter()
        while True:
            function()
            calls += 1
            passed = time.perf_counter() - began
            if passed >= SHORTEST:
                return passed / calls

    return seconds


def row(
    case: str,
    ours: List[float],
    peer: str,
    theirs: List[float],
    target: Optional[float] = None,
    note: str = "",
    unit: str = "s",
) -> Row:
    """Summarise the costs of two contenders, round by round."""
    ratios = np.array(theirs) / np.array(ours)
    low, middle, high = np.percentile(ratios, (25, 50, 75))
    spread = (high - low) / 2 / middle if len(ratios) > 2 else np.nan
    wanted = np.nan if target is None else target
    return Row(
        case,
        np.median(ours),
        peer,
        np.median(theirs),
        unit,
        middle,
        wanted,
        spread,
        len(ratios),
        note,
    )


def limit(case: str, cost: List[float], most: float, unit: str = "s") -> Row:
    """Hold a cost against the most that is allowed."""
    return row(case, cost, "limit", [most] * len(cost), target=1, unit=unit)


def missing(
    case: str, peer: str, target: Optional[float] = None, reason: str = "not installed"
) -> Row:
    """Say that a comparison was not made, and why."""
    return Row(case, np.nan, peer, np.nan, target=np.nan if target is None else target, note=reason)


def growth(
    case: str, work: Mapping[str, float], costs: Mapping[str, List[float]], target: float = 0.8
) -> List[Row]:
    """Hold the cost of each size against growth in proportion from the first; both are given by the
    size's name.
    """
    smallest, *larger = work
    rows = []
    for size in larger:
        in_proportion = [cost * work[size] / work[smallest] for cost in costs[smallest]]
        rows.append(
            row(
                f"{case}, {size}",
                costs[size],
                f"in proportion to {smallest}",
                in_proportion,
                target,
            )
        )
    return rows


def installed(name: str) -> Optional[ModuleType]:
    """Import a peer, or give None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
