"""The catalogue of faults names tests that exist, and enough of them."""

import ast
import re
from collections import Counter

import pytest

from common.files import PROJECT

ROOT = PROJECT
DOCUMENT = ROOT / "docs/reliability.md"
ROW = re.compile(
    r"^\| (\d+) \| (.+?) \| (.+?) \| `([\w/]+\.py)::(\w+)(?:\[(.+)\])?` \|$", re.MULTILINE
)
CASES = ROW.findall(DOCUMENT.read_text(encoding="utf-8"))


def functions(path):
    """The source of every test function of a file, decorators included, by name."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    return {
        node.name: "\n".join(
            lines[min(part.lineno for part in (node, *node.decorator_list)) - 1 : node.end_lineno]
        )
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef)
    }


def cases(test, module):
    """The words in quotes of a parametrized test and of the tables in capitals that it takes its
    cases from.
    """
    tables = [name for name in re.findall(r"\b[A-Z]{3,}\b", test) if f"\n{name} = " in module]
    sources = [test, *(module.split(f"\n{name} = ")[1].split("\n\n\n")[0] for name in tables)]
    return {
        word
        for source in sources
        if "parametrize" in test
        for word in re.findall(r'"([^"\n]+)"', source)
    }


def test_there_are_sixty_cases_and_more_each_once_and_in_order():
    assert [int(number) for number, *_ in CASES] == list(range(1, len(CASES) + 1))
    assert len(CASES) >= 60
    assert len(re.findall(r"^\| \d+ ", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)) == len(
        CASES
    )
    assert (
        max(Counter(fault for _, fault, *_ in CASES).values()) <= 2
    )  # "may not be read" is of pictures and JSON


@pytest.mark.parametrize("file", sorted({case[3] for case in CASES}))
def test_every_named_test_exists_and_runs(file):
    path = ROOT / "tests" / file
    assert path.is_file()
    found = functions(path)
    for _, fault, _, _, name, case in (case for case in CASES if case[3] == file):
        assert name.startswith("test_") and name in found, fault
        assert not case or case in cases(found[name], path.read_text(encoding="utf-8")), fault
        assert "pytest.mark.skip(" not in found[name], fault


def test_every_test_of_a_fault_is_in_the_catalogue_or_beside_one_that_is():
    files = {
        path.relative_to(ROOT / "tests").as_posix()
        for path in (ROOT / "tests/faults").glob("test_*.py")
    }
    assert files <= {case[3] for case in CASES}
