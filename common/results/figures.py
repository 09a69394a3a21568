"""Figures of the papers, drawn without a display."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from common import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Colours = Mapping[str, Tuple[int, int, int]]  # name → red, green and blue, 0 to 255
DPI = 110
MOST_BYTES = 2**21  # of a figure; a larger one is drawn smaller
AGREEMENT = {
    "true positive": (255, 255, 255),
    "false negative": (64, 160, 255),
    "false positive": (255, 80, 64),
}


def agreement(true: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """Colour the pixels of a predicted mask by their agreement with the ground truth.

    Args:
        true: ground truth, bool (H, W).
        pred: prediction, bool (H, W).

    Returns:
        uint8 (H, W, 3): true positives white, false negatives blue, false positives red, true
        negatives black.

    Example:
        >>> true, pred = np.array([[True, True, False]]), np.array([[True, False, False]])
        >>> agreement(true, pred).tolist()
        [[[255, 255, 255], [64, 160, 255], [0, 0, 0]]]
    """
    image = np.zeros((*true.shape, 3), np.uint8)
    image[true & pred] = AGREEMENT["true positive"]
    image[true & ~pred] = AGREEMENT["false negative"]
    image[~true & pred] = AGREEMENT["false positive"]
    return image


def overlay(
    image: np.ndarray, labels: np.ndarray, colours: Colours, opacity: float = 0.4
) -> np.ndarray:
    """Tint every class of an image but the background.

    Args:
        image: uint8 (H, W, 3).
        labels: class of each pixel, integer (H, W), 0 for background.
        colours: colours of the classes 1, 2, …, in this order.
        opacity: opacity of the tint, from 0 to 1.

    Returns:
        The tinted copy, uint8 (H, W, 3).

    Example:
        >>> image = np.full((1, 2, 3), 100, np.uint8)
        >>> overlay(image, np.array([[0, 1]]), {"benign": (200, 0, 0)}, opacity=0.25).tolist()
        [[[100, 100, 100], [125, 75, 75]]]
    """
    tints = np.array([(0, 0, 0), *colours.values()], np.float32)
    weights = np.where(labels > 0, np.float32(opacity), np.float32(0))[..., None]
    return np.rint(image * (1 - weights) + tints[labels] * weights).astype(np.uint8)


class Line(NamedTuple):
    """One line of `curves`."""

    label: str
    values: Sequence[float]  # one per epoch, from epoch 1
    colour: int  # number in matplotlib's colour cycle
    dashed: bool = False


def curves(path: Path, charts: Mapping[str, Sequence[Line]], title: str) -> None:
    """Draw values over the epochs of training, charts side by side, into a PNG file.

    Args:
        path: the PNG file, written atomically.
        charts: lines of each chart, by its heading; the legend names those of the first chart.
        title: names data, protocol, profile, encoder weights and seed.
    """
    figure, axes = _open(5 * len(charts), 4.4, columns=len(charts))
    for axis, (heading, lines) in zip(axes[0], charts.items()):
        for line in lines:
            epochs = np.arange(1, len(line.values) + 1)
            axis.plot(
                epochs,
                line.values,
                color=f"C{line.colour}",
                label=line.label,
                linestyle="--" if line.dashed else "-",
                linewidth=1.2,
                marker="." if len(epochs) < 10 else None,
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
    """Draw groups of bars, each with its value above it, into a PNG file.

    Args:
        path: the PNG file, written atomically.
        series: one value per group, by the name of the series in the legend.
        groups: names of the groups, below the axis.
        unit: label of the axis of values.
        title: names data, protocol, profile, encoder weights and seed.
    """
    figure, [[axis]] = _open(2.4 * len(groups), 4)
    width = 0.8 / len(series)
    for number, (label, values) in enumerate(series.items()):
        offset = (number - (len(series) - 1) / 2) * width
        drawn = axis.bar(np.arange(len(groups)) + offset, values, width * 0.95, label=label)
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
    x: Sequence[float] | np.ndarray,
    y: Sequence[float] | np.ndarray,
    marks: Mapping[str, Tuple[float, float]],
    labels: Tuple[str, str],
    title: str,
) -> None:
    """Draw a step function with values from 0 to 1 into a PNG file.

    Args:
        path: the PNG file, written atomically.
        x: places of the steps, ascending.
        y: value from each x up to the next one.
        marks: points to mark, x and y, by the text beside them.
        labels: labels of the x and the y axis.
        title: names data, protocol, profile, encoder weights and seed.
    """
    figure, [[axis]] = _open(5.5, 4.6)
    axis.step(x, y, where="post", color="C0", linewidth=1.4)
    for text, point in marks.items():
        axis.plot(*point, "o", color="C1", markersize=5)
        axis.annotate(text, point, xytext=(6, 5), textcoords="offset points", fontsize=8)
    axis.set_ylim(-0.03, 1.06)
    extent = max(max(x), 1e-9)
    axis.set_xlim(-0.02 * extent, 1.1 * extent)
    axis.set_xlabel(labels[0], fontsize=9)
    axis.set_ylabel(labels[1], fontsize=9)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.3)
    _head(figure, title)
    figure.subplots_adjust(left=0.12, right=0.97, top=0.86, bottom=0.12)
    _save(figure, path)


def squares(
    path: Path,
    charts: Mapping[Tuple[str, str], Sequence[Tuple[str, np.ndarray, np.ndarray]]],
    title: str,
) -> None:
    """Draw curves in the unit square, charts side by side, into a PNG file.

    Args:
        path: the PNG file, written atomically.
        charts: lines (name, x, y) of each chart, by its labels of the x and the y axis.
        title: names data, protocol, profile, encoder weights and seed.
    """
    figure, axes = _open(4.6 * len(charts), 5, columns=len(charts))
    for axis, (labels, lines) in zip(axes[0], charts.items()):
        if len(lines[0][1]) < 50:  # bins, and not a curve: a perfect one lies on the diagonal
            axis.plot([0, 1], [0, 1], color="gray", linewidth=0.8, linestyle=":")
        for name, x, y in lines:
            axis.plot(x, y, label=name, linewidth=1.4, marker="." if len(x) < 50 else None)
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axis.set_xlabel(labels[0], fontsize=9)
        axis.set_ylabel(labels[1], fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), fontsize=8, frameon=False)
    _head(figure, title)
    figure.subplots_adjust(left=0.08, right=0.98, top=0.9, bottom=0.26, wspace=0.22)
    _save(figure, path)


def panels(
    path: Path,
    rows: Sequence[Sequence[np.ndarray]],
    columns: Sequence[str],
    captions: Sequence[Sequence[str]],
    title: str,
    size: float = 1.7,
    legend: Colours = AGREEMENT,
) -> None:
    """Draw a grid of images, with a legend of colours below it, into a PNG file.

    Args:
        path: the PNG file, written atomically.
        rows: images, uint8 (H, W, 3) or bool (H, W); a row may be shorter than `columns`.
        columns: heading of each column.
        captions: text below each image, "" for none.
        title: names data, protocol, profile, encoder weights and seed.
        size: size of an image in inches of DPI pixels.
        legend: meaning of the colours; by default those of `agreement`.
    """
    from matplotlib.patches import Patch

    width, height = len(columns) * (size + 0.08) + 0.2, len(rows) * (size + 0.2) + 1.0
    figure, axes = _open(width, height, len(rows), len(columns))
    for line, images, texts in zip(axes, rows, captions):
        for axis in line[len(images) :]:
            axis.set_axis_off()
        for axis, image, text in zip(line, images, texts):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1 if image.dtype == bool else 255)
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
        hspace=0.2 / size,
    )
    _save(figure, path)


def _open(
    width: float, height: float, rows: int = 1, columns: int = 1
) -> Tuple[Figure, np.ndarray]:
    """Make a figure, in inches, with its axes, object (rows, columns); it needs no display."""
    from matplotlib.figure import Figure  # not at the top: a plan of runs draws nothing

    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, squeeze=False)


def _head(figure: Figure, title: str) -> None:
    width, height = figure.get_size_inches()
    lines = textwrap.fill(title, int(14 * width))
    figure.suptitle(lines, fontsize=9, y=1 - 0.12 / height, va="top")


def _save(figure: Figure, path: Path) -> None:
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI)
        excess = temporary.stat().st_size / MOST_BYTES
        if excess > 1:  # bytes grow with the area, a little less where it is large
            figure.savefig(temporary, dpi=0.9 * DPI / math.sqrt(excess))
