"""Every network of the paper: 4 + 9 + 9 rows in three tables. One that stands in two tables is
trained once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Tuple

from common.cli import Request
from common.results import experiment
from reproductions.brecahad_slicing.config import PROFILES, QUICK_STEPS, Config
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


def configurations(table: str, request: Request) -> List[Tuple[str, Config]]:
    """Give (row, configuration) of every training behind a table: by protocol, then seed, then row
    as in the paper.
    """
    encoder, rows = ENCODERS[table], MATRIX[table]
    base = PROFILES[request.profile]
    if request.profile == "smoke":
        rows = {row: rows[row] for row in SMOKE_ROWS[table]}
    if request.profile == "quick":
        base = replace(base, epoch_steps=QUICK_STEPS[encoder])
    own = {"encoder_weights": "none"} if encoder == "plain" else {}
    return [
        (row, replace(config, **settings, **own))
        for config in experiment.grid(base, request, [encoder])
        for row, settings in rows.items()
    ]


def as_published(table: str, row: str) -> Config:
    """Give the configuration that the paper is taken to have trained for a row."""
    weights = "none" if ENCODERS[table] == "plain" else "imagenet"
    return replace(
        PROFILES["paper"], encoder=ENCODERS[table], encoder_weights=weights, **MATRIX[table][row]
    )
