"""How the evidence is laid out: tables, notes and drawings, for template.html.jinja to write
down.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import pandas
from markupsafe import Markup

from common.published.findings import Finding
from common.published.schema import PublishedTable
from common.report import numbers, svg
from common.report.collect import Beyond, Command, Judged, Paper, Run, place

SHOWN_LINES = 50  # of a table of unknown form; the rest stays in its file
SCALES = {
    "fraction": 0.1,
    "percent": 10,
}  # units that are drawn, and what their scales are multiples of
Place = Tuple[str, str, str]  # table, row, metric


class Ours(NamedTuple):
    """A regenerated number as shown, empty where it was not run; `reason` is the letter of a
    note.
    """

    value: str
    half_width: str  # of the 95 % interval, "" for a single seed
    difference: str
    verdict: str
    reason: str


class Number(NamedTuple):
    """A published number, the findings about it, and what was regenerated of it, by protocol."""

    label: str
    printed: str
    findings: Sequence[int]
    ours: Mapping[str, Ours]
    gap: str  # corrected less published protocol
    drawing: Markup


class Block(NamedTuple):
    """A published table beside what one profile gave."""

    profile: str
    rests: Mapping[str, Sequence[str]]  # by protocol
    groups: Mapping[str, Sequence[Number]]  # by the label of their row
    gaps: bool  # whether there are any
    several_seeds: bool
    ends: Markup  # of the drawings' scale, empty where there is none, or more than one
    reasons: Mapping[str, str]  # by letter
    command: str


class Grid(NamedTuple):
    """A table without verdicts. The first `names` columns name a line."""

    caption: str
    names: int
    columns: Sequence[str]
    lines: Sequence[Sequence[str]]
    left_out: int = 0  # lines


class Printed(NamedTuple):
    """Numbers as printed: lines of label, citation and (number, findings) by column."""

    columns: Sequence[str]
    lines: Sequence[Tuple[str, str, Sequence[Tuple[str, Sequence[int]]]]]


class Remarks(NamedTuple):
    """Findings, numbered throughout the paper, and the reason that they share: "" where it stands
    with the `first`.
    """

    reason: str
    first: int
    findings: Sequence[Tuple[int, Finding]]


def blocks(paper: Paper, judged: Judged) -> List[Block]:
    """Give what was regenerated of a published table, a block per profile, the protocols beside
    each other.
    """
    made = judged.verdicts.loc[judged.verdicts["n_seeds"] > 0, "profile"]
    return [_block(paper, judged, profile) for profile in sorted(made.unique(), key=place)]


def _block(paper: Paper, judged: Judged, profile: str) -> Block:
    reference, about = judged.reference, _about(paper)
    verdicts = judged.verdicts[judged.verdicts["profile"] == profile]
    results = judged.results[judged.results["profile"] == profile]
    protocols = sorted(verdicts["protocol"].unique(), key=place)
    judgements = {(line.protocol, line.row, line.metric): line for line in verdicts.itertuples()}
    made = {(line.protocol, line.row, line.metric): line for line in results.itertuples()}
    letters = {
        reason: numbers.letter(number) for number, reason in enumerate(verdicts["reason"].unique())
    }
    decimals = _decimals(reference, reference.rows)
    scales = {unit: _scale(reference, verdicts, unit) for unit in SCALES}
    groups: Dict[str, List[Number]] = {}
    for row, metric, printed in reference.numbers():
        lines = {protocol: judgements[protocol, row, metric] for protocol in protocols}
        scale = scales.get(reference.metrics[metric].unit)
        number = Number(
            label=reference.metrics[metric].label,
            printed=numbers.aligned(numbers.grouped(printed), max(decimals.values())),
            findings=about.get((reference.id, row, metric), ()),
            ours={protocol: _ours(line, decimals, letters) for protocol, line in lines.items()},
            gap=_gap(
                made.get(("published", row, metric)), made.get(("corrected", row, metric)), decimals
            ),
            drawing=_drawing(float(printed), lines, scale) if scale else Markup(),
        )
        groups.setdefault(reference.rows[row].label, []).append(number)
    used = [scale for scale in scales.values() if scale]
    return Block(
        profile=profile,
        rests={
            name: _conditions(reference, results[results["protocol"] == name]) for name in protocols
        },
        groups=groups,
        several_seeds=bool((verdicts["n_seeds"] > 1).any()),
        gaps=any(number.gap for numbers in groups.values() for number in numbers),
        ends=svg.ends(*(numbers.minus(f"{end:g}") for end in used[0]))
        if len(used) == 1
        else Markup(),
        reasons={letter: reason for reason, letter in letters.items()},
        command=command(judged.command, results, paper.runs),
    )


def _ours(line: tuple, decimals: Mapping[str, int], letters: Mapping[str, str]) -> Ours:
    if line.n_seeds == 0:
        return Ours("", "", "", line.verdict, letters[line.reason])
    own, most = decimals[line.metric], max(decimals.values())
    return Ours(
        numbers.aligned(numbers.minus(numbers.grouped(f"{line.regenerated:.{own}f}")), most),
        numbers.aligned(f"{(line.ci_high - line.ci_low) / 2:.{own}f}", most)
        if line.n_seeds > 1
        else "",
        numbers.aligned(numbers.signed(line.difference, own), most),
        line.verdict,
        letters[line.reason],
    )


def _gap(
    published: Optional[tuple], corrected: Optional[tuple], decimals: Mapping[str, int]
) -> str:
    """Give corrected less published where both were made alike but for the protocol, and ""
    elsewhere.
    """
    alike = ("encoder_weights", "precision", "fingerprint", "seeds")
    if not (published and corrected) or any(
        getattr(published, name) != getattr(corrected, name) for name in alike
    ):
        return ""
    gap = numbers.signed(corrected.mean - published.mean, decimals[published.metric])
    return numbers.aligned(gap, max(decimals.values()))


def _drawing(printed: float, lines: Mapping[str, tuple], scale: Tuple[float, float]) -> Markup:
    made = {protocol: line for protocol, line in lines.items() if line.n_seeds > 0}
    dots = {p: svg.Dot(line.regenerated, line.ci_low, line.ci_high) for p, line in made.items()}
    return svg.dots(printed, dots, *scale)


def _scale(
    reference: PublishedTable, verdicts: pandas.DataFrame, unit: str
) -> Optional[Tuple[float, float]]:
    """Give the scale that all numbers of a unit in a table share, None without any."""
    drawn = [name for name, metric in reference.metrics.items() if metric.unit == unit]
    lines = verdicts[verdicts["metric"].isin(drawn)]
    values = [*lines["published"].astype(float), *lines["regenerated"].dropna()]
    return svg.scale(values, SCALES[unit]) if values else None


def _decimals(reference: PublishedTable, rows: Iterable[str]) -> Dict[str, int]:
    """Give the most decimals that each metric is printed with in these rows."""
    found: Dict[str, int] = {}
    for row in rows:
        for metric, printed in reference.rows[row].values.items():
            found[metric] = max(found.get(metric, 0), numbers.places(printed))
    return found


def _conditions(reference: PublishedTable, results: pandas.DataFrame) -> List[str]:
    """Say what the paper's rows rest on under one protocol and profile, those alike together."""
    found: Dict[str, Dict[str, None]] = {}
    for line in results[results["in_paper"] == "yes"].itertuples():
        parts = (
            ["no data needed"]
            if line.fingerprint == "none"
            else [f"{line.data}, fingerprint {line.fingerprint}"]
        )
        if line.encoder_weights != "any":
            parts += [f"encoder weights {line.encoder_weights}", line.precision]
        parts.append(f"n = {line.n_seeds} (seed{'' if line.n_seeds == 1 else 's'} {line.seeds})")
        found.setdefault("; ".join(parts), {})[reference.rows[line.row].label] = None
    if len(found) == 1:
        return list(found)
    return [f"{', '.join(labels)}: {text}" for text, labels in found.items()]


