"""Print what the papers conclude, with our verdicts: `medseg claims [PAPER …]`."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import List, Optional, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from common.errors import InputError, exits_cleanly
from common.files import PROJECT
from common.results import overview
from common.results.claims import CLAIM_VERDICTS
from common.results.judged_claims import JudgedClaim
from common.results.overview import Overview

WIDTH = 100
STYLES = {
    "supported": "bold green",
    "contradicted": "bold red",
    "undecided": "yellow",
    "not tested": "dim",
}


def show(papers: Sequence[Overview], console: Optional[Console] = None) -> None:
    """Print every claim with its verdict, its reason and what the paper's own test set could have
    shown.
    """
    console = console or Console()
    console.width = min(WIDTH, console.width)
    counts: Counter = Counter()
    for paper in papers:
        console.print(Text(paper.id, style="bold"))
        for judged in paper.claims:
            counts[judged.verdict.verdict] += 1
            _show_claim(judged, console)
        if not paper.claims:
            console.print(Text("  no claims\n"))
    told = [f"{counts[verdict]} {verdict}" for verdict in CLAIM_VERDICTS]
    console.print(Text(f"{sum(counts.values())} claims: {', '.join(told)}"))


def _show_claim(judged: JudgedClaim, console: Console) -> None:
    verdict = judged.verdict.verdict
    head = Text.assemble(
        (verdict, STYLES[verdict]), f"  {judged.claim.text} ({judged.claim.where})"
    )
    console.print(Padding(head, (0, 0, 0, 2)))
    reasons = [judged.in_short]
    if judged.profile:
        reasons.append(f"Judged by protocol {judged.protocol}, profile {judged.profile}.")
    for sentence in [*reasons, *judged.could_show]:
        console.print(Padding(Text(sentence), (0, 0, 0, 6)))
    console.print()


@exits_cleanly
def main(argv: Optional[List[str]] = None) -> None:
    """Judge the claims of the papers by the tables in results/."""
    parser = argparse.ArgumentParser(prog="medseg claims", description=main.__doc__)
    parser.add_argument("papers", nargs="*", metavar="PAPER", help="folder in reproductions/")
    options = parser.parse_args(argv)
    known = {path.parent.name: path.parent for path in PROJECT.glob("reproductions/*/published")}
    unknown = [name for name in options.papers if name not in known]
    if unknown:
        raise InputError(f"medseg claims {unknown[0]}: expected one of {', '.join(sorted(known))}")
    chosen = options.papers or sorted(known)
    show([overview.of_paper(known[name], PROJECT / "results" / name) for name in chosen])


if __name__ == "__main__":
    main()
