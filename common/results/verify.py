"""Whether the results follow from what is kept beside them: `medseg verify`.

Level 1 needs no data: every kept file is as it was written, every number of every table follows
from the scores per image, and every verdict from the table. Level 2, with the data: the scores per
image follow from the packed predictions, and counts from the data.
"""

from __future__ import annotations

import operator
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pandas

from common import files
from common.cli import Request
from common.datasets import manifests
from common.datasets.manifests import DataSet
from common.errors import InputError
from common.results import provenance, tables
from common.results.experiment import Paper, Row, Target, Trained
from common.training import runs
from common.training.runs import Run

Scored = Tuple[tables.Score, tables.Conditions]


@dataclass(frozen=True)
class Kept:
    """What is kept of a row for one seed."""

    folder: Path
    name: str
    trained: Trained
    data_set: DataSet


def without_data(paper: Paper, results_root: Path) -> Iterator[str]:
    """Say in one line each what does not follow from what is kept of a paper (level 1)."""
    folder = results_root / paper.name
    if not folder.is_dir():
        return
    try:
        yield from _changed_files(folder)
    except InputError as error:
        yield str(error)
    for path, target in _tables(paper, folder):
        try:
            table = tables.read(path)
            reference, judged = paper.reference(target.name)
            rebuilt = tables.build(reference, _scores(paper, folder, target, table))
        except InputError as error:
            yield str(error) if str(path) in str(error) else f"{path}: {error}"
            continue
        order = tables.merge(rebuilt[:0], rebuilt)
        yield from _different_lines(path, table, order)
        if judged:
            yield from _stale(path.with_name(f"{path.stem}_vs_published.csv"), reference, table)


def with_data(paper: Paper, results_root: Path, data_root: Optional[Path]) -> Iterator[str]:
    """Say in one line each what does not follow from packed predictions and data (level 2)."""
    folder = results_root / paper.name
    done = set()
    for path, target in _tables(paper, folder):
        table = tables.read(path)
        if target.recount is not None:
            yield from _recounted(paper, target, path, table, data_root)
        for kept in _kept_rows(paper, folder, target, table):
            packed = folder / "predictions" / f"{kept.name}.zip"
            if kept.name in done or not packed.exists():
                continue
            done.add(kept.name)
            try:
                data_set = manifests.find(kept.data_set.name, data_root, download=False)
            except InputError as error:
                yield str(error)
                return
            yield from _rescored(paper, replace(kept, data_set=data_set))


def _tables(paper: Paper, folder: Path) -> Iterator[Tuple[Path, Target]]:
    """The tables of scores in a folder of results, with what makes them."""
    for path in sorted(folder.glob("*.csv")):
        header = files.read_text(path).partition("\n")[0]
        target = paper.targets.get(path.stem)
        if target is not None and "seed_values" in header:
            yield path, target


def _changed_files(folder: Path) -> Iterator[str]:
    recorded, found = provenance.read_sums(folder), provenance.sums(folder)
    for name in sorted(set(recorded) | set(found)):
        path = folder / name
        if name not in found:
            yield f"{path}: missing; restore it or regenerate the paper's tables"
        elif name not in recorded:
            yield f"{path}: not in {provenance.SUMS}; remove it or regenerate the paper's tables"
        elif recorded[name] != found[name]:
            yield f"{path}: changed since it was written; restore it or regenerate the tables"


def _scores(paper: Paper, folder: Path, target: Target, table: pandas.DataFrame) -> List[Scored]:
    """Score every line of a table anew; what no run is behind is taken as it stands."""
    scores: List[Scored] = []
    for kept in _kept_rows(paper, folder, target, table):
        scores += _scores_of(paper, kept, target)
    for line in table[table["run"] == ""].itertuples():
        scores += _as_it_stands(line)
    return scores


def _kept_rows(
    paper: Paper, folder: Path, target: Target, table: pandas.DataFrame
) -> Iterator[Kept]:
    """What is kept of every row and seed that a table names a run of."""
    behind = table[table["run"] != ""]
    rows = _rows(paper, folder, target, behind)
    keys = behind[["row", "seeds", "run", "data"]].drop_duplicates()
    for line in keys.itertuples():
        if line.row not in rows:
            raise InputError(f"{folder}/{target.name}.csv: {line.row} is no row of this table")
        for seed in map(int, line.seeds.split()):
            name = provenance.of_seed(line.run, seed)
            yield _kept(paper, folder, name, rows[line.row], str(line.data))


