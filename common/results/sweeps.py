"""The command behind `make …-readings`: compute, show, write and draw the readings of a table."""

from __future__ import annotations

from typing import Dict, Sequence, Tuple

import pandas
from rich.console import Console
from rich.text import Text

from common.cli import Request
from common.datasets.manifests import DataSet
from common.published import schema
from common.results import readings, tables, terminal
from common.results.experiment import Paper, Row


def show_readings(
    paper: Paper, table: str, rows: Sequence[Row], request: Request, data_set: DataSet
) -> None:
    """Write `<table>-readings.csv` and a dot plot per protocol, and say what they show."""
    reference = schema.load(paper.trainer.folder / "published" / f"{table}.yaml")
    values, missing = readings.sweep(paper, rows, request, data_set, request.train_readings)
    default = {}
    for trained in paper.train(rows, request, data_set):
        key = (trained.row.id, trained.config.protocol)
        default[key] = paper.reading_of(trained, paper.scoring)
    frame = readings.frame(reference, values, default, request.profile)
    folder = request.results_root / paper.name
    path = folder / "readings.csv"
    readings.write(frame, path)
    from common.results import reading_plot  # not at the top: a plan draws nothing

    console = Console()
    bands = _bands(folder / f"{table}.csv", reference.reading)
    for protocol, block in frame.groupby("protocol", sort=False):
        _show(reference, block, console)
        figure = folder / f"readings-{protocol}-{request.profile}.png"
        reading_plot.draw(
            reference,
            _with_bands(block, bands),
            figure,
            f"{data_set.title} · protocol {protocol}, profile {request.profile}",
        )
        print(f"written: {figure}")
    for sentence in readings.sentences(reference, frame):
        console.print(Text(sentence))
    if missing:
        console.print(
            Text(
                f"{len(missing)} training readings are not trained yet: {', '.join(missing)}; "
                "TRAIN=1 trains them, one choice at a time"
            )
        )
    print(f"written: {path}")


def _show(reference: schema.PublishedTable, block: pandas.DataFrame, console: Console) -> None:
    grid = terminal.grid("", "published", "default", "lowest", "highest", "reached by")
    numbers = block.groupby(["row", "metric"], sort=False)
    for (row, metric), lines in numbers:
        default = lines.loc[lines["kind"] == "default", "value"]
        reached = int((lines["reaches"] == "yes").sum())
        label = f"{reference.rows[row].label}, {reference.metrics[metric].label}"
        grid.add_row(
            Text(label),
            lines["published"].iloc[0],
            f"{default.iloc[0]:.4f}" if len(default) else "–",
            f"{lines['value'].min():.4f}",
            f"{lines['value'].max():.4f}",
            f"{reached} of {len(lines)}",
        )
    first = block.iloc[0]
    title = f"readings · protocol {first.protocol}, profile {first.profile}\n"
    console.print(Text(title, style="bold"))
    console.print(grid)


def _bands(path, named: str) -> Dict[Tuple[str, str, str, str], Tuple[float, float]]:
    """Prediction intervals of the judged reading, by protocol, profile, row and metric."""
    if not path.exists():
        return {}
    bands = {}
    for line in tables.choose_reading(tables.read(path), named).itertuples():
        bands[line.protocol, line.profile, line.row, line.metric] = (line.low, line.high)
    return bands


def _with_bands(block: pandas.DataFrame, bands: dict) -> pandas.DataFrame:
    lows, highs = [], []
    for line in block.itertuples():
        low, high = bands.get(
            (line.protocol, line.profile, line.row, line.metric), (float("nan"), float("nan"))
        )
        lows.append(low)
        highs.append(high)
    return block.assign(band_low=lows, band_high=highs)
