"""`.venv/bin/python -m tools.bench`: run the cases, write their CSV files and the figure, and
show the ratios beside their targets.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Dict, List, Literal, Optional, Sequence, Tuple

import numpy as np
import pandas
import tyro
from rich.console import Console
from rich.table import Table

from common import files
from common.errors import exits_cleanly
from common.training import cuda, runs
from tools.bench import device, encoders, figure, metrics, pipeline, table, tiling
from tools.bench.scale import FULL, QUICK, Scale
from tools.bench.timing import Row

# isort: split
# TensorFlow comes after the CUDA libraries that `common` prepares.
import tensorflow as tf

PEERS = ("patchify", "empatches", "tiler", "stardist", "albumentations")
SUBJECTS = {
    "metrics": metrics,
    "tiling": tiling,
    "encoders": encoders,
    "pipeline": pipeline,
    "table": table,
}


@dataclass(frozen=True)
class Options:
    """Measure this suite beside what its users would pick instead, on this machine."""

    quick: bool = False
    """Two minutes of smaller cases instead of twenty: to see that all of it runs."""
    only: Tuple[Literal["metrics", "tiling", "encoders", "pipeline", "table", "gpu"], ...] = (
        *SUBJECTS,
        "gpu",
    )
    """Subjects to measure."""
    out: Optional[Path] = None
    """Folder of the CSV files and the figure; results/bench by default, results/demo/bench for
    --quick.
    """


def measure(only: Sequence[str], scale: Scale, out: Path) -> Dict[str, List[Row]]:
    """Measure subjects one after the other, keeping each as soon as it is there; gpu only where
    there is one.
    """
    measured: Dict[str, List[Row]] = {}
    machine = {
        "device": cuda.device_name(),
        "load_before": os.getloadavg(),
        "scale": scale.name,
        "peers": _versions(),
    }
    for name in only:
        print(f"{name} …", flush=True)
        if name != "gpu":
            measured[name] = SUBJECTS[name].run(scale)
        elif tf.config.list_physical_devices("GPU"):
            measured[name], limits = device.run(scale)
            runs.write_csv(out / "gpu_limits.csv", pandas.DataFrame(limits))
        else:
            print("gpu: left out, no GPU found")
            continue
        runs.write_csv(out / f"{name}.csv", pandas.DataFrame(measured[name], columns=Row._fields))
        files.write_json(out / f"{name}.json", runs.environment(**machine))
    return measured


def load(folder: Path) -> Tuple[Dict[str, List[Row]], str]:
    """Read the rows of all subjects measured into a folder, in one run or in several; and their
    commits.
    """
    rows, commits = {}, {}
    for name in (*SUBJECTS, "gpu"):
        if (folder / f"{name}.csv").exists():
            table = pandas.read_csv(folder / f"{name}.csv")
            rows[name] = [Row(**line) for line in table.to_dict("records")]
            commits[runs.read_json(folder / f"{name}.json")["commit"]] = True
    return rows, ", ".join(commits)


def show(measured: Dict[str, List[Row]], console: Console) -> None:
    """Print every row: costs and the ratio beside its target, then that of the least wall times and
    that of the processor times.
    """
    words = ("case", "the other way")
    headings = (
        "case",
        "ours",
        "the other way",
        "its cost",
        "ratio",
        "target",
        "least",
        "processor",
    )
    for subject, rows in measured.items():
        grid = Table(title=subject, title_justify="left", expand=False)
        for heading in headings:
            grid.add_column(heading, justify="left" if heading in words else "right")
        for row in rows:
            grid.add_row(row.case, *_cells(row))
        console.print(grid)


def _cells(row: Row) -> List[str]:
    target = _times(row.target)
    if not row.n:
        return ["–", row.peer, row.note, "–", target, "–", "–"]
    colour = "red" if row.ratio < row.target else "green"
    return [
        f"{_short(row.ours)} {row.unit}",
        row.peer,
        f"{_short(row.theirs)} {row.unit}",
        f"[{colour}]{_times(row.ratio)}[/]",
        target,
        _times(row.ratio_least),
        _times(row.ratio_cpu),
    ]


def _times(ratio: float) -> str:
    return f"{_short(ratio)}×" if np.isfinite(ratio) else "–"


def _short(number: float) -> str:
    """Three digits, of large numbers all."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def _versions() -> Dict[str, str]:
    found = {}
    for name in PEERS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


@exits_cleanly
def main() -> None:
    """Measure from the command line."""
    options = tyro.cli(Options, prog=".venv/bin/python -m tools.bench", description=Options.__doc__)
    scale = QUICK if options.quick else FULL
    # Rough ratios do not replace measured ones.
    out = options.out or Path("results/demo/bench" if options.quick else "results/bench")
    measured = measure(options.only, scale, out)
    rows, commits = load(out)
    figure.draw(
        out / "bench.png", rows, f"{scale.name} cases · {cuda.device_name()} · commit {commits}"
    )
    show(measured, Console(width=None if sys.stdout.isatty() else 160))
    print(f"written: CSV files and bench.png in {out}")


if __name__ == "__main__":
    main()
