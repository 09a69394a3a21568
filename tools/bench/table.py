"""The whole of table 1 of the TNBC paper, with the suite's parts and with stock parts, each in a
new process.

Reduced but complete: a few phantoms of the data set's size and one epoch, networks, batches and
evaluation as in the paper profile. The time that a process takes to start TensorFlow is not in it;
everything else is.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from pathlib import Path
from typing import List

from common import cli
from common.metrics import aji
from common.training import cuda, encoders
from reproductions.tnbc_linknet import eval as tnbc
from reproductions.tnbc_linknet import phantom as tnbc_phantom
from reproductions.tnbc_linknet.config import ENSEMBLE, PROFILES
from tools.bench import per_pair
from tools.bench.child import Worker
from tools.bench.scale import Scale
from tools.bench.timing import Row, row

STOCK = "stock encoders, per-pair metrics"


def run(scale: Scale) -> List[Row]:
    """Measure the table from nothing to its CSV files, both ways in the fastest precision that this
    processor has.
    """
    precision = "mixed_bfloat16" if "avx512_bf16" in cuda.device_name() else "float32"
    # VGG16 for the smallest scale; else both networks of the paper.
    networks = scale.encoders if scale.name == "smoke" else ENSEMBLE
    options = {"table": scale.table, "networks": networks, "precision": precision}
    costs = []
    for stock in (False, True):
        with Worker("tools.bench.table:regeneration", stock=stock, **options) as worker:
            costs.append([worker()])
    count, side, epochs = scale.table
    case = (
        f"TNBC table 1, {' + '.join(networks)}, {count} phantoms of {side}×{side}, "
        f"epochs {epochs}, {precision}"
    )
    ours, theirs = costs
    peer = f"{STOCK}, {precision}"
    return [row(case, ours, peer, theirs, 1.5, "reduced, not extrapolated")]


def regeneration(
    table: List[int], networks: List[str], stock: bool = False, precision: str = "float32"
):
    """Prepare phantoms; the step regenerates the table from them and gives the number of lines of
    its CSV file.
    """
    count, side, epochs = table
    folder = tempfile.TemporaryDirectory()
    root = Path(folder.name)
    tnbc_phantom.write(root / "data" / "tnbc", patients=1, images_per_patient=count, size=side)
    tnbc.MEMBERS = tuple(tnbc.Row(encoder, {"encoder": encoder}) for encoder in networks)
    PROFILES["paper"] = dataclasses.replace(PROFILES["paper"], epochs=epochs, input_size=side)
    if stock:
        encoders.build = functools.partial(encoders.build, fast=False)
        aji.aji_counts, aji.aji_plus_counts = per_pair.aji_counts, per_pair.aji_plus_counts
    request = cli.Request(
        data_root=root / "data",
        protocol="published",
        seeds=(0,),
        encoder_weights="none",
        precision=precision,
        runs_root=root / "runs",
        results_root=root / "results",
    )

    def step() -> int:
        tnbc.paper.targets["table1"].run(request)
        with folder:
            table = root / "results" / "demo" / "tnbc_linknet" / "table1.csv"
            return len(table.read_text().splitlines())

    return step, {}
