"""docs/scale.md: the runs of a table that it states are those that its command asks for."""

import importlib
import re

import pytest

import reproductions
from common.cli import Request
from common.datasets import manifests
from common.files import PROJECT
from common.results.experiment import Paper

STATED = set(
    re.findall(
        r"^\| `([a-z0-9-]+)` \| (\d+) \|",
        (PROJECT / "docs/scale.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
)
TABLES = {
    target.target: (paper, name)
    for paper in reproductions.names()
    for name, target in reproductions.targets(paper).items()
    if target.kind in ("table", "percent_table")
}


class Planned(Exception):
    pass


def runs_of(table, profile, monkeypatch):
    """The run ids that the command of a table would complete."""
    paper, name = TABLES[table]
    data_set = manifests.DataSet("any", "any", PROJECT, synthetic=False, fingerprint="0" * 16)
    monkeypatch.setattr(manifests, "find_first", lambda *_, **__: data_set)

    def plan(self, wanted, request, data_set):
        raise Planned(set(wanted))

    monkeypatch.setattr(Paper, "_complete", plan)
    module = importlib.import_module(f"reproductions.{paper}.eval")
    with pytest.raises(Planned) as planned:
        module.paper.targets[name].run(Request(profile=profile, seeds=(0,)))
    return {f"{paper}/{run_id}" for run_id in planned.value.args[0]}


@pytest.mark.parametrize(("table", "stated"), sorted(STATED))
def test_the_number_of_runs_is_stated(table, stated, monkeypatch):
    for profile in ("quick", "paper"):
        assert len(runs_of(table, profile, monkeypatch)) == int(stated)


def test_every_table_that_is_trained_for_is_stated(monkeypatch):
    assert {table for table, _ in STATED} == set(TABLES)
    together = set().union(*(runs_of(table, "paper", monkeypatch) for table in TABLES))
    text = (PROJECT / "docs/scale.md").read_text(encoding="utf-8")
    assert f"{len(together)} different runs per seed" in " ".join(text.split())
