"""The tables in the README files, written from results/ so that no number in them can go stale:
`make readme`.

A README holds `<!-- generated: papers -->` (the overview of all papers) or `<!-- generated: TABLE
[METRIC…] -->` (one table of the paper in whose folder it lies, with all metrics or those named),
each up to `<!-- end -->`; what stands between is replaced. TABLE may be one that only results/ has,
such as an ablation.
"""

from __future__ import annotations

import argparse
import itertools
import re
from pathlib import Path
from typing import Dict, List, Optional

import pandas

from common import files
from common.errors import InputError, exits_cleanly
from common.files import PROJECT
from common.published import schema
from common.published.schema import PublishedTable
from common.results import tables

BLOCK = re.compile(r"(<!-- generated: (\S+)((?: \S+)*?) -->\n).*?(<!-- end -->)", re.DOTALL)


def render(readme: Path, project: Path = PROJECT) -> str:
    """Return the text of a README with its generated blocks brought up to date.

    Raises:
        InputError: a block names a table or metric that does not exist, or a results file is
        damaged.
    """

    def replaced(match: re.Match) -> str:
        head, name, wanted, end = match.groups()
        text = (
            _overview(project)
            if name == "papers"
            else _table(readme.parent, name, wanted.split(), project)
        )
        return f"{head}{text}{end}"

    return BLOCK.sub(replaced, readme.read_text(encoding="utf-8"))


def _overview(project: Path) -> str:
    """One line per results table of every paper: how many numbers were published, regenerated, and
    the verdicts.
    """
    lines = [
        "| paper | table | command | protocol, profile | regenerated | verdicts |",
        "|---|---|---|---|---|---|",
    ]
    folders = sorted(project.glob("reproductions/*/published"))
    for path in itertools.chain.from_iterable(map(schema.table_files, folders)):
        reference, paper = schema.load(path), path.parent.parent.name
        total = len(list(reference.numbers()))
        results = project / "results" / paper / f"{reference.id}_vs_published.csv"
        if not total:
            continue
        about = (
            f"[{paper}](reproductions/{paper}/README.md)",
            reference.title,
            f"`make {paper.split('_')[0]}-{reference.id}`",
        )
        if not results.exists():
            lines.append(f"| {' | '.join((*about, '–', f'0 of {total}', f'{total} not run'))} |")
            continue
        for (protocol, profile), block in tables.read(results).groupby(
            ["protocol", "profile"], sort=False
        ):
            verdicts = block["verdict"].value_counts(sort=False)
            told = ", ".join(
                f"{verdicts[verdict]} {verdict}"
                for verdict in tables.VERDICTS
                if verdict in verdicts
            )
            done = int((block["n_seeds"] > 0).sum())
            lines.append(
                f"| {' | '.join((*about, f'{protocol}, {profile}', f'{done} of {total}', told))} |"
            )
    return "\n".join(lines) + "\n"


def _table(folder: Path, table_id: str, wanted: List[str], project: Path) -> str:
    """A regenerated table beside the published one, a block per protocol and profile, with what it
    rests on.
    """
    readme, results = folder / "README.md", project / "results" / folder.name
    of_paper = {table.id: table for table in schema.load_folder(folder / "published")}
    reference = of_paper.get(table_id)
    if not (results / f"{table_id}.csv").exists():
        if reference is None:
            raise InputError(
                f"{readme}: no table {table_id!r} in {folder / 'published'} or {results}"
            )
        return "Not regenerated yet.\n"
    table = tables.read(results / f"{table_id}.csv")
    missing = set(wanted) - set(table["metric"])
    if missing:
        raise InputError(f"{readme}: {table_id} has no metric {', '.join(sorted(missing))}")
    judged = None if reference is None else tables.read(results / f"{table_id}_vs_published.csv")
    labels = {name: metric.label for t in of_paper.values() for name, metric in t.metrics.items()}
    blocks = []
    for key, block in table.groupby(["protocol", "profile"], sort=False):
        metrics = wanted or list(
            dict.fromkeys([*(reference.metrics if reference else ()), *block["metric"]])
        )
        text = _block(reference, block, {metric: labels.get(metric, metric) for metric in metrics})
        if reference is not None:
            text += _verdicts(
                reference, judged[(judged["protocol"] == key[0]) & (judged["profile"] == key[1])]
            )
        blocks.append(text)
    return "\n".join(blocks)


def _block(
    reference: Optional[PublishedTable], block: pandas.DataFrame, labels: Dict[str, str]
) -> str:
    first = block.iloc[0]
    lines = [
        f"Protocol `{first.protocol}`, profile `{first.profile}`, {first.precision}, n = "
        f"{first.n_seeds} "
        f"(seeds {first.seeds}), data: {first.data}, fingerprint `{first.fingerprint}`."
        + (" Published → regenerated." if reference else ""),
        "",
        f"| | encoder weights | {' | '.join(labels.values())} |",
        "|---" * (len(labels) + 2) + "|",
    ]
    whole = {metric: (cells["mean"] % 1 == 0).all() for metric, cells in block.groupby("metric")}
    for row, cells in block.groupby("row", sort=False):
        known = reference.rows.get(row) if reference else None
        values = cells.set_index("metric")
        shown = []
        for metric in labels:
            ours = (
                f"{values['mean'][metric]:.{0 if whole[metric] else 4}f}"
                if metric in values.index
                else "–"
            )
            if values["n_seeds"].get(metric, 1) > 1:
                ours += f" ± {(values['ci_high'] - values['ci_low'])[metric] / 2:.4f}"
            theirs = known.values.get(metric) if known else None
            shown.append(f"{theirs} → {ours}" if theirs else ours)
        label = known.label if known else f"{row} (not in the paper)" if reference else row
        lines.append(f"| {label} | {cells['encoder_weights'].iloc[0]} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def _verdicts(reference: PublishedTable, judged: pandas.DataFrame) -> str:
    lines = [""]
    for (verdict, reason), group in judged.groupby(["verdict", "reason"], sort=False):
        rows = "; ".join(reference.rows[row].label for row in group["row"].unique())
        lines.append(f"- {len(group)} × **{verdict}** ({rows}): {reason}.")
    return "\n".join(lines) + "\n"


@exits_cleanly
def main() -> None:
    """Rewrite the generated blocks of all README files, or with --check fail where one is not
    current.
    """
    parser = argparse.ArgumentParser(
        prog="python -m common.results.readme", description=main.__doc__
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail if a README is not current"
    )
    check = parser.parse_args().check
    stale: Dict[Path, str] = {}
    readmes: List[Path] = [
        PROJECT / "README.md",
        *sorted(PROJECT.glob("reproductions/*/README.md")),
    ]
    for readme in readmes:
        text = render(readme)
        if text != readme.read_text(encoding="utf-8"):
            stale[readme] = text
    if check and stale:
        names = ", ".join(str(path.relative_to(PROJECT)) for path in stale)
        raise InputError(f"{names}: not what results/ holds; run `make readme` and commit")
    for readme, text in stale.items():
        files.write_text(readme, text)
        print(f"written: {readme.relative_to(PROJECT)}")


if __name__ == "__main__":
    main()