def _kept(paper: Paper, folder: Path, name: str, row: Row, title: str) -> Kept:
    profiles = paper.trainer.profiles
    config_type = type(profiles["paper"])
    members = []
    for member in provenance.members(folder, name):
        members.append(Run(folder / "provenance" / member, _recorded(folder, member)))
    config = runs.load_config(members[-1].folder, config_type)
    if hasattr(config, "encoder_weights"):
        config = replace(config, encoder_weights=_file_name(config.encoder_weights))
    network = row.networks[-1]
    identity = {"protocol": config.protocol, "seed": config.seed}
    changes = {**identity, **network.settings, **network.fixed}
    default = replace(profiles[config.profile], **changes)
    as_printed = replace(profiles["paper"], **changes)
    trained = Trained(row, config, default, as_printed, tuple(members))
    named = paper.trainer.data_sets
    own = [one for one in named if len(named) == 1 or name.startswith(f"{one}-")]
    title = _title(members[-1]) or title
    synthetic = title.endswith("(synthetic)")
    fingerprint = members[-1].config["data"]
    return Kept(folder, name, trained, DataSet(own[0], title, folder, synthetic, fingerprint))


def _recorded(folder: Path, member: str) -> Dict[str, Any]:
    path = folder / "provenance" / member / "config.json"
    if not path.is_file():
        raise InputError(f"{path}: missing, and a table names its run; regenerate the table")
    return runs.read_json(path)


def _title(run: Run) -> str:
    """The data that a run noted; empty where an earlier version noted none."""
    path = run.folder / "environment.json"
    sessions = runs.read_json(path).get("sessions") if path.is_file() else None
    return sessions[-1].get("data", "") if sessions else ""


def _rows(paper: Paper, folder: Path, target: Target, table: pandas.DataFrame) -> Dict[str, Row]:
    """The rows of a table by their name, as asked for when it was made."""
    if target.rows is None or table.empty:
        return {}
    special: Dict[str, str] = {}
    for line in table.itertuples():
        for seed in map(int, line.seeds.split()):
            for member in provenance.members(folder, provenance.of_seed(line.run, seed)):
                config = _recorded(folder, member)
                weights = config.get("encoder_weights", "none")
                if weights != "none" and "encoder" in config:
                    special[config["encoder"]] = _file_name(weights)
    words = ["none", *(f"{encoder}={weights}" for encoder, weights in special.items())]
    request = Request(
        profile=table["profile"].iloc[0],
        encoder_weights=",".join(words),
        precision=table["precision"].iloc[0],
    )
    return {row.id: row for row in target.rows(request)}


def _file_name(weights: str) -> str:
    """Name encoder weights as a command does: a run records a file with its checksum."""
    return weights.partition(" (")[0]


def _scores_of(paper: Paper, kept: Kept, target: Target) -> List[Scored]:
    table = provenance.scores_of(kept.folder, kept.name)
    path = kept.folder / "provenance" / kept.name / "metrics.csv"
    if table.empty:
        raise InputError(f"{path}: holds no image; restore it")
    doubled = table["id"][table.duplicated([name for name in ("part", "id") if name in table])]
    if len(doubled):
        raise InputError(f"{path}: {doubled.iloc[0]} stands twice; restore it")
    whole = provenance.whole_of(kept.folder, kept.name)
    conditions = paper.conditions(kept.trained, kept.data_set, paper.scoring)
    run = provenance.pattern(kept.name, kept.trained.config.seed)
    return paper.scores(
        kept.trained, table, whole, kept.data_set, replace(conditions, run=run), target.factor
    )


def _as_it_stands(line: Any) -> List[Scored]:
    """The scores of a line that says itself what its seeds gave."""
    names = [one for one in tables.Conditions.__dataclass_fields__ if one != "differences"]
    given = {name: getattr(line, name) for name in names}
    differences = tuple(str(one) for one in line.differences.split("; ") if one)
    conditions = tables.Conditions(**given, differences=differences)
    spread: Dict[str, Any] = {} if pandas.isna(line.image_se) else {"image_se": line.image_se}
    if not pandas.isna(line.images):
        spread["images"] = int(line.images)
    pairs = zip(map(int, line.seeds.split()), map(float, line.seed_values.split()))
    return [
        (tables.Score(line.row, line.metric, value, seed, **spread), conditions)
        for seed, value in pairs
    ]


