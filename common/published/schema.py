"""Published numbers as data: one YAML file per table of a paper, each value as it was printed.

Within a paper an id means the same thing in every table, a row's as well as a metric's. How numbers
hang together stands beside them (`kind`, `mean_of`, `sum_of`, `cut`, ...): it is what
`common.published.audit` checks them by.
"""

from __future__ import annotations

import dataclasses
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping, Optional

from common import files
from common.errors import InputError

# Kinds of metrics whose arithmetic is known. Shares are of pixels and lie between 0 and 1: `f1` is
# the harmonic mean of precision and recall, `accuracy` that of two classes. A `size` counts what is
# in the set that the row names.
SHARES = ("dice", "f1", "iou", "precision", "recall", "accuracy", "aji")
COUNTS = ("size", "parameters")


@dataclasses.dataclass(frozen=True)
class Metric:
    """A column. Where the paper's `aggregation` over images is `not stated`, `assumed_aggregation`
    is our reading.

    The audit draws conclusions from an aggregation that begins with "mean" (weighted or not, over
    images, batches or classes), with "pooled" (all pixels at once, and no mean afterwards) or with
    "not stated".
    """

    label: str
    unit: str
    aggregation: str
    assumed_aggregation: Optional[str]
    band: Decimal  # largest |regenerated - published| that is still `within` when only one seed was run
    band_reason: str
    kind: Optional[str] = None  # one of SHARES or COUNTS
    split: Optional[str] = (
        None  # the part of the data that it was computed on; None for the test images
    )
    target: Optional[str] = (
        None  # the class that it is of; None for the only one, or for all together
    )
    mean_of: tuple[str, ...] = ()  # metrics of the same row, one per class


@dataclasses.dataclass(frozen=True)
class Cut:
    """How a set of square tiles was made: every `step` pixels a `tile`, from square images of
    another row's set.
    """

    source: str
    image: int  # pixels, like the others
    tile: int
    step: int


@dataclasses.dataclass(frozen=True)
class Row:
    """A row. `citation` is None for the paper's own results; `values` maps metric ids to numbers as
    printed.
    """

    label: str
    citation: Optional[str]
    values: Mapping[str, str]
    sum_of: tuple[str, ...] = ()  # rows that its counts are the total of
    cut: Optional[Cut] = None
    filtered_from: Optional[str] = None  # the row whose set this one is a part of


@dataclasses.dataclass(frozen=True)
class PublishedTable:
    """A results table. `metrics` and `rows` are keyed by id, in the paper's order; `open` is what
    it leaves out.

    `split_percent` maps "images" to their number and each part of the split to its percentage, all
    as printed.
    """

    id: str
    title: str
    paper: str
    where: str
    data: str
    metrics: Mapping[str, Metric]
    rows: Mapping[str, Row]
    open: tuple[str, ...]
    model: Optional[str] = (
        None  # of all rows, where a paper prints the same rows for several models
    )
    batch_size: Optional[int] = None
    split_percent: Optional[Mapping[str, str]] = None

    def numbers(self) -> Iterator[tuple[str, str, str]]:
        """Yield (row id, metric id, number as printed) of the paper's own results, in reading
        order.
        """
        for row_id, row in self.rows.items():
            for metric_id in self.metrics:
                if row.citation is None and metric_id in row.values:
                    yield row_id, metric_id, row.values[metric_id]


_TABLE = {
    "id": str,
    "title": str,
    "paper": str,
    "where": str,
    "data": str,
    "metrics": dict,
    "rows": dict,
    "open": list,
}
_TABLE.update(model=str, batch_size=str, split_percent=dict)
_METRIC = dict.fromkeys(
    ("label", "unit", "aggregation", "assumed_aggregation", "band", "band_reason"), str
)
_METRIC.update(kind=str, split=str, target=str, mean_of=list)
_ROW = {
    "label": str,
    "source": str,
    "citation": str,
    "values": dict,
    "sum_of": list,
    "cut": dict,
    "filtered_from": str,
}
_CUT = dict.fromkeys(("source", "image", "tile", "step"), str)
_OPTIONAL = {
    "assumed_aggregation",
    "citation",
    "model",
    "batch_size",
    "split_percent",
    "kind",
    "split",
    "target",
}
_OPTIONAL |= {"mean_of", "sum_of", "cut", "filtered_from"}


