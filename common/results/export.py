"""A table with its verdicts for a document: Markdown, LaTeX, and the CSV beside the results.

`medseg table PAPER TABLE --format latex` prints what results/ holds of it and trains nothing.
`<table>_vs_published.csv` is such an export. Nothing reads it but the check that it is current.
"""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, Sequence

import pandas

from common import files
from common.errors import InputError
from common.files import PROJECT
from common.published import schema
from common.published.schema import PublishedTable
from common.results import tables

FORMATS = ("markdown", "latex")
HEADINGS = ("", "metric", "published", "ours", "95 % interval", "n", "verdict")
# Words of ids that are written otherwise.
WORDS = {"ap": "AP", "ap50": "AP50", "bce": "BCE", "dice": "Dice", "f1": "F1", "iou": "IoU"}
WORDS.update(
    share="fraction", aji="AJI", dsc="DSC", froc="FROC", pq="PQ", unet="U-Net", vgg16="VGG16"
)
_LATEX = {"%": r"\%", "&": r"\&", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}"}
_LATEX.update({"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"})
_LATEX.update({"×": r"$\times$", "−": "$-$", "–": "--", "→": r"$\to$", "≥": r"$\geq$"})
_LATEX.update({"≤": r"$\leq$", "±": r"$\pm$", "²": "$^2$", "\N{NO-BREAK SPACE}": "~"})


def label(name: str) -> str:
    """Write the id of a metric or row that the paper does not have, and so has no label for.

    >>> label("aji_plus"), label("unet_bce_dice"), label("false_positives_per_image")
    ('AJI plus', 'U-Net BCE Dice', 'false positives per image')
    """
    return " ".join(WORDS.get(word, word) for word in name.split("_"))


def table_as(reference: PublishedTable, table: pandas.DataFrame, format: str) -> str:
    """Write a table with its verdicts as Markdown or LaTeX, a block per protocol and profile.

    Args:
        reference: the published table.
        table: what was regenerated of it (TABLE_COLUMNS); may be empty.
        format: one of FORMATS.

    Returns:
        The text, with a line end. LaTeX needs the package booktabs.

    Raises:
        InputError: an unknown format.
    """
    if format not in FORMATS:
        raise InputError(f"--format {format}: expected one of {', '.join(FORMATS)}")
    write = _markdown if format == "markdown" else _latex
    comparison = tables.compare(reference, table)
    blocks = comparison.groupby(["protocol", "profile"], sort=False)
    return "\n".join(write(reference, block) for _, block in blocks)


def print_table(words: Sequence[str]) -> None:
    """Print a table as `medseg table` is asked to: PAPER TABLE --format FORMAT.

    Raises:
        InputError: the paper has no such published table, or its results are damaged.
    """
    parser = argparse.ArgumentParser(prog="medseg table", description=__doc__.splitlines()[0])
    parser.add_argument("paper", metavar="PAPER", help="folder in reproductions/")
    parser.add_argument("table", metavar="TABLE", help="published table")
    parser.add_argument("--format", required=True, help=" or ".join(FORMATS))
    parser.add_argument("--results-root", type=Path, default=PROJECT / "results", metavar="DIR")
    asked = parser.parse_args(words)
    folder = PROJECT / "reproductions" / asked.paper / "published"
    own = [table for table in schema.load_folder(folder) if list(table.numbers())]
    published = {table.id: table for table in own}
    if asked.table not in published:
        raise InputError(
            f"{folder}: no table {asked.table}, expected one of {', '.join(published)}"
        )
    path = asked.results_root / asked.paper / f"{asked.table}.csv"
    results = tables.read(path) if path.exists() else pandas.DataFrame(columns=tables.TABLE_COLUMNS)
    print(table_as(published[asked.table], results, asked.format), end="")


