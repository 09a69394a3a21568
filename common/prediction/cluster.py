"""Predicting a folder of images on a Dask cluster: `medseg predict … --cluster 4`.

The images are divided into parts, in the order of their names, so that all workers get as many.
Each part is one `medseg predict` of its own, on a worker, into `OUT/part-00001` and so on; at the
end the tables of the parts are joined in OUT. A part that is lost goes on elsewhere, after its last
image.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import hashlib
import json
import math
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

from common import files
from common.errors import InputError
from common.imaging.listing import shown
from common.prediction import record, source
from common.prediction.command import Options
from common.results import dask_backend
from common.results.dask_backend import Job
from common.training import runs

LARGEST = 1000  # images of a part
SMALLEST = 20  # a start of TensorFlow takes as long
TABLES = ("images.csv", "objects.csv")
KEPT = "parts.json"
POSITIONAL = "inputs"
Named = Tuple[str, str]  # an image: its path, and the name of its results


def run(paper: str, options: Options, folders: Sequence[Path], cluster: str) -> None:
    """Predict all images on a cluster, and end with exit code 1 if an image failed.

    Args:
        paper: name of the paper's folder.
        options: of the command line.
        folders: of the networks that vote; the first is named to the workers.
        cluster: a number of workers here, or the address of a scheduler.

    Raises:
        InputError: there is nothing to predict, two results would have one name, OUT holds parts of
            other images or options, or jobs failed.
    """
    out = options.out.resolve()
    found = source.find(options.inputs, options.pattern, out)
    resolved = functools.lru_cache(maxsize=None)(Path.resolve)  # of a million files, few folders
    images = [(str(resolved(item.path.parent) / item.path.name), item.name) for item in found]
    _check_names(images)
    settled = replace(
        options, run=folders[0].resolve(), skip_existing=True, inputs=(), cluster=None
    )
    same_results = replace(settled, out=Path(), runs_root=Path(), device="auto")
    facts = _facts(images, _words(same_results))
    with _owned(out, facts):
        size = _size(out, facts, cluster)
        parts = [images[start : start + size] for start in range(0, len(images), size)]
        jobs = list(_jobs(paper, settled, out, parts))
        to_do = [job for job in jobs if not _is_done(job, failures=0)]
        print(f"{len(images)} images in {len(jobs)} parts, {len(to_do)} of them to predict")
        try:
            if to_do:
                dask_backend.finish(to_do, cluster)
        except dask_backend.RunsFailed:
            if not all(map(_is_done, jobs)):
                raise
        for name in TABLES:
            _join(out, [job.folder / name for job in jobs], name)
    failed = sum(_failures(job) for job in jobs)
    print(f"results: {shown(options.out)}, one folder a part; tables of all: {', '.join(TABLES)}")
    if failed:
        print(f"{failed} of the images failed; the run.json of their parts names them")
        sys.exit(1)


def part_size(images: int, workers: int) -> int:
    """Give the number of images of a part: as many parts for each worker, of at most LARGEST.

    Example:
        >>> part_size(30, 2), part_size(1500, 2), part_size(1_000_000, 100)
        (20, 750, 1000)
    """
    rounds = math.ceil(images / (LARGEST * workers))
    return max(SMALLEST, math.ceil(images / (rounds * workers)))


def _check_names(images: Sequence[Named]) -> None:
    first: Dict[str, str] = {}
    for path, name in images:
        other = first.setdefault(name, path)
        if other != path:
            raise InputError(
                f"{shown(Path(path))}: its results would have the name of {shown(Path(other))}'s; "
                "predict it into another folder"
            )


def _facts(images: Sequence[Named], words: Sequence[str]) -> Dict[str, object]:
    """What parts are made of, for a later call to compare."""
    text = json.dumps(images)
    return {
        "images": len(images),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "options": list(words),
    }


@contextlib.contextmanager
def _owned(out: Path, facts: Dict[str, object]) -> Iterator[None]:
    """Hold OUT for this command, and refuse one that holds parts of other images or options."""
    out.mkdir(parents=True, exist_ok=True)
    with files.locked(out / ".lock", wait=False):
        others = any(not path.name.startswith(".") for path in out.iterdir())
        if others:
            kept = runs.read_json(out / KEPT) if (out / KEPT).exists() else {}
            if {name: kept.get(name) for name in facts} != facts:
                raise InputError(
                    f"--out {shown(out)}: holds other files, or parts of other images or options; "
                    "take an empty folder"
                )
        yield


def _size(out: Path, facts: Dict[str, object], cluster: str) -> int:
    """The size of the parts: of those in OUT, else by the number of workers."""
    path = out / KEPT
    if path.exists():
        return int(runs.read_json(path)["size"])
    size = part_size(int(str(facts["images"])), dask_backend.workers(cluster))
    files.write_json(path, {**facts, "size": size})
    return size


def _jobs(
    paper: str, options: Options, out: Path, parts: Sequence[Sequence[Named]]
) -> Iterator[Job]:
    for number, part in enumerate(parts, start=1):
        name = f"part-{number:05d}"
        listed = out / f".{name}{source.PART}"
        files.write_text(listed, json.dumps(part))
        words = ["-m", "reproductions.command", "predict", paper, str(listed)]
        words += _words(replace(options, out=out / name))
        yield Job(name, words, out / name)


def _is_done(job: Job, failures: int = sys.maxsize) -> bool:
    """Whether all images of a part were tried, and no more than `failures` of them failed."""
    path = job.folder / record.NAME
    if not path.exists():
        return False
    return runs.read_json(path).get("left") == 0 and _failures(job) <= failures


def _failures(job: Job) -> int:
    return len(runs.read_json(job.folder / record.NAME)["failed"])


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
