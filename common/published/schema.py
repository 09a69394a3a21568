"""Published numbers as data: one YAML file per table of a paper, each value as it was printed.

Within a paper an id means the same thing in every table, a row's as well as a metric's. How numbers
depend on each other stands beside them (`kind`, `mean_of`, `sum_of`, `cut`, ...): it is what
`common.published.audit` checks them by. A folder `published/` may also hold `claims.yaml`, which
`common.published.claims` reads.
"""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional

from common.published import strict_yaml

# Kinds of metrics whose arithmetic is known. Fractions are of pixels and lie between 0 and 1: `f1`
# is the harmonic mean of precision and recall, `accuracy` that of two classes. A `size` counts what
# is in the set that the row names, `pixels` is the width or height of an image.
FRACTIONS = ("dice", "f1", "iou", "precision", "recall", "accuracy", "aji")
COUNTS = ("size", "parameters", "pixels")
DETERMINISTIC = (*COUNTS, "file_size")  # the same in every run

# The smallest difference that a verdict has to be able to tell, as a fraction: one value per kind,
# fixed before any run. A YAML file may lower it for a metric, and says why; it cannot raise it.
RESOLUTIONS = {kind: Decimal("0.05") for kind in FRACTIONS}
RESOLUTIONS["accuracy"] = Decimal("0.01")

CLAIMS_FILE = "claims.yaml"  # beside the tables, and none of them


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
    kind: Optional[str] = None  # one of FRACTIONS or DETERMINISTIC
    split: Optional[str] = None  # part of the data that it was computed on; None: the test images
    target: Optional[str] = None  # class that it is of; None: the only one, or all together
    mean_of: tuple[str, ...] = ()  # metrics of the same row, one per class
    lowered_resolution: Optional[Decimal] = None  # in the metric's unit
    resolution_reason: Optional[str] = None

    @property
    def resolution(self) -> Optional[Decimal]:
        """Smallest difference that a verdict must be able to tell, in the metric's unit.

        The default of its kind unless the YAML file lowers it; None for counts and for kinds that
        are not known.

        >>> Metric("Dice", "percent", "mean over images", None, "dice").resolution
        Decimal('5.00')
        """
        return self.lowered_resolution or default_resolution(self.kind, self.unit)

    @property
    def deterministic(self) -> bool:
        """Whether it is a count or size that no training moves."""
        return self.kind in DETERMINISTIC

    @property
    def pooled(self) -> bool:
        """Whether it is taken over all pixels at once, as far as stated or assumed."""
        return (self.assumed_aggregation or self.aggregation).startswith("pooled")


