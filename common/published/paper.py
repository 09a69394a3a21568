"""What the overviews say of a paper in a line: `reproductions/<paper>/paper.yaml`.

README, report and the list of papers take title, task, data and the one claim and number that a
paper is known for from it. A paper without the file is shown with what its tables say.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Optional, Sequence

from common.published import strict_yaml
from common.published.schema import PublishedTable

FILE = "paper.yaml"  # in the paper's folder


@dataclasses.dataclass(frozen=True)
class Headline:
    """The claim that a paper is known for, and the number that stands for it.

    `claim` is an id of claims.yaml, `says` a few words. The table may be one of ours, where the
    paper prints no such number.
    """

    says: str
    claim: Optional[str] = None
    table: Optional[str] = None
    row: Optional[str] = None
    metric: Optional[str] = None


@dataclasses.dataclass(frozen=True)
class About:
    """A paper in a line. `data_set` is the name of its manifest; `link` an address, if known."""

    title: str
    task: str
    data: str
    headline: Headline
    citation: Optional[str] = None
    link: Optional[str] = None
    data_set: Optional[str] = None


_FILE = {"title": str, "task": str, "data": str, "headline": dict}
_FILE.update(citation=str, link=str, data_set=str)
_OPTIONAL = {"citation", "link", "data_set"}
_HEADLINE = dict.fromkeys(("says", "claim", "table", "row", "metric"), str)


def load(path: Path, tables: Sequence[PublishedTable]) -> About:
    """Read and check what the overviews say of a paper.

    Args:
        path: of the YAML file.
        tables: the paper's published tables.

    Raises:
        InputError: a key is wrong, or a published table has no such number; names file and key.
    """
    with strict_yaml.reading(path, "what the overviews say of a paper"):
        entries = strict_yaml.fields(strict_yaml.content(path), _FILE, _OPTIONAL)
        headline = strict_yaml.fields(
            entries["headline"], _HEADLINE, set(_HEADLINE) - {"says"}, "headline"
        )
        entries["headline"] = Headline(**headline)
        about = About(**entries)
        _check_number(about.headline, tables)
        return about


def of_folder(folder: Path, tables: Sequence[PublishedTable]) -> About:
    """Give what the overviews say of the paper in a folder; without the file, from its tables.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / FILE
    if path.exists():
        return load(path, tables)
    title = tables[0].paper if tables else folder.name
    data = tables[0].data if tables else ""
    return About(title, folder.name.replace("_", " "), data, Headline(says=""))


def _check_number(headline: Headline, tables: Sequence[PublishedTable]) -> None:
    numbers = {table.id: list(table.numbers()) for table in tables}
    if headline.table not in numbers:
        return
    known = [(row, metric) for row, metric, _ in numbers[headline.table]]
    if (headline.row, headline.metric) not in known:
        place = f"{headline.table}, {headline.row}, {headline.metric}"
        raise ValueError(f"headline: no published number at {place}")
