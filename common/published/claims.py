"""Claims as data: what a paper concludes, in our words, with the comparisons that it rests on.

One `claims.yaml` per paper, beside its published tables. A comparison says that a row is better
than another in a metric; all metrics named here are better when higher. Whether a claim holds for
regenerated results is decided elsewhere; the audit only holds it against the printed numbers.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence, Tuple

from common.published import schema, strict_yaml
from common.published.schema import PublishedTable

# better: every comparison has to hold. similar: the rows are said to be close. unquantified: no
# comparison is given that could be tested.
KINDS = ("better", "similar", "unquantified")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """`better_row` is better than `worse_row` in `metric` of `table`.

    The worse side has a metric and a table of its own where a paper compares training with test
    scores, or rows of two tables; elsewhere they are the same.
    """

    better_row: str
    worse_row: str
    metric: str
    table: str
    worse_metric: str
    worse_table: str


@dataclasses.dataclass(frozen=True)
class Claim:
    """A conclusion of a paper. `condition` says under what it is made, None where under any."""

    id: str
    text: str
    where: str
    kind: str  # one of KINDS
    comparisons: Tuple[Comparison, ...]
    condition: Optional[str] = None


_FILE = {"paper": str, "beyond_metrics": list, "claims": dict}
_CLAIM = {"text": str, "where": str, "kind": str, "condition": str, "comparisons": list}
_COMPARISON = {"better": str, "worse": list, "metrics": list, "table": str}
_COMPARISON.update(worse_metrics=list, worse_table=str)


def load(path: Path | str, tables: Sequence[PublishedTable]) -> Tuple[Claim, ...]:
    """Read and check the claims of a paper.

    Args:
        path: of the YAML file.
        tables: the paper's published tables, which its ids have to be in. Metrics that a paper
            speaks of and prints no number of stand under `beyond_metrics`.

    Raises:
        InputError: a key is wrong, or an id is not one of the tables'; names file and key.
    """
    with strict_yaml.reading(path, "claims"):
        entries = strict_yaml.fields(strict_yaml.content(path), _FILE, {"beyond_metrics"})
        known = _Known({table.id: table for table in tables}, entries["beyond_metrics"] or [])
        return tuple(
            _claim(name, entry, known, f"claims.{name}")
            for name, entry in entries["claims"].items()
        )


def load_folder(
    folder: Path, tables: Optional[Sequence[PublishedTable]] = None
) -> Tuple[Claim, ...]:
    """Read the claims of a folder of published tables; none where it has no such file.

    Args:
        folder: `published` of a paper.
        tables: its published tables, where they have been read already.

    Raises:
        InputError: as `load`, or a table is damaged.
    """
    path = folder / schema.CLAIMS_FILE
    if not path.exists():
        return ()
    return load(path, schema.load_folder(folder) if tables is None else tables)


@dataclasses.dataclass(frozen=True)
class _Known:
    """What the ids of a comparison may be."""

    tables: Mapping[str, PublishedTable]
    beyond_metrics: Sequence[str]

    def check(self, table: str, rows: Sequence[str], metrics: Sequence[str], key: str) -> None:
        strict_yaml.known([table], self.tables, f"{key}: table")
        strict_yaml.known(rows, self.tables[table].rows, f"{key}: row of {table}")
        metrics_known = [*self.tables[table].metrics, *self.beyond_metrics]
        strict_yaml.known(metrics, metrics_known, f"{key}: metric of {table}")


def _claim(name: str, entry: Any, known: _Known, key: str) -> Claim:
    # Comparisons are mappings, which the check of texts does not know.
    listed = entry.get("comparisons") if isinstance(entry, dict) else None
    if listed is not None and not isinstance(listed, list):
        raise ValueError(f"{key}: comparisons: expected a list of mappings, got {listed!r}")
    texts = {k: v for k, v in entry.items() if k != "comparisons"} if listed else entry
    fields = strict_yaml.fields(texts, _CLAIM, {"condition", "comparisons"}, key)
    strict_yaml.known([fields["kind"]], KINDS, f"{key}.kind")
    if bool(listed) == (fields["kind"] == "unquantified"):
        raise ValueError(f"{key}: expected comparisons, unless the claim is unquantified")
    comparisons: List[Comparison] = []
    for number, each in enumerate(listed or (), start=1):
        comparisons += _comparisons(each, known, f"{key}: comparison {number}")
    if len(set(comparisons)) < len(comparisons):
        raise ValueError(f"{key}: a comparison is given twice")
    return Claim(**{**fields, "id": name, "comparisons": tuple(comparisons)})


def _comparisons(entry: Any, known: _Known, key: str) -> List[Comparison]:
    fields = strict_yaml.fields(entry, _COMPARISON, {"worse_metrics", "worse_table"}, key)
    metrics = fields["metrics"]
    worse_metrics = fields["worse_metrics"] or metrics
    if len(worse_metrics) != len(metrics):
        raise ValueError(f"{key}: expected as many worse_metrics as metrics")
    table, worse_table = fields["table"], fields["worse_table"] or fields["table"]
    known.check(table, [fields["better"]], metrics, key)
    known.check(worse_table, fields["worse"], worse_metrics, key)
    made = [
        Comparison(fields["better"], worse, metric, table, worse_metric, worse_table)
        for worse in fields["worse"]
        for metric, worse_metric in zip(metrics, worse_metrics)
    ]
    for one in made:
        if (one.better_row, one.metric, one.table) == (
            one.worse_row,
            one.worse_metric,
            one.worse_table,
        ):
            raise ValueError(f"{key}: {one.better_row} is compared with itself in {one.metric}")
    return made
