"""Everything that the report says about a paper, read from files: what `common.results.overview`
judges, and around it figures, runs, tables beyond the paper's, readings, the price of leakage and
settings.

A file that is not there yet leaves a gap that the report shows as such; a paper needs no line of
code to be found.
"""

from __future__ import annotations

import ast
import dataclasses
import os
import re
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import pandas

from common import files
from common.datasets import manifests
from common.errors import InputError
from common.files import PROJECT
from common.results import commands, export, leakage_price, overview, readings, tables, trials
from common.results.commands import Command
from common.results.overview import Overview
from common.training import runs

COMPARISON = "_vs_published"
IMAGES = (".png", ".jpg", ".jpeg")
MADE = {"published": "as published", "paper": "profile paper", "quick": "profile quick"}
DRAWN_HERE = "readings-"  # begins the names of figures of what the report draws itself


@dataclasses.dataclass(frozen=True)
class Beyond:
    """A table that the paper does not have, with TABLE_COLUMNS where `scores`, else of any form."""

    id: str
    results: pandas.DataFrame
    scores: bool
    command: Optional[Command]


class Figure(NamedTuple):
    """A figure, named after its target and, after hyphens, how it was made:
    figure2-published-quick-seed0.png.
    """

    path: Path
    command: Optional[Command]

    @property
    def caption(self) -> str:
        """What its command says of it, and how it was made."""
        name, *made = self.path.stem.split("-")
        sentence = self.command.sentence.rstrip(".") if self.command else export.label(name)
        told = [re.sub("^seed", "seed ", MADE.get(part, part)) for part in made]
        return f"{sentence} ({', '.join(told)})" if made else sentence


@dataclasses.dataclass(frozen=True)
class Run:
    """The small files of one training, or of what was made of several; empty where there is none.

    `remarks` is provenance.json of what is no training, such as an ensemble.
    """

    id: str
    config: dict
    split: Mapping[str, List[str]]
    sessions: List[dict]
    history: pandas.DataFrame
    remarks: dict


class Setting(NamedTuple):
    """A field of a paper's Config: where it stands, and what the paper says of it."""

    name: str
    line: int
    default: str
    help: str
    given: str  # where the paper gives it; "" where it does not
    assumed: str  # why we assume this value


class Links(NamedTuple):
    """Addresses: of the paper and its data set on the web, of folders relative to the report; ""
    where there is none.
    """

    paper: str
    data: str
    folder: str  # reproductions/<paper>
    results: str


@dataclasses.dataclass(frozen=True)
class Paper:
    """One folder of reproductions/. `text` is the first paragraph of its README, Markdown."""

    overview: Overview
    heading: str
    text: str
    commands: Mapping[str, Command]
    links: Links
    environments: Mapping[str, dict]  # by table
    beyond: Tuple[Beyond, ...]
    readings: pandas.DataFrame
    leakage: pandas.DataFrame
    figures: Tuple[Figure, ...]
    runs: Tuple[Run, ...]
    settings: Tuple[Setting, ...]

    @property
    def id(self) -> str:
        """The paper's folder."""
        return self.overview.id


def gather(results: Path, project: Path = PROJECT) -> List[Paper]:
    """Read everything about every paper that has published numbers, by the names of their folders.

    Raises:
        InputError: a file is damaged.
    """
    judged = overview.gather(results, project)
    return [_paper(one, project / "reproductions" / one.id, results) for one in judged]


def _paper(one: Overview, folder: Path, all_results: Path) -> Paper:
    results = all_results / one.id
    known = commands.of_paper(folder)
    heading, text = _opening(folder / "README.md")
    paths = sorted(results.glob("*"), key=_reading_order)
    published = [judged.reference.id for judged in one.judged]
    not_beyond = {f"{name}{end}.csv" for name in published for end in ("", COMPARISON)}
    not_beyond |= {"readings.csv", "leakage.csv"}
    provenance = sorted(results.glob("provenance/*"), key=_reading_order)
    return Paper(
        overview=one,
        heading=heading or one.about.title,
        text=text,
        commands=known,
        links=_links(one, folder, all_results),
        environments={
            path.stem: runs.read_json(path) for path in provenance if path.suffix == ".json"
        },
        beyond=tuple(
            _beyond(path, known)
            for path in paths
            if path.suffix == ".csv" and path.name not in not_beyond
        ),
        readings=_table(results / "readings.csv", readings.COLUMNS),
        leakage=_table(results / "leakage.csv", leakage_price.COLUMNS),
        figures=tuple(
            Figure(path, known.get(path.stem.split("-")[0]))
            for path in paths
            if path.suffix in IMAGES and not path.name.startswith(DRAWN_HERE)
        ),
        runs=tuple(_run(path) for path in provenance if path.is_dir()),
        settings=tuple(settings(folder / "config.py")),
    )


