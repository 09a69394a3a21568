"""The figure of all ratios with their targets."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping, Sequence

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter

from common import files
from tools.bench.timing import Row


def draw(path: Path, subjects: Mapping[str, Sequence[Row]], title: str) -> None:
    """Draw every measured ratio as a dot on a logarithmic axis, its target as a tick, into a PNG
    file.

    Args:
        path: of the PNG file, written atomically.
        subjects: rows by subject; those without a ratio are left out.
        title: names the scale, the machine and the commit.
    """
    lines = [row for rows in subjects.values() for row in rows if np.isfinite(row.ratio)]
    figure, axis = pyplot.subplots(figsize=(11, 0.26 * len(lines) + 1.6))
    places = np.arange(len(lines))[::-1]
    for row, place in zip(lines, places):
        met = not row.ratio < row.target
        axis.plot(row.ratio, place, "o", color="C0" if met else "C3", markersize=5)
        if np.isfinite(row.spread):
            ends = [row.ratio / (1 + row.spread), row.ratio * (1 + row.spread)]
            axis.plot(ends, [place] * 2, color="C0" if met else "C3", linewidth=1)
        if np.isfinite(row.target):
            axis.plot(row.target, place, "|", color="black", markersize=11)
        axis.annotate(
            f"{row.ratio:.3g}×",
            (1.005, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=7,
        )
    axis.set_yticks(places)
    axis.set_yticklabels([f"{row.case} | {row.peer}" for row in lines], fontsize=7)
    axis.axvline(1, color="gray", linewidth=0.8)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_xlabel(
        "cost of the other way / cost here: dot, with half its interquartile range; tick: target",
        fontsize=8,
        loc="right",
    )
    axis.tick_params(axis="x", labelsize=7)
    axis.grid(axis="x", alpha=0.3)
    axis.set_ylim(-0.7, len(lines) - 0.3)
    axis.set_title(title, fontsize=8, loc="right")
    figure.tight_layout()
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)
    pyplot.close(figure)
