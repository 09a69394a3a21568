"""How often verdicts are wrong, and how often they see a difference that is there.

`.venv/bin/python -m tools.verdict_rates` prints the tables of docs/verdicts.md and draws its
picture. A score varies from run to run by test luck (which images are drawn) and by training luck
(initial weights, order). Both are normal here.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import List, Tuple

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot
from scipy.special import stdtr, stdtrit

from common import files
from common.published.schema import RESOLUTIONS
from common.results import intervals
from common.results.verdicts import judge

SEEDS = (3, 5, 10, 20)
FEW_SEEDS = (1, 2)
TRAINING_LUCK = (0, 1, 2)  # times test luck
IMAGES = 10  # in each test set, as in TNBC
TRIALS = 40_000
RESOLUTION = 2.5  # standard deviations of a single run
PICTURE = files.PROJECT / "docs/verdicts.png"

# Examples for the picture: what is told, and our values by seed.
PUBLISHED = "0.822"
EXAMPLES = (
    ("inside", (0.81, 0.83, 0.80, 0.82, 0.80)),
    ("outside, but nearer than 0.05", (0.785, 0.79, 0.78, 0.785, 0.79)),
    ("farther than 0.05, and outside", (0.70, 0.73, 0.68, 0.71, 0.70)),
    ("farther than 0.05, and outside", (0.91, 0.92, 0.93, 0.92, 0.90)),
    ("too wide an interval", (0.70, 0.83, 0.76, 0.80, 0.74)),
)
_COLOURS = {"within": "#2a7f3f", "above": "#1f6fb2", "below": "#b23a2e", "undecided": "#7a7a7a"}


@dataclasses.dataclass(frozen=True)
class Trials:
    """Simulated comparisons: `values` (trials, seeds), `image_se` and `published` (trials,).

    `sd` is the true standard deviation of a single run.
    """

    values: np.ndarray
    image_se: np.ndarray
    published: np.ndarray
    sd: float


@dataclasses.dataclass(frozen=True)
class Rates:
    """Fractions of all trials: `outside` the interval, and by verdict.

    `differs` is `above` or `below`; the rest is `undecided`.
    """

    outside: float
    within: float
    differs: float

    @property
    def decided(self) -> float:
        return self.within + self.differs

    @property
    def differs_of_decided(self) -> float:
        return self.differs / self.decided


def simulate(
    seeds: int, training_luck: float, shift: float = 0.0, trials: int = TRIALS, images: int = IMAGES
) -> Trials:
    """Draw our runs, their estimated error over images, and a published run.

    The published run has the same distribution as ours, moved by `shift` standard deviations of a
    single run. Test luck has a standard deviation of 1.
    """
    generator = np.random.default_rng([seeds, int(10 * training_luck), images])
    sd = float(np.hypot(1, training_luck))
    runs = sd * generator.standard_normal((trials, seeds + 1))
    freedom = seeds * (images - 1)
    image_se = np.sqrt(generator.chisquare(freedom, trials) / freedom)
    return Trials(runs[:, 1:], image_se, runs[:, 0] + shift * sd, sd)


def decide(
    trials: Trials, resolution: float, images: int = IMAGES
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Judge all trials at once by the rule of `judge`: whether outside, within, above or below.

    `resolution` is in standard deviations of a single run. Three bool arrays (trials,).
    """
    n = trials.values.shape[1]
    if n >= intervals.FEWEST_SEEDS:
        sd = trials.values.std(axis=1, ddof=1)
        half_width = intervals.prediction_half_width(n, sd, trials.image_se)
    else:
        half_width = intervals.half_width_of_few(intervals.Spread(1.0, images)) * trials.image_se
    distance = np.abs(trials.published - trials.values.mean(axis=1))
    outside = distance > half_width
    differs = outside & (distance > resolution * trials.sd)
    enough = (half_width <= resolution * trials.sd) & (n >= intervals.FEWEST_SEEDS)
    return outside, enough & ~differs, differs


def rates(trials: Trials, resolution: float, images: int = IMAGES) -> Rates:
    """Count what `decide` gives."""
    return Rates(*(float(fate.mean()) for fate in decide(trials, resolution, images)))