def settings(config: Path) -> List[Setting]:
    """Read the settings of a paper from its config.py, without importing it."""
    if not config.exists():
        return []
    text = files.read_text(config)
    classes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    body = next((node.body for node in classes if node.name == "Config"), [])
    found = []
    for field, after in zip(body, [*body[1:], None]):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        marks = _marks(field.annotation)
        default = ast.get_source_segment(text, field.value) if field.value else None
        words = _text_of(after.value) if isinstance(after, ast.Expr) else ""
        name = field.target.id
        found.append(
            Setting(
                name,
                field.lineno,
                (default or "").strip("()").strip().strip('"'),
                words,
                marks.get("Given", ""),
                marks.get("Assumed", ""),
            )
        )
    return found


def _marks(annotation: ast.expr) -> Dict[str, str]:
    """First words of `Given` and `Assumed` in the annotation of a field."""
    found = {}
    for node in ast.walk(annotation):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            found[node.func.id] = _text_of(node.args[0])
    return found


def _text_of(node: ast.expr) -> str:
    try:
        return " ".join(str(ast.literal_eval(node)).split())
    except ValueError:
        return ""


def _links(one: Overview, folder: Path, results: Path) -> Links:
    project = folder.parent.parent
    data = ""
    if one.about.data_set and (project / f"data_manifests/{one.about.data_set}.yaml").exists():
        data = manifests.load_manifest(one.about.data_set).homepage
    inside = project.resolve() in results.resolve().parents
    way = Path(os.path.relpath(folder, results)).as_posix() if inside else ""
    return Links(one.about.link or "", data, way, one.id if (results / one.id).is_dir() else "")


def _reading_order(path: Path) -> List[List[Tuple[int, int, str]]]:
    """Sort names by their parts between hyphens: protocols and profiles closest to the paper first,
    figure9 before figure10.
    """
    order = []
    for part in path.stem.split("-"):
        pieces = re.split(r"(\d+)", part)
        order.append(
            [(trials.place(text), int(text) if text.isdigit() else -1, text) for text in pieces]
        )
    return order


def _opening(readme: Path) -> Tuple[str, str]:
    """Heading and first paragraph of a README, both empty without one."""
    text = files.read_text(readme) if readme.exists() else ""
    match = re.match(r"# (.+)\n+((?:.+\n)*)", text)
    return (match.group(1), " ".join(match.group(2).split())) if match else ("", "")


def _table(path: Path, columns: Sequence[str]) -> pandas.DataFrame:
    """Read a CSV table of these columns; without the file, one without lines."""
    if not path.exists():
        return pandas.DataFrame(columns=columns)
    types = {"reading": str, "published": str, "seeds": str}
    table = tables.read_columns(path, columns, dtype=types)
    texts = table.select_dtypes(object).columns
    return table.fillna(dict.fromkeys(texts, ""))


def _beyond(path: Path, known: Mapping[str, Command]) -> Beyond:
    header = next(iter(files.read_csv_lines(path)), [])
    scores = tuple(header) == tables.TABLE_COLUMNS
    table = tables.read(path) if scores else _csv(path, dtype=str, keep_default_na=False)
    return Beyond(path.stem, table, scores, known.get(path.stem))


def _run(folder: Path) -> Run:
    history = folder / "history.csv"
    return Run(
        folder.name,
        _optional_json(folder / "config.json"),
        _optional_json(folder / "split.json"),
        _optional_json(folder / "environment.json").get("sessions", []),
        _csv(history) if history.exists() else pandas.DataFrame(),
        _optional_json(folder / "provenance.json"),
    )


def _csv(path: Path, **options: object) -> pandas.DataFrame:
    try:
        return pandas.read_csv(files.buffered(path), **options)
    except ValueError as error:
        raise InputError(f"{path}: expected a CSV table: {' '.join(str(error).split())}") from None


def _optional_json(path: Path) -> dict:
    return runs.read_json(path) if path.exists() else {}
