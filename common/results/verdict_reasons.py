"""The sentences that go with verdicts, for a reader who knows the field and not the code."""

from __future__ import annotations

import dataclasses
import math
from typing import Optional, Tuple

import numpy as np

from common.results.intervals import FEWEST_SEEDS, MOST_SEEDS, NORMAL, Spread

# fmt: off
_WORDS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve",
)
# fmt: on


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a sentence about a score draws on; numbers in the printed unit."""

    printed: str
    stands_for: Tuple[float, float]  # what rounds or truncates to `printed`
    mean: float
    sd: float
    low: float
    high: float
    half_width: float
    resolution: float
    n_seeds: int
    test_set: Optional[Spread]  # None for a given one

    @property
    def chance(self) -> str:
        return "chance in training" if self.test_set is None else "chance in splits and training"

    def show(self, value: float) -> str:
        """Write a value with as many decimals as the sentence needs."""
        return minus(f"{value:.{self._decimals}f}")

    @property
    def interval(self) -> str:
        joint = " to " if self.low < 0 else "–"
        return self.show(self.low) + joint + self.show(self.high)

    @property
    def _decimals(self) -> int:
        """Decimals to a fifth of the resolution; more where rounding hides what is told."""
        own = len(self.printed.partition(".")[2])
        decimals = decimals_to(self.resolution / 5, otherwise=own)
        while decimals <= own and self._hidden_by(decimals):
            decimals += 1
        return decimals

    def _hidden_by(self, decimals: int) -> bool:
        """Whether so few decimals move the printed number across an end, or the ends together."""
        printed = float(self.printed)
        ends = [end for end in (self.low, self.mean, self.high) if math.isfinite(end)]
        rounded = [round(end, decimals) for end in ends]
        sides = [end > printed for end in ends]
        return sides != [end > printed for end in rounded] or len(set(rounded)) < len(set(ends))


def not_run() -> str:
    """Sentence for `not run`."""
    return "Not run yet."


def differs(facts: Facts) -> str:
    """Sentence for `above` and `below`."""
    side = "higher" if facts.mean > float(facts.printed) else "lower"
    mean = facts.show(facts.mean)
    return f"Ours, {mean}, is {side} than {facts.chance} explains ({facts.interval})."


def agrees(facts: Facts) -> str:
    """Sentence for `within` where the published value is inside the interval."""
    published = facts.printed
    if not facts.low <= float(published) <= facts.high:
        low, high = (minus(_plain(end)) for end in facts.stands_for)
        published = f"{published}, which may stand for {low} to {high},"
    return (
        f"Ours, {facts.show(facts.mean)}, differs from the published {published} by no more "
        f"than {facts.chance} explains ({facts.interval})."
    )


def nearer_than_resolution(facts: Facts) -> str:
    """Sentence for `within` where the published value is outside the interval, but near."""
    return (
        f"Ours, {facts.show(facts.mean)}, differs from the published {facts.printed} by more than "
        f"{facts.chance} explains ({facts.interval}), but by less than {facts.resolution:g}, the "
        "smallest difference that matters."
    )


def undecided(facts: Facts, more: Optional[int], never: bool) -> str:
    """Sentence for `undecided`: how wide the interval is, and what would narrow it.

    `more` seeds would do, None if that is unknown or too many; `never`: no number of them would.
    """
    if facts.test_set is not None and math.isinf(facts.test_set.se):
        images = capitalised(counted(facts.test_set.units, "test image"))
        does = "does" if facts.test_set.units == 1 else "do"
        return (
            f"{images} {does} not show how far others would move this score; no number of seeds "
            "can tell."
        )
    return f"{_where(facts)}; {_remedy(facts, more, never)}."


def count_matches(printed: str, ours: np.ndarray) -> str:
    """Sentence for `match`."""
    if len(ours) == 1:
        return f"Ours equals the published {printed}."
    return f"Ours equals the published {printed} in each of {counted(len(ours), 'run')}."


def count_differs(printed: str, ours: np.ndarray) -> str:
    """Sentence for a count that is `above` or `below` in every run."""
    side = "higher" if ours[0] > float(printed) else "lower"
    return f"Ours, {_range(ours)}, is {side} than the published {printed}."


def count_varies(printed: str, ours: np.ndarray, some_equal: bool) -> str:
    """Sentence for a count that is on no one side of the published one."""
    if some_equal:
        return f"Ours, {_range(ours)}, equals the published {printed} in some runs only."
    return f"Ours, {_range(ours)}, lies on both sides of the published {printed}."


def _where(facts: Facts) -> str:
    if math.isinf(facts.half_width):
        does = "seed does" if facts.n_seeds == 1 else "seeds do"
        return f"{capitalised(word(facts.n_seeds))} {does} not show where a further run may land"
    if facts.half_width > facts.resolution:
        return f"Ours may lie anywhere in {facts.interval}"
    return (
        f"Ours, {facts.show(facts.mean)}, is near the published {facts.printed}, which fewer than "
        f"{word(FEWEST_SEEDS)} seeds cannot confirm"
    )


def _remedy(facts: Facts, more: Optional[int], never: bool) -> str:
    if never:
        moves, extent = f"from run to run, {facts.chance}", NORMAL * facts.sd
        if facts.test_set is not None and NORMAL * facts.test_set.se > facts.resolution:
            images = counted(facts.test_set.units, "image")
            moves, extent = f"a single test set of {images}", NORMAL * facts.test_set.se
        return f"no number of seeds can tell: {moves} moves this score by ±{facts.show(extent)}"
    if facts.n_seeds < FEWEST_SEEDS and (more is None or facts.test_set is None):
        missing = FEWEST_SEEDS - facts.n_seeds
        return f"at least {counted(missing, 'more seed')} {'is' if missing == 1 else 'are'} needed"
    if more is None:
        return f"it would take more than {MOST_SEEDS} more seeds to tell"
    return f"about {counted(more, 'more seed')} would tell"


def counted(number: int, noun: str) -> str:
    """Write "one image", "six images", "14 images"."""
    return f"{word(number)} {noun}{'' if number == 1 else 's'}"


def word(number: int) -> str:
    """Write a number up to twelve as a word."""
    return _WORDS[number] if number < len(_WORDS) else str(number)


def _range(values: np.ndarray) -> str:
    low, high = _plain(values.min()), _plain(values.max())
    return low if low == high else f"{low} to {high}"


def _plain(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


def capitalised(text: str) -> str:
    """Write the first letter large and leave the others as they are."""
    return text[:1].upper() + text[1:]


def minus(text: str) -> str:
    """Write the minus sign of a number for the hyphen."""
    return text.replace("-", "−")


def decimals_to(step: float, otherwise: int = 0) -> int:
    """Decimals that show a difference of `step`."""
    return max(0, math.ceil(-math.log10(step) - 1e-9)) if step > 0 else otherwise