@dataclasses.dataclass(frozen=True)
class Cut:
    """How a set of square tiles was made: every `step` pixels a `tile`, from square images of
    another row's set.
    """

    source: str
    image: int  # pixels, like the others
    tile: int
    step: int
    tiles: Optional[int] = None  # of an image, as printed

    @property
    def tiles_of_an_image(self) -> int:
        """Number of tiles that the sizes give.

        >>> Cut("original", image=1024, tile=256, step=128).tiles_of_an_image
        49
        """
        return ((self.image - self.tile) // self.step + 1) ** 2


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
    in_data: Mapping[str, str] = dataclasses.field(default_factory=dict)  # what the data set holds
    rows_of: tuple[str, ...] = ()  # ids of tables whose rows its count is the number of
    omitted_from: Optional[str] = None  # id of the comparison that leaves this quoted row out


@dataclasses.dataclass(frozen=True)
class PublishedTable:
    """A results table. `metrics` and `rows` are keyed by id, in the paper's order; `open` is what
    it leaves out.

    `split_percent` maps "images" to their number and each part of the split to its percentage, all
    as printed. `our_runs` maps rows to the settings of the runs whose scores per image tell how
    much a test set moves a score: it is ours, not the paper's.
    """

    id: str
    title: str
    paper: str
    where: str
    data: str
    metrics: Mapping[str, Metric]
    rows: Mapping[str, Row]
    open: tuple[str, ...]
    model: Optional[str] = None  # of all rows, where a paper prints them for several models
    batch_size: Optional[int] = None
    split_percent: Optional[Mapping[str, str]] = None
    our_runs: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    reading: str = ""  # ours too: the reading that is judged, named before its runs

    def numbers(self) -> Iterator[tuple[str, str, str]]:
        """Yield (row id, metric id, number as printed) of the paper's own results, in reading
        order.
        """
        for row_id, metric_id, text in self.all_numbers():
            if self.rows[row_id].citation is None:
                yield row_id, metric_id, text

    def all_numbers(self) -> Iterator[tuple[str, str, str]]:
        """Yield what `numbers` does, with the rows that the paper quotes from others."""
        for row_id, row in self.rows.items():
            for metric_id in self.metrics:
                if metric_id in row.values:
                    yield row_id, metric_id, row.values[metric_id]


_Kinds = Dict[str, type]  # of the fields of a mapping
_TABLE: _Kinds = dict.fromkeys(("id", "title", "paper", "where", "data"), str)
_TABLE.update(metrics=dict, rows=dict, open=list)
_TABLE.update(model=str, batch_size=str, split_percent=dict, our_runs=dict, reading=str)
_TABLE_OPTIONAL = {"model", "batch_size", "split_percent", "our_runs", "reading"}
_METRIC: _Kinds = dict.fromkeys(("label", "unit", "aggregation", "assumed_aggregation"), str)
_METRIC.update(kind=str, split=str, target=str, mean_of=list, resolution=str, resolution_reason=str)
_METRIC_OPTIONAL = set(_METRIC) - {"label", "unit", "aggregation"}
_ROW: _Kinds = {"label": str, "source": str, "citation": str, "values": dict}
_ROW.update(sum_of=list, cut=dict, filtered_from=str)
_ROW.update(in_data=dict, rows_of=list, omitted_from=str)
_ROW_OPTIONAL = set(_ROW) - {"label", "source", "values"}
_CUT: _Kinds = dict.fromkeys(("source", "image", "tile", "step", "tiles"), str)


def load(path: Path | str) -> PublishedTable:
    """Read and check a published table. Raises InputError naming the file and the key that is
    wrong.
    """
    with strict_yaml.reading(path, "a published table"):
        table = strict_yaml.fields(strict_yaml.content(path), _TABLE, _TABLE_OPTIONAL)
        metrics = {
            name: _metric(entry, f"metrics.{name}") for name, entry in table["metrics"].items()
        }
        rows = {name: _row(entry, f"rows.{name}", metrics) for name, entry in table["rows"].items()}
        _check_relations(metrics, rows)
        if table["split_percent"] is not None:
            _check_split(table["split_percent"])
        if table["batch_size"] is not None:
            table["batch_size"] = strict_yaml.whole(table["batch_size"], "batch_size")
        table.update(metrics=metrics, rows=rows, open=tuple(table["open"]))
        table["reading"] = table["reading"] or ""
        table["our_runs"] = _our_runs(table["our_runs"] or {}, rows)
        return PublishedTable(**table)


def load_folder(folder: Path) -> List[PublishedTable]:
    """Read every published table of a folder, in the order of the file names.

    Raises:
        InputError: a file is damaged.
    """
    return [load(path) for path in table_files(folder)]


def table_files(folder: Path) -> List[Path]:
    """List the YAML files of published tables in a folder: all but the claims."""
    return [path for path in sorted(folder.glob("*.yaml")) if path.name != CLAIMS_FILE]


def default_resolution(kind: Optional[str], unit: str) -> Optional[Decimal]:
    """Give the resolution of a kind of metric in a unit, None where it has none.

    >>> default_resolution("accuracy", "fraction"), default_resolution("size", "images")
    (Decimal('0.01'), None)
    """
    if kind not in RESOLUTIONS:
        return None
    return RESOLUTIONS[kind] * (100 if unit == "percent" else 1)


def _metric(entry: Any, key: str) -> Metric:
    fields = strict_yaml.fields(entry, _METRIC, _METRIC_OPTIONAL, key)
    if (fields["aggregation"] == "not stated") != bool(fields["assumed_aggregation"]):
        raise ValueError(
            f"{key}: expected assumed_aggregation if, and only if, aggregation is 'not stated'"
        )
    kind, unit = fields["kind"], fields["unit"]
    if kind is not None:
        strict_yaml.known([kind], FRACTIONS + DETERMINISTIC, f"{key}.kind")
    if kind in FRACTIONS:
        strict_yaml.known([unit], ("fraction", "percent"), f"{key}.unit")
    fields["lowered_resolution"] = _lowered_resolution(fields, key)
    del fields["resolution"]
    fields["mean_of"] = tuple(fields["mean_of"] or ())
    return Metric(**fields)


def _lowered_resolution(fields: Mapping[str, Any], key: str) -> Optional[Decimal]:
    text = fields["resolution"]
    if (text is None) != (fields["resolution_reason"] is None):
        raise ValueError(f"{key}: expected resolution and resolution_reason together")
    if text is None:
        return None
    value = Decimal(strict_yaml.printed(text, f"{key}.resolution"))
    default = default_resolution(fields["kind"], fields["unit"])
    if default is None or not 0 < value < default:
        raise ValueError(
            f"{key}.resolution: expected a number between 0 and the default of the kind, "
            f"{default or 'which this kind does not have'}, got {text}; it can only be lowered"
        )
    return value


def _row(entry: Any, key: str, metrics: Mapping[str, Metric]) -> Row:
    fields = strict_yaml.fields(entry, _ROW, _ROW_OPTIONAL, key)
    if (fields["source"], bool(fields["citation"])) not in {
        ("this paper", False),
        ("quoted", True),
    }:
        raise ValueError(
            f"{key}: expected 'source: this paper', or 'source: quoted' with a citation"
        )
    fields["in_data"] = fields["in_data"] or {}
    for name in ("values", "in_data"):
        for metric, value in fields[name].items():
            if metric not in metrics:
                raise ValueError(
                    f"{key}.{name}.{metric}: expected one of the metrics {', '.join(metrics)}"
                )
            strict_yaml.printed(value, f"{key}.{name}.{metric}")
    del fields["source"]
    fields.update(sum_of=tuple(fields["sum_of"] or ()), rows_of=tuple(fields["rows_of"] or ()))
    fields["cut"] = None if fields["cut"] is None else _cut(fields["cut"], f"{key}.cut")
    return Row(**fields)


def _cut(entry: Any, key: str) -> Cut:
    fields = strict_yaml.fields(entry, _CUT, {"tiles"}, key)
    for name in ("image", "tile", "step", "tiles"):
        if fields[name] is not None:
            fields[name] = strict_yaml.whole(fields[name], f"{key}.{name}")
    cut = Cut(**fields)
    if cut.tile > cut.image:
        raise ValueError(
            f"{key}.tile: expected at most the {cut.image} pixels of the image, got {cut.tile}"
        )
    return cut


def _check_relations(metrics: Mapping[str, Metric], rows: Mapping[str, Row]) -> None:
    for name, metric in metrics.items():
        strict_yaml.known(metric.mean_of, metrics, f"metrics.{name}.mean_of")
    for name, row in rows.items():
        strict_yaml.known(row.sum_of, rows, f"rows.{name}.sum_of")
        if row.cut:
            strict_yaml.known([row.cut.source], rows, f"rows.{name}.cut.source")
        if row.filtered_from:
            strict_yaml.known([row.filtered_from], rows, f"rows.{name}.filtered_from")


def _check_split(split: Mapping[str, Any]) -> None:
    if "images" not in split:
        raise ValueError("split_percent: expected the number of images beside the percentages")
    for part, value in split.items():
        strict_yaml.printed(value, f"split_percent.{part}")


def _our_runs(entries: Mapping[str, Any], rows: Mapping[str, Row]) -> Mapping[str, dict]:
    strict_yaml.known(entries, rows, "our_runs")
    for row, settings in entries.items():
        texts = isinstance(settings, dict) and all(isinstance(v, str) for v in settings.values())
        if not texts:
            raise ValueError(f"our_runs.{row}: expected a mapping of texts, got {settings!r}")
    return entries