def command(target: Optional[Command], results: pandas.DataFrame, trained: Sequence[Run]) -> str:
    """Write the command that gave these results, "" where the Makefile has none. Other options are
    the defaults.
    """
    if target is None or results.empty:
        return f"make {target.target}" if target else ""
    parts = [f"make {target.target}"]
    profile, seeds = results["profile"].iloc[0], max(results["seeds"], key=len)
    precisions = [name for name in results["precision"].unique() if name not in ("any", "float32")]
    protocols = results["protocol"].unique()
    weights = _weights(results, trained)
    parts += [f"SEEDS={seeds}" if " " not in seeds else f'SEEDS="{seeds}"'] if seeds != "0" else []
    parts += [f"PROTOCOL={protocols[0]}"] if len(protocols) == 1 and weights else []
    parts += [f"PROFILE={profile}"] if profile != "paper" else []
    parts += [f"ENCODER_WEIGHTS={weights}"] if weights not in ("", "imagenet") else []
    return " ".join([*parts, *(f"PRECISION={name}" for name in precisions)])


def _weights(results: pandas.DataFrame, trained: Sequence[Run]) -> str:
    """Write encoder weights as the command line takes them; a file's name stands for its path on
    another machine.
    """
    used = list(
        dict.fromkeys(name for joined in results["encoder_weights"] for name in joined.split(" + "))
    )
    used = [name for name in used if name != "any"]
    pairs = {(run.config.get("encoder"), run.config.get("encoder_weights")) for run in trained}
    own = sorted((encoder, name) for encoder, name in pairs if encoder and name in used)
    if not used:
        return ""
    candidates = [name for name in used if name in ("imagenet", "none")] or used
    general = max(candidates, key=[name for _, name in own].count)
    return ",".join(
        [_file(general), *(f"{encoder}={_file(name)}" for encoder, name in own if name != general)]
    )


