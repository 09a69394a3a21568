"""A paper's metrics for a folder of masks that any tool has made."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import numpy as np
import pandas
import rich.box
import tyro
from rich.console import Console
from rich.table import Table

from common.errors import InputError
from common.imaging.listing import shown
from common.prediction import label_maps
from common.training import runs

Read = Callable[[np.ndarray], Any]  # gives the true mask that belongs to a predicted one


@dataclass(frozen=True)
class Scoring:
    """How a paper scores masks.

    Attributes:
        classes: how many there are besides the background.
        truths: finds the ground truth of a folder: by name, functions from the predicted mask,
            uint8 (H, W), to the true one as `per_image` takes it.
        per_image: scores one image: name, true and predicted mask; a table of one line.
        aggregate: summarises these lines.
    """

    classes: int
    truths: Callable[[Path], Mapping[str, Read]]
    per_image: Callable[[str, Any, np.ndarray], pandas.DataFrame]
    aggregate: Callable[[pandas.DataFrame], Dict[str, float]]


@dataclass(frozen=True)
class Options:
    """Score masks made by any tool with the metrics of a paper."""

    predictions: tyro.conf.Positional[Path]
    """Folder of predicted masks."""
    truth: tyro.conf.Positional[Path]
    """Folder of true masks of the same names, or the paper's data as they come."""
    csv: Optional[Path] = None
    """File of the scores per image; the summary lies beside it. By default scores.csv in
    PREDICTIONS.
    """


def parse(paper: str, words: Optional[Sequence[str]] = None) -> Options:
    """Read the options from the command line.

    Raises:
        InputError: a folder is missing.
    """
    options = tyro.cli(Options, prog=f"medseg evaluate {paper}", args=words)
    for path in (options.predictions, options.truth):
        if not path.is_dir():
            raise InputError(f"{shown(path)}: no such folder, expected one of masks")
    return options


def masks_of(folder: Path, classes: int) -> Dict[str, Read]:
    """The ground truth of a folder of masks."""

    def reader(path: Path) -> Read:
        return lambda predicted: same_size(path, label_maps.read(path, classes), predicted)

    return {name: reader(path) for name, path in label_maps.find(folder).items()}


def same_size(path: Path, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Give the true mask back. Raises InputError where it is not of the predicted one's size."""
    if truth.shape != predicted.shape:
        sizes = [f"{width}x{height}" for height, width in (truth.shape, predicted.shape)]
        raise InputError(
            f"{shown(path)}: the true mask is {sizes[0]}, the predicted one {sizes[1]}"
        )
    return truth


def run(paper: str, options: Options, scoring: Scoring) -> None:
    """Score all masks, write and show the results; exit code 1 if a mask could not be scored.

    Raises:
        InputError: no mask has a ground truth.
    """
    predictions = label_maps.find(options.predictions)
    truths = scoring.truths(options.truth)
    matched = label_maps.match(predictions, list(truths))
    if not matched:
        first = next(iter(predictions))
        raise InputError(
            f"{shown(options.truth)}: no true mask has the name of a predicted one, such as "
            f"{first!r}"
        )
    lines: List[pandas.DataFrame] = []
    failed = 0
    for name, true_name in matched.items():
        try:
            predicted = label_maps.read(predictions[name], scoring.classes)
            truth = truths[true_name](predicted)
            lines.append(scoring.per_image(name, truth, predicted))
        except InputError as error:
            failed += 1
            print(f"error: {error}", file=sys.stderr)
    if not lines:
        raise InputError(f"{shown(options.predictions)}: none of its masks could be scored")
    table = pandas.concat(lines, ignore_index=True)
    summary = scoring.aggregate(table)
    path = options.csv or options.predictions / "scores.csv"
    path_of_summary = path.with_name(f"{path.stem}_summary{path.suffix}")
    runs.write_csv(path, table)
    named = pandas.DataFrame({"metric": list(summary), "value": list(summary.values())})
    runs.write_csv(path_of_summary, named)
    _show(paper, summary, len(table))
    for what, count in (
        ("predicted masks have no ground truth", len(predictions) - len(matched)),
        ("true masks have no prediction", len(truths) - len(set(matched.values()))),
    ):
        if count:
            print(f"{count} {what}")
    print(f"written: {path} (per image), {path_of_summary}")
    if failed:
        print(f"{failed} failed, as told above", file=sys.stderr)
        sys.exit(1)


def _show(paper: str, summary: Dict[str, float], images: int) -> None:
    table = Table(title=f"{paper}: {images} images", box=rich.box.SIMPLE, title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in summary.items():
        table.add_row(name, f"{value:.4f}")
    Console(width=80).print(table)
