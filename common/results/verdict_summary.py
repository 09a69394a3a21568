"""What the verdicts on a paper's numbers add up to."""

from __future__ import annotations

import dataclasses
from typing import Any, Container, List, Mapping, Tuple

from common.results.verdicts import Verdict

BY_CHANCE = 0.05  # of the numbers that hold, the fraction that lies outside its interval


@dataclasses.dataclass(frozen=True)
class Summary:
    """How many published numbers met which end; each number is counted once.

    `scores_decided` are those of `agree` and `differ` in which chance plays a part: all but counts.
    """

    agree: int
    differ: int
    not_yet: int  # more runs may tell
    never: int  # no number of runs can tell
    impossible: int  # cannot all be right as printed
    not_comparable: int
    not_run: int
    scores_decided: int

    @property
    def outside_by_chance(self) -> float:
        """How many of the decided scores chance alone would put outside their interval."""
        return BY_CHANCE * self.scores_decided

    @property
    def parts(self) -> Tuple[Tuple[str, int], ...]:
        """The five numbers, each with its words, in the order in which they are shown."""
        return (
            ("agree", self.agree),
            ("differ", self.differ),
            ("cannot be told yet", self.not_yet),
            ("cannot be told by any number of runs", self.never),
            ("cannot all be right as printed", self.impossible),
        )

    def sentence(self) -> str:
        """Say what chance alone would do, so that nobody reads too much into a few that differ."""
        if not self.scores_decided:
            return "No score is decided yet."
        about = f"{self.outside_by_chance:.1f}".rstrip("0").rstrip(".")
        many = "one decided score"
        if self.scores_decided != 1:
            many = f"{self.scores_decided} decided scores"
        return (
            f"Of {many}, chance alone would put about {about} outside; more if the paper prints "
            "its best run. Numbers of one table rise and fall together."
        )


def summarise(verdicts: Mapping[Any, Verdict], impossible: Container[Any] = ()) -> Summary:
    """Count the verdicts on published numbers, keyed by their place.

    `impossible` holds the places of those that the audit finds cannot all be right as printed. They
    count as that alone, whatever our runs say.

    >>> from common.results.verdicts import judge
    >>> verdicts = {
    ...     "dsc": judge("0.82", [0.80, 0.81, 0.82], resolution=0.05),
    ...     "aji": judge("0.70", [0.41, 0.42, 0.40], resolution=0.05),
    ...     "images": judge("50", [50], resolution=0, count=True),
    ... }
    >>> total = summarise(verdicts)
    >>> total.agree, total.differ, total.scores_decided, total.outside_by_chance
    (2, 1, 2, 0.1)
    """
    possible = [verdict for place, verdict in verdicts.items() if place not in impossible]
    decided = _with(possible, "match", "within", "above", "below")
    undecided = _with(possible, "undecided")
    never = [verdict for verdict in undecided if verdict.never]
    return Summary(
        agree=len(_with(possible, "match", "within")),
        differ=len(_with(possible, "above", "below")),
        not_yet=len(undecided) - len(never),
        never=len(never),
        impossible=len(verdicts) - len(possible),
        not_comparable=len(_with(possible, "not comparable")),
        not_run=len(_with(possible, "not run")),
        scores_decided=sum(not verdict.exact for verdict in decided),
    )


def _with(verdicts: List[Verdict], *words: str) -> List[Verdict]:
    return [verdict for verdict in verdicts if verdict.verdict in words]
