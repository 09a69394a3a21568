"""Figures of the papers, drawn without a display."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Mapping, NamedTuple, Sequence, Tuple

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot
from matplotlib.patches import Patch

from common import files

Colours = Mapping[str, Tuple[int, int, int]]  # red, green and blue, 0 to 255, by name
DPI = 110  # of `panels`: ten rows of histology stay below 2 MB
AGREEMENT = {"found": (255, 255, 255), "missed": (64, 160, 255), "invented": (255, 80, 64)}


def agreement(true: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """Colour a predicted mask by its agreement with the truth.

    Args:
        true: bool (H, W).
        pred: bool (H, W).

    Returns:
        uint8 (H, W, 3): white where both hold, blue where only the truth does, red where only the
        prediction does.
    """
    picture = np.zeros((*true.shape, 3), np.uint8)
    picture[true & pred] = AGREEMENT["found"]
    picture[true & ~pred] = AGREEMENT["missed"]
    picture[~true & pred] = AGREEMENT["invented"]
    return picture


def overlay(
    image: np.ndarray, labels: np.ndarray, colours: Colours, opacity: float = 0.4
) -> np.ndarray:
    """Tint the classes of a picture, leaving class 0 as it is.

    Args:
        image: uint8 (H, W, 3).
        labels: integer (H, W), 0 for background.
        colours: of the classes 1, 2, …, in their order.
        opacity: of the tint, from 0 to 1.

    Returns:
        A new uint8 (H, W, 3).
    """
    tints = np.array([(0, 0, 0), *colours.values()], np.float32)
    weights = np.where(labels > 0, np.float32(opacity), np.float32(0))[..., None]
    return np.rint(image * (1 - weights) + tints[labels] * weights).astype(np.uint8)


class Line(NamedTuple):
    """One line of `curves`: values from epoch 1 on, a colour by its number, and whether it is
    dashed.
    """

    label: str
    values: Sequence[float]
    colour: int
    dashed: bool = False


def curves(path: Path, charts: Mapping[str, Sequence[Line]], title: str) -> None:
    """Draw how values change over the epochs of training, charts side by side, into a PNG file.

    Args:
        path: of the PNG file, written atomically.
        charts: lines by the heading of their chart; the first chart's are named in the legend.
        title: names protocol, profile, weights and data.
    """
    figure, axes = pyplot.subplots(1, len(charts), figsize=(5 * len(charts), 4.4), squeeze=False)
    for axis, (heading, lines) in zip(axes[0], charts.items()):
        for line in lines:
            epochs = np.arange(1, len(line.values) + 1)
            style = {
                "linestyle": "--" if line.dashed else "-",
                "marker": "." if len(epochs) < 10 else None,
            }
            axis.plot(
                epochs,
                line.values,
                color=f"C{line.colour}",
                label=line.label,
                linewidth=1.2,
                **style,
            )
        axis.set_title(heading, fontsize=9)
        axis.set_xlabel("epoch", fontsize=8)
        axis.set_ylim(bottom=0)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncol=3, fontsize=8, frameon=False)
    _head(figure, title)
    figure.subplots_adjust(left=0.06, right=0.98, top=0.85, bottom=0.25, wspace=0.14)
    _save(figure, path)


def bars(
    path: Path, series: Mapping[str, Sequence[float]], groups: Sequence[str], unit: str, title: str
) -> None:
    """Draw groups of bars, the value above each, into a PNG file.

    Args:
        path: of the PNG file, written atomically.
        series: one value per group, by the name in the legend.
        groups: names below the axis.
        unit: on the axis.
        title: names protocol, profile, weights and data.
    """
    figure, axis = pyplot.subplots(figsize=(2.4 * len(groups), 4))
    width = 0.8 / len(series)
    for number, (label, values) in enumerate(series.items()):
        places = np.arange(len(groups)) + (number - (len(series) - 1) / 2) * width
        drawn = axis.bar(places, values, width * 0.95, label=label)
        axis.bar_label(drawn, fmt="%.2f", fontsize=7, padding=2)
    axis.set_xticks(range(len(groups)))
    axis.set_xticklabels(groups, fontsize=9)
    axis.set_ylabel(unit, fontsize=8)
    axis.tick_params(axis="y", labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="lower center", ncol=len(series), fontsize=8, frameon=False)
    _head(figure, title)
    figure.subplots_adjust(left=0.1, right=0.98, top=0.88, bottom=0.2)
    _save(figure, path)


def steps(
    path: Path,
    x: Sequence[float],
    y: Sequence[float],
    marks: Mapping[str, Tuple[float, float]],
    labels: Tuple[str, str],
    title: str,
) -> None:
    """Draw a curve that rises in steps, y from 0 to 1, into a PNG file.

    Args:
        path: of the PNG file, written atomically.
        x: rising.
        y: of each x, up to the next.
        marks: points of the curve by what is written beside them.
        labels: of the two axes.
        title: names protocol, profile, weights and data.
    """
    figure, axis = pyplot.subplots(figsize=(5.5, 4.6))
    axis.step(x, y, where="post", color="C0", linewidth=1.4)
    for text, point in marks.items():
        axis.plot(*point, "o", color="C1", markersize=5)
        axis.annotate(text, point, xytext=(6, 5), textcoords="offset points", fontsize=8)
    axis.set_ylim(-0.03, 1.06)
    axis.set_xlim(-0.02 * max(max(x), 1e-9), 1.1 * max(max(x), 1e-9))
    axis.set_xlabel(labels[0], fontsize=9)
    axis.set_ylabel(labels[1], fontsize=9)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.3)
    _head(figure, title)
    figure.subplots_adjust(left=0.12, right=0.97, top=0.86, bottom=0.12)
    _save(figure, path)


def panels(
    path: Path,
    rows: Sequence[Sequence[np.ndarray]],
    columns: Sequence[str],
    captions: Sequence[Sequence[str]],
    title: str,
    side: float = 1.7,
    legend: Colours = AGREEMENT,
) -> None:
    """Draw a grid of pictures, a legend of colours below it, into a PNG file.

    Args:
        path: of the PNG file, written atomically.
        rows: pictures, uint8 (H, W, 3) or bool (H, W); a row may be short.
        columns: a heading per column.
        captions: a line of text below every picture, "" for none.
        title: names protocol, profile, weights and data.
        side: of a picture, inches, each of DPI pixels.
        legend: what the colours mean; by default those of `agreement`.
    """
    height = len(rows) * (side + 0.2) + 1.0
    figure, axes = pyplot.subplots(
        len(rows), len(columns), figsize=(len(columns) * (side + 0.08) + 0.2, height), squeeze=False
    )
    for line, pictures, texts in zip(axes, rows, captions):
        for axis in line[len(pictures) :]:
            axis.set_axis_off()
        for axis, picture, text in zip(line, pictures, texts):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1 if picture.dtype == bool else 255)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_xlabel(text, fontsize=7, labelpad=2)
    for axis, heading in zip(axes[0], columns):
        axis.set_title(heading, fontsize=9)
    _head(figure, title)
    handles = [
        Patch(facecolor=np.array(rgb) / 255, edgecolor="gray", label=name)
        for name, rgb in legend.items()
    ]
    figure.legend(handles=handles, loc="lower center", ncol=len(handles), fontsize=8, frameon=False)
    figure.subplots_adjust(
        left=0.01,
        right=0.99,
        top=1 - 0.6 / height,
        bottom=0.45 / height,
        wspace=0.04,
        hspace=0.2 / side,
    )
    _save(figure, path)


def _head(figure: pyplot.Figure, title: str) -> None:
    width, height = figure.get_size_inches()
    figure.suptitle(
        textwrap.fill(title, int(14 * width)), fontsize=9, y=1 - 0.12 / height, va="top"
    )


def _save(figure: pyplot.Figure, path: Path) -> None:
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI)
    pyplot.close(figure)
