"""The report: one page with every published number, ours and the verdict: `make report`.

`results/index.html` is what `common.report.collect` finds, arranged by `common.report.view`,
`readings` and `training`, and rendered by template.html.jinja and style.css beside this file. It
asks for nothing from a network, runs no script and holds no date of its own: equal results give
equal bytes.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup

from common import files
from common.errors import InputError, exits_cleanly
from common.files import PROJECT
from common.published.findings import SEVERITIES
from common.report import collect, pdf, readings, thumbnails, training, view
from common.report.collect import Paper
from common.results import export, overview, verdicts
from common.results.claims import CLAIM_VERDICTS
from common.results.judged_claims import JudgedClaim

NAME = "index.html"
SIGNS = {
    "match": "=",
    "within": "≈",
    "above": "▲",
    "below": "▼",
    "undecided": "?",
    "not comparable": "◇",
    "not run": "○",
    view.IMPOSSIBLE: "✕",
    "supported": "✓",
    "contradicted": "✕",
    "not tested": "○",
}
# How severities are called where a reader chooses among them.
CALLED = {
    "impossible": "cannot be right",
    "suspicious": "suspicious",
    "unresolved": "unresolved",
    "note": "notes",
}


class Head(NamedTuple):
    """What the first screen says of a paper."""

    paper: Paper
    says: str
    ours: str
    claim: Optional[JudgedClaim]
    command: str
    status: str


def render(results: Path, project: Path = PROJECT) -> str:
    """Return the page about the results in a folder.

    Raises:
        InputError: a file of the results, or a published table, is damaged.
    """
    papers = collect.gather(results, project)
    overviews = [paper.overview for paper in papers]
    summary = overview.total(overviews)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(markdown=_markdown, spaced=export.label, slug=view.slug)
    environment.globals.update(
        view=view, reading=readings, training=training, signs=SIGNS, severities=SEVERITIES
    )
    return environment.get_template("template.html.jinja").render(
        papers=papers,
        heads=[_head(paper, results) for paper in papers],
        answer=overview.answer(overviews),
        five=overview.five(summary),
        chance=summary.sentence(),
        claims=overview.claim_counts(overviews),
        claim_verdicts=CLAIM_VERDICTS,
        states=_states(papers),
        found=view.findings(papers, SEVERITIES),
        found_counts=_found(papers),
        called=CALLED,
        thumbnails=thumbnails.embed(figure.path for paper in papers for figure in paper.figures),
        synthetic=any(_synthetic(paper) for paper in papers),
    )


def without_thumbnails(page: str) -> str:
    """Leave out the bytes of thumbnails, which differ between versions of the library that
    compresses them.

    The checksums of the files that they were made from stay.
    """
    return re.sub(r'src="data:[^"]*"', 'src=""', page)


def _head(paper: Paper, results: Path) -> Head:
    one = paper.overview
    says, ours = overview.headline(one, results)
    by_id = {each.claim.id: each for each in one.claims}
    target = paper.commands.get(one.about.headline.table or "")
    return Head(
        paper,
        says,
        ours,
        by_id.get(one.about.headline.claim or ""),
        f"make {target.target}" if target else "",
        overview.status(one.summary),
    )


def _states(papers: Sequence[Paper]) -> Dict[str, int]:
    """Count the published numbers by the verdict that counts, in the order of the verdicts."""
    counts: Counter = Counter()
    for paper in papers:
        impossible = paper.overview.impossible
        for place, verdict in paper.overview.verdicts.items():
            counts[view.IMPOSSIBLE if place in impossible else verdict.verdict] += 1
    order = (*verdicts.VERDICTS, view.IMPOSSIBLE)
    return {name: counts[name] for name in order if counts[name]}


def _found(papers: Sequence[Paper]) -> Dict[str, int]:
    """Count the findings of all papers by severity."""
    counts = Counter(one.severity for paper in papers for one in paper.overview.findings)
    return {name: counts[name] for name in SEVERITIES if counts[name]}


def _synthetic(paper: Paper) -> bool:
    titles = [title for one in paper.beyond if one.scores for title in one.results["data"]]
    return paper.overview.synthetic or any(map(overview.is_synthetic, titles))


def _markdown(line: str) -> Markup:
    """Turn emphasis and code in a line of Markdown into HTML, and nothing else."""
    return Markup(MarkdownIt("zero").enable(["emphasis", "backticks"]).renderInline(line))


@exits_cleanly
def main(argv: Optional[List[str]] = None) -> None:
    """Write the report about a folder of results into it, or with --check fail where it is not
    current. With --pdf, print it too.
    """
    parser = argparse.ArgumentParser(prog="medseg report", description=main.__doc__)
    parser.add_argument(
        "--results", type=Path, default=PROJECT / "results", help="folder with one per paper"
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail if the report is not current"
    )
    parser.add_argument(
        "--pdf", type=Path, metavar="FILE", help="print the report into FILE; needs Chromium"
    )
    arguments = parser.parse_args(argv)
    if not arguments.results.is_dir():
        raise InputError(f"{arguments.results}: no such folder, expected one with results")
    path, text = arguments.results / NAME, render(arguments.results)
    if arguments.check:
        there = files.read_text(path) if path.exists() else ""
        if without_thumbnails(there) != without_thumbnails(text):
            raise InputError(f"{path}: not what the results are; run `make report` and commit")
        return
    files.write_text(path, text)
    print(f"written: {path} ({len(text.encode()) / 1e6:.1f} MB); open it in a browser")
    if arguments.pdf:
        pages = pdf.print_page(path, arguments.pdf)
        print(f"written: {arguments.pdf} ({pages} pages)")


if __name__ == "__main__":
    main()
