"""How far the choice of the test images moves a score, estimated from the scores per image of our
own finished runs (results/<paper>/provenance/<run>/metrics.csv).

Everything here is an estimate for a paper's networks, because it is measured on ours. A published
table names the runs that stand for its rows under `our_runs`; where there are none, nothing is
estimated.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np
from scipy.special import stdtrit

from common import files
from common.errors import InputError
from common.published.schema import Metric, PublishedTable

CLOSEST_FIRST = ("paper", "quick")  # profiles; smoke runs have learned nothing
FEWEST_IMAGES = 3
COUNTS = ("tn", "fp", "fn", "tp")


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A finished run: its settings, and its scores per test image by column, as texts."""

    settings: Mapping[str, str]
    columns: Mapping[str, np.ndarray]
    source: str = "scores per image"  # the file of the columns
    _numbers: Dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def numbers(self, name: str) -> np.ndarray:
        """Give a column as numbers, an empty field as NaN."""
        if name not in self._numbers:  # many differences are asked of few runs
            try:
                values = [float(text) if text else math.nan for text in self.columns[name]]
            except ValueError as error:
                raise InputError(f"{self.source}: damaged in {name} ({error})") from None
            self._numbers[name] = np.array(values)
        return self._numbers[name]

    @property
    def ids(self) -> Tuple[str, ...]:
        return tuple(self.columns["id"])

    @property
    def draw(self) -> Tuple[str, str]:
        """Profile and seed: runs that share them draw the same split."""
        return self.settings["profile"], self.settings.get("seed", "")


class HalfWidth(NamedTuple):
    """How far one test set moves a difference of two scores, and what that rests on."""

    value: float  # half of the 95 % interval, as a fraction
    images: int  # test images of ours that it was estimated from; the smaller number of two
    profile: str  # of those runs
    seeds: int  # pairs of runs that the variance is the mean over
    paired: bool  # both rows score the same images


class Side(NamedTuple):
    """One score of a comparison, and the number of images that the paper tested it on."""

    table: PublishedTable
    row: str
    metric: str
    images: int


class Runs:
    """The finished runs in a folder of results; each is read when it is needed."""

    def __init__(self, results: Path):
        self._folders = sorted(Path(results).glob("provenance/*/metrics.csv"))
        self._settings = {path: _settings(path.parent) for path in self._folders}
        self._read: Dict[Path, Run] = {}

    def of(self, wanted: Mapping[str, str]) -> List[Run]:
        """Give the runs of the protocol published with these settings, whose profile is closest to
        the paper.
        """
        wanted = {**wanted, "protocol": "published"}
        fitting = [
            path for path, settings in self._settings.items() if wanted.items() <= settings.items()
        ]
        for profile in CLOSEST_FIRST:
            chosen = [path for path in fitting if self._settings[path].get("profile") == profile]
            if chosen:
                return [self._run(path) for path in chosen]
        return []

    def _run(self, path: Path) -> Run:
        if path not in self._read:
            self._read[path] = Run(self._settings[path], _columns(path), str(path))
        return self._read[path]


def difference(runs: Runs, better: Side, worse: Side) -> Optional[HalfWidth]:
    """Estimate how far a test set of a paper's size moves the difference of two of its scores.

    Args:
        runs: ours.
        better: one score, as the paper prints it.
        worse: the other one.

    Returns:
        t(0.975, n - 1) standard errors, where n is the paper's number of test images (the smaller
        of two). The standard error is sd / √n; sd is that of our images' differences where both
        rows score the same images, else the two variances add. Scores that are no mean over images
        enter by the jackknife's pseudo-values. None where we have no such runs.
    """
    variances, images, paired, profile = [], [], True, ""
    for one, other in _same_seed(runs, better, worse):
        values = pseudo_values(one, better.table, better.metric)
        others = pseudo_values(other, worse.table, worse.metric)
        if values is None or others is None or min(len(values), len(others)) < FEWEST_IMAGES:
            continue
        together = one.ids == other.ids and better.images == worse.images
        variances.append(_variance(values, others, better.images, worse.images, together))
        images.append(min(len(values), len(others)))
        paired, profile = paired and together, one.settings["profile"]
    count = min(better.images, worse.images)
    if not variances or count < FEWEST_IMAGES:
        return None
    value = float(stdtrit(count - 1, 0.975)) * math.sqrt(np.mean(variances))
    return HalfWidth(value, min(images), profile, len(variances), paired)


def pseudo_values(run: Run, table: PublishedTable, metric: str) -> Optional[np.ndarray]:
    """Give n·θ - (n - 1)·θ(without image i) of a score θ for every image i; None where the run's
    columns do not tell.

    Of a mean over images these are the images' scores; their spread is that of the score.
    """
    both = _leave_one_out(run, table, metric)
    if both is None:
        return None
    whole, without = both
    count = len(without)
    return count * whole - (count - 1) * without


