"""run.json: what made the results in a folder, and what that is worth."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any, Dict, Sequence

from common import files
from common.errors import InputError
from common.imaging.listing import shown
from common.prediction import masks
from common.prediction.predictor import Predictor
from common.prediction.worth import USE, Worth
from common.training import runs

NAME = "run.json"
LIBRARIES = ("pydicom", "tifffile", "highdicom", "pycocotools", "shapely")
SAME = {  # what all results in a folder have in common, and how that is told
    "paper": "paper",
    "network": "network",
    "way": "way of predicting (--paper-way, --overlap, --threshold or --range)",
}


def describe(predictor: Predictor, worth: Worth, way: Dict[str, Any]) -> Dict[str, Any]:
    """Collect what made the results: network, data, scores, versions and options."""
    members = [
        {
            "run": shown(member.folder),
            "weights_sha256": files.sha256(member.folder / "weights.h5"),
            "settings": runs.read_json(member.folder / "config.json"),
        }
        for member in predictor.members
    ]
    environment = runs.environment()
    environment["libraries"].update({name: metadata.version(name) for name in LIBRARIES})
    return {
        "use": USE,
        "warning": worth.warning,
        "paper": predictor.paper,
        "network": {"title": predictor.title, "members": members},
        "protocol": worth.protocol,
        "profile": worth.profile,
        "trained_on": worth.data,
        "synthetic_training_data": worth.synthetic,
        "measured_scores": worth.scores,
        "measured_in": worth.source,
        "classes": masks.legend(predictor.classes),
        "way": way,
        "environment": environment,
    }


def check_folder(out: Path, record: Dict[str, Any]) -> None:
    """Refuse a folder whose files are none of ours, or come from another network or other options.

    Raises:
        InputError: with the remedy.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"--out {shown(out)}: expected a folder, it is a file")
    path = out / NAME
    if not path.exists():
        if any(one for one in out.iterdir() if not one.name.startswith(".")):
            raise InputError(
                f"--out {shown(out)}: holds files that are no results, perhaps images or true "
                "masks; take an empty folder"
            )
        return
    try:
        earlier = runs.read_json(path)
    except InputError:
        raise InputError(f"{shown(path)}: damaged; take another --out") from None
    for name, told in SAME.items():
        if _comparable(earlier.get(name)) != _comparable(record[name]):
            raise InputError(
                f"--out {shown(out)}: holds results of another {told}; take an empty folder"
            )


def write(out: Path, record: Dict[str, Any], counts: Dict[str, int], failed: Sequence[str]) -> None:
    """Write run.json: `record`, how many images were done, and the lines of those that failed."""
    files.write_json(out / NAME, {**record, "images": counts, "failed": list(failed)})


def _comparable(value: Any) -> Any:
    """A record without the places of run folders: a copy of a run is the same network."""
    if isinstance(value, dict):
        return {key: _comparable(one) for key, one in value.items() if key != "run"}
    return [_comparable(one) for one in value] if isinstance(value, list) else value
