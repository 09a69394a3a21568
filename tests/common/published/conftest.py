"""Builders of small published tables for the tests of the audit."""

import pytest

from common.published import audit, schema
from common.published.schema import Metric, PublishedTable, Row


def build_column(kind, aggregation="not stated", assumed="mean over images", unit=None, **about):
    """A metric that is named after its kind."""
    unit = unit or ("fraction" if kind in schema.FRACTIONS else "images")
    assumed = assumed if aggregation == "not stated" else None
    return Metric(kind or "column", unit, aggregation, assumed, kind, **about)


def build_table(rows, metrics=None, id="table1", **declared):
    """A table whose columns are named after their kind, unless `metrics` says what they are."""
    rows = {
        name: row if isinstance(row, Row) else Row(name, None, row) for name, row in rows.items()
    }
    metrics = metrics or {name: build_column(name) for row in rows.values() for name in row.values}
    return PublishedTable(
        id, "Results", "A paper", "section 4", "phantoms", metrics, rows, ("the seed",), **declared
    )


@pytest.fixture(scope="session")
def column():
    return build_column


@pytest.fixture(scope="session")
def table():
    return build_table


@pytest.fixture(scope="session")
def findings():
    """What the audit finds in some tables, with whatever else it is given."""
    return lambda *tables, **others: audit.audit("paper", tables, **others)


@pytest.fixture(scope="session")
def found(findings):
    """Table, check and severity of what the audit finds."""
    return lambda *tables, **others: [
        (finding.table, finding.check, finding.severity) for finding in findings(*tables, **others)
    ]


@pytest.fixture(scope="session")
def found_in_row(found):
    """Check and severity of what the audit finds in one row of metrics aggregated alike."""

    def find(aggregation, unit="fraction", **values):
        metrics = {kind: build_column(kind, aggregation, unit=unit) for kind in values}
        return [finding[1:] for finding in found(build_table({"unet": values}, metrics))]

    return find
