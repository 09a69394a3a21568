"""The papers, one folder each. They import `common`, and never each other."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List

import common  # noqa: F401  before what takes long: Ctrl-C then ends in one line
from common.results import commands
from common.results.commands import Command

FOLDER = Path(__file__).resolve().parent


def names() -> List[str]:
    """The papers, by the names of their folders."""
    return sorted(path.parent.name for path in FOLDER.glob("*/eval.py"))


def targets(paper: str) -> Dict[str, Command]:
    """The tables, figures and other commands of a paper, by name."""
    return commands.of_paper(FOLDER / paper)
