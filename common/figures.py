"""Figures of the papers, drawn without a display."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot
from matplotlib.patches import Patch

from common import files

AGREEMENT = {"found": (255, 255, 255), "missed": (64, 160, 255), "invented": (255, 80, 64)}


def agreement(true: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """Colour a predicted mask by its agreement with the truth.

    Args:
        true: bool (H, W).
        pred: bool (H, W).

    Returns:
        uint8 (H, W, 3): white where both hold, blue where only the truth does, red where only the prediction does.
    """
    picture = np.zeros((*true.shape, 3), np.uint8)
    picture[true & pred] = AGREEMENT["found"]
    picture[true & ~pred] = AGREEMENT["missed"]
    picture[~true & pred] = AGREEMENT["invented"]
    return picture


def panels(
    path: Path,
    rows: Sequence[Sequence[np.ndarray]],
    columns: Sequence[str],
    captions: Sequence[Sequence[str]],
    title: str,
    side: float = 1.7,
) -> None:
    """Draw a grid of pictures, a legend for `agreement` below it, into a PNG file.

    Args:
        path: of the PNG file, written atomically.
        rows: pictures, uint8 (H, W, 3) or bool (H, W).
        columns: a heading per column.
        captions: a line of text below every picture, "" for none.
        title: names protocol, profile, weights and data.
        side: of a picture, inches (150 pixels each).
    """
    height = len(rows) * (side + 0.2) + 1.0
    figure, axes = pyplot.subplots(
        len(rows), len(columns), figsize=(len(columns) * (side + 0.08) + 0.2, height), squeeze=False
    )
    for line, pictures, texts in zip(axes, rows, captions):
        for axis, picture, text in zip(line, pictures, texts):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1 if picture.dtype == bool else 255)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_xlabel(text, fontsize=7, labelpad=2)
    for axis, heading in zip(axes[0], columns):
        axis.set_title(heading, fontsize=9)
    figure.suptitle(title, fontsize=9, y=1 - 0.12 / height, va="top")
    handles = [Patch(facecolor=np.array(rgb) / 255, edgecolor="gray", label=name) for name, rgb in AGREEMENT.items()]
    figure.legend(handles=handles, loc="lower center", ncol=len(handles), fontsize=8, frameon=False)
    figure.subplots_adjust(
        left=0.01, right=0.99, top=1 - 0.6 / height, bottom=0.45 / height, wspace=0.04, hspace=0.2 / side
    )
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)
    pyplot.close(figure)
