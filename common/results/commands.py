"""The make targets of a paper, read from its eval.py without importing it (and TensorFlow)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, NamedTuple

_DECLARED = re.compile(
    r'^@paper\.\w+[^\n]*\ndef (\w+)\([^"]*?"""(.+?)"""', re.MULTILINE | re.DOTALL
)


class Command(NamedTuple):
    """A make target, and the sentence that explains it."""

    target: str
    sentence: str


def of_paper(folder: Path) -> Dict[str, Command]:
    """Give the commands of a paper by the name of their table or figure.

    >>> from common.files import PROJECT
    >>> of_paper(PROJECT / "reproductions/tnbc_linknet")["table1"].target
    'tnbc-table1'
    """
    path = folder / "eval.py"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    short_name = folder.name.partition("_")[0]
    return {
        name: Command(f"{short_name}-{name}", " ".join(sentence.split()))
        for name, sentence in _DECLARED.findall(text)
    }
