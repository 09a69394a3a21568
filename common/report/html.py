"""The report: one static page with every published number, what was regenerated of it and the
verdict: `make report`.

`results/index.html` is what `common.report.collect` finds, laid out by `common.report.view` and
written down by template.html.jinja and style.css beside this file. It asks for nothing from a
network, runs no script and holds no date of its own, so that equal evidence gives equal bytes.
"""

from __future__ import annotations

import argparse
import collections
import re
from pathlib import Path
from typing import Iterable, List, Mapping, NamedTuple, Optional, Sequence

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup

from common import files
from common.errors import InputError, exits_cleanly
from common.files import PROJECT
from common.published import findings
from common.report import collect, svg, thumbnails, view
from common.report.collect import Paper
from common.results import tables

NAME = "index.html"
HOLDS = ("match", "within")
SIGNS = {
    "match": "=",
    "within": "≈",
    "above": "▲",
    "below": "▼",
    "not comparable": "◇",
    "not run": "○",
}
SYNTHETIC = "(synthetic)"  # how `common.datasets.manifests` ends the title of phantoms


class Summary(NamedTuple):
    """What the first screen says of a paper; `verdicts` counts its numbers, each under its fairest
    trial.
    """

    published: int
    regenerated: int
    holds: int
    verdicts: Mapping[str, int]
    severities: Mapping[str, int]
    rests: Sequence[str]


def render(results: Path, project: Path = PROJECT) -> str:
    """Return the page about the results in a folder.

    Raises:
        InputError: a file of the results, or a published table, is damaged.
    """
    papers = collect.gather(results, project)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(markdown=_markdown, spaced=lambda name: name.replace("_", " "))
    environment.globals.update(
        show=view, shares=svg.shares, signs=SIGNS, severities=findings.SEVERITIES
    )
    return environment.get_template("template.html.jinja").render(
        papers=[(paper, _summary(paper)) for paper in papers],
        total=_total([_summary(paper) for paper in papers]),
        pictures=thumbnails.embed(figure.path for paper in papers for figure in paper.figures),
        synthetic=any(_synthetic(paper) for paper in papers),
    )


def without_pictures(page: str) -> str:
    """Leave out the bytes of pictures, which differ between versions of the library that compresses
    them.

    The checksums of the files that they were made from stay.
    """
    return re.sub(r'src="data:[^"]*"', 'src=""', page)


def _summary(paper: Paper) -> Summary:
    verdicts: List[str] = []
    made: List[tuple] = []
    for judged in paper.judged:
        trials = judged.verdicts.assign(
            rank=[_rank(trial) for trial in judged.verdicts.itertuples()]
        )
        fairest = trials.sort_values("rank", kind="stable").drop_duplicates(["row", "metric"])
        verdicts += fairest["verdict"].tolist()
        regenerated = fairest.loc[fairest["n_seeds"] > 0, ["row", "metric", "protocol", "profile"]]
        made += regenerated.merge(judged.results).itertuples()
    counts = collections.Counter(verdicts)
    severities = collections.Counter(finding.severity for finding in paper.findings)
    return Summary(
        published=len(verdicts),
        regenerated=len(verdicts) - counts["not run"],
        holds=sum(counts[verdict] for verdict in HOLDS),
        verdicts={verdict: counts[verdict] for verdict in tables.VERDICTS if counts[verdict]},
        severities={
            severity: severities[severity]
            for severity in findings.SEVERITIES
            if severities[severity]
        },
        rests=_rests(made),
    )


def _rank(trial: tuple) -> Sequence[int]:
    """Order the trials of a number: first those that were made, as published, in the profile
    closest to the paper.
    """
    return trial.n_seeds == 0, collect.place(trial.protocol), collect.place(trial.profile)


def _rests(made: Sequence[tuple]) -> List[str]:
    """Say in a line for each data set what regenerated numbers rest on, less what does not matter
    for them.
    """
    ways = {}
    for line in made:
        data = "no data needed" if line.fingerprint == "none" else line.data
        way = ways.setdefault(data, ({}, {}, {}))  # dictionaries as ordered sets
        if line.encoder_weights != "any":
            seeds = "one seed" if line.n_seeds == 1 else f"{line.n_seeds} seeds"
            for known, value in zip(way, (line.profile, line.encoder_weights, seeds)):
                known[value] = None
    return [_way(data, *map(" and ".join, way)) for data, way in ways.items()]


def _way(data: str, profiles: str, weights: str, seeds: str) -> str:
    return (
        ", ".join([data, f"{profiles} profile", f"encoder weights {weights}", seeds])
        if profiles
        else data
    )


def _total(summaries: Sequence[Summary]) -> Summary:
    def added(field: str, names: Iterable[str]) -> Mapping[str, int]:
        return {
            name: sum(getattr(summary, field).get(name, 0) for summary in summaries)
            for name in names
        }

    published, regenerated, holds = (
        sum(summary[place] for summary in summaries) for place in range(3)
    )
    by_verdict, by_severity = (
        added("verdicts", tables.VERDICTS),
        added("severities", findings.SEVERITIES),
    )
    return Summary(published, regenerated, holds, by_verdict, by_severity, rests=())


def _synthetic(paper: Paper) -> bool:
    frames = [table.results for table in (*paper.judged, *paper.beyond) if "data" in table.results]
    return any(title.endswith(SYNTHETIC) for frame in frames for title in frame["data"])


def _markdown(line: str) -> Markup:
    """Turn emphasis and code in a line of Markdown into HTML, and nothing else."""
    return Markup(MarkdownIt("zero").enable(["emphasis", "backticks"]).renderInline(line))


@exits_cleanly
def main(argv: Optional[List[str]] = None) -> None:
    """Write the report about a folder of results into it, or with --check fail where it is not
    current.
    """
    parser = argparse.ArgumentParser(prog="python -m common.report.html", description=main.__doc__)
    parser.add_argument(
        "--results", type=Path, default=PROJECT / "results", help="folder with one per paper"
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail if the report is not current"
    )
    arguments = parser.parse_args(argv)
    if not arguments.results.is_dir():
        raise InputError(f"{arguments.results}: no such folder, expected one with results")
    path, text = arguments.results / NAME, render(arguments.results)
    if arguments.check:
        if not path.exists() or without_pictures(
            path.read_text(encoding="utf-8")
        ) != without_pictures(text):
            raise InputError(f"{path}: not what the results are; run `make report` and commit")
        return
    files.write_text(path, text)
    print(f"written: {path} ({len(text.encode()) / 1e6:.1f} MB); open it in a browser")


if __name__ == "__main__":
    main()
