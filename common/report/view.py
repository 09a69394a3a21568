"""View models for the HTML report: tables, notes and charts rendered by template.html.jinja."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import pandas
from markupsafe import Markup

from common.cli import PAPER_SEEDS
from common.published.schema import PublishedTable
from common.report import svg
from common.report.collect import Paper, Run
from common.results import export, tables, trials
from common.results.commands import Command
from common.results.overview import Judged, place_of

MOST_COLUMNS = 5  # of scores beyond the paper beside each other; more go below
SHOWN_LINES = 50  # of a table of unknown form; the rest stays in its file
SCALES = {"fraction": 0.1, "percent": 10}  # units with a chart, and what its ends are multiples of
IMPOSSIBLE = "cannot all be right as printed"
THOUSANDS = "\u202f"  # a narrow space
Place = Tuple[str, str, str]  # table, row, metric


class Ours(NamedTuple):
    """A number of ours as shown. `note` is the number of the reason if several share it, else 0."""

    value: str
    interval: str
    verdict: str
    reason: str
    note: int


class Number(NamedTuple):
    """A published number, the findings about it, and ours by protocol.

    `state` is the verdict that counts; `id` is "" where the number stands elsewhere already.
    """

    id: str
    label: str
    printed: str
    findings: Sequence[int]
    state: str
    ours: Mapping[str, Ours]
    chart: Markup


class Block(NamedTuple):
    """A published table beside what one profile gave; without a profile where nothing was run."""

    profile: str
    protocols: Sequence[str]
    groups: Mapping[str, Sequence[Number]]  # by the label of their row
    ends: Tuple[str, str]  # of the charts' scale; empty where there is none, or more than one
    notes: Sequence[str]
    rests_on: Mapping[str, Sequence[str]]  # by protocol
    command: str


class Grid(NamedTuple):
    """A table without verdicts. The first `names` columns name a line."""

    caption: str
    names: int
    columns: Sequence[str]
    lines: Sequence[Sequence[str]]
    left_out: int = 0  # lines


class Cell(NamedTuple):
    """A printed number that is not judged."""

    id: str
    text: str
    findings: Sequence[int]


class FoundItem(NamedTuple):
    """A finding of the audit, with the ids and texts of the numbers that it is about."""

    id: str
    number: int
    paper: Paper
    severity: str
    message: str
    cells: Sequence[Tuple[str, str]]


class FoundGroup(NamedTuple):
    """Findings of one check and severity, which share their reason."""

    severity: str
    check: str
    reason: str
    items: Sequence[FoundItem]


def number_id(paper: str, place: Place) -> str:
    """Name the place of a published number in the page."""
    return "-".join((paper, *place))


def finding_id(paper: str, number: int) -> str:
    """Name the place of a finding in the page; they are numbered from 1 in each paper."""
    return f"{paper}-finding-{number}"


def slug(verdict: str) -> str:
    """Write a verdict as a class.

    >>> slug("not comparable")
    'not-comparable'
    """
    return verdict.replace(" ", "-")


def blocks(paper: Paper, judged: Judged) -> List[Block]:
    """Give a published table beside what was regenerated of it, a block per profile, the protocols
    beside each other; the profile closest to the paper first.
    """
    comparison = tables.compare(judged.reference, judged.results)
    made = comparison.loc[comparison["n_seeds"] > 0, "profile"].unique()
    profiles = sorted(made, key=trials.place) or [""]
    if not judged.trials:
        return []
    return [
        _block(paper, judged, comparison[comparison["profile"] == profile], first=not number)
        for number, profile in enumerate(profiles)
    ]


def _block(paper: Paper, judged: Judged, comparison: pandas.DataFrame, first: bool) -> Block:
    reference, profile = judged.reference, comparison["profile"].iloc[0]
    results = judged.results[judged.results["profile"] == profile]
    results = tables.choose_reading(results, reference.reading)
    protocols = sorted(comparison["protocol"].unique(), key=trials.place) if profile else []
    lines = {(line.protocol, line.row, line.metric): line for line in comparison.itertuples()}
    reasons = comparison["reason"].value_counts(sort=False)
    notes = [reason for reason, count in reasons.items() if count > 1]
    scales = {unit: _scale(reference, comparison, unit) for unit in SCALES}
    decimals, about = export.decimals_of(reference), _about(paper)
    groups: Dict[str, List[Number]] = {}
    for row, metric, printed in reference.numbers():
        place = (reference.id, row, metric)
        own = {protocol: lines[protocol, row, metric] for protocol in protocols}
        scale = scales.get(reference.metrics[metric].unit)
        number = Number(
            id=number_id(paper.id, place) if first else "",
            label=reference.metrics[metric].label,
            printed=_grouped(printed),
            findings=about.get(place, ()),
            state=_state(paper, place, judged),
            ours={name: _ours(line, decimals[metric], notes) for name, line in own.items()},
            chart=_chart(float(printed), own, scale) if scale else Markup(),
        )
        groups.setdefault(reference.rows[row].label, []).append(number)
    used = [scale for scale in scales.values() if scale]
    return Block(
        profile=profile,
        protocols=protocols,
        groups=groups,
        ends=(f"{used[0][0]:g}", f"{used[0][1]:g}") if len(used) == 1 else ("", ""),
        notes=notes if protocols else [],
        rests_on={name: rests_on(results[results["protocol"] == name]) for name in protocols},
        command=command(paper.commands.get(reference.id), results, paper.runs),
    )


def _state(paper: Paper, place: Place, judged: Judged) -> str:
    if place in paper.overview.impossible:
        return IMPOSSIBLE
    return judged.trials[place[1:]].verdict.verdict


def _ours(line: Any, decimals: int, notes: Sequence[str]) -> Ours:
    note = notes.index(line.reason) + 1 if line.reason in notes else 0
    if not line.n_seeds:
        return Ours("", "", line.verdict, line.reason, note)
    value = _grouped(_minus(f"{line.regenerated:.{decimals}f}"))
    between = export.interval(line.low, line.high, decimals)
    return Ours(value, between, line.verdict, line.reason, note)


def _chart(printed: float, lines: Mapping[str, Any], scale: Tuple[float, float]) -> Markup:
    ours = [
        svg.Dot(protocol, line.regenerated, line.low, line.high)
        for protocol, line in lines.items()
        if line.n_seeds
    ]
    return svg.dots(printed, ours, *scale) if ours else Markup()


def _scale(
    reference: PublishedTable, comparison: pandas.DataFrame, unit: str
) -> Optional[Tuple[float, float]]:
    """Give the scale that all numbers of a unit in a table share, None without any of ours."""
    drawn = [name for name, metric in reference.metrics.items() if metric.unit == unit]
    lines = comparison[comparison["metric"].isin(drawn)]
    ours = lines["regenerated"].dropna()
    if ours.empty:
        return None
    return svg.scale([*lines["published"].astype(float), *ours], SCALES[unit])


def rests_on(results: pandas.DataFrame) -> List[str]:
    """Say what rows rest on, those alike together."""
    found: Dict[str, Dict[str, None]] = {}
    for line in results.itertuples():
        parts = [f"{line.data}, fingerprint {line.fingerprint}"]
        if line.fingerprint == "none":
            parts = ["no data needed"]
        if line.encoder_weights != "any":
            parts += [f"encoder weights {line.encoder_weights}", line.precision]
            parts.append(
                f"n = {line.n_seeds} (seed{'' if line.n_seeds == 1 else 's'} {line.seeds})"
            )
        if line.reading:
            parts.append(f"reading {line.reading}")
        found.setdefault("; ".join(parts), {})[line.row] = None
    if len(found) == 1:
        return list(found)
    return [f"{', '.join(rows)}: {text}" for text, rows in found.items()]


def command(target: Optional[Command], results: pandas.DataFrame, trained: Sequence[Run]) -> str:
    """Write the command that gave these results, "" where there is none. Other options are the
    defaults.
    """
    if target is None:
        return ""
    words = [f"make {target.target}"]
    if results.empty:
        return words[0]
    profile, seeds = results["profile"].iloc[0], max(results["seeds"], key=len)
    default = " ".join(map(str, PAPER_SEEDS)) if profile == "paper" else "0"
    trained_any = (results["encoder_weights"] != "any").any()
    if trained_any and seeds != default:
        words.append(f'SEEDS="{seeds}"' if " " in seeds else f"SEEDS={seeds}")
    protocols = results["protocol"].unique()
    if trained_any and len(protocols) == 1:
        words.append(f"PROTOCOL={protocols[0]}")
    if profile != "paper":
        words.append(f"PROFILE={profile}")
    words += _reading_words(results)
    weights = _weights(results, trained)
    if weights not in ("", "imagenet"):
        words.append(f"ENCODER_WEIGHTS={weights}")
    precisions = [name for name in results["precision"].unique() if name not in ("any", "float32")]
    return " ".join([*words, *(f"PRECISION={name}" for name in precisions)])


def _reading_words(results: pandas.DataFrame) -> List[str]:
    """READING of what has no variable of its own, where all rows share it."""
    own = ("encoder_weights=", "precision=")
    readings = []
    for reading in results["reading"].unique():
        parts = [part for part in reading.split(",") if part and not part.startswith(own)]
        readings.append(",".join(parts))
    shared = set(readings)
    return [f'READING="{readings[0]}"'] if len(shared) == 1 and readings[0] else []


def _weights(results: pandas.DataFrame, trained: Sequence[Run]) -> str:
    """Write encoder weights as the command line takes them; a file's name stands for its path on
    another machine.
    """
    joined = [names.split(" + ") for names in results["encoder_weights"].unique()]
    used = list(dict.fromkeys(name for names in joined for name in names if name != "any"))
    pairs = {(run.config.get("encoder"), run.config.get("encoder_weights")) for run in trained}
    own = sorted((str(encoder), str(name)) for encoder, name in pairs if encoder and name in used)
    if not used:
        return ""
    candidates = [name for name in used if name in ("imagenet", "none")] or used
    general = max(candidates, key=[name for _, name in own].count)
    special = [f"{encoder}={_file(name)}" for encoder, name in own if name != general]
    return ",".join([_file(general), *special])


def _file(weights: str) -> str:
    """Give the file's name of encoder weights, without the checksum that runs note behind it."""
    return weights.split(" (")[0]


