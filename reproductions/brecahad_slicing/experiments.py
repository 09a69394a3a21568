"""Every network of the paper: 4 + 9 + 9 rows in three tables. One that stands in two tables is
trained once.
"""

from __future__ import annotations

from typing import Any, Dict, List

from common.cli import Request
from common.results.experiment import Row
from reproductions.brecahad_slicing.config import QUICK_STEPS
from reproductions.brecahad_slicing.slicing import SETS

Settings = Dict[str, Any]

# Table → row (its id in published/) → what it sets in Config.
MATRIX: Dict[str, Dict[str, Settings]] = {
    "table1": {
        "prep": {"preprocessing": True, "augmentation": False},
        "prep_aug": {"preprocessing": True, "augmentation": True},
        "n_prep_aug": {"preprocessing": False, "augmentation": True},
        "n_prep": {"preprocessing": False, "augmentation": False},
    },
    # assumed: all nine sets are preprocessed and augmented; the paper says so of the eight that are
    # sliced.
    "table2": {name: {"tiles": name} for name in SETS},
    "table3": {name: {"tiles": name} for name in SETS},
}
ENCODERS = {"table1": "plain", "table2": "plain", "table3": "resnet50"}
# What the profile smoke leaves of the tables, so that they take seconds.
SMOKE_ROWS = {
    "table1": tuple(MATRIX["table1"]),
    "table2": ("original", "p256_s128_zero"),
    "table3": ("p256_s128_zero",),
}


def rows(table: str, request: Request) -> List[Row]:
    """Give the rows of a table, in the paper's order; in profile smoke, some of them."""
    encoder = ENCODERS[table]
    names = SMOKE_ROWS[table] if request.profile == "smoke" else tuple(MATRIX[table])
    network: Settings = {"encoder": encoder}
    if request.profile == "quick":
        network["epoch_steps"] = QUICK_STEPS[encoder]
    if encoder == "plain":
        fixed = {"encoder_weights": "none"}
        return [Row(name, {**network, **MATRIX[table][name]}, fixed) for name in names]
    network["encoder_weights"] = "imagenet"
    return [Row(name, {**network, **MATRIX[table][name]}) for name in names]
