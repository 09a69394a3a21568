"""Which network the page shows, and what its run folder says about it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Iterable, List, Optional, Tuple

from common.errors import InputError
from common.files import PROJECT
from common.training import runs
from reproductions.brain_tumour_mask_rcnn.app.facts import Measured, Network
from reproductions.brain_tumour_mask_rcnn.config import LOWEST_SCORE, PROFILES

NEEDED = ("config.json", "environment.json", "weights.h5")
TABLE = PROJECT / "results/brain_tumour_mask_rcnn/table.csv"
RANKS = ("smoke", "quick", "paper")  # the best last
SCORES = ("sensitivity", "false_positives_per_image", "dice")


def describe(run_folder: Path, table: Path = TABLE) -> Network:
    """Read what a run folder says about its network.

    Args:
        run_folder: of a finished training.
        table: results of this paper, for the scores of a folder that holds none.

    Raises:
        InputError: it is not the folder of a finished training of this paper.
    """
    for name in NEEDED:
        if not (run_folder / name).is_file():
            raise InputError(
                f"{run_folder}: no {name} in it, expected the folder of a finished training"
            )
    config = runs.read_json(run_folder / "config.json")
    try:
        facts = {name: str(config[name]) for name in ("profile", "encoder", "encoder_weights")}
        steps = int(config["epochs"]) * int(config["steps_per_epoch"])
        min_score = float(config["min_score"])
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{run_folder}: not a run of this paper (no {error}), expected one of Mask R-CNN"
        ) from None
    paper = PROFILES["paper"]
    return Network(
        run=run_folder.resolve().name,
        data=_data(run_folder),
        **facts,
        min_score=min_score,
        lowest_score=LOWEST_SCORE,
        steps=steps,
        full_steps=paper.epochs * paper.steps_per_epoch,
        measured=_from_run(run_folder) or _from_table(table, config),
    )


def best(folders: Iterable[Path]) -> Optional[Path]:
    """Choose among the runs in these folders: real images before synthetic ones, then the longest
    profile, then the newest; None if there is none.
    """
    candidates: List[Tuple[tuple, Path]] = []
    for folder in folders:
        for weights in folder.glob("*/weights.h5"):
            try:
                network = describe(weights.parent)
            except (InputError, OSError):  # unfinished, or of something else
                continue
            rank = RANKS.index(network.profile) if network.profile in RANKS else -1
            order = (not network.synthetic, rank, weights.stat().st_mtime)
            candidates.append((order, weights.parent))
    return max(candidates)[1] if candidates else None


def _data(run_folder: Path) -> str:
    """Title of the data that a run was trained on; "" where it does not say."""
    recorded = runs.read_json(run_folder / "environment.json")
    sessions = recorded.get("sessions")
    last = sessions[-1] if isinstance(sessions, list) and sessions else recorded
    title = last.get("data") if isinstance(last, dict) else None
    return title if isinstance(title, str) else ""


def _from_run(run_folder: Path) -> Optional[Measured]:
    """Scores of this very network, from the lines of its test images; None where there are none."""
    try:
        with (run_folder / "metrics.csv").open(encoding="utf-8", newline="") as stream:
            lines = list(csv.DictReader(stream))
        tumours, found, invented, dice = (
            sum(float(line[name]) for line in lines)
            for name in ("tumours", "found", "invented", "dice")
        )
        images = len(lines)
        return Measured(found / tumours, invented / images, dice / images, images, 1)
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return None


def _from_table(table: Path, config: dict) -> Optional[Measured]:
    """Scores of networks trained with these settings on these data, from the table of results."""
    expected = {name: str(config.get(name)) for name in ("protocol", "profile", "precision")}
    expected["encoder_weights"] = str(config.get("encoder_weights"))
    expected["fingerprint"] = str(config.get("data"))
    try:
        with table.open(encoding="utf-8", newline="") as stream:
            lines = [
                line
                for line in csv.DictReader(stream)
                if not line.get("reading")
                and all(line.get(name) == value for name, value in expected.items())
            ]
        values = {line["metric"]: (float(line["mean"]), int(line["n_seeds"])) for line in lines}
        scores = [values[name][0] for name in SCORES]
        return Measured(*scores, images=None, seeds=values["dice"][1])
    except (OSError, ValueError, KeyError, TypeError):
        return None
