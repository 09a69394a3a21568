"""The tables, figures and other commands of a paper, read from the text of its eval.py, which would
import pandas.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, NamedTuple

from common import files

_DECLARED = re.compile(
    r'^@paper\.(\w+)[^\n]*\ndef (\w+)\([^"]*?"""(.+?)"""', re.MULTILINE | re.DOTALL
)


class Command(NamedTuple):
    """A table, figure or other command of a paper, as its eval.py declares it."""

    kind: str  # what declares it: "table", "percent_table", "counts", "figure", "breakdown", …
    target: str  # of make
    sentence: str  # that explains it


def short_name(paper: str) -> str:
    """What a paper's make targets begin with: the first word of its folder's name.

    >>> short_name("tnbc_linknet")
    'tnbc'
    """
    return paper.partition("_")[0]


def of_paper(folder: Path) -> Dict[str, Command]:
    """Give the commands of a paper by the name of their table or figure.

    >>> from common.files import PROJECT
    >>> of_paper(PROJECT / "reproductions/tnbc_linknet")["table1"]
    Command(kind='table', target='tnbc-table1', sentence='LinkNet ensemble on TNBC, table 1: train \
what is missing, evaluate, compare.')
    """
    path = folder / "eval.py"
    text = files.read_text(path) if path.exists() else ""
    return {
        name: Command(kind, f"{short_name(folder.name)}-{name}", " ".join(sentence.split()))
        for kind, name, sentence in _DECLARED.findall(text)
    }