def load(path: Path | str) -> PublishedTable:
    """Read and check a published table. Raises InputError naming the file and the key that is
    wrong.
    """
    try:
        table = _fields(files.read_yaml(path), _TABLE)
        metrics = {
            name: _metric(entry, f"metrics.{name}") for name, entry in table["metrics"].items()
        }
        rows = {name: _row(entry, f"rows.{name}", metrics) for name, entry in table["rows"].items()}
        for name, metric in metrics.items():
            _known(metric.mean_of, metrics, f"metrics.{name}.mean_of")
        for name, row in rows.items():
            _known(row.sum_of, rows, f"rows.{name}.sum_of")
            _known([row.cut.source] if row.cut else [], rows, f"rows.{name}.cut.source")
            _known(
                [row.filtered_from] if row.filtered_from else [], rows, f"rows.{name}.filtered_from"
            )
        if table["split_percent"] is not None:
            if "images" not in table["split_percent"]:
                raise ValueError(
                    "split_percent: expected the number of images beside the percentages"
                )
            for part, value in table["split_percent"].items():
                _printed(value, f"split_percent.{part}")
        if table["batch_size"] is not None:
            table["batch_size"] = _whole(table["batch_size"], "batch_size")
        return PublishedTable(
            **{**table, "metrics": metrics, "rows": rows, "open": tuple(table["open"])}
        )
    except OSError as error:
        raise InputError(f"{path}: expected a published table: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error


def _metric(entry: Any, key: str) -> Metric:
    fields = _fields(entry, _METRIC, key)
    if (fields["aggregation"] == "not stated") != bool(fields["assumed_aggregation"]):
        raise ValueError(
            f"{key}: expected assumed_aggregation if, and only if, aggregation is 'not stated'"
        )
    if fields["kind"] is not None:
        _known([fields["kind"]], SHARES + COUNTS, f"{key}.kind")
    if fields["kind"] in SHARES:
        _known([fields["unit"]], ("fraction", "percent"), f"{key}.unit")
    fields.update(
        band=Decimal(_printed(fields["band"], f"{key}.band")),
        mean_of=tuple(fields["mean_of"] or ()),
    )
    return Metric(**fields)


def _row(entry: Any, key: str, metrics: Mapping[str, Metric]) -> Row:
    fields = _fields(entry, _ROW, key)
    if (fields["source"], bool(fields["citation"])) not in {
        ("this paper", False),
        ("quoted", True),
    }:
        raise ValueError(
            f"{key}: expected 'source: this paper', or 'source: quoted' with a citation"
        )
    for metric, value in fields["values"].items():
        if metric not in metrics:
            raise ValueError(
                f"{key}.values.{metric}: expected one of the metrics {', '.join(metrics)}"
            )
        _printed(value, f"{key}.values.{metric}")
    cut = None
    if fields["cut"] is not None:
        cut = _fields(fields["cut"], _CUT, f"{key}.cut")
        cut = Cut(
            cut["source"],
            *(_whole(cut[name], f"{key}.cut.{name}") for name in ("image", "tile", "step")),
        )
        if cut.tile > cut.image:
            raise ValueError(
                f"{key}.cut.tile: expected at most the {cut.image} pixels of the image, got "
                f"{cut.tile}"
            )
    del fields["source"]
    return Row(**{**fields, "sum_of": tuple(fields["sum_of"] or ()), "cut": cut})


def _printed(value: Any, key: str) -> str:
    # An unquoted 0.820 reaches us as the float 0.82: how many decimals the paper printed is lost.
    if not (isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value, re.ASCII)):
        raise ValueError(
            f'{key}: expected a quoted number as printed, such as "0.820", got {value!r}'
        )
    return value


def _whole(value: str, key: str) -> int:
    if not re.fullmatch(r"[1-9]\d*", value, re.ASCII):
        raise ValueError(f'{key}: expected a whole number such as "16", got {value!r}')
    return int(value)


def _known(names: Iterable[str], known: Iterable[str], key: str) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{key}: expected one of {', '.join(known)}, got {name!r}")


def _fields(entry: Any, kinds: Mapping[str, type], key: str = "top level") -> dict:
    """The fields of one mapping, each checked against its kind; optional ones that are absent come
    back as None.
    """
    strangers = (
        [name for name in entry if name not in kinds] if isinstance(entry, dict) else [entry]
    )
    if strangers:
        raise ValueError(
            f"{key}: expected a mapping with only the keys {', '.join(kinds)}, got {strangers[0]!r}"
        )
    for name, kind in kinds.items():
        value = entry.get(name)
        # Iterating gives a text's letters, a mapping's ids or a list's items: all have to be texts.
        right = isinstance(value, kind) and value and all(isinstance(part, str) for part in value)
        if not right and not (name in _OPTIONAL and name not in entry):
            expected = {
                str: "text (quote it)",
                dict: "a mapping of ids (quote them)",
                list: "a list of texts",
            }[kind]
            raise ValueError(f"{key}: {name}: expected {expected}, got {value!r}")
    return {name: entry.get(name) for name in kinds}
