"""The papers, one folder each. They import `common`, and never each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, List, NamedTuple

import common  # noqa: F401  before what takes long: Ctrl-C then ends in one line

FOLDER = Path(__file__).resolve().parent


class Target(NamedTuple):
    """A table, figure or other command of a paper, as its eval.py declares it."""

    name: str
    kind: str  # "table", "counts", "figure", "breakdown" or "command"
    sentence: str


def names() -> List[str]:
    """The papers, by the names of their folders."""
    return sorted(path.parent.name for path in FOLDER.glob("*/eval.py"))


def short_name(paper: str) -> str:
    """What a paper's make targets begin with: the first word of its folder's name.

    Example:
        >>> short_name("tnbc_linknet")
        'tnbc'
    """
    return paper.partition("_")[0]


def targets(paper: str) -> Dict[str, Target]:
    """Read a paper's targets from its eval.py, without importing it (and TensorFlow).

    Example:
        >>> targets("tnbc_linknet")["table1"].kind
        'table'
    """
    text = (FOLDER / paper / "eval.py").read_text(encoding="utf-8")
    pattern = r'^@paper\.(\w+)[^\n]*\ndef (\w+)\([^"]*?"""(.+?)"""'
    declared = re.findall(pattern, text, re.MULTILINE | re.DOTALL)
    return {
        name: Target(name, kind, " ".join(sentence.split())) for kind, name, sentence in declared
    }