def decimals_of(reference: PublishedTable) -> Dict[str, int]:
    """Give the most decimals that each metric is printed with."""
    found: Dict[str, int] = {}
    for _, metric, printed in reference.all_numbers():
        found[metric] = max(found.get(metric, 0), len(printed.partition(".")[2]))
    return found


def interval(low: float, high: float, most: int) -> str:
    """Write an interval with the decimals that its width needs, at most so many.

    "to" stands between the ends where one is negative. "" where there is no interval.

    >>> interval(0.6012, 0.9171, 4), interval(-0.1, 0.2, 1), interval(float("nan"), 1, 1)
    ('0.60–0.92', '−0.1 to 0.2', '')
    """
    if math.isnan(low) or math.isnan(high) or low == high:
        return ""
    decimals = min(most, max(0, math.ceil(1 - math.log10(high - low))))
    joint = " to " if low < 0 else "–"
    return f"{low:.{decimals}f}{joint}{high:.{decimals}f}".replace("-", "−")


def ours(line: Any, decimals: int) -> str:
    """Write the mean of a line of a table with its interval, such as "0.7163 (0.51–0.92)"."""
    between = interval(line.low, line.high, decimals)
    return f"{line.mean:.{decimals}f}" + (f" ({between})" if between else "")


def stale_comparisons(project: Path = PROJECT) -> Dict[Path, str]:
    """Give every `<table>_vs_published.csv` that is not what table and published YAML say now, with
    the text that it should have.
    """
    stale = {}
    for folder in sorted(project.glob("reproductions/*/published")):
        results = project / "results" / folder.parent.name
        for reference in schema.load_folder(folder):
            path, table = (results / f"{reference.id}{end}.csv" for end in ("_vs_published", ""))
            if not table.exists():
                continue
            text = tables.as_csv(tables.compare(reference, tables.read(table)))
            if not path.exists() or files.read_text(path) != text:
                stale[path] = text
    return stale


def _caption(reference: PublishedTable, block: pandas.DataFrame) -> str:
    about = [reference.title, f"protocol {block['protocol'].iloc[0]}"]
    about += [f"profile {name}" for name in block["profile"].unique() if name]
    about += [f"reading {name}" for name in block["reading"].unique() if name]
    return ", ".join(about)


def _lines(reference: PublishedTable, block: pandas.DataFrame) -> List[List[str]]:
    decimals = decimals_of(reference)
    lines, last = [], None
    for line in block.itertuples():
        label = reference.rows[line.row].label
        lines.append([label if label != last else "", *_cells(reference, line, decimals)])
        last = label
    return lines


def _cells(reference: PublishedTable, line: Any, decimals: Dict[str, int]) -> Iterable[str]:
    own = decimals[line.metric]
    ours = f"{line.regenerated:.{own}f}" if line.n_seeds else "–"
    between = interval(line.low, line.high, own) or "–"
    label = reference.metrics[line.metric].label
    return label, line.published, ours, between, str(line.n_seeds), line.verdict


def _markdown(reference: PublishedTable, block: pandas.DataFrame) -> str:
    rows = [list(HEADINGS), ["---"] * len(HEADINGS), *_lines(reference, block)]
    text = [f"**{_caption(reference, block)}**", ""]
    for row in rows:
        cells = [cell.replace("|", r"\|") for cell in row]
        text.append(f"| {' | '.join(cells)} |")
    return "\n".join(text) + "\n"


def _latex(reference: PublishedTable, block: pandas.DataFrame) -> str:
    text = [r"\begin{table}", r"\centering", rf"\caption{{{_escaped(_caption(reference, block))}}}"]
    text += [r"\begin{tabular}{llrrrrl}", r"\toprule"]
    text += [_latex_row(HEADINGS), r"\midrule"]
    text += [_latex_row(line) for line in _lines(reference, block)]
    text += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(text) + "\n"


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(map(_escaped, cells)) + r" \\"


def _escaped(text: str) -> str:
    return re.sub("|".join(map(re.escape, _LATEX)), lambda found: _LATEX[found.group()], text)
