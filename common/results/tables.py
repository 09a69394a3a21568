"""The regenerated table: built from scores, stored as CSV, and held against the published one.

`<table>.csv` is what `build` gives, the values of every seed included. Verdicts are computed from
it and the published YAML wherever they are shown; `<table>_vs_published.csv`, which `compare`
gives, is an export that nothing reads. Numbers are rounded to six decimals when the table is
built, so that a verdict rests on nothing that the file hides.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Set, Tuple

import numpy as np
import pandas as pd

from common import files
from common.errors import InputError
from common.published.schema import PublishedTable
from common.results import intervals, verdicts

# fmt: off
TABLE_COLUMNS = (
    "row", "metric", "reading", "mean", "sd", "n_seeds", "low", "high", "seeds", "seed_values",
    "image_se", "images", "protocol", "profile", "encoder_weights", "precision", "data",
    "fingerprint", "differences", "run",
)
COMPARISON_COLUMNS = (
    "row", "metric", "reading", "published", "regenerated", "low", "high", "n_seeds", "difference",
    "verdict", "reason", "protocol", "profile",
)
# fmt: on
NUMBERS = ("mean", "sd", "low", "high", "image_se", "images")
DECIMALS = 6
Key = Tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Score:
    """One metric of one run, aggregated over the test images, in the unit of the published table.

    Attributes:
        image_se: standard error over test images; None for a given test set and for counts.
        images: how many units (images, cases, patients) that rests on.
    """

    row: str
    metric: str
    value: float
    seed: int
    image_se: Optional[float] = None
    images: Optional[int] = None


@dataclass(frozen=True)
class Conditions:
    """How a score was made. `differences` keep it from being held against the paper; `run` names
    the folders in provenance/ that it follows from, with * for the seed.
    """

    protocol: str
    profile: str
    encoder_weights: str
    precision: str
    data: str
    fingerprint: str
    reading: str = ""
    differences: Tuple[str, ...] = ()
    run: str = ""


def build(published: PublishedTable, scores: Iterable[Tuple[Score, Conditions]]) -> pd.DataFrame:
    """Collect scores into TABLE_COLUMNS: one line per protocol, profile, reading, row and metric.

    `sd` (n − 1) is over seeds; `low` and `high` bound the 95 % prediction interval of one further
    run (docs/verdicts.md). They are NaN where no interval can be had, and for metrics beyond the
    paper. Lines come in the published order, those beyond the paper last.

    Raises:
        InputError: the seeds of a line ran under different conditions.
        ValueError: a value is not finite, or a seed is given twice.
    """
    groups: Dict[Key, Tuple[Conditions, Dict[int, Score]]] = {}
    for score, conditions in scores:
        if not math.isfinite(score.value):
            raise ValueError(f"a score must be finite, got {score}")
        key = (
            conditions.protocol,
            conditions.profile,
            conditions.reading,
            score.row,
            score.metric,
        )
        shared, by_seed = groups.setdefault(key, (conditions, {}))
        _require_alike(published, score, shared, conditions, by_seed)
        by_seed[score.seed] = score
    lines = []
    for key in sorted(groups, key=lambda one: _reading_order(published, one)):
        conditions, by_seed = groups[key]
        lines.append(_line(published, key, conditions, [by_seed[seed] for seed in sorted(by_seed)]))
    frame = pd.DataFrame(lines, columns=TABLE_COLUMNS)
    return frame.astype(dict.fromkeys(NUMBERS, float)).round(DECIMALS)


def _require_alike(
    published: PublishedTable,
    score: Score,
    shared: Conditions,
    conditions: Conditions,
    by_seed: Dict[int, Score],
) -> None:
    if score.seed in by_seed:
        raise ValueError(f"each seed counts once, got a second {score}")
    for one in dataclasses.fields(Conditions):
        first, other = getattr(shared, one.name), getattr(conditions, one.name)
        if first != other:
            raise InputError(
                f"{published.id}, {score.row}, protocol {conditions.protocol}: {one.name} is "
                f"{first!r} for seed {min(by_seed)} and {other!r} for seed {score.seed}; run all "
                "seeds of a row alike"
            )


def _reading_order(published: PublishedTable, key: Key) -> Tuple[Any, ...]:
    protocol, profile, reading, row, metric = key
    rows, metrics = list(published.rows), list(published.metrics)
    row_place = rows.index(row) if row in rows else len(rows)
    metric_place = metrics.index(metric) if metric in metrics else len(metrics)
    place = (protocol != "published", protocol, profile, reading)
    return (*place, row_place, row, metric_place, metric)


def _line(
    published: PublishedTable, key: Key, conditions: Conditions, scores: List[Score]
) -> Dict[str, Any]:
    _, _, _, row, metric = key
    values = np.array([round(float(score.value), DECIMALS) for score in scores])
    spreads = [score.image_se for score in scores if score.image_se is not None]
    image_se = math.sqrt(np.mean(np.square(spreads))) if spreads else None
    sizes = [score.images for score in scores if score.images is not None]
    images = min(sizes) if sizes else None
    low, high = _interval(published, metric, values, image_se, images)
    line = {name: getattr(conditions, name) for name in TABLE_COLUMNS if hasattr(conditions, name)}
    line.update(
        row=row,
        metric=metric,
        mean=values.mean(),
        sd=values.std(ddof=1) if len(values) > 1 else math.nan,
        n_seeds=len(values),
        low=low,
        high=high,
        seeds=" ".join(str(score.seed) for score in scores),
        seed_values=" ".join(f"{value:.{DECIMALS}f}" for value in values),
        image_se=math.nan if image_se is None else image_se,
        images=math.nan if images is None else images,
        differences="; ".join(conditions.differences),
    )
    return line


def _interval(
    published: PublishedTable,
    metric: str,
    values: np.ndarray,
    image_se: Optional[float],
    images: Optional[int],
) -> Tuple[float, float]:
    """Bounds of the prediction interval, of a count the smallest and largest; NaN without any, as
    for metrics beyond the paper: without known bounds an AJI of −2 would count as possible.
    """
    if metric not in published.metrics:
        return math.nan, math.nan
    if _is_count(published, metric):
        return values.min(), values.max()
    if len(values) >= intervals.FEWEST_SEEDS:
        sd = values.std(ddof=1)
        half_width = float(intervals.prediction_half_width(len(values), sd, image_se or 0.0))
    elif image_se is None or images is None:
        return math.nan, math.nan
    else:
        half_width = intervals.half_width_of_few(intervals.Spread(image_se, images))
    if not math.isfinite(half_width):
        return math.nan, math.nan
    lowest, highest = bounds(published, metric)
    return max(values.mean() - half_width, lowest), min(values.mean() + half_width, highest)


def _is_count(published: PublishedTable, metric: str) -> bool:
    known = published.metrics.get(metric)
    return known is not None and known.deterministic


def bounds(published: PublishedTable, metric: str) -> Tuple[float, float]:
    """Lowest and highest value of a metric in its unit; infinite where they are not known."""
    known = published.metrics.get(metric)
    if known is None or known.kind is None or known.deterministic:
        return -math.inf, math.inf
    return 0.0, 100.0 if known.unit == "percent" else 1.0


def merge(earlier: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Put what `build` gave over what an earlier command left.

    A row of the same protocol, profile and reading is replaced; the rest stays.
    """
    names = ["protocol", "profile", "reading", "row"]
    new = set(table[names].itertuples(index=False, name=None))
    stays = [line not in new for line in earlier[names].itertuples(index=False, name=None)]
    both = pd.concat([earlier[stays], table])
    block = both["protocol"] + "/" + both["profile"] + "/" + both["reading"]
    order = both["protocol"].ne("published").astype(str) + block
    sorted_lines = both.assign(order=order).sort_values("order", kind="stable")
    return sorted_lines.drop(columns="order").reset_index(drop=True)


