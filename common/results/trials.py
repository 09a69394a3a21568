"""Which of several trials of a published number counts: the one closest to the paper.

Protocol `published` comes before `corrected`; of equals, the profile closest to the paper's.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import pandas

from common.published.schema import PublishedTable
from common.results import tables
from common.results.verdicts import Verdict

CLOSEST_FIRST = ("published", "corrected", "paper", "quick", "smoke")


class Trial(NamedTuple):
    """The verdict on a published number, and the line of the table that it rests on, if any."""

    verdict: Verdict
    line: Optional[Any]


def place(name: str) -> int:
    """Give the place of a protocol or profile in CLOSEST_FIRST; unknown ones come last.

    >>> sorted(["smoke", "mine", "corrected", "published", "paper"], key=place)
    ['published', 'corrected', 'paper', 'smoke', 'mine']
    """
    return CLOSEST_FIRST.index(name) if name in CLOSEST_FIRST else len(CLOSEST_FIRST)


def distance(protocol: str, profile: str) -> Tuple[int, int]:
    """Tell how far a trial is from the paper, as a key to sort by."""
    return place(protocol), place(profile)


def judge(reference: PublishedTable, table: pandas.DataFrame) -> Dict[Tuple[str, str], Trial]:
    """Judge each of the paper's own numbers, by (row, metric), once: by its closest trial."""
    chosen = tables.choose_reading(table, reference.reading)
    closest: Dict[Tuple[str, str], Any] = {}
    for line in sorted(chosen.itertuples(), key=lambda one: distance(one.protocol, one.profile)):
        closest.setdefault((line.row, line.metric), line)
    judged = {}
    for row, metric, printed in reference.numbers():
        line = closest.get((row, metric))
        judged[row, metric] = Trial(tables.judge_line(reference, metric, printed, line), line)
    return judged


def differences(text: str) -> List[str]:
    """Take the differences of a line of a table, or the reason for `not comparable`, apart.

    >>> differences("epochs 5; the paper gives 20 (section 4); a shortened training")
    ['epochs 5; the paper gives 20 (section 4)', 'a shortened training']
    """
    return [one for one in re.split(r"; (?!the paper gives)", text) if one]
