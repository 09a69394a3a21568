"""What CONTRIBUTING.md says of the code: who imports whom, and no comprehension in another."""

import ast

import pytest
from tracked import tracked

from common.files import PROJECT

ROOMS = (
    "imaging", "datasets", "metrics", "training", "published", "results", "prediction", "report",
)  # fmt: skip
FILES = tracked("common/*.py", "reproductions/*.py", "tools/*.py")
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def parsed(name):
    return ast.parse((PROJECT / name).read_text(encoding="utf-8"))


def imports(name):
    """The modules that a file imports, as lists of their parts."""
    modules = []
    for node in ast.walk(parsed(name)):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules += [f"{node.module}.{alias.name}" for alias in node.names]
    return [module.split(".") for module in modules]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_none_further_down_and_no_paper(room):
    further_down = ROOMS[ROOMS.index(room) + 1 :]
    for name in FILES:
        if name.startswith(f"common/{room}/"):
            for package, *rest in imports(name):
                assert package not in ("reproductions", "tools"), name
                assert package != "common" or rest[0] not in further_down, (name, rest)


def test_a_paper_imports_no_other():
    for name in FILES:
        paper = name.split("/")[1]
        if name.startswith("reproductions/") and name.count("/") > 1:
            for package, *rest in imports(name):
                assert package != "tools", name
                assert package != "reproductions" or rest[0] == paper, (name, rest)


def test_no_comprehension_stands_in_another():
    nested = []
    for name in sorted(FILES):
        for outer in ast.walk(parsed(name)):
            inner = [node for node in ast.walk(outer) if isinstance(node, COMPREHENSIONS)]
            if isinstance(outer, COMPREHENSIONS) and len(inner) > 1:
                nested.append(f"{name}:{outer.lineno}")
    assert not nested
