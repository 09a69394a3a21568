"""The run folder: one training with everything that is needed to resume, judge and repeat it.

`runs/<paper>/<readable-id>/` holds config.json, split.json, environment.json, history.csv, state/
(while training), weights.h5, predictions/ (one probability map per test image) and metrics.csv.
Each is written atomically and metrics.csv last, so a folder is complete when that file exists, and
otherwise resumable.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import io
import json
import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Dict, Iterator, List

import numpy as np
import pandas

from common import files
from common.errors import InputError
from common.files import PROJECT

# What runs are told apart by first, where their configuration has it.
NAMED = ("architecture", "encoder", "encoder_weights", "protocol", "profile", "precision", "seed")
LIBRARIES = (
    "tensorflow",
    "segmentation-models",
    "numpy",
    "opencv-python-headless",
    "scikit-image",
    "pandas",
)


class InUse(InputError):
    """Another process holds the run folder."""


class Run:
    """A run folder that belongs to exactly one configuration.

    Args:
        folder: created when absent.
        config: everything that decides the result, JSON-serialisable.

    Raises:
        InputError: the folder holds another configuration; the message shows what differs.
    """

    def __init__(self, folder: Path, config: dict):
        self.folder = Path(folder)
        self.config = json.loads(json.dumps(config))
        path = self.folder / "config.json"
        if not path.exists():
            with contextlib.suppress(
                FileNotFoundError
            ):  # cleared away in `locked` by a process that is just ahead
                files.write_json(path, self.config)
        if (stored := read_json(path)) != self.config:
            keys = sorted(k for k in {*stored, *self.config} if stored.get(k) != self.config.get(k))
            changes = "; ".join(
                f"{k}: {stored.get(k)!r} there, {self.config.get(k)!r} asked for" for k in keys
            )
            raise InputError(
                f"{self.folder} was made with another configuration ({changes}); remove or "
                "rename it"
            )

    @property
    def complete(self) -> bool:
        """Whether training, prediction and evaluation have all been done."""
        return (self.folder / "metrics.csv").exists()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process. The lock ends with the process, however it ends.

        Raises:
            InUse: another process holds it.
        """
        with open(self.folder / ".lock", "w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InUse(
                    f"{self.folder} is in use by another process; wait for it or stop it"
                ) from None
            for leftover in (
                *self.folder.glob(".partial-*"),
                *self.folder.glob("predictions/.partial-*"),
            ):
                leftover.unlink(missing_ok=True)  # of a process that was killed while it wrote
            yield

    def save_split(self, split: Dict[str, List[str]]) -> None:
        """Keep the ids of every part of the data, or check that they are the ones kept before."""
        path = self.folder / "split.json"
        if path.exists() and read_json(path) != split:
            raise InputError(
                f"{path}: the data give another split than when this run began; restore them or "
                "remove it"
            )
        if not path.exists():
            files.write_json(path, split)

    @property
    def split(self) -> Dict[str, List[str]]:
        """The ids of every part of the data, as kept by `save_split`."""
        return read_json(self.folder / "split.json")

    def log_session(self, **facts) -> None:
        """Note in environment.json that a process begins or resumes this run: when, with what code,
        on what device.
        """
        path = self.folder / "environment.json"
        sessions = read_json(path).get("sessions") if path.exists() else []
        if not isinstance(sessions, list):
            raise InputError(
                f"{path}: expected a list `sessions`; move it away, the run goes on with a new "
                "record"
            )
        files.write_json(path, {"sessions": [*sessions, environment(**facts)]})

    def save_prediction(self, sample_id: str, probabilities: np.ndarray) -> None:
        """Keep a float32 probability map (height, width[, classes])."""
        content = (
            io.BytesIO()
        )  # straight to a file, numpy's error would not say that the disk is full
        np.save(content, probabilities.astype(np.float32))
        with files.atomic_path(self.folder / "predictions" / f"{sample_id}.npy") as path:
            path.write_bytes(content.getbuffer())

    def load_prediction(self, sample_id: str) -> np.ndarray:
        """Read back a probability map, float32.

        Raises:
            InputError: it is missing or damaged.
        """
        path = self.folder / "predictions" / f"{sample_id}.npy"
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            raise InputError(
                f"{path}: missing or damaged probability map; remove {self.folder} to redo it"
            ) from None

    def save_metrics(self, table: pandas.DataFrame) -> None:
        """Write metrics.csv (one line per image), which completes the run."""
        write_csv(self.folder / "metrics.csv", table)

    def load_metrics(self) -> pandas.DataFrame:
        """Read metrics.csv of a complete run; ids stay text.

        Raises:
            InputError: it is damaged.
        """
        path = self.folder / "metrics.csv"
        try:
            return pandas.read_csv(path, dtype={"id": str})
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{path}: not a CSV table ({reason}); remove it to evaluate anew"
            ) from None


def write_csv(path: Path, table: pandas.DataFrame) -> None:
    """Write a table so that equal numbers give equal bytes: ten significant digits, Unix line
    ends.
    """
    files.write_text(path, table.to_csv(index=False, float_format="%.10g", lineterminator="\n"))


def read_json(path: Path) -> dict:
    """Read a JSON file that holds an object.

    Raises:
        InputError: it is damaged, or holds something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); remove it to redo the run") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object; remove it to redo the run")
    return content


def environment(**facts) -> dict:
    """Describe where a result comes from: commit, versions, processor, time, and the caller's
    facts.
    """
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **facts,
    }


def commit() -> str:
    """Return the git commit of this code, with "+changes" when files differ from it; "unknown"
    outside a checkout.

    Results and pages, which commands write one after the other, are no code.
    """

    def git(*words: str) -> str:
        quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
        called = subprocess.run(
            ["git", *words], cwd=PROJECT, capture_output=True, text=True, check=True, env=quiet
        )
        return called.stdout.strip()

    try:
        changed = git(
            "status",
            "--porcelain",
            "--untracked-files=no",
            "--",
            ".",
            ":(exclude)results",
            ":(exclude)*.md",
        )
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def as_json(config) -> dict:
    """Turn a frozen configuration dataclass into the dict that a run folder keeps."""
    return dataclasses.asdict(config)


def readable_id(config, defaults) -> str:
    """Name the run folder of a configuration dataclass after its fields in `NAMED`, the last of
    which is the seed.

    Every other field in which it differs from `defaults`, those of its profile, is added as
    name=value.
    """
    name = [getattr(config, field) for field in NAMED[:-1] if hasattr(config, field)] + [
        f"seed{config.seed}"
    ]
    if getattr(config, "encoder_weights", "none") not in ("imagenet", "none"):
        name[name.index(config.encoder_weights)] = "file"
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name not in NAMED and value != getattr(defaults, field.name):
            name.append(f"{field.name}={value}")
    return "-".join(name)
