"""What a command is going to train, how long that takes, and what disk it needs: said before it
begins. `PLAN=1` stops there.
"""

from __future__ import annotations

import math
import os
import shutil
import statistics
import sys
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from common import files
from common.cli import Request
from common.datasets import manifests
from common.datasets.manifests import DataSet
from common.files import PROJECT
from common.training import runs

ALIKE = ("seed", "protocol", "leakage")  # settings that do not change how long a run takes
CORES = 2  # of the machine that the committed minutes were measured on
RUN_BYTES = 300_000_000  # where there is no earlier run to look at
DETACHED = 60.0  # minutes from which a terminal may well be closed before the end


class Plan(NamedTuple):
    """The runs behind a command, and what the missing ones take."""

    complete: List[str]
    resumed: List[str]
    missing: List[str]
    minutes: Optional[float]  # None where nothing is known
    source: str  # of the minutes, in words
    needed: float  # bytes
    workers: int  # 0 where it is not told

    @property
    def to_do(self) -> int:
        """How many runs are not complete."""
        return len(self.resumed) + len(self.missing)


def data_set(names: Sequence[str], data_root: Optional[Path]) -> DataSet:
    """Name the data set that a command would use, without reading or downloading it."""
    name = manifests.first_present(names, data_root)
    manifest = manifests.load_manifest(name)
    folder = manifests.located(manifest, data_root or manifests.DATA)
    synthetic = (folder / manifests.PHANTOM).exists()
    if not folder.exists():
        size = next((archive.described() for archive in manifest.archives), "by hand")
        print(f"data: {manifest.title}: not here yet; {size}")
    return DataSet(name, manifest.title, folder, synthetic, "")


def stop_if_wanted(request: Request) -> None:
    """Say that a command trains nothing, and end it, where only its plan is asked for."""
    if request.plan:
        print("plan: nothing to train")
        raise SystemExit(0)


def make(wanted: Mapping[str, Any], folder: Path, request: Request) -> Plan:
    """Plan the runs `wanted`, Configs by the names of their folders in `folder`."""
    complete = [name for name in wanted if runs.is_complete(folder / name)]
    begun = [name for name in wanted if (folder / name / "state").is_dir()]
    resumed = [name for name in begun if name not in complete]
    missing = [name for name in wanted if name not in complete and name not in resumed]
    each = [_minutes(wanted[name], folder) for name in (*resumed, *missing)]
    known = [minutes for minutes, _ in each if minutes is not None]
    cluster = request.cluster or ""
    workers = int(cluster) if cluster.isdigit() else 0
    total = None
    if known:
        total = sum(known) / len(known) * len(each)
        if workers:
            total = max(max(known), total / workers)
    sizes = [_size(folder / name) for name in complete]
    size = statistics.median(sizes) if sizes else RUN_BYTES
    source = next((how for _, how in each if how), "")
    return Plan(complete, resumed, missing, total, source, size * len(each), workers)


def show(plan: Plan, folder: Path, terminal: Optional[bool] = None) -> None:
    """Print a plan for the runs in a folder; `terminal`: whether somebody sits before it."""
    counts = [(len(plan.complete), "complete"), (len(plan.resumed), "to resume")]
    counts += [(len(plan.missing), "to train")]
    told = ", ".join(f"{count} {what}" for count, what in counts if count)
    print(f"plan: {told or 'no runs'} in {folder}")
    if not plan.to_do:
        return
    if plan.minutes is None:
        print("time: unknown; the first epoch of a run says it")
    else:
        workers = f" with {plan.workers} workers" if plan.workers else ""
        print(f"time: about {_duration(plan.minutes)}{workers} ({plan.source})")
    place = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(place).free
    print(f"disk: about {plan.needed / 1e9:.1f} GB more, {free / 1e9:.0f} GB free", flush=True)
    if plan.needed > free:
        print("disk: too little; make room, or medseg runs --prune")
    on_terminal = sys.stdout.isatty() if terminal is None else terminal
    if on_terminal and (plan.minutes or 0) > DETACHED:
        print("long: in tmux, or as `nohup make … &`, it goes on when this terminal closes;")
        print("      stopped in any way, the same command resumes")


def _minutes(config: Any, folder: Path) -> tuple:
    """How long a run takes and where that is from: of runs like it here, else of those committed
    for the profile, scaled by the cores.
    """
    wanted = _comparable(asdict(config))
    earlier = []
    devices = set()
    for path in sorted(folder.glob("*/config.json")):
        if _comparable(runs.read_json(path)) == wanted:
            lasted = _lasted(path.parent)
            if lasted:
                earlier.append(lasted)
                devices.add(_device(path.parent))
    if earlier:
        # Which device this one gets only TensorFlow knows, whose start takes too long here.
        places = ", ".join(sorted(filter(None, devices)))
        return statistics.median(earlier), f"as earlier runs{places and f' on {places}'}"
    paper, cores = folder.name, _cores()
    for line in _committed():
        if (line["paper"], line["profile"]) == (paper, config.profile):
            source = f"{line['how']} on {CORES} cores elsewhere"
            return float(line["minutes"]) * CORES / cores, source
    return None, ""


def _comparable(config: Dict[str, Any]) -> Dict[str, Any]:
    kept = {name: value for name, value in config.items() if name not in (*ALIKE, "data")}
    # As JSON has it; which file the encoder weights come from takes no time.
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in kept.items()}
    return {**plain, "encoder_weights": ""}


def _lasted(folder: Path) -> Optional[float]:
    """Minutes of a complete run that was never interrupted."""
    record = folder / "environment.json"
    if not runs.is_complete(folder) or not record.exists():
        return None
    sessions = runs.read_json(record).get("sessions")
    if not isinstance(sessions, list) or len(sessions) != 1:
        return None
    try:
        began = datetime.fromisoformat(sessions[0]["started"]).astimezone(timezone.utc)
        ended = (folder / "predictions.json").stat().st_mtime
    except (KeyError, TypeError, ValueError, OSError):
        return None
    lasted = (ended - began.timestamp()) / 60
    return lasted if 0 < lasted < math.inf else None


def _device(folder: Path) -> str:
    """What a run was trained on; empty where it noted nothing."""
    sessions = runs.read_json(folder / "environment.json")["sessions"]
    return str(sessions[0].get("device", ""))


def _committed() -> List[Dict[str, str]]:
    path = PROJECT / "reproductions/run_minutes.csv"
    if not path.exists():
        return []
    header, *lines = files.read_csv_lines(path) or [[]]
    return [dict(zip(header, line)) for line in lines]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _duration(minutes: float) -> str:
    if minutes < 1:
        return "a minute"
    if minutes < 90:
        return f"{minutes:.0f} minutes"
    return f"{minutes / 60:.1f} hours" if minutes < 60 * 48 else f"{minutes / 60 / 24:.0f} days"
