"""Published numbers as data: one YAML file per table of a paper, each value as it was printed."""

from __future__ import annotations

import dataclasses
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional

import yaml

from common.errors import InputError


@dataclasses.dataclass(frozen=True)
class Metric:
    """A column. Where the paper's `aggregation` over images is `not stated`, `assumed_aggregation` is our reading."""

    label: str
    unit: str
    aggregation: str
    assumed_aggregation: Optional[str]
    band: Decimal  # largest |regenerated - published| that is still `within` when only one seed was run
    band_reason: str


@dataclasses.dataclass(frozen=True)
class Row:
    """A row. `citation` is None for the paper's own results; `values` maps metric ids to numbers as printed."""

    label: str
    citation: Optional[str]
    values: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class PublishedTable:
    """A results table. `metrics` and `rows` are keyed by id, in the paper's order; `open` is what it leaves out."""

    id: str
    title: str
    paper: str
    where: str
    data: str
    metrics: Mapping[str, Metric]
    rows: Mapping[str, Row]
    open: tuple[str, ...]

    def numbers(self) -> Iterator[tuple[str, str, str]]:
        """Yield (row id, metric id, number as printed) of the paper's own results, in reading order."""
        for row_id, row in self.rows.items():
            for metric_id in self.metrics:
                if row.citation is None and metric_id in row.values:
                    yield row_id, metric_id, row.values[metric_id]


_TABLE = {"id": str, "title": str, "paper": str, "where": str, "data": str, "metrics": dict, "rows": dict, "open": list}
_METRIC = dict.fromkeys(("label", "unit", "aggregation", "assumed_aggregation", "band", "band_reason"), str)
_ROW = {"label": str, "source": str, "citation": str, "values": dict}
_OPTIONAL = {"assumed_aggregation", "citation"}


def load(path: Path | str) -> PublishedTable:
    """Read and check a published table. Raises InputError naming the file and the key that is wrong."""
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
        table = _fields(content, _TABLE)
        metrics = {name: _metric(entry, f"metrics.{name}") for name, entry in table["metrics"].items()}
        rows = {name: _row(entry, f"rows.{name}", metrics) for name, entry in table["rows"].items()}
        return PublishedTable(**{**table, "metrics": metrics, "rows": rows, "open": tuple(table["open"])})
    except OSError as error:
        raise InputError(f"{path}: expected a published table: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML lets the last of two equal keys win, which would lose a row in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"{key}: given twice in the mapping that starts on line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)


def _metric(entry: Any, key: str) -> Metric:
    fields = _fields(entry, _METRIC, key)
    if (fields["aggregation"] == "not stated") != bool(fields["assumed_aggregation"]):
        raise ValueError(f"{key}: expected assumed_aggregation if, and only if, aggregation is 'not stated'")
    return Metric(**{**fields, "band": Decimal(_printed(fields["band"], f"{key}.band"))})


def _row(entry: Any, key: str, metrics: Mapping[str, Metric]) -> Row:
    fields = _fields(entry, _ROW, key)
    if (fields["source"], bool(fields["citation"])) not in {("this paper", False), ("quoted", True)}:
        raise ValueError(f"{key}: expected 'source: this paper', or 'source: quoted' with a citation")
    for metric, value in fields["values"].items():
        if metric not in metrics:
            raise ValueError(f"{key}.values.{metric}: expected one of the metrics {', '.join(metrics)}")
        _printed(value, f"{key}.values.{metric}")
    return Row(fields["label"], fields["citation"], fields["values"])


def _printed(value: Any, key: str) -> str:
    # An unquoted 0.820 reaches us as the float 0.82: how many decimals the paper printed is lost.
    if not (isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value, re.ASCII)):
        raise ValueError(f'{key}: expected a quoted number as printed, such as "0.820", got {value!r}')
    return value


def _fields(entry: Any, kinds: Mapping[str, type], key: str = "top level") -> dict:
    """The fields of one mapping, each checked against its kind; optional ones that are absent come back as None."""
    strangers = [name for name in entry if name not in kinds] if isinstance(entry, dict) else [entry]
    if strangers:
        raise ValueError(f"{key}: expected a mapping with only the keys {', '.join(kinds)}, got {strangers[0]!r}")
    for name, kind in kinds.items():
        value = entry.get(name)
        # Iterating gives a text's letters, a mapping's ids or a list's items: all have to be texts.
        right = isinstance(value, kind) and value and all(isinstance(part, str) for part in value)
        if not right and not (name in _OPTIONAL and name not in entry):
            expected = {str: "text (quote it)", dict: "a mapping of ids (quote them)", list: "a list of texts"}[kind]
            raise ValueError(f"{key}: {name}: expected {expected}, got {value!r}")
    return {name: entry.get(name) for name in kinds}