def quoted(paper: Paper, reference: PublishedTable) -> List[Tuple[str, str, List[Cell]]]:
    """Give the rows that a paper quotes from others: label, citation, and what is quoted."""
    about = _about(paper)
    lines = []
    for name, row in reference.rows.items():
        if row.citation is None:
            continue
        cells = []
        for metric in reference.metrics:
            if metric in row.values:
                place = (reference.id, name, metric)
                text = f"{reference.metrics[metric].label} {_grouped(row.values[metric])}"
                cells.append(Cell(number_id(paper.id, place), text, about.get(place, ())))
        lines.append((row.label, row.citation, cells))
    return lines


def findings(papers: Sequence[Paper], severities: Iterable[str]) -> List[FoundGroup]:
    """Give the findings of all papers by severity and check, in the order of `severities`."""
    grouped: Dict[Tuple[str, str], List[FoundItem]] = {}
    reasons: Dict[Tuple[str, str], str] = {}
    for paper in papers:
        references = {judged.reference.id: judged.reference for judged in paper.overview.judged}
        for number, finding in enumerate(paper.overview.findings, 1):
            places = [place_of(cell) for cell in finding.cells]
            places = [place for place in places if place[1] in _rows(references, place)]
            one_row = len({place[:2] for place in places}) == 1
            cells = [
                (number_id(paper.id, place), _cell_text(references[place[0]], place, one_row))
                for place in places
            ]
            about = (finding.severity, finding.message, cells)
            item = FoundItem(finding_id(paper.id, number), number, paper, *about)
            key = (finding.severity, finding.check)
            grouped.setdefault(key, []).append(item)
            reasons[key] = finding.reason
    order = list(severities)
    keys = sorted(grouped, key=lambda key: order.index(key[0]))
    return [FoundGroup(*key, reasons[key], grouped[key]) for key in keys]


