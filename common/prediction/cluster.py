"""Predicting a folder of images on a Dask cluster: `medseg predict … --cluster 4`.

The images are divided into parts of PER_JOB, in the order of their names. Each part is one
`medseg predict` of its own, on a worker, into `OUT/part-00001` and so on; at the end the tables of
the parts are joined in OUT. A part that is lost goes on elsewhere, after its last image.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
from dataclasses import fields, replace
from pathlib import Path
from typing import Iterator, List, Sequence

from common import files
from common.errors import InputError
from common.imaging.listing import shown
from common.prediction import source
from common.prediction.command import Options
from common.results import dask_backend
from common.results.dask_backend import Job
from common.training import runs

PER_JOB = 1000  # images; a start of TensorFlow takes as long as some tens of them
TABLES = ("images.csv", "objects.csv")
KEPT = "parts.json"
POSITIONAL = "inputs"


def run(paper: str, options: Options, folders: Sequence[Path], cluster: str) -> None:
    """Predict all images on a cluster.

    Args:
        paper: name of the paper's folder.
        options: of the command line.
        folders: of the networks that vote; the first is named to the workers.
        cluster: a number of workers here, or the address of a scheduler.

    Raises:
        InputError: there is nothing to predict, OUT holds parts of other images, or jobs failed.
    """
    out = options.out.resolve()
    paths = [str(item.path.resolve()) for item in source.find(options.inputs, options.pattern, out)]
    for path in paths:
        if "\n" in path:
            raise InputError(f"{shown(path)}: a line break in its name; rename it")
    parts = [paths[start : start + PER_JOB] for start in range(0, len(paths), PER_JOB)]
    settled = replace(
        options, run=folders[0].resolve(), skip_existing=True, inputs=(), cluster=None
    )
    with _owned(out, paths):
        jobs = list(_jobs(paper, settled, out, parts))
        print(f"{len(paths)} images in {len(jobs)} parts")
        dask_backend.finish(jobs, cluster)
        for name in TABLES:
            _join(out, [job.folder / name for job in jobs], name)
    print(f"results: {shown(options.out)}, one folder a part; tables of all: {', '.join(TABLES)}")


@contextlib.contextmanager
def _owned(out: Path, paths: Sequence[str]) -> Iterator[None]:
    """Hold OUT for this command, and refuse one that holds parts of other images."""
    names = "\n".join([str(PER_JOB), *paths]).encode("utf-8", "surrogateescape")
    facts = {"images": len(paths), "sha256": hashlib.sha256(names).hexdigest()}
    out.mkdir(parents=True, exist_ok=True)
    with files.locked(out / ".lock", wait=False):
        kept = out / KEPT
        others = any(not path.name.startswith(".") for path in out.iterdir())
        if others and not (kept.exists() and runs.read_json(kept) == facts):
            raise InputError(
                f"--out {shown(out)}: holds other files, or parts of other images; take an empty "
                "folder"
            )
        files.write_json(kept, facts)
        yield


def _jobs(paper: str, options: Options, out: Path, parts: Sequence[Sequence[str]]) -> Iterator[Job]:
    for number, part in enumerate(parts, start=1):
        name = f"part-{number:05d}"
        listed = out / f".{name}.txt"
        files.write_bytes(listed, "\n".join([*part, ""]).encode("utf-8", "surrogateescape"))
        words = ["-m", "reproductions.command", "predict", paper, str(listed)]
        words += _words(replace(options, out=out / name))
        yield Job(name, words, out / name)


def _words(options: Options) -> List[str]:
    """Write options as words, without the images."""
    words: List[str] = []
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name == POSITIONAL or value is None or value is False:
            continue
        option = "range" if field.name == "grey_range" else field.name.replace("_", "-")
        words += [f"--{option}"] if value is True else [f"--{option}", str(value)]
    return words


def _join(out: Path, tables: Sequence[Path], name: str) -> None:
    """Write the lines of all tables into one, whose header is theirs."""
    there = [path for path in tables if path.exists()]
    if not there:
        return
    with files.atomic_path(out / name) as partial, partial.open(
        "w", newline="", encoding="utf-8"
    ) as target:
        writer = csv.writer(target, lineterminator="\n")
        for number, path in enumerate(there):
            with path.open(newline="", encoding="utf-8") as lines:
                reader = csv.reader(lines)
                header = next(reader)
                if number == 0:
                    writer.writerow(header)
                writer.writerows(reader)
