"""What the results of all papers add up to: for README, report and terminal.

Everything is computed from the tables in results/ and the published YAML at the moment it is shown.
Each published number counts once, by its trial closest to the paper (`common.results.trials`).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import pandas

from common.files import PROJECT
from common.published import audit, claims, paper, schema, spread
from common.published.findings import Finding
from common.published.schema import PublishedTable
from common.results import export, judged_claims, tables, trials, verdict_summary
from common.results.claims import CLAIM_VERDICTS
from common.results.judged_claims import JudgedClaim
from common.results.trials import Trial
from common.results.verdict_reasons import counted
from common.results.verdict_summary import Summary
from common.results.verdicts import Verdict

SYNTHETIC = "(synthetic)"  # how `common.datasets.manifests` ends the title of phantoms
NO_RESULTS = pandas.DataFrame(columns=tables.TABLE_COLUMNS)


@dataclasses.dataclass(frozen=True)
class Judged:
    """A published table, what was regenerated of it (TABLE_COLUMNS), and for each (row, metric) of
    the paper's own the trial that counts.
    """

    reference: PublishedTable
    results: pandas.DataFrame
    trials: Mapping[Tuple[str, str], Trial]


@dataclasses.dataclass(frozen=True)
class Overview:
    """One paper: its tables with their trials, findings of the audit, claims and the sum of all."""

    id: str
    about: paper.About
    judged: Tuple[Judged, ...]
    findings: Tuple[Finding, ...]
    claims: Tuple[JudgedClaim, ...]
    synthetic: bool

    @property
    def impossible(self) -> frozenset:
        """Places, (table, row, metric), of numbers that cannot all be right as printed."""
        cells = [one.cells for one in self.findings if one.severity == "impossible"]
        return frozenset(map(place_of, itertools.chain.from_iterable(cells)))

    @property
    def verdicts(self) -> Dict[Tuple[str, str, str], Verdict]:
        """The verdict on every published number, by table, row and metric."""
        return {
            (judged.reference.id, *place): trial.verdict
            for judged in self.judged
            for place, trial in judged.trials.items()
        }

    @property
    def summary(self) -> Summary:
        """How many numbers met which end."""
        return verdict_summary.summarise(self.verdicts, self.impossible)


def place_of(cell: str) -> Tuple[str, str, str]:
    """Read the cell of a finding.

    >>> place_of("table2:quarter.train_dice")
    ('table2', 'quarter', 'train_dice')
    """
    table, _, rest = cell.partition(":")
    row, _, metric = rest.rpartition(".")
    return table, row, metric


def gather(results: Optional[Path] = None, project: Path = PROJECT) -> List[Overview]:
    """Read and judge every paper that has published numbers, in the order of their folders' names.

    Args:
        results: folder with a folder per paper; by default the project's.
        project: checkout with reproductions/<paper>/published/.

    Raises:
        InputError: a file is damaged.
    """
    results = project / "results" if results is None else results
    folders = sorted(path.parent for path in project.glob("reproductions/*/published"))
    return [of_paper(folder, results / folder.name) for folder in folders]


def of_paper(folder: Path, results: Path) -> Overview:
    """Read and judge one paper: its folder in reproductions/, and its folder of results.

    Of synthetic images, neither findings nor claims are given: those are about the real paper.
    """
    references = schema.load_folder(folder / "published")
    judged = []
    for reference in references:
        path = results / f"{reference.id}.csv"
        table = tables.read(path) if path.exists() else NO_RESULTS
        judged.append(Judged(reference, table, trials.judge(reference, table)))
    titles = [title for one in judged for title in one.results["data"]]
    synthetic = any(map(is_synthetic, titles))
    findings: Sequence[Finding] = ()
    claimed: Sequence[JudgedClaim] = ()
    if not synthetic:
        runs = spread.Runs(results)
        conclusions = claims.load_folder(folder / "published", references)
        findings = audit.audit(folder.name, references, conclusions, runs)
        regenerated = [(one.reference, one.results) for one in judged]
        claimed = judged_claims.judge(conclusions, regenerated, runs)
    about = paper.of_folder(folder, references)
    return Overview(folder.name, about, tuple(judged), tuple(findings), tuple(claimed), synthetic)


def is_synthetic(title: str) -> bool:
    """Whether a data set of this title holds synthetic images."""
    return title.endswith(SYNTHETIC)


def total(papers: Sequence[Overview]) -> Summary:
    """Add up the summaries of all papers."""
    added: Counter = Counter()
    for one in papers:
        added.update(dataclasses.asdict(one.summary))
    names = [field.name for field in dataclasses.fields(Summary)]
    return Summary(**{name: added[name] for name in names})


def five(summary: Summary) -> List[Tuple[int, str]]:
    """Give the five numbers that sum up all published ones, each with its words.

    What was not run, or not as the paper describes it, cannot be told yet.
    """
    counts = dict(summary.parts)
    counts["cannot be told yet"] += summary.not_comparable + summary.not_run
    return [(count, words) for words, count in counts.items()]


def status(summary: Summary) -> str:
    """Say in a few words how a paper stands, such as "3 agree, 1 cannot be told yet"."""
    parts = [f"{count} {words}" for count, words in five(summary) if count]
    return ", ".join(parts) or "prints no result"


def headline(one: Overview, results: Path) -> Tuple[str, str]:
    """Give the claim that a paper is known for with its number, and our number with its interval.

    Args:
        one: the paper.
        results: folder with a folder per paper, for a number that only our results have.
    """
    told = one.about.headline
    judged = {each.reference.id: each for each in one.judged}.get(told.table or "")
    if judged is None:
        return told.says, _beyond(one, results)
    place = (told.row or "", told.metric or "")
    trial = judged.trials[place]
    about = judged.reference.metrics[place[1]]
    printed = judged.reference.rows[place[0]].values[place[1]]
    unit = "\N{NO-BREAK SPACE}%" if about.unit == "percent" else ""
    says = f"{told.says}, {about.label} {printed}{unit}"
    if trial.line is None:
        return says, "not run"
    decimals = len(printed.partition(".")[2])
    return says, f"{export.ours(trial.line, decimals)}, {trial.verdict.verdict}"


def _beyond(one: Overview, results: Path) -> str:
    told = one.about.headline
    path = results / one.id / f"{told.table}.csv"
    if not path.exists():
        return "not run"
    table = tables.read(path)
    lines = table[(table["row"] == told.row) & (table["metric"] == told.metric)]
    if lines.empty:
        return "not run"
    trial = min(lines.itertuples(), key=lambda line: trials.distance(line.protocol, line.profile))
    return f"{export.label(told.metric or '')} {export.ours(trial, 3)}"


def claim_counts(papers: Sequence[Overview]) -> Dict[str, int]:
    """Count the claims of all papers by verdict, in the order of CLAIM_VERDICTS."""
    counted_by = Counter(one.verdict.verdict for each in papers for one in each.claims)
    return {name: counted_by[name] for name in CLAIM_VERDICTS}


def answer(papers: Sequence[Overview]) -> str:
    """Say in one sentence whether the published numbers hold."""
    summary = total(papers)
    numbers = {words: count for count, words in five(summary)}
    every = sum(numbers.values())
    papers_with = sum(1 for one in papers if one.verdicts)
    agree, differ = numbers["agree"], numbers["differ"]
    parts = [
        f"{agree} {'agrees' if agree == 1 else 'agree'} with ours",
        f"{differ} {'differs' if differ == 1 else 'differ'}" if differ else "none differs",
    ]
    impossible = numbers["cannot all be right as printed"]
    if impossible:
        parts.append(f"{impossible} cannot all be right as printed")
    never = numbers["cannot be told by any number of runs"]
    if never:
        parts.append(f"{never} cannot be told by any number of runs")
    printed = f"{every} number{'' if every == 1 else 's'}"
    sentence = f"Of {printed} that {counted(papers_with, 'paper')} {_print(papers_with)}, "
    rest = numbers["cannot be told yet"]
    if not rest:
        return sentence + _listed(parts) + "."
    because = _because(papers, summary)
    return f"{sentence}{', '.join(parts)}, and {rest} cannot be told yet{because}."


def _print(number: int) -> str:
    return "prints" if number == 1 else "print"


def _were(number: int) -> str:
    return f"{number} {'was' if number == 1 else 'were'}"


def _because(papers: Sequence[Overview], summary: Summary) -> str:
    """Say what most numbers that cannot be told yet lack."""
    reasons: Counter = Counter()
    for one in papers:
        for key, verdict in one.verdicts.items():
            if verdict.verdict == "not comparable" and key not in one.impossible:
                # In their order, not as a set: of two alike the first is named, in every run.
                reasons.update(list(dict.fromkeys(trials.differences(verdict.reason))))
    parts = []
    if summary.not_comparable:
        reason, _ = reasons.most_common(1)[0]
        unlike = f"{_were(summary.not_comparable)} not run as the paper describes"
        parts.append(f"{unlike}, mostly because of {reason}")
    if summary.not_run:
        parts.append(f"{_were(summary.not_run)} not run")
    if summary.not_yet:
        parts.append(f"{summary.not_yet} need{'s' if summary.not_yet == 1 else ''} more seeds")
    return f": {'; '.join(parts)}" if parts else ""


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
