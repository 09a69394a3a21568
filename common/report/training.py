"""Training curves and provenance of the runs: rendered by template.html.jinja."""

from __future__ import annotations

from typing import Dict, List, Mapping, Sequence, Tuple

import numpy as np
import pandas
from markupsafe import Markup

from common.report import svg
from common.report.collect import Paper, Run
from common.report.view import Grid


def curves(paper: Paper) -> List[Tuple[Sequence[str], Mapping[str, Markup]]]:
    """Draw the history of every run: what tells it from the others, and a chart per quantity.

    Runs share a scale, except that losses of different kinds, which a setting of the same name
    tells, do not compare.
    """
    trained = [run for run in paper.runs if not run.history.empty]
    values: Dict[Tuple[str, object], List[float]] = {}
    for run in trained:
        numbers = run.history.select_dtypes("number")
        for column in numbers.columns.drop(["epoch", "learning_rate"], errors="ignore"):
            quantity = column.replace("val_", "", 1)
            finite = run.history[column][np.isfinite(run.history[column])]
            values.setdefault((quantity, run.config.get(quantity)), []).extend(finite)
    scales = {key: svg.round_scale([0, *found]) for key, found in values.items() if found}
    differing = _differing(trained)
    found: List[Tuple[Sequence[str], Mapping[str, Markup]]] = []
    for run in trained:
        own = {
            name: scale for (name, kind), scale in scales.items() if kind == run.config.get(name)
        }
        named = [name for name in differing if name in run.config]
        title = [f"{name.replace('_', ' ')} {run.config[name]}" for name in named]
        found.append((title or [run.id], _charts(run.history, own)))
    return found


def _charts(
    history: pandas.DataFrame, scales: Mapping[str, Tuple[float, float]]
) -> Dict[str, Markup]:
    charts = {}
    for quantity, scale in scales.items():
        columns = {"training": quantity, "validation": f"val_{quantity}"}
        lines = {part: history[name] for part, name in columns.items() if name in history}
        lines = {part: line for part, line in lines.items() if np.isfinite(line).any()}
        told = []
        for part, line in lines.items():
            first, last = line[np.isfinite(line)].iloc[[0, -1]]
            told.append(f"{part} {quantity} from {first:.3g} to {last:.3g}")
        if lines:
            label = f"{'; '.join(told)} in {len(history)} epochs"
            charts[quantity] = svg.curve(lines, *scale, label=label)
    return charts


def _differing(trained: Sequence[Run]) -> List[str]:
    """Names of the settings in which runs differ."""
    configs = [run.config for run in trained if run.config]
    names = dict.fromkeys(name for config in configs for name in config)

    def differs(name: str) -> bool:
        return any(config.get(name) != configs[0].get(name) for config in configs)

    return list(filter(differs, names))


def provenance(paper: Paper) -> Grid:
    """Say of every training what it was made from, where and when."""
    columns = ("run", "seed", "weights", "epochs", "images", "device", "commit", "began, UTC")
    lines = []
    for run in paper.runs:
        if not run.config:
            continue
        sizes = ", ".join(f"{len(ids)} {part}" for part, ids in run.split.items())
        # A run that was cut off and resumed has several sessions.
        told = []
        for fact in ("device", "commit", "started"):
            values = [str(session.get(fact, "")) for session in run.sessions]
            values = [_minute(value) if fact == "started" else value for value in values]
            told.append(", ".join(dict.fromkeys(values)))
        named = [str(run.config.get(setting, "")) for setting in ("seed", "encoder_weights")]
        lines.append([run.id, *named, str(len(run.history) or ""), sizes, *told])
    return Grid("Runs", 1, columns, lines)


def combined(paper: Paper) -> List[Tuple[str, str]]:
    """Name what was made of several runs, such as an ensemble, and say how."""
    found = []
    for run in paper.runs:
        parts = []
        for name, value in run.remarks.items():
            text = ", ".join(value) if isinstance(value, list) else str(value)
            parts.append(f"{name.replace('_', ' ')} {text}")
        if parts:
            found.append((run.id, "; ".join(parts)))
    return found


def evaluations(paper: Paper) -> Grid:
    """Say of every table with what code and libraries it was evaluated, and when."""
    lines = []
    for name, environment in paper.environments.items():
        versions = {"python": environment.get("python", ""), **environment.get("libraries", {})}
        told = ", ".join(f"{library} {version}" for library, version in versions.items())
        made = _minute(environment.get("started", ""))
        lines.append([name, environment.get("commit", ""), made, told])
    return Grid("Evaluations", 1, ("table", "commit", "made, UTC", "versions"), lines)


def _minute(started: str) -> str:
    return started[:16].replace("T", " ")
