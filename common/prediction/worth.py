"""What a network is worth: how it was trained, on what, and what it scored on its test images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import pandas

from common import files
from common.files import PROJECT
from common.prediction import finished_runs
from common.training import runs

USE = "For research and teaching, not for clinical use."
Aggregate = Callable[[pandas.DataFrame], Dict[str, float]]


@dataclass(frozen=True)
class Worth:
    """What is known of a network.

    Attributes:
        profile, protocol: of its training.
        data: that it was trained on.
        synthetic: whether these are synthetic.
        scores: of its test images, as its table has them; empty where they were never computed.
        source: the folder that they come from.
    """

    profile: str
    protocol: str
    data: str
    synthetic: bool
    scores: Dict[str, float]
    source: str

    @property
    def warning(self) -> str:
        """What has to stand on every result, in capitals; "" where nothing has."""
        parts = []
        if self.profile == "smoke":
            parts.append("SMOKE TRAINING OF SECONDS")
        elif self.profile != "paper":
            parts.append(f"SHORTENED TRAINING (PROFILE {self.profile.upper()})")
        if self.synthetic:
            parts.append("TRAINED ON SYNTHETIC IMAGES")
        text = ", ".join(parts)
        if self.synthetic or self.profile == "smoke":
            text += ": RESULTS MEAN NOTHING"
        return text

    def lines(self, headline: Sequence[str]) -> List[str]:
        """Say it on the terminal."""
        lines = [f"trained on: {self.data}; protocol {self.protocol}, profile {self.profile}"]
        shown = [f"{name} {self.scores[name]:.3g}" for name in headline if name in self.scores]
        if shown:
            lines.append(f"measured on its test images: {', '.join(shown)} ({self.source})")
        else:
            lines.append("measured: never; the paper's table command scores it")
        if self.warning:
            lines.append(f"WARNING: {self.warning}")
        return [*lines, USE]


def of(folders: Sequence[Path], paper: str, aggregate: Aggregate) -> Worth:
    """Collect what is known of the network of these run folders."""
    config = runs.read_json(folders[0] / "config.json")
    scores, source = _measured(folders, paper, aggregate)
    return Worth(
        profile=str(config.get("profile", "unknown")),
        protocol=str(config.get("protocol", "unknown")),
        data=finished_runs.data_of(folders[0]),
        synthetic=any(finished_runs.is_synthetic(folder) for folder in folders),
        scores=scores,
        source=source,
    )


def _measured(
    folders: Sequence[Path], paper: str, aggregate: Aggregate
) -> Tuple[Dict[str, float], str]:
    """The scores of these very runs, from the lines per image that the table command keeps."""
    roots = [PROJECT / "results"]
    if len(folders[0].resolve().parents) > 2:  # runs of a demonstration lie beside their results
        roots.append(folders[0].resolve().parents[2])
    for root in roots:
        provenance = root / paper / "provenance"
        kept = _kept(provenance, folders)
        if kept is None:
            continue
        try:
            table = pandas.read_csv(files.buffered(kept / "metrics.csv"), dtype={"id": str})
            scores = {name: float(value) for name, value in aggregate(table).items()}
        except (OSError, KeyError, ValueError, IndexError):  # of an earlier version
            continue
        place = kept.relative_to(PROJECT) if PROJECT in kept.parents else kept
        return scores, str(place)
    return {}, ""


def _kept(provenance: Path, folders: Sequence[Path]) -> Optional[Path]:
    """The folder of results that belongs to these runs, if they are the same trainings."""
    for folder in folders:
        stored = provenance / folder.name / "config.json"
        own = runs.read_json(folder / "config.json")
        if not stored.exists() or runs.read_json(stored) != own:
            return None
    if len(folders) == 1:
        return provenance / folders[0].name
    names = {folder.name for folder in folders}
    for path in sorted(provenance.glob("*/provenance.json")):
        if set(runs.read_json(path).get("members", [])) == names:
            return path.parent
    return None