def _file(weights: str) -> str:
    """Give the file's name of encoder weights, without the checksum that runs note behind it."""
    return weights.split(" (")[0]


def as_printed(paper: Paper, reference: PublishedTable, quoted: bool) -> Optional[Printed]:
    """Give the numbers as printed, rows by metrics: the paper's own, or those that it quotes; None
    without any.
    """
    about = _about(paper)
    rows = {name: row for name, row in reference.rows.items() if bool(row.citation) == quoted}
    decimals = _decimals(reference, rows)
    metrics = [name for name in reference.metrics if name in decimals]

    def cell(name: str, metric: str) -> Tuple[str, Sequence[int]]:
        printed = rows[name].values.get(metric)
        shown = numbers.aligned(numbers.grouped(printed), decimals[metric]) if printed else ""
        return shown, about.get((reference.id, name, metric), ())

    lines = [
        (row.label, row.citation or "", [cell(name, m) for m in metrics])
        for name, row in rows.items()
    ]
    return (
        Printed([reference.metrics[metric].label for metric in metrics], lines) if lines else None
    )


def remarks(paper: Paper, table: str) -> List[Remarks]:
    """Give the findings of a table, those with the same reason together."""
    groups: Dict[str, List[Tuple[int, Finding]]] = {}
    for number, finding in enumerate(paper.findings, 1):
        groups.setdefault(finding.reason, []).append((number, finding))
    # Where a reason has been given for another table before this one, the reader is sent there.
    shown = [judged.reference.id for judged in paper.judged]
    found = []
    for reason, group in groups.items():
        own = [(number, finding) for number, finding in group if finding.table == table]
        first = min(group, key=lambda pair: shown.index(pair[1].table))[0]
        if own:
            found.append(Remarks(reason if first == own[0][0] else "", first, own))
    return found