def _different_lines(
    path: Path, table: pandas.DataFrame, rebuilt: pandas.DataFrame
) -> Iterator[str]:
    """Name the first column of every line that does not follow."""
    place = operator.itemgetter("protocol", "profile", "reading", "row", "metric")
    ours = {place(line): line for line in _as_text(rebuilt)}
    theirs = {place(line): line for line in _as_text(table)}
    for key in list(theirs) + [one for one in ours if one not in theirs]:
        where = f"{path}: {key[3]}, {key[4]} ({key[0]}, {key[1]})"
        if key not in ours:
            yield f"{where}: nothing that is kept gives this line; regenerate the table"
        elif key not in theirs:
            yield f"{where}: missing, though the scores are kept; regenerate the table"
        else:
            wrong = [name for name in ours[key] if ours[key][name] != theirs[key][name]]
            for name in wrong[:1]:
                here, there = theirs[key][name], ours[key][name]
                yield f"{where}: {name} is {here!r}, what is kept gives {there!r}"


def _as_text(table: pandas.DataFrame) -> List[Dict[str, str]]:
    header, *lines = tables.parse_csv(tables.as_csv(table))
    return [dict(zip(header, line)) for line in lines]


def _stale(path: Path, reference: Any, table: pandas.DataFrame) -> Iterator[str]:
    expected = tables.as_csv(tables.compare(reference, table))
    if not path.exists() or files.read_text(path) != expected:
        yield f"{path}: does not follow from the table and the published numbers; regenerate it"


def _rescored(paper: Paper, kept: Kept) -> Iterator[str]:
    packed = kept.folder / "predictions" / f"{kept.name}.zip"
    recorded = kept.trained.runs[-1].config["data"]
    if kept.data_set.fingerprint != recorded:
        yield f"{packed}: made from other data ({recorded}) than {kept.data_set.folder} holds"
        return
    with tempfile.TemporaryDirectory() as scratch:
        try:
            run = provenance.unpacked(kept.folder, kept.name, Path(scratch))
            trained = replace(kept.trained, runs=(run,))
            table = paper.score(trained, kept.data_set)
            whole = dict(paper.whole((run,), trained.config, kept.data_set))
        except InputError as error:
            yield str(error).replace(scratch, str(packed))
            return
        runs.write_csv(Path(scratch) / "metrics.csv", table)
        found = files.read_csv_lines(Path(scratch) / "metrics.csv")
    path = kept.folder / "provenance" / kept.name / "metrics.csv"
    yield from _different_scores(path, found)
    if whole != provenance.whole_of(kept.folder, kept.name):
        yield f"{path.with_name('whole.json')}: does not follow from {packed.name}"


def _different_scores(path: Path, found: List[List[str]]) -> Iterator[str]:
    """Name the first score of every image that does not follow from the predictions."""
    recorded = files.read_csv_lines(path)
    if recorded[:1] != found[:1]:
        yield f"{path}: has other columns than the scores of today; regenerate the table"
        return
    header = recorded[0]
    ours = {tuple(line[: header.index("id") + 1]): line for line in found[1:]}
    theirs = {tuple(line[: header.index("id") + 1]): line for line in recorded[1:]}
    for key in sorted(set(ours) ^ set(theirs)):
        yield f"{path}: {key[-1]} is {'missing' if key in ours else 'in no prediction'}"
    for key in sorted(set(ours) & set(theirs)):
        line = theirs[key] + [""] * len(header)  # it may have been cut
        wrong = [place for place, cell in enumerate(ours[key]) if cell != line[place]]
        for place in wrong[:1]:
            yield (
                f"{path}: {key[-1]}: {header[place]} is {line[place]}, the predictions give "
                f"{ours[key][place]}"
            )


def _recounted(
    paper: Paper, target: Target, path: Path, table: pandas.DataFrame, data_root: Optional[Path]
) -> Iterator[str]:
    """Count anew what needs no training."""
    assert target.recount is not None
    reference, _ = paper.reference(target.name)
    try:
        scores = target.recount(Request(data_root=data_root))
        yield from _different_lines(path, table, tables.build(reference, scores))
    except InputError as error:
        yield str(error)
