"""Timing side by side: contenders take turns, in an order that alternates, so that a shared
machine's noise hits all.

A row's ratio is the median over the rounds of (peer's cost / our cost), so above 1 means that ours
is cheaper. Wall time tells what a user waits for; on a shared machine the least wall time and the
processor time say what the work itself takes.
"""

from __future__ import annotations

import importlib
import time
from types import ModuleType
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional

import numpy as np

from tools.bench.scale import Scale

SHORTEST = 0.05  # seconds: a faster call is repeated this long, and its mean counts


class Cost(NamedTuple):
    """What a call costs: seconds, the mean of a round; or MiB, which have no minimum and no
    processor time.
    """

    wall: float
    least: float = np.nan  # wall seconds of the fastest call of the round
    cpu: float = np.nan  # processor seconds, all threads of the process

    def scaled(self, factor: float) -> Cost:
        """Give the cost of `factor` times the work, if it grows in proportion."""
        return Cost(self.wall * factor, self.least * factor, self.cpu * factor)


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
    # Half the interquartile range of the rounds' ratios, relative to `ratio`.
    spread: float = np.nan
    n: int = 0
    note: str = ""
    ours_least: float = np.nan  # fastest call of all rounds
    theirs_least: float = np.nan
    ratio_least: float = np.nan
    ours_cpu: float = np.nan  # processor time, medians
    theirs_cpu: float = np.nan
    ratio_cpu: float = np.nan  # median of the rounds


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


def race(contenders: Mapping[str, Callable[[], Cost]], scale: Scale) -> Dict[str, List[Cost]]:
    """Call all contenders in turn, every other round backwards, and give the costs that they
    return, by round.
    """
    costs: Dict[str, List[Cost]] = {name: [] for name in contenders}
    began = time.perf_counter()
    for number in range(scale.rounds):
        names = list(contenders)
        for name in names if number % 2 == 0 else reversed(names):
            costs[name].append(contenders[name]())
        if time.perf_counter() - began > scale.seconds:
            break
    return costs


def timed(function: Callable[[], Any]) -> Callable[[], Cost]:
    """Return a function that calls `function`, often if it is fast, and gives the cost of one
    call.
    """

    def cost() -> Cost:
        began, began_cpu = time.perf_counter(), time.process_time()
        calls, least, before = 0, np.inf, began
        while True:
            function()
            calls += 1
            now = time.perf_counter()
            least, before = min(least, now - before), now
            if now - began >= SHORTEST:
                return Cost((now - began) / calls, least, (time.process_time() - began_cpu) / calls)

    return cost


def row(
    case: str,
    ours: List[Cost],
    peer: str,
    theirs: List[Cost],
    target: Optional[float] = None,
    note: str = "",
    unit: str = "s",
) -> Row:
    """Summarise the costs of two contenders, round by round."""
    here, there = np.array(ours, float), np.array(theirs, float)
    ratios = there / here
    low, middle, high = np.percentile(ratios[:, 0], (25, 50, 75))
    spread = (high - low) / 2 / middle if len(ratios) > 2 else np.nan
    ours_wall, _, ours_cpu = np.median(here, axis=0)
    theirs_wall, _, theirs_cpu = np.median(there, axis=0)
    ours_least, theirs_least = here[:, 1].min(), there[:, 1].min()
    return Row(
        case=case,
        ours=ours_wall,
        peer=peer,
        theirs=theirs_wall,
        unit=unit,
        ratio=middle,
        target=np.nan if target is None else target,
        spread=spread,
        n=len(ratios),
        note=note,
        ours_least=ours_least,
        theirs_least=theirs_least,
        ratio_least=theirs_least / ours_least,
        ours_cpu=ours_cpu,
        theirs_cpu=theirs_cpu,
        ratio_cpu=np.median(ratios[:, 2]),
    )


def limit(case: str, cost: List[Cost], most: float, unit: str = "s") -> Row:
    """Hold a cost against the most that is allowed."""
    return row(case, cost, "limit", [Cost(most)] * len(cost), target=1, unit=unit)


def missing(
    case: str, peer: str, target: Optional[float] = None, reason: str = "not installed"
) -> Row:
    """Say that a comparison was not made, and why."""
    return Row(case, np.nan, peer, np.nan, target=np.nan if target is None else target, note=reason)


def growth(
    case: str, work: Mapping[str, float], costs: Mapping[str, List[Cost]], target: float = 0.8
) -> List[Row]:
    """Hold the cost of each size against growth in proportion from the first; both are given by the
    size's name.
    """
    smallest, *larger = work
    rows = []
    for size in larger:
        in_proportion = [cost.scaled(work[size] / work[smallest]) for cost in costs[smallest]]
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