def _rows(references: Mapping[str, PublishedTable], place: Place) -> Iterable[str]:
    return references[place[0]].rows if place[0] in references else ()


def _cell_text(reference: PublishedTable, place: Place, one_row: bool) -> str:
    _, row, metric = place
    about = reference.rows[row]
    text = f"{reference.metrics[metric].label} {about.values.get(metric, '')}"
    return text if one_row else f"{about.label}, {text}"


def _about(paper: Paper) -> Dict[Place, List[int]]:
    """Give the numbers of the findings about each printed number."""
    about: Dict[Place, List[int]] = {}
    for number, finding in enumerate(paper.overview.findings, 1):
        for cell in finding.cells:
            about.setdefault(place_of(cell), []).append(number)
    return about


def further(judged: Judged) -> pandas.DataFrame:
    """Give all that was regenerated with a table if that is more than the paper has: further
    metrics or rows.
    """
    printed = {(row, metric) for row, metric, _ in judged.reference.numbers()}
    made = set(zip(judged.results["row"], judged.results["metric"]))
    if made <= printed:
        return judged.results[:0]
    return tables.choose_reading(judged.results, judged.reference.reading)


def scores(paper: Paper, results: pandas.DataFrame) -> List[Grid]:
    """Give scores as metrics by rows, at most MOST_COLUMNS beside each other: a table per profile
    and, where they do not fit in one, protocol. A metric that the paper has is followed by its
    variants.
    """
    grids = []
    for profile, block in results.groupby("profile", sort=False):
        columns = list(dict.fromkeys(zip(block["row"], block["protocol"])))
        protocols = list(dict.fromkeys(protocol for _, protocol in columns))
        if len(columns) <= MOST_COLUMNS and len(protocols) > 1:
            grids.append(_grid(paper, block, columns, f"Profile {profile}", with_protocol=True))
            continue
        for protocol in protocols:
            own = [column for column in columns if column[1] == protocol]
            caption = f"Protocol {protocol_words(protocol)}, profile {profile}"
            for start in range(0, len(own), MOST_COLUMNS):
                some = own[start : start + MOST_COLUMNS]
                grids.append(_grid(paper, block, some, caption, with_protocol=False))
    return grids


