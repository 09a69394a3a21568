"""What is known of every paper: its published numbers, what results/ holds of them, the audit and
the commands.

Everything comes from files: reproductions/<paper>/published/*.yaml and README.md, results/<paper>/
and the Makefile. A file that is not there yet leaves a gap that the report shows as such; a paper
needs no line of code to be found.
"""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

import pandas

from common.errors import InputError
from common.files import PROJECT
from common.published import audit, schema
from common.published.findings import Finding
from common.published.schema import PublishedTable
from common.results import tables
from common.training import runs

COMPARISON = "_vs_published"
PICTURES = (".png", ".jpg", ".jpeg")
# Protocols, then profiles: the closer to the paper, the earlier.
ORDER = ("published", "corrected", "paper", "quick", "smoke")
_EMPTY = pandas.DataFrame(columns=tables.TABLE_COLUMNS)


class Command(NamedTuple):
    """A target of the Makefile and the sentence that explains it there."""

    target: str
    meaning: str


@dataclasses.dataclass(frozen=True)
class Judged:
    """A published table, what was regenerated of it (TABLE_COLUMNS) and the verdicts
    (COMPARISON_COLUMNS).
    """

    reference: PublishedTable
    results: pandas.DataFrame
    verdicts: pandas.DataFrame
    command: Optional[Command]
    environment: dict


@dataclasses.dataclass(frozen=True)
class Beyond:
    """A table that the paper does not have, with TABLE_COLUMNS where `scores` and of any form
    otherwise.
    """

    id: str
    results: pandas.DataFrame
    scores: bool
    command: Optional[Command]
    environment: dict


class Figure(NamedTuple):
    """A picture, named after its target and, after hyphens, how it was made:
    figure2-published-quick-seed0.png.
    """

    path: Path
    command: Optional[Command]

    @property
    def caption(self) -> str:
        """What the Makefile says of the target, and how it was made."""
        name, *made = self.path.stem.split("-")
        meaning = self.command.meaning if self.command else name
        return f"{meaning} ({', '.join(made)})" if made else meaning


@dataclasses.dataclass(frozen=True)
class Run:
    """One training, or what was made of several: its small files, each empty where there is
    none.
    """

    id: str
    config: dict
    split: Mapping[str, List[str]]
    sessions: List[dict]
    history: pandas.DataFrame
    remarks: dict  # provenance.json of what is no training, such as an ensemble


@dataclasses.dataclass(frozen=True)
class Paper:
    """One folder of reproductions/. `about` is the first paragraph of its README, Markdown."""

    id: str
    title: str
    about: str
    judged: Tuple[Judged, ...]
    beyond: Tuple[Beyond, ...]
    figures: Tuple[Figure, ...]
    runs: Tuple[Run, ...]
    findings: Tuple[Finding, ...]


def place(name: str) -> int:
    """Give the place of a protocol or profile in ORDER; those that are not known come last."""
    return ORDER.index(name) if name in ORDER else len(ORDER)


def gather(results: Path, project: Path = PROJECT) -> List[Paper]:
    """Read everything about every paper that has published numbers, in the order of their folders'
    names.

    Raises:
        InputError: a file is damaged, or holds verdicts on other numbers than those published.
    """
    known = commands(project / "Makefile")
    folders = sorted(path.parent for path in project.glob("reproductions/*/published"))
    return [_paper(folder, results / folder.name, known) for folder in folders]


def commands(makefile: Path) -> Dict[Tuple[str, str], Command]:
    """Find the targets that call `reproductions.<paper>.eval <name>`, by (paper, name)."""
    found, target = {}, None
    for line in makefile.read_text(encoding="utf-8").splitlines() if makefile.exists() else ():
        heading = re.match(r"([a-z][a-z0-9-]*):.*?## (.*)", line)
        called = re.search(r"reproductions\.(\w+)\.eval (\w+)", line)
        if heading:
            target = Command(*heading.groups())
        elif called and target:
            found[called.groups()] = target
    return found