def choose_reading(table: pd.DataFrame, named: str) -> pd.DataFrame:
    """Keep one reading per protocol, profile and row: the one that the paper's folder names.

    The named reading may set what a row does not have (a plain U-net has no encoder weights), so
    the largest part of it that is there counts. A row with a single reading keeps that.
    """
    if table.empty:
        return table
    wanted = _parts(named)
    kept = []
    for _, lines in table.groupby(["protocol", "profile", "row"], sort=False):
        readings = list(dict.fromkeys(lines["reading"]))
        matching = [one for one in readings if _parts(one) <= wanted]
        if matching:
            chosen = max(matching, key=lambda one: len(_parts(one)))
        else:
            chosen = min(readings, key=lambda one: (len(_parts(one)), one))
        kept.append(lines[lines["reading"] == chosen])
    return pd.concat(kept).sort_index()


def _parts(reading: str) -> Set[str]:
    return set(filter(None, reading.split(",")))


def compare(published: PublishedTable, table: pd.DataFrame) -> pd.DataFrame:
    """Judge every number of the paper's own rows, once per protocol and profile in `table`.

    Of several readings of a row, the one named in the published YAML is judged. Numbers that were
    not regenerated get the verdict `not run`, all of them if the table is empty.
    """
    chosen = choose_reading(table, published.reading)
    ours = {}
    for line in chosen.itertuples():
        ours[line.protocol, line.profile, line.row, line.metric] = line
    blocks = list(dict.fromkeys(key[:2] for key in ours)) or [("published", "")]
    lines = []
    for protocol, profile in blocks:
        for row, metric, printed in published.numbers():
            line = ours.get((protocol, profile, row, metric))
            judged = judge_line(published, metric, printed, line)
            compared = {"row": row, "metric": metric, "published": printed, "n_seeds": 0}
            compared.update(protocol=protocol, profile=profile, reading="", low=math.nan)
            compared.update(regenerated=math.nan, high=math.nan, difference=math.nan)
            compared.update(verdict=judged.verdict, reason=judged.reason)
            if line is not None:
                difference = Decimal(f"{line.mean:.{DECIMALS}f}") - Decimal(printed)
                compared.update(reading=line.reading, regenerated=line.mean, n_seeds=line.n_seeds)
                compared.update(low=line.low, high=line.high, difference=float(difference))
            lines.append(compared)
    return pd.DataFrame(lines, columns=COMPARISON_COLUMNS)


