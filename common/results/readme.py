"""The tables in the README files, written from results/ so that no number in them can go stale:
`make readme`.

A README holds blocks, each from `<!-- generated: NAME -->` to `<!-- end -->`; what stands between
is replaced. NAME is one of
- `answer`: one sentence and five numbers about all papers,
- `papers`: a line per paper,
- `claims`: every claim with its verdict,
- `tables`: a line per table, protocol and profile,
- `TABLE [METRIC…]`: one table of the paper in whose folder the README lies, with all metrics or
  those named. It may be one that only results/ has, such as an ablation.

The command also brings every `<table>_vs_published.csv` up to date.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import pandas

from common import files
from common.errors import InputError, exits_cleanly
from common.files import PROJECT
from common.published import schema
from common.published.schema import PublishedTable
from common.results import commands, export, overview, tables, verdicts
from common.results.overview import Overview

BLOCK = re.compile(r"(<!-- generated: (\S+)((?: \S+)*?) -->\n).*?(<!-- end -->)", re.DOTALL)
OVERVIEWS = ("answer", "papers", "claims", "tables")
DECIMALS = 4  # of a score of ours


def render(readme: Path, project: Path = PROJECT, papers: Sequence[Overview] = ()) -> str:
    """Return the text of a README with its generated blocks brought up to date.

    Args:
        readme: the file.
        project: the checkout that it belongs to.
        papers: of `overview.gather`, where the caller has it.

    Raises:
        InputError: a block names a table or metric that does not exist, or a results file is
            damaged.
    """
    text = files.read_text(readme)
    if not papers and any(name in OVERVIEWS for _, name, _, _ in BLOCK.findall(text)):
        papers = overview.gather(project=project)

    def replaced(match: re.Match) -> str:
        head, name, wanted, end = match.groups()
        if name in OVERVIEWS:
            made = _overview(name, papers, readme.parent, project)
        else:
            made = _table(readme.parent, name, wanted.split(), project)
        return f"{head}{made}{end}"

    return BLOCK.sub(replaced, text)


def stale(project: Path = PROJECT) -> Dict[Path, str]:
    """Give every README and exported comparison that is not current, with its right text."""
    papers = overview.gather(project=project)
    readmes = [project / "README.md", project / "results/README.md"]
    readmes += sorted(project.glob("reproductions/*/README.md"))
    found = export.stale_comparisons(project)
    for readme in filter(Path.exists, readmes):
        text = render(readme, project, papers)
        if text != files.read_text(readme):
            found[readme] = text
    return found


def _overview(name: str, papers: Sequence[Overview], folder: Path, project: Path) -> str:
    if name == "answer":
        return _answer(papers)
    upwards = "" if folder == project else "../"
    if name == "papers":
        lines = [_paper_line(one, upwards, project) for one in papers]
        head = ("paper", "task and data", "the paper says", "ours", "its numbers")
        return _grid(head, lines)
    if name == "claims":
        claimed = [line for one in papers for line in _claim_lines(one, upwards)]
        return _grid(("paper", "claim", "verdict", "why"), claimed)
    made = [line for one in papers for line in _table_lines(one, upwards, project)]
    columns = ("paper", "table", "command", "protocol, profile", "regenerated", "verdicts")
    return _grid(columns, made)


def _answer(papers: Sequence[Overview]) -> str:
    summary = overview.total(papers)
    numbers = overview.five(summary)
    claims = [f"{count} {name}" for name, count in overview.claim_counts(papers).items()]
    grid = _grid([words for _, words in numbers], [[str(count) for count, _ in numbers]])
    return (
        f"{overview.answer(papers)}\n\n{grid}\n"
        f"What the papers conclude: {', '.join(claims)}. {summary.sentence()}\n"
    )


def _paper_line(one: Overview, upwards: str, project: Path) -> List[str]:
    about, headline = one.about, one.about.headline
    known = commands.of_paper(project / "reproductions" / one.id)
    link = f"[{one.id}]({upwards}reproductions/{one.id}/README.md)"
    command = f"<br>`make {known[headline.table].target}`" if headline.table in known else ""
    says, ours = overview.headline(one, project / "results")
    return [link + command, f"{about.task}; {about.data}", says, ours, overview.status(one.summary)]


def _claim_lines(one: Overview, upwards: str) -> List[List[str]]:
    link = f"[{one.id}]({upwards}reproductions/{one.id}/README.md)"
    return [[link, each.claim.text, each.verdict.verdict, each.in_short] for each in one.claims]


def _table_lines(one: Overview, upwards: str, project: Path) -> List[List[str]]:
    known = commands.of_paper(project / "reproductions" / one.id)
    link = f"[{one.id}]({upwards}reproductions/{one.id}/README.md)"
    lines = []
    for judged in one.judged:
        reference = judged.reference
        every = len(judged.trials)
        if not every:
            continue  # all rows are quoted
        command = known.get(reference.id)
        about = [link, reference.title, f"`make {command.target}`" if command else "–"]
        if judged.results.empty:
            lines.append([*about, "–", f"0 of {every}", f"{every} not run"])
            continue
        comparison = tables.compare(reference, judged.results)
        for (protocol, profile), block in comparison.groupby(["protocol", "profile"], sort=False):
            counts = block["verdict"].value_counts()
            told = [f"{counts[name]} {name}" for name in verdicts.VERDICTS if name in counts]
            done = int((block["n_seeds"] > 0).sum())
            trial = f"{protocol}, {profile}"
            lines.append([*about, trial, f"{done} of {every}", ", ".join(told)])
    return lines


def _grid(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    text = ""
    for row in rows:
        cells = [cell.replace("|", "\\|") for cell in row]
        text += f"| {' | '.join(cells)} |\n"
    return text


def _table(folder: Path, table_id: str, wanted: List[str], project: Path) -> str:
    """A regenerated table beside the published one, a block per protocol and profile, with what it
    rests on.
    """
    readme, results = folder / "README.md", project / "results" / folder.name
    of_paper = {table.id: table for table in schema.load_folder(folder / "published")}
    reference = of_paper.get(table_id)
    path = results / f"{table_id}.csv"
    if not path.exists():
        if reference is None:
            raise InputError(
                f"{readme}: no table {table_id!r} in {folder / 'published'} or {results}"
            )
        return "Not regenerated yet.\n"
    table = tables.choose_reading(tables.read(path), reference.reading if reference else "")
    missing = set(wanted) - set(table["metric"])
    if missing:
        raise InputError(f"{readme}: {table_id} has no metric {', '.join(sorted(missing))}")
    judged = None if reference is None else tables.compare(reference, table)
    labels = {name: metric.label for t in of_paper.values() for name, metric in t.metrics.items()}
    blocks = []
    for (protocol, profile), block in table.groupby(["protocol", "profile"], sort=False):
        published = reference.metrics if reference is not None else ()
        metrics = wanted or list(dict.fromkeys([*published, *block["metric"]]))
        shown = {name: labels.get(name) or export.label(name) for name in metrics}
        text = _block(reference, block, shown)
        if reference is not None and judged is not None:
            own = (judged["protocol"] == protocol) & (judged["profile"] == profile)
            text += _verdicts(reference, judged[own])
        blocks.append(text)
    return "\n".join(blocks)


def _block(
    reference: Optional[PublishedTable], block: pandas.DataFrame, labels: Dict[str, str]
) -> str:
    whole = {metric: (cells["mean"] % 1 == 0).all() for metric, cells in block.groupby("metric")}
    lines = []
    for row, cells in block.groupby("row", sort=False):
        known = reference.rows.get(row) if reference else None
        by_metric = {line.metric: line for line in cells.itertuples()}
        shown = []
        for metric in labels:
            ours = _ours(by_metric.get(metric), whole.get(metric))
            theirs = known.values.get(metric) if known else None
            shown.append(f"{theirs} → {ours}" if theirs else ours)
        label = known.label if known else f"{row} (not in the paper)" if reference else row
        lines.append([label, cells["encoder_weights"].iloc[0], *shown])
    head = ("", "encoder weights", *labels.values())
    return f"{_conditions(block, reference)}\n\n{_grid(head, lines)}"


def _conditions(block: pandas.DataFrame, reference: Optional[PublishedTable]) -> str:
    first = block.iloc[0]
    about = [f"Protocol `{first.protocol}`", f"profile `{first.profile}`"]
    about += [f"reading `{name}`" for name in block["reading"].unique() if name]
    about += [f"n = {first.n_seeds} (seeds {first.seeds})", f"data: {first.data}"]
    about.append(f"fingerprint `{first.fingerprint}`")
    text = ", ".join(about) + "."
    has_intervals = (block["low"] < block["high"]).any()
    if reference is None and not has_intervals:
        return text
    shown = "Ours" if reference is None else "Published → ours"
    if has_intervals:
        shown += " (and where one further run may land, 95 %)"
    return f"{text} {shown}."


def _ours(line: Any, whole: Optional[bool]) -> str:
    """Write a score of ours, with the interval that its table gives it."""
    if line is None:
        return "–"
    return export.ours(line, 0 if whole else DECIMALS)


def _verdicts(reference: PublishedTable, judged: pandas.DataFrame) -> str:
    lines = ["\n"]
    for (verdict, reason), group in judged.groupby(["verdict", "reason"], sort=False):
        rows = "; ".join(reference.rows[row].label for row in group["row"].unique())
        if len(group) == 1:
            rows += f", {reference.metrics[group['metric'].iloc[0]].label}"
        lines.append(f"- {len(group)} × **{verdict}** ({rows}): {reason.rstrip('.')}.\n")
    return "".join(lines)


@exits_cleanly
def main(argv: Optional[List[str]] = None) -> None:
    """Rewrite what README files and exported comparisons hold of results/, or with --check fail
    where one is not current.
    """
    parser = argparse.ArgumentParser(
        prog=".venv/bin/python -m common.results.readme", description=main.__doc__
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail if a file is not current"
    )
    check = parser.parse_args(argv).check
    found = stale()
    names = [str(path.relative_to(PROJECT)) for path in found]
    if check and found:
        print(f"{', '.join(names)}: not what results/ holds; run `make readme`", file=sys.stderr)
        sys.exit(1)
    for path, text in found.items():
        files.write_text(path, text)
        print(f"written: {path.relative_to(PROJECT)}")
    if not found:
        print("README files and exported comparisons are current")


if __name__ == "__main__":
    main()
