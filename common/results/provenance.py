"""What results/ keeps of a run: enough to check every number without training again.

`results/<paper>/provenance/<run>/` holds the small files of the run folder, the scores per image
(metrics.csv) and the scores of all images together (whole.json, where there are any).
`results/<paper>/predictions/<run>.zip` holds the predictions behind those scores, where the paper
keeps them. `results/<paper>/SHA256SUMS` names every file of both, as `sha256sum --check` reads it.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import pandas

from common import files
from common.datasets import archives
from common.errors import InputError
from common.training import runs
from common.training.runs import Run

SUMS = "SHA256SUMS"
MOST_PACKED_BYTES = 2 << 20  # of one run


def first_seed(config: Any) -> bool:
    """The predictions of seed 0 are kept with the results, those of other seeds are not."""
    return config.seed == 0


def every_seed(config: Any) -> bool:
    """The predictions of all seeds are kept with the results."""
    return True


def no_seed(config: Any) -> bool:
    """Predictions are too large to be kept with the results."""
    return False


@dataclass(frozen=True)
class Packing:
    """Which predictions are kept with the results, and in what form.

    Attributes:
        wanted: whether those of a Config are.
        pack: writes what scores at the default reading follow from into the folder of another run;
            by default predictions are kept as they are, of rows of one network alone.
    """

    wanted: Callable[[Any], bool] = first_seed
    pack: Optional[Callable[[Sequence[Run], Run], None]] = None


def name_of(behind: Sequence[Run], row: str, combined: bool) -> str:
    """Name what is kept of a row: after its run, or after the row where it combines several."""
    last = behind[-1].folder.name
    return f"{row}-{last.partition('-')[2]}" if combined else last


def pattern(name: str, seed: int) -> str:
    """Name the runs of all seeds at once, as the column `run` of a table does.

    >>> pattern("vgg19-none-published-paper-float32-seed3", 3)
    'vgg19-none-published-paper-float32-seed*'
    """
    head, _, tail = name.rpartition(f"-seed{seed}")
    return f"{head}-seed*{tail}"


def of_seed(run: str, seed: int) -> str:
    """Name the run of one seed: the reverse of `pattern`."""
    return run.replace("-seed*", f"-seed{seed}", 1)


def keep(
    folder: Path,
    name: str,
    behind: Sequence[Run],
    scores: pandas.DataFrame,
    whole: Mapping[str, float],
    packing: Packing,
    config: Any,
) -> None:
    """Keep what is listed above of one row, protocol and seed.

    Args:
        folder: results/<paper>.
        name: as `name_of` gives it.
        behind: the complete run folders of the row's networks.
        scores: one line per test image.
        whole: scores of all test images together that do not follow from these lines.
        packing: of the paper.
        config: of the (last) network.
    """
    for run in behind:
        for kept in runs.RECORDS:
            if (run.folder / kept).exists():  # runs of an earlier version lack one
                content = files.read_bytes(run.folder / kept, files.MOST_BYTES)
                files.write_bytes(folder / "provenance" / run.folder.name / kept, content)
    own = folder / "provenance" / name
    if len(behind) > 1:
        members = [run.folder.name for run in behind]
        files.write_json(own / "provenance.json", {"members": members})
    runs.write_csv(own / "metrics.csv", scores)
    if whole:
        files.write_json(own / "whole.json", dict(whole))
    if packing.wanted(config) and (packing.pack or len(behind) == 1):
        files.write_bytes(folder / "predictions" / f"{name}.zip", _packed(behind, packing))


def _packed(behind: Sequence[Run], packing: Packing) -> bytes:
    """The predictions as one archive; equal predictions give equal bytes."""
    with tempfile.TemporaryDirectory() as scratch:
        packed = Run(Path(scratch) / "run", behind[-1].config)
        if packing.pack is None:
            shutil.copytree(behind[0].predictions, packed.predictions)
        else:
            packing.pack(behind, packed)
        paths = sorted(path for path in packed.predictions.rglob("*") if path.is_file())
        names = [path.relative_to(packed.predictions).as_posix() for path in paths]
        content = io.BytesIO()
        contents = (files.read_bytes(path, files.MOST_BYTES) for path in paths)
        archives.pack(content, zip(names, contents))
    size = len(content.getvalue())
    if size > MOST_PACKED_BYTES:
        raise InputError(
            f"{behind[-1].folder}: its predictions take {size / 2**20:.1f} MiB packed, expected at "
            f"most {MOST_PACKED_BYTES >> 20}; let the paper's `Packing` leave them out"
        )
    return content.getvalue()


def unpacked(folder: Path, name: str, scratch: Path) -> Run:
    """Make a run folder in `scratch` of packed predictions and what is kept beside them.

    Raises:
        InputError: the archive or the files beside it are missing or damaged.
    """
    last = members(folder, name)[-1]
    kept = folder / "provenance" / last
    run = Run(scratch / name, runs.read_json(kept / "config.json"))
    shutil.copyfile(kept / "split.json", run.folder / "split.json")
    archives.unpack(folder / "predictions" / f"{name}.zip", run.predictions)
    return run


def members(folder: Path, name: str) -> List[str]:
    """Name the runs that are behind `provenance/<name>/`: itself, or the networks combined."""
    combined = folder / "provenance" / name / "provenance.json"
    return runs.read_json(combined)["members"] if combined.exists() else [name]


def scores_of(folder: Path, name: str) -> pandas.DataFrame:
    """Read the kept scores per image; ids stay text.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / "provenance" / name / "metrics.csv"
    try:
        return pandas.read_csv(files.buffered(path), dtype={"id": str})
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: expected scores per image as CSV ({reason})") from None


def whole_of(folder: Path, name: str) -> Dict[str, float]:
    """Read the kept scores of all images together; empty where there are none."""
    path = folder / "provenance" / name / "whole.json"
    return runs.read_json(path) if path.exists() else {}


def sums(folder: Path) -> Dict[str, str]:
    """The SHA-256 of every kept file, by its path in `folder`."""
    kept = [*(folder / "provenance").rglob("*"), *(folder / "predictions").rglob("*")]
    paths = {path.relative_to(folder).as_posix(): path for path in kept if path.is_file()}
    return {name: files.sha256(path) for name, path in sorted(paths.items())}


def write_sums(folder: Path) -> None:
    """Name every kept file in SHA256SUMS."""
    lines = [f"{digest}  {name}\n" for name, digest in sums(folder).items()]
    files.write_text(folder / SUMS, "".join(lines))


def read_sums(folder: Path) -> Dict[str, str]:
    """Read SHA256SUMS back.

    Raises:
        InputError: a line is not a digest, two blanks and a name.
    """
    path = folder / SUMS
    if not path.is_file():
        raise InputError(f"{path}: missing; regenerate the paper's tables")
    recorded = {}
    for number, line in enumerate(files.read_text(path).splitlines(), start=1):
        digest, separator, name = line.partition("  ")
        if not separator or len(digest) != 64:
            raise InputError(f"{path}, line {number}: expected a SHA-256, two blanks and a name")
        recorded[name] = digest
    return recorded