def judge_line(published: PublishedTable, metric: str, printed: str, line: Any) -> verdicts.Verdict:
    """Judge a published number by one line of a table; None stands for nothing regenerated."""
    about = published.metrics[metric]
    given_test_set = line is None or math.isnan(line.image_se)
    verdict = verdicts.judge(
        printed,
        [] if line is None else [float(value) for value in line.seed_values.split()],
        image_se=None if given_test_set else line.image_se,
        images=None if given_test_set else int(line.images),
        resolution=float(about.resolution or 0),
        bounds=bounds(published, metric),
        count=_is_count(published, metric),
    )
    if line is None:
        return verdict
    return verdicts.not_comparable(verdict, list(filter(None, line.differences.split("; "))))


def as_csv(frame: pd.DataFrame) -> str:
    """Write what `build` or `compare` gave as the text of a CSV file."""
    return frame.to_csv(index=False, float_format=f"%.{DECIMALS}f", lineterminator="\n")


def write(frame: pd.DataFrame, path: Path | str) -> bool:
    """Write what `build` or `compare` gave as CSV, atomically; equal frames give equal bytes.

    Returns:
        Whether the file has changed.
    """
    text, path = as_csv(frame), Path(path)
    if path.exists() and files.read_bytes(path, files.MOST_BYTES) == text.encode("utf-8"):
        return False
    files.write_text(path, text)
    return True


def read_columns(path: Path, columns: Iterable[str], **options: Any) -> pd.DataFrame:
    """Read a CSV file that has these columns; `options` are those of `pandas.read_csv`.

    Raises:
        InputError: it is damaged, or has others.
    """
    try:
        table = pd.read_csv(files.buffered(path), **options)
    except ValueError as error:
        raise InputError(f"{path}: expected a CSV table: {' '.join(str(error).split())}") from None
    if tuple(table.columns) != tuple(columns):
        raise InputError(f"{path}: expected the columns {', '.join(columns)}; regenerate it")
    return table


def parse_csv(text: str) -> List[List[str]]:
    """Divide the text of a CSV file into lines of fields."""
    return list(csv.reader(io.StringIO(text, newline="")))


def read(path: Path | str) -> pd.DataFrame:
    """Read back a table that `build` gave and `write` wrote.

    Raises:
        InputError: it is not such a table; the message names the file and what is wrong with it.
    """
    try:
        # pandas' own reader would shift or fill the lines that have a field too many or too few.
        text = files.read_bytes(path, files.MOST_BYTES).decode("utf-8")
        header, *lines = parse_csv(text) or [[]]
        frame = _parsed(header, lines)
    except (OSError, ValueError, csv.Error) as error:
        problem = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise InputError(
            f"{path}: expected a results table as this program writes it: {problem}; regenerate it"
        ) from error
    return frame


def _parsed(header: List[str], lines: List[List[str]]) -> pd.DataFrame:
    if tuple(header) != TABLE_COLUMNS:
        raise ValueError(f"got the columns {header}")
    if not lines:
        raise ValueError("got a header and no line")
    if any(len(line) != len(header) for line in lines):
        raise ValueError("got a line with too many or too few fields")
    frame = pd.DataFrame(lines, columns=header)
    for column in NUMBERS:
        frame[column] = frame[column].replace("", "nan").astype(float)
    frame["n_seeds"] = frame["n_seeds"].astype(int)
    for line in frame.itertuples():
        values = np.array([float(value) for value in line.seed_values.split()])
        if not len(values) or len(values) != line.n_seeds or not np.isfinite(values).all():
            raise ValueError(f"{line.row}, {line.metric}: got the values {line.seed_values!r}")
        if not all(seed.isdigit() for seed in line.seeds.split()):
            raise ValueError(f"{line.row}, {line.metric}: got the seeds {line.seeds!r}")
        if len(line.seeds.split()) != line.n_seeds:
            raise ValueError(f"{line.row}, {line.metric}: expected a seed for each value")
        if abs(values.mean() - line.mean) > 2 * 10**-DECIMALS:
            raise ValueError(f"{line.row}, {line.metric}: the mean is not that of its values")
    keys = frame[["protocol", "profile", "reading", "row", "metric"]]
    if keys.duplicated().any():
        raise ValueError("got a line twice")
    return frame
