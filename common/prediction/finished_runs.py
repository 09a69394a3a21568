"""Which finished run is used: the one that is named, or the newest of the best profile."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple

from common.errors import InputError
from common.files import PROJECT
from common.training import runs

PROFILES = ("smoke", "quick", "paper")  # the best last
SYNTHETIC = "(synthetic)"  # ends the title of a data set of phantoms
WEIGHTS = "weights.h5"
DEMO = PROJECT / "results" / "demo" / "runs"  # where `make demo` has its run folders
Partners = Callable[[Path], Sequence[Path]]  # gives the run folders that vote with this one


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a finished training with its weights."""
    return runs.is_complete(folder) and (folder / WEIGHTS).is_file()


def data_of(folder: Path) -> str:
    """The data that a run was trained on, in words; "unknown" where it does not say."""
    path = folder / "environment.json"
    sessions = runs.read_json(path).get("sessions") if path.exists() else None
    if isinstance(sessions, list) and sessions and isinstance(sessions[-1], dict):
        return str(sessions[-1].get("data", "unknown"))
    return "unknown"


def is_synthetic(folder: Path) -> bool:
    """Whether a run was trained on synthetic images."""
    return data_of(folder).endswith(SYNTHETIC)


def choose(
    paper: str, named: Optional[Path], runs_root: Path, partners: Partners
) -> Tuple[Path, ...]:
    """Give the run folder that is named, or the newest finished one, with those that vote with it.

    The best profile comes first, then real data, then most members, then the newest. Where none of
    the paper's runs is finished, one of `make demo` is taken.

    Raises:
        InputError: the folder that is named is no finished training, or there is none; the message
            says how to get one.
    """
    if named is not None:
        if not is_finished(named):
            raise InputError(
                f"--run {named}: not the folder of a finished training (predictions.json and "
                f"{WEIGHTS} in it); `.venv/bin/medseg train {paper}` makes one"
            )
        return tuple(partners(named))
    found = _finished(runs_root / paper) or _finished(DEMO / paper)
    if not found:
        raise InputError(
            f"{runs_root / paper}: no finished training in it; `.venv/bin/medseg train {paper}` "
            "makes one (--profile quick on a CPU), or name one with --run; `make demo` makes one "
            "in minutes that only shows that it runs"
        )
    return max((tuple(partners(folder)) for folder in found), key=_rank)


def _rank(folders: Tuple[Path, ...]) -> tuple:
    profile = str(runs.read_json(folders[0] / "config.json").get("profile"))
    place = PROFILES.index(profile) if profile in PROFILES else -1
    newest = max((folder / WEIGHTS).stat().st_mtime for folder in folders)
    return place, not is_synthetic(folders[0]), len(folders), newest


def _finished(folder: Path) -> List[Path]:
    return sorted(path for path in folder.glob("*") if is_finished(path))