def _about(paper: Paper) -> Dict[Place, List[int]]:
    """Give the numbers of the findings about each printed number."""
    about: Dict[Place, List[int]] = {}
    for number, finding in enumerate(paper.findings, 1):
        for cell in finding.cells:
            table, _, name = cell.partition(":")
            row, _, metric = name.rpartition(".")
            about.setdefault((table, row, metric), []).append(number)
    return about


def scores(paper: Paper, results: pandas.DataFrame) -> List[Grid]:
    """Give scores that no published number stands for: a table per profile, a row's protocols below
    each other.
    """
    rows = {
        name: row.label for judged in paper.judged for name, row in judged.reference.rows.items()
    }
    metrics = {
        name: m.label for judged in paper.judged for name, m in judged.reference.metrics.items()
    }
    grids = []
    for profile, block in results.groupby("profile", sort=False):
        texts = {name: _texts(lines) for name, lines in block.groupby("metric", sort=False)}
        lines = []
        for row in block["row"].unique():
            for protocol, own in block[block["row"] == row].groupby("protocol", sort=False):
                named = [
                    rows.get(row, row.replace("_", " ")),
                    protocol,
                    own["encoder_weights"].iloc[0],
                ]
                seeds = [str(own["n_seeds"].iloc[0])]
                lines.append(
                    [*named, *seeds, *(text.get((row, protocol), "") for text in texts.values())]
                )
        columns = [
            "",
            "protocol",
            "encoder weights",
            "n",
            *(metrics.get(m, m.replace("_", " ")) for m in texts),
        ]
        data = (block["data"] + ", fingerprint " + block["fingerprint"]).unique()
        grids.append(Grid(f"{profile} profile; {'; '.join(data)}", 4, columns, lines))
    return grids


def _texts(lines: pandas.DataFrame) -> Dict[Tuple[str, str], str]:
    """Write one metric of several rows, by row and protocol, all with the same number of
    decimals.
    """
    whole = (lines["mean"] == lines["mean"].round()).all()
    decimals = 0 if whole else 4 if lines["mean"].abs().max() < 10 else 2
    texts = {}
    for line in lines.itertuples():
        text = numbers.minus(numbers.grouped(f"{line.mean:.{decimals}f}"))
        spread = f" ± {(line.ci_high - line.ci_low) / 2:.{decimals}f}" if line.n_seeds > 1 else ""
        texts[line.row, line.protocol] = text + spread
    return texts


def further(judged: Judged) -> pandas.DataFrame:
    """Give all that was regenerated with a table if that is more than the paper has: further
    metrics or rows.
    """
    return judged.results if (judged.results["in_paper"] == "no").any() else judged.results[:0]


def as_it_is(beyond: Beyond) -> Grid:
    """Give a table of unknown form."""
    lines = [list(line) for line in beyond.results.head(SHOWN_LINES).itertuples(index=False)]
    return Grid(
        "", 0, list(beyond.results.columns), lines, max(0, len(beyond.results) - SHOWN_LINES)
    )


def curves(paper: Paper) -> List[Tuple[Sequence[str], Mapping[str, Markup]]]:
    """Draw the history of every run: what tells it from the others, and a drawing per quantity.

    Runs share a scale, except that losses of different kinds, which a setting of the same name
    tells, do not compare.
    """
    trained = [run for run in paper.runs if not run.history.empty]
    values: Dict[Tuple[str, object], List[float]] = {}
    for run in trained:
        for column in run.history.select_dtypes("number").columns.drop(
            ["epoch", "learning_rate"], errors="ignore"
        ):
            quantity = column.replace("val_", "", 1)
            finite = run.history[column][np.isfinite(run.history[column])]
            values.setdefault((quantity, run.config.get(quantity)), []).extend(finite)
    scales = {shared: _round_scale(found) for shared, found in values.items() if found}

    def drawn(run: Run) -> Dict[str, Markup]:
        own = {
            name: scale for (name, kind), scale in scales.items() if kind == run.config.get(name)
        }
        return _drawings(run.history, own)

    return [(_title(run, trained), drawn(run)) for run in trained]