def _paper(folder: Path, results: Path, known: Mapping[Tuple[str, str], Command]) -> Paper:
    references = schema.load_folder(folder / "published")
    heading, about = _opening(folder / "README.md")
    paths = sorted(results.glob("*"), key=_reading_order)
    published_files = {f"{table.id}{end}.csv" for table in references for end in ("", COMPARISON)}
    return Paper(
        id=folder.name,
        title=heading or (references[0].paper if references else folder.name),
        about=about,
        judged=tuple(
            _judged(table, results, known.get((folder.name, table.id))) for table in references
        ),
        beyond=tuple(
            _beyond(path, known.get((folder.name, path.stem)))
            for path in paths
            if path.suffix == ".csv" and path.name not in published_files
        ),
        figures=tuple(
            Figure(path, known.get((folder.name, path.stem.split("-")[0])))
            for path in paths
            if path.suffix in PICTURES
        ),
        runs=tuple(
            _run(path)
            for path in sorted(results.glob("provenance/*"), key=_reading_order)
            if path.is_dir()
        ),
        findings=tuple(audit.of_folder(folder / "published")),
    )


def _reading_order(path: Path) -> List[List[Tuple[int, int, str]]]:
    """Sort names by their parts between hyphens: protocols and profiles in ORDER, figure9 before
    figure10.
    """
    parts = [re.split(r"(\d+)", part) for part in path.stem.split("-")]
    return [
        [(place(text), int(text) if text.isdigit() else -1, text) for text in part]
        for part in parts
    ]


def _opening(readme: Path) -> Tuple[str, str]:
    """Heading and first paragraph of a README, both empty without one."""
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    match = re.match(r"# (.+)\n+((?:.+\n)*)", text)
    return (match.group(1), " ".join(match.group(2).split())) if match else ("", "")


def _judged(reference: PublishedTable, results: Path, command: Optional[Command]) -> Judged:
    table, verdicts = (results / f"{reference.id}{end}.csv" for end in ("", COMPARISON))
    regenerated = tables.read(table) if table.exists() else _EMPTY
    judged = tables.read(verdicts) if verdicts.exists() else tables.compare(reference, regenerated)
    numbers = set(reference.numbers())
    for block, lines in judged.groupby(["protocol", "profile"], sort=False):
        if set(zip(lines["row"], lines["metric"], lines["published"])) != numbers:
            raise InputError(
                f"{verdicts}: protocol {block[0]}, profile {block[1]} does not judge the numbers "
                "that are published "
                f"in {reference.id}.yaml; regenerate it"
            )
    return Judged(
        reference,
        regenerated,
        judged,
        command,
        _optional_json(results / "provenance" / f"{reference.id}.json"),
    )


def _beyond(path: Path, command: Optional[Command]) -> Beyond:
    with path.open(newline="", encoding="utf-8") as stream:
        header = next(csv.reader(stream), [])
    scores = tuple(header) == tables.TABLE_COLUMNS
    try:
        table = (
            tables.read(path) if scores else pandas.read_csv(path, dtype=str, keep_default_na=False)
        )
    except ValueError as error:
        raise InputError(f"{path}: expected a CSV table: {' '.join(str(error).split())}") from None
    return Beyond(
        path.stem,
        table,
        scores,
        command,
        _optional_json(path.parent / "provenance" / f"{path.stem}.json"),
    )


def _run(folder: Path) -> Run:
    try:
        history = (
            pandas.read_csv(folder / "history.csv")
            if (folder / "history.csv").exists()
            else pandas.DataFrame()
        )
    except ValueError as error:
        raise InputError(
            f"{folder / 'history.csv'}: expected a CSV table: {' '.join(str(error).split())}"
        ) from None
    return Run(
        folder.name,
        _optional_json(folder / "config.json"),
        _optional_json(folder / "split.json"),
        _optional_json(folder / "environment.json").get("sessions", []),
        history,
        _optional_json(folder / "provenance.json"),
    )


def _optional_json(path: Path) -> dict:
    return runs.read_json(path) if path.exists() else {}