def _grid(
    paper: Paper,
    block: pandas.DataFrame,
    columns: Sequence[Tuple[str, str]],
    caption: str,
    with_protocol: bool,
) -> Grid:
    row_labels, metric_labels = labels(paper)
    cells = {(line.row, line.protocol, line.metric): line.mean for line in block.itertuples()}
    decimals = {metric: _decimals(lines) for metric, lines in block.groupby("metric")}
    lines = []
    for metric in metric_order(decimals, list(metric_labels)):
        values = [cells.get((*column, metric)) for column in columns]
        texts = [_score(value, decimals[metric]) for value in values]
        if any(texts):
            lines.append([metric_labels.get(metric) or export.label(metric), *texts])
    heads = []
    for row, protocol in columns:
        label = row_labels.get(row) or export.label(row)
        heads.append(f"{label}, {protocol_words(protocol)}" if with_protocol else label)
    return Grid(caption, 1, ["", *heads], lines)


def labels(paper: Paper) -> Tuple[Dict[str, str], Dict[str, str]]:
    """Give the labels of a paper's rows and metrics by their ids."""
    references = [judged.reference for judged in paper.overview.judged]
    rows, metrics = {}, {}
    for reference in references:
        rows.update({name: row.label for name, row in reference.rows.items()})
        metrics.update({name: metric.label for name, metric in reference.metrics.items()})
    return rows, metrics


def metric_order(names: Iterable[str], known: Sequence[str]) -> List[str]:
    """Sort metrics: the paper's in its order, each followed by its variants, then the others.

    >>> metric_order(["aji_plus", "pq", "dsc_pooled", "iou_pooled", "aji", "iou", "dsc"],
    ...     ["dsc", "aji"])
    ['dsc', 'dsc_pooled', 'aji', 'aji_plus', 'iou', 'iou_pooled', 'pq']
    """
    names = list(names)
    bases = [*known, *sorted(set(names) - set(known), key=len)]

    def key(name: str) -> Tuple[int, str, str]:
        of = [base for base in bases if name == base or name.startswith(f"{base}_")]
        base = max((one for one in of if one in known), key=len, default=of[0] if of else name)
        place = known.index(base) if base in known else len(known)
        return place, base, name

    return sorted(names, key=key)


def _decimals(lines: pandas.DataFrame) -> int:
    if (lines["mean"] == lines["mean"].round()).all():
        return 0
    return 4 if lines["mean"].abs().max() < 10 else 2


def _score(value: Optional[float], decimals: int) -> str:
    return "" if value is None else _grouped(_minus(f"{value:.{decimals}f}"))


def as_it_is(table: pandas.DataFrame) -> Grid:
    """Give a table of unknown form."""
    lines = [list(line) for line in table.head(SHOWN_LINES).itertuples(index=False)]
    return Grid("", 0, list(table.columns), lines, max(0, len(table) - SHOWN_LINES))


def protocol_words(name: str) -> str:
    """Write the name of a protocol in a sentence."""
    return "as published" if name == "published" else name


def _grouped(text: str) -> str:
    """Set the thousands of a number of five digits or more apart."""
    whole, point, rest = text.partition(".")
    if not whole.isdigit() or len(whole) < 5:
        return text
    return f"{int(whole):,}".replace(",", THOUSANDS) + point + rest


def _minus(text: str) -> str:
    return text.replace("-", "−")


def signed(value: float, decimals: int = 3) -> str:
    """Write a difference with its sign, and nothing as plain zero."""
    text = f"{value:+.{decimals}f}"
    return _minus(text) if float(text) else text[1:]