def _drawings(
    history: pandas.DataFrame, scales: Mapping[str, Tuple[float, float]]
) -> Dict[str, Markup]:
    drawings = {}
    for quantity, scale in scales.items():
        columns = {"training": quantity, "validation": f"val_{quantity}"}
        lines = {part: history[name] for part, name in columns.items() if name in history}
        lines = {part: line for part, line in lines.items() if np.isfinite(line).any()}
        ends = {part: line[np.isfinite(line)].iloc[[0, -1]] for part, line in lines.items()}
        told = "; ".join(
            f"{part} {quantity} from {one:.3g} to {other:.3g}"
            for part, (one, other) in ends.items()
        )
        if lines:
            drawings[quantity] = svg.curve(lines, *scale, label=f"{told} in {len(history)} epochs")
    return drawings


def _round_scale(values: Sequence[float]) -> Tuple[float, float]:
    """Enclose the values and zero between round ends."""
    spread = max(0, *values) - min(0, *values) or 1
    unit = 10 ** np.floor(np.log10(spread))
    step = next(step for step in (0.2, 0.5, 1) if spread / unit <= 10 * step) * unit
    return svg.scale([0, *values], float(step))


def settings(trained: Sequence[Run]) -> Tuple[Dict[str, object], List[str]]:
    """Give the settings that all runs share, and the names of those in which they differ."""
    configs = [run.config for run in trained if run.config]
    names = list(dict.fromkeys(name for config in configs for name in config))
    differing = [
        name
        for name in names
        if any(config.get(name) != configs[0].get(name) for config in configs)
    ]
    return {name: configs[0][name] for name in names if name not in differing}, differing


def _title(run: Run, trained: Sequence[Run]) -> List[str]:
    _, differing = settings(trained)
    return [
        f"{name.replace('_', ' ')} {run.config[name]}" for name in differing if name in run.config
    ] or [run.id]


def provenance(paper: Paper) -> Grid:
    """Say of every training what it was made from, where and when."""
    facts = ("data", "fingerprint", "device", "commit", "started")
    columns = ("run", "seed", "encoder weights", "epochs", "images", *facts[:-1], "began, UTC")
    lines = []
    for run in paper.runs:
        if not run.config:
            continue
        sizes = ", ".join(f"{len(ids)} {part}" for part, ids in run.split.items())
        # A run that was cut off and resumed has several sessions.
        sessions = [{**session, "started": _minute(session)} for session in run.sessions]
        told = [
            ", ".join(dict.fromkeys(session.get(fact, "") for session in sessions))
            for fact in facts
        ]
        named = [str(run.config.get(setting, "")) for setting in ("seed", "encoder_weights")]
        lines.append([run.id, *named, str(len(run.history) or ""), sizes, *told])
    return Grid("Runs", 1, columns, lines)


def combined(paper: Paper) -> List[Tuple[str, Mapping[str, str]]]:
    """Name what was made of several runs, such as an ensemble, and say how."""
    return [
        (
            run.id,
            {
                name: ", ".join(v) if isinstance(v, list) else str(v)
                for name, v in run.remarks.items()
            },
        )
        for run in paper.runs
        if run.remarks
    ]


def evaluations(paper: Paper) -> Grid:
    """Say of every table with what code and libraries it was evaluated, and when."""
    made = [(table.reference.id, table.environment) for table in paper.judged]
    made += [(table.id, table.environment) for table in paper.beyond]
    lines = []
    for name, environment in made:
        versions = {"python": environment.get("python", ""), **environment.get("libraries", {})}
        told = ", ".join(f"{library} {version}" for library, version in versions.items())
        if environment:
            lines.append(
                [
                    name,
                    environment.get("commit", ""),
                    _minute(environment),
                    told,
                    environment.get("platform", ""),
                ]
            )
    return Grid("Evaluations", 1, ("table", "commit", "made, UTC", "versions", "platform"), lines)


def _minute(environment: dict) -> str:
    return environment.get("started", "")[:16].replace("T", " ")