def rows() -> List[str]:
    """Give the table rows of docs/verdicts.md that hold measured rates, in percent."""
    lines = []
    for n in SEEDS:
        same = [rates(simulate(n, luck), RESOLUTION) for luck in TRAINING_LUCK]
        outside = _percents(rate.outside for rate in same)
        wrong = _percents(rate.differs_of_decided for rate in same)
        decided = _percents(rate.decided for rate in same)
        lines.append(f"| {n} | {outside} | {wrong} | {decided} |")
    for n in FEW_SEEDS:
        same = [rates(simulate(n, luck), RESOLUTION) for luck in TRAINING_LUCK]
        outside = _percents(rate.outside for rate in same)
        wrong = _percents(rate.differs for rate in same)
        lines.append(f"| {n} | {outside} | {wrong} |")
    for n in SEEDS:
        columns = []
        for shift, resolution in ((3, RESOLUTION), (3, 1), (5, RESOLUTION)):
            moved = [rates(simulate(n, luck, shift), resolution) for luck in TRAINING_LUCK]
            columns.append(_percents(rate.differs for rate in moved))
        lines.append(f"| {n} | {' | '.join(columns)} |")
    return lines


def outside_interval_of_mean(seeds: np.ndarray) -> np.ndarray:
    """How often one further run lies outside the 95 % confidence interval of the mean of n runs.

    >>> outside_interval_of_mean(np.array([2, 10, 20])).round(2).tolist()
    [0.09, 0.51, 0.65]
    """
    quantile = stdtrit(seeds - 1, 0.975)
    return 2 * stdtr(seeds - 1, -quantile / np.sqrt(seeds + 1))


def draw(path: Path) -> None:
    """Draw examples of verdicts beside the reason for a prediction interval, into a PNG file."""
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(10, 3.8), gridspec_kw={"width_ratios": (1.7, 1)}
    )
    _draw_examples(left)
    _draw_why(right)
    figure.tight_layout()
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def _draw_examples(axis: pyplot.Axes) -> None:
    resolution, published = float(RESOLUTIONS["dice"]), float(PUBLISHED)
    axis.axvspan(published - resolution, published + resolution, color="#f0ead2", zorder=0)
    axis.axvline(published, color="black", linewidth=1.2)
    for place, (why, values) in enumerate(EXAMPLES):
        verdict = judge(PUBLISHED, values, resolution=resolution)
        colour = _COLOURS[verdict.verdict]
        axis.plot((verdict.low, verdict.high), (place, place), color=colour, linewidth=9, alpha=0.3)
        axis.plot(values, [place] * len(values), "o", color=colour, markersize=4)
        axis.text(0.595, place - 0.08, verdict.verdict, color=colour, weight="bold", ha="right")
        axis.text(0.595, place + 0.28, why, color="#444444", fontsize=7.5, ha="right")
    axis.set(xlim=(0.60, 1.0), ylim=(len(EXAMPLES) - 0.4, -0.9), yticks=[], xlabel="Dice")
    axis.text(published + 0.004, -0.62, f"published {PUBLISHED}", fontsize=8.5)
    axis.set_title("Five seeds each (dots) and the interval for one more (bars)", fontsize=9.5)
    axis.spines[["top", "right", "left"]].set_visible(False)


def _draw_why(axis: pyplot.Axes) -> None:
    seeds = np.arange(2, 21)
    axis.plot(seeds, 100 * outside_interval_of_mean(seeds), color="#b23a2e")
    axis.plot(seeds, np.full(seeds.shape, 5.0), color="#2a7f3f")
    axis.text(20, 44, "confidence interval\nof our mean", color="#b23a2e", ha="right", va="center")
    axis.text(20, 9, "prediction interval", color="#2a7f3f", ha="right")
    axis.set(xlim=(2, 20), ylim=(0, 75), xlabel="seeds", ylabel="called different, %")
    axis.set_title("A published value that holds", fontsize=9.5)
    axis.spines[["top", "right"]].set_visible(False)


def _percents(fractions) -> str:
    return " / ".join(f"{100 * fraction:.0f}" for fraction in fractions)


def main() -> None:
    """Print the tables and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, default=PICTURE, help="PNG file to write")
    path = parser.parse_args().picture
    print("\n".join(rows()))
    draw(path)
    print(f"picture: {path}")


if __name__ == "__main__":
    main()
