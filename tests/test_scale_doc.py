"""docs/scale.md: the runs of a table that it states are those that its command asks for."""

import importlib
import re

import pytest

from common.cli import Request
from common.datasets import manifests
from common.files import PROJECT
from common.results import experiment

COMMAND = re.compile(
    r"^([a-z0-9-]+): .*\n\t\$\(RUN\) (reproductions\.\w+\.eval) (\w+) ", re.MULTILINE
)
COMMANDS = {
    target: rest
    for target, *rest in COMMAND.findall((PROJECT / "Makefile").read_text(encoding="utf-8"))
}
STATED = re.findall(
    r"^\| `([a-z0-9-]+)` \| (\d+) \|",
    (PROJECT / "docs/scale.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


class Planned(Exception):
    pass


def runs_of(target, profile, monkeypatch):
    """The configurations that a target of make would have trained."""
    module, name = COMMANDS[target]
    data_set = manifests.DataSet("any", "any", PROJECT, synthetic=False, fingerprint="0" * 16)
    for function in ("find", "find_first"):
        monkeypatch.setattr(manifests, function, lambda *_, **__: data_set)

    def plan(configs, *_):
        raise Planned(configs)

    monkeypatch.setattr(experiment, "ensure", plan)
    with pytest.raises(Planned) as planned:
        importlib.import_module(module).TARGETS[name](Request(profile=profile))
    return planned.value.args[0]


@pytest.mark.parametrize(("target", "stated"), sorted(set(STATED)))
def test_the_number_of_runs_is_stated(target, stated, monkeypatch):
    for profile in ("quick", "paper"):
        assert len(runs_of(target, profile, monkeypatch)) == int(stated)


def test_every_table_that_is_trained_for_is_stated():
    counted = {"busi-table1", "brain-splits"}
    tables = {target for target in COMMANDS if re.search("table|ablation", target)}
    assert {target for target, _ in STATED} == tables - counted
