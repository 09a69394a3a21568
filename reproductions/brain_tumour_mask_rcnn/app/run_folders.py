"""Which network the page shows, and what its run folder says about it."""

from __future__ import annotations

from pathlib import Path
from typing import Iterable, List, Optional, Tuple

from common.errors import InputError
from common.prediction import finished_runs
from common.training import runs
from reproductions.brain_tumour_mask_rcnn.app.facts import Network
from reproductions.brain_tumour_mask_rcnn.config import LOWEST_SCORE, PROFILES

NEEDED = ("config.json", "environment.json", "weights.h5")


def describe(run_folder: Path) -> Network:
    """Read what the folder of a finished training says about its network; the scores of that, see
    `scores`, are not in it.

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
        names = ("profile", "encoder", "encoder_weights")
        profile, encoder, encoder_weights = (str(config[name]) for name in names)
        steps = int(config["epochs"]) * int(config["steps_per_epoch"])
        min_score = float(config["min_score"])
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{run_folder}: not a run of this paper (no {error}), expected one of Mask R-CNN"
        ) from None
    paper = PROFILES["paper"]
    return Network(
        *(run_folder.resolve().name, _data(run_folder), profile, encoder, encoder_weights),
        min_score=min_score,
        lowest_score=LOWEST_SCORE,
        steps=steps,
        full_steps=paper.epochs * paper.steps_per_epoch,
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
            known = finished_runs.PROFILES
            rank = known.index(network.profile) if network.profile in known else -1
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
