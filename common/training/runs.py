"""The run folder: one training with everything that is needed to resume, evaluate and repeat it.

`runs/<paper>/<readable-id>/` holds config.json, split.json, environment.json, history.csv, state/
(while training), weights.h5, predictions/ and predictions.json. Each file is written atomically and
predictions.json last, so a folder is complete when that file exists and otherwise resumable.
Folders of an earlier version end with metrics.csv and hold float maps; they count as complete too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import subprocess
from collections import Counter
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Iterable, Iterator, List, Type, TypeVar

from common import files
from common.errors import InputError
from common.files import PROJECT

if TYPE_CHECKING:
    import pandas  # commands that only read a configuration start without it

# The small files of a run folder, which say everything about it but its weights and predictions.
RECORDS = ("config.json", "split.json", "environment.json", "history.csv", "predictions.json")
# The fields that a run folder is named after, where its configuration has them.
NAMED = ("architecture", "encoder", "encoder_weights", "protocol", "profile", "precision", "seed")
LIBRARIES = (
    "tensorflow",
    "segmentation-models",
    "numpy",
    "opencv-python-headless",
    "scikit-image",
    "pandas",
)
MOST_JSON_BYTES = 100_000_000

ConfigType = TypeVar("ConfigType")


class Run:
    """A run folder that belongs to exactly one configuration.

    Args:
        folder: created when absent.
        config: everything that decides the result, JSON-serialisable.
        defaults: values of fields that a config.json of an earlier version lacks.

    Raises:
        InputError: the folder holds another configuration; the message shows what differs.
    """

    def __init__(self, folder: Path, config: dict, defaults: dict = {}):  # noqa: B006  only read
        self.folder = Path(folder)
        self.config = json.loads(json.dumps(config))
        path = self.folder / "config.json"
        if not path.exists():
            with contextlib.suppress(FileNotFoundError):  # a process just ahead cleared it away
                files.write_json(path, self.config)
        stored = {**json.loads(json.dumps(defaults)), **read_json(path)}
        if stored != self.config:
            changes = "; ".join(_changes(stored, self.config))
            raise InputError(
                f"{self.folder} was made with another configuration ({changes}); remove or "
                "rename it"
            )

    @property
    def complete(self) -> bool:
        """Whether training and prediction have both been done."""
        return is_complete(self.folder)

    @property
    def of_earlier_version(self) -> bool:
        """Whether it was completed by a version that kept float maps of the test images alone."""
        return not self._record.exists() and (self.folder / "metrics.csv").exists()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process. The lock ends with the process, however it ends.

        Raises:
            files.InUse: another process holds it.
        """
        with files.locked(self.folder / ".lock", wait=False):
            for leftover in self.folder.rglob(".partial-*"):
                if leftover.is_file():  # of a process that was killed while it wrote
                    leftover.unlink()
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
        """Note in environment.json that a process begins or resumes this run: when, with what
        code, on what device.
        """
        path = self.folder / "environment.json"
        sessions = read_json(path).get("sessions") if path.exists() else []
        if not isinstance(sessions, list):
            raise InputError(
                f"{path}: expected a list `sessions`; move it away, the run goes on with a new "
                "record"
            )
        files.write_json(path, {"sessions": [*sessions, environment(**facts)]})

    @property
    def predictions(self) -> Path:
        """Folder of the predictions; a prediction's id is its path there without the suffix."""
        return self.folder / "predictions"

    @property
    def _record(self) -> Path:
        return self.folder / "predictions.json"

    def finish(self, ids: Iterable[str]) -> None:
        """Complete the run: record the predictions of these ids with their checksums.

        Raises:
            InputError: predictions are missing, or there are others.
        """
        found = self._found()
        self._require(list(ids), found)
        checksums = {name: files.sha256(path) for name, path in sorted(found.items())}
        files.write_json(self._record, {"sha256": checksums})

    def check_predictions(self, ids: Iterable[str]) -> None:
        """Hold the predictions of a complete run against the ids that should have one.

        Raises:
            InputError: a prediction is missing, damaged, doubled, or belongs to no id.
        """
        found = self._found()
        self._require(list(ids), found)
        if not self._record.exists():
            return
        recorded = read_json(self._record).get("sha256")
        if not isinstance(recorded, dict) or set(recorded) != set(found):
            raise InputError(
                f"{self._record} does not name the files in predictions/; remove {self.folder} to "
                "redo the run"
            )
        for name, path in found.items():
            if files.sha256(path) != recorded[name]:
                raise InputError(
                    f"{path}: damaged or changed since it was written; remove {self._record} to "
                    "predict again"
                )

    def _found(self) -> Dict[str, Path]:
        found: Dict[str, Path] = {}
        for path in sorted(self.predictions.rglob("*")):
            if not path.is_file() or path.name.startswith(".partial-"):
                continue
            name = path.relative_to(self.predictions).with_suffix("").as_posix()
            if name in found:
                raise InputError(f"{path}: a second prediction of {name}; remove one of them")
            found[name] = path
        return found

    def _require(self, ids: List[str], found: Dict[str, Path]) -> None:
        doubled = [name for name, count in Counter(ids).items() if count > 1]
        missing = sorted(set(ids) - set(found))
        extra = sorted(set(found) - set(ids))
        for names, problem in (
            (doubled, "stands twice in the split"),
            (missing, "has no prediction"),
            (extra, "has a prediction and is not in the split"),
        ):
            if names:
                others = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
                raise InputError(
                    f"{self.predictions}: {names[0]}{others} {problem}; remove {self.folder} to "
                    "redo the run"
                )


def is_complete(folder: Path) -> bool:
    """Whether a folder holds a run whose training and prediction have both been done."""
    return any((folder / name).exists() for name in ("predictions.json", "metrics.csv"))


def _changes(stored: dict, wanted: dict) -> List[str]:
    keys = sorted({*stored, *wanted})
    return [
        f"{key}: {stored.get(key)!r} there, {wanted.get(key)!r} asked for"
        for key in keys
        if stored.get(key) != wanted.get(key)
    ]


def load_config(folder: Path, config_type: Type[ConfigType]) -> ConfigType:
    """Rebuild the Config that a run folder was made with.

    A field that the config.json of an earlier version lacks has its default, which reproduces what
    that version did.

    Raises:
        InputError: there is none, or it belongs to another paper.
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected the folder of a finished training")
    stored = read_json(path)
    names = {one.name for one in dataclasses.fields(config_type)}  # type: ignore[arg-type]
    # Recorded of every paper, whether or not its Config has encoder weights.
    strange = sorted(set(stored) - names - {"data", "encoder_weights"})
    if strange:
        raise InputError(f"{path}: {strange[0]}: no setting of this paper; name a run of it")
    values = {name: value for name, value in stored.items() if name in names}
    for name, value in values.items():
        if isinstance(value, list):  # as JSON has no tuples
            values[name] = tuple(value)
    return config_type(**values)


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
        content = json.loads(files.read_bytes(path, MOST_JSON_BYTES))
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


def readable_id(config, defaults) -> str:
    """Name the run folder of a configuration dataclass after its fields in `NAMED`, the last of
    which is the seed.

    Every other field in which it differs from `defaults`, those of its profile, is added as
    name=value.
    """
    present = [field for field in NAMED[:-1] if hasattr(config, field)]
    name = [getattr(config, field) for field in present] + [f"seed{config.seed}"]
    if getattr(config, "encoder_weights", "none") not in ("imagenet", "none"):
        name[name.index(config.encoder_weights)] = "file"
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name not in NAMED and value != getattr(defaults, field.name):
            name.append(f"{field.name}={value}")
    return "-".join(name)
