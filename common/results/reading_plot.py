"""Dot plots of readings: a dot per reading, the published value as a line, per row and metric."""

from __future__ import annotations

from pathlib import Path

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from common import files
from common.published.schema import PublishedTable

COLOURS = {"evaluation": "#5b8db8", "training": "#d08a3c", "default": "#222222"}


def draw(reference: PublishedTable, table: pandas.DataFrame, path: Path, title: str) -> None:
    """Draw the readings of one protocol: a panel per metric, a line of dots per row.

    The default reading is the black dot; the grey band is its prediction interval, since readings
    differ by chance too.
    """
    metrics = list(dict.fromkeys(table["metric"]))
    rows = list(dict.fromkeys(table["row"]))
    height = 0.9 + 0.42 * len(rows)
    figure = Figure(figsize=(7.2, height * len(metrics)))
    axes = figure.subplots(len(metrics), squeeze=False)
    for axis, metric in zip(axes[:, 0], metrics):
        for place, row in enumerate(reversed(rows)):
            lines = table[(table["metric"] == metric) & (table["row"] == row)]
            _draw_row(axis, lines, place)
        axis.set_yticks(range(len(rows)))
        labels = [reference.rows[row].label for row in reversed(rows)]
        axis.set_yticklabels(labels, fontsize=8)
        axis.set_ylim(-0.6, len(rows) - 0.4)
        axis.set_title(reference.metrics[metric].label, fontsize=9, loc="left")
        axis.tick_params(axis="x", labelsize=8)
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
    handles = [
        Line2D([], [], marker="o", linestyle="", color=colour, label=f"{kind} reading")
        for kind, colour in COLOURS.items()
    ]
    handles.append(Line2D([], [], color="#b3261e", label="published"))
    figure.legend(handles=handles, loc="lower center", ncol=4, fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=9)
    figure.tight_layout(rect=(0, 0.04, 1, 0.98))
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata={"Software": None})


def _draw_row(axis: Axes, lines: pandas.DataFrame, place: int) -> None:
    for kind, colour in COLOURS.items():
        values = lines.loc[lines["kind"] == kind, "value"]
        size = 34 if kind == "default" else 12
        alpha = 1 if kind == "default" else 0.45
        axis.scatter(values, [place] * len(values), s=size, color=colour, alpha=alpha, zorder=3)
    default = lines[lines["kind"] == "default"]
    if len(default) and default["band_low"].notna().all():
        start, end = default["band_low"].iloc[0], default["band_high"].iloc[0]
        axis.barh(place, end - start, left=start, height=0.5, color="#d9d9d9", zorder=1)
    if len(lines):
        published = float(lines["published"].iloc[0])
        axis.plot([published] * 2, [place - 0.35, place + 0.35], color="#b3261e", zorder=4)
