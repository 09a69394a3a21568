"""Regenerate the results table and compare the suggested improvements: `python -m
reproductions.polyp_unet.eval -h`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple

import pandas
from rich import box
from rich.console import Console
from rich.table import Table

from common import cli
from common.cli import Request
from common.datasets import manifests
from common.errors import exits_cleanly
from common.published import schema
from common.published.schema import PublishedTable
from common.results import experiment, tables
from common.training import runs
from reproductions.polyp_unet import data, metrics
from reproductions.polyp_unet.config import PROFILES, Config
from reproductions.polyp_unet.train import PAPER, train

PUBLISHED = Path(__file__).parent / "published/table.yaml"
# What the source suggests, one change each. A tuned threshold needs no training: every row has it
# as further metrics.
IMPROVEMENTS: Mapping[str, Dict[str, str]] = {
    "unet": {},
    "unet_bce_dice": {"loss": "bce_dice"},
    "unet_focal": {"loss": "focal"},
    "unet_weighted_bce": {"loss": "weighted_bce"},
    "attention_unet": {"architecture": "attention_unet"},
}


class Regenerated(NamedTuple):
    """One network for one protocol and seed."""

    row: str
    config: Config
    run: runs.Run


def regenerated(
    request: Request, data_set: manifests.DataSet, protocols: Sequence[str], rows: Iterable[str]
) -> List[Regenerated]:
    """Train what is missing and give every network's row, by protocol, then seed."""
    base = replace(PROFILES[request.profile], precision=request.precision)
    wanted = [
        (row, replace(base, protocol=protocol, seed=seed, **IMPROVEMENTS[row]))
        for protocol in protocols
        for seed in request.seeds
        for row in rows
    ]
    finished = experiment.ensure([config for _, config in wanted], train, data_set, request)
    return [Regenerated(row, config, run) for (row, config), run in zip(wanted, finished)]


def table(request: Request) -> None:
    """Results of the U-Net, beside the published ones; and by centre, where the data tell it."""
    data_set, request = _found(request)
    rows = regenerated(request, data_set, request.protocols, ["unet"])
    kept = experiment.publish(
        PUBLISHED, _scores(rows, data_set, request), request.results_root / PAPER
    )
    reference = schema.load(PUBLISHED)
    alike = {
        "profile": request.profile,
        "precision": request.precision,
        "fingerprint": data_set.fingerprint,
    }
    alike["seeds"] = " ".join(
        map(str, sorted(request.seeds))
    )  # the other protocol may be of an earlier command
    _show_side_by_side(
        reference, kept[(kept[list(alike)].astype(str) == pandas.Series(alike)).all(axis=1)]
    )
    _centres(reference, rows, data_set, request)


def ablation(request: Request) -> None:
    """What the source suggests as improvements, in one table; corrected, unless the other protocol
    is asked for.
    """
    data_set, request = _found(request)
    rows = regenerated(request, data_set, [request.protocol or "corrected"], IMPROVEMENTS)
    reference = replace(schema.load(PUBLISHED), id="ablation", title="Suggested improvements")
    experiment.publish_beyond(
        reference, _scores(rows, data_set, request), request.results_root / PAPER
    )


TARGETS = {"table": table, "ablation": ablation}


def _found(request: Request) -> Tuple[manifests.DataSet, Request]:
    data_set = data.find(request.data_root)
    return data_set, experiment.settle(request, data_set)


def _scores(
    rows: Sequence[Regenerated], data_set: manifests.DataSet, request: Request
) -> List[Tuple[tables.Score, tables.Conditions]]:
    scores = []
    for row in rows:
        experiment.keep_provenance(row.run, request.results_root / PAPER)
        conditions = _conditions(row, data_set)
        values = metrics.aggregate(row.run.load_metrics(), row.config).items()
        scores += [
            (tables.Score(row.row, name, value, row.config.seed), conditions)
            for name, value in values
        ]
    return scores


def _conditions(row: Regenerated, data_set: manifests.DataSet) -> tables.Conditions:
    """Describe how a row was made, and what about it differs from the source."""
    different = []
    if data_set.name != data.DATA_SETS[0]:
        different.append(f"{data_set.title} instead of PolypGen")
    if row.config.protocol == "corrected":
        different.append("the source's mistakes mended")
    return experiment.conditions(row.config, PROFILES["paper"], data_set, [row.run], different)


def _show_side_by_side(reference: PublishedTable, kept: pandas.DataFrame) -> None:
    """Print both protocols beside the published column, and what that is times the batch size."""
    size, printed = reference.batch_size, reference.rows["unet"].values
    ours = kept[kept["row"] == "unet"].set_index(["protocol", "metric"])["mean"]

    def cell(protocol: str, metric: str) -> str:
        return f"{ours[protocol, metric]:.4f}" if (protocol, metric) in ours.index else "–"

    grid = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for heading in (
        "",
        "published",
        f"× {size}",
        "as published",
        "by the right number",
        "corrected",
    ):
        grid.add_column(heading, justify="right" if heading else "left")
    for name, metric in reference.metrics.items():
        times, right = "", ""
        if name in metrics.BY_BATCH:
            times, right = (
                f"{size * float(printed[name]):.4f}",
                cell("published", name + metrics.MEAN_OF_BATCHES),
            )
        grid.add_row(
            metric.label,
            printed[name],
            times,
            cell("published", name),
            right,
            cell("corrected", name),
        )
    precision, recall = (float(printed[name]) for name in ("precision", "recall"))
    f1 = 2 * precision * recall / (precision + recall)
    console = Console()
    console.print("[bold]Published, and regenerated as published and corrected[/]\n", grid)
    console.print(
        f"\nA sum over batches of {size} that is divided by the number of images is {size} "
        "times too small.\n"
        f"F1 of the published precision and recall: {f1:.4f}; of {size} times these: "
        f"{size * f1:.4f}; "
        f"published: {printed['f1']}.\n",
        highlight=False,
    )


def _centres(
    reference: PublishedTable,
    rows: Sequence[Regenerated],
    data_set: manifests.DataSet,
    request: Request,
) -> None:
    """Write and show the scores of each centre, or say that the data name none."""
    scores = []
    for row in rows:
        for centre, values in metrics.by_centre(row.run.load_metrics()).items():
            if centre != data.UNKNOWN:
                conditions = _conditions(row, data_set)
                scores += [
                    (tables.Score(centre, n, value, row.config.seed), conditions)
                    for n, value in values.items()
                ]
    if not scores:
        print(f"results by centre: the centres of {data_set.title} are not known")
        return
    reference = replace(reference, id="centres", title="Results by centre")
    experiment.publish_beyond(reference, scores, request.results_root / PAPER)


@exits_cleanly
def main() -> None:
    """Regenerate from the command line."""
    cli.run_targets(TARGETS, f"python -m reproductions.{PAPER}.eval")


if __name__ == "__main__":
    main()