def _leave_one_out(
    run: Run, table: PublishedTable, metric: str
) -> Optional[Tuple[float, np.ndarray]]:
    """A score over all images, and without each of them."""
    about = table.metrics[metric]
    if about.mean_of:
        parts = [_leave_one_out(run, table, part) for part in about.mean_of]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        wholes, withouts = zip(*known)
        return float(np.mean(wholes)), np.mean(withouts, axis=0)
    chosen = _of_split(run, about)
    if about.pooled:
        return _pooled(run, about, chosen)
    values = _per_image(run, metric, about, chosen)
    if values is None:
        return None
    scored = ~np.isnan(values)
    total, count = np.nansum(values), scored.sum()
    if count < FEWEST_IMAGES:
        return None
    without = (total - np.where(scored, values, 0)) / (count - scored)
    return float(total / count), without


def _of_split(run: Run, about: Metric) -> np.ndarray:
    parts = run.columns.get("part")
    if parts is None:
        return np.ones(len(run.columns["id"]), bool)
    return parts == (about.split or "test")


def _per_image(run: Run, metric: str, about: Metric, chosen: np.ndarray) -> Optional[np.ndarray]:
    """The images' scores: a column of that name, or counted from the pixels."""
    if metric in run.columns:
        return run.numbers(metric)[chosen]
    counts = _counts(run, chosen)
    return None if counts is None else _score(about, *counts)


def _pooled(run: Run, about: Metric, chosen: np.ndarray) -> Optional[Tuple[float, np.ndarray]]:
    counts = _counts(run, chosen)
    if counts is None:
        return None
    totals = counts.sum(axis=1)
    whole, without = _score(about, *totals), _score(about, *(totals[:, None] - counts))
    return None if whole is None or without is None else (float(whole), without)


def _counts(run: Run, chosen: np.ndarray) -> Optional[np.ndarray]:
    if not set(COUNTS) <= set(run.columns):
        return None
    return np.array([run.numbers(name)[chosen] for name in COUNTS])


def _score(about: Metric, tn, fp, fn, tp) -> Optional[np.ndarray]:
    """A score of pixel counts; 1 where nothing is there to be found and nothing was."""
    parts = {
        "dice": (2 * tp, 2 * tp + fp + fn),
        "f1": (2 * tp, 2 * tp + fp + fn),
        "iou": (tp, tp + fp + fn),
        "accuracy": (tp + tn, tp + tn + fp + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
    }.get(about.kind or "")
    if parts is None:
        return None
    numerator, denominator = parts
    safe = np.where(denominator > 0, denominator, 1)
    return np.where(denominator > 0, numerator / safe, 1.0)


def _variance(
    values: np.ndarray, others: np.ndarray, count: int, other_count: int, paired: bool
) -> float:
    """Squared standard error of a difference of two scores on test sets of these sizes."""
    if paired:
        return float(np.var(values - others, ddof=1)) / count
    return float(np.var(values, ddof=1)) / count + float(np.var(others, ddof=1)) / other_count


def _same_seed(runs: Runs, better: Side, worse: Side) -> List[Tuple[Run, Run]]:
    """Pairs of runs of both rows that drew the same split."""
    ours, others = better.table.our_runs.get(better.row), worse.table.our_runs.get(worse.row)
    if ours is None or others is None:
        return []
    by_draw = {run.draw: run for run in runs.of(others)}
    return [(run, by_draw[run.draw]) for run in runs.of(ours) if run.draw in by_draw]


def _settings(folder: Path) -> Dict[str, str]:
    """The settings of a run as texts. What was made of several runs has its first member's, under
    its own name as the encoder.
    """
    own = _json(folder / "config.json")
    members = _json(folder / "provenance.json").get("members")
    if not own and isinstance(members, list) and members:
        own = _json(folder.parent / str(members[0]) / "config.json")
        own["encoder"] = folder.name.partition("-")[0]
    return {name: str(value) for name, value in own.items()}


def _json(path: Path) -> dict:
    try:
        stored = json.loads(files.read_text(path)) if path.exists() else {}
        if not isinstance(stored, dict):
            raise ValueError("no object")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected a JSON object ({error}); restore it") from None
    return stored


def _columns(path: Path) -> Dict[str, np.ndarray]:
    header, *lines = files.read_csv_lines(path) or [[]]
    if "id" not in header or any(len(line) != len(header) for line in lines):
        raise InputError(f"{path}: expected a CSV of scores per image with a column id")
    return {name: np.array(column) for name, column in zip(header, zip(*lines))}
