"""`medseg deposit` and `medseg fetch-run`: publish finished runs, and use published ones."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

import tyro

import reproductions
from common.datasets import manifests
from common.datasets.downloads import megabytes
from common.errors import InputError
from common.files import read_yaml
from common.prediction import finished_runs
from common.training import deposits, runs, settings


@dataclass(frozen=True)
class Packing:
    """Pack finished runs, one file each, with a model card and a checksum."""

    run_folders: tyro.conf.Positional[Tuple[Path, ...]] = ()
    """Run folders; by default all finished ones but those of smoke runs and synthetic images."""
    out: Path = Path("deposit")
    """Folder of the files; made if need be."""
    without_weights: bool = False
    """Leave the weights out: then a run can be evaluated, and predicts nothing."""
    runs_root: Path = Path("runs")
    """Folder of the run folders."""


@dataclass(frozen=True)
class Fetching:
    """Fetch a run that somebody has published, verify it, and put it among the run folders."""

    address: tyro.conf.Positional[str]
    """https://… of the file, or doi:<DOI>/<file>."""
    checksum: Optional[str] = None
    """sha256:… or md5:… of the file, as its publisher states it; a DOI's record has it."""
    runs_root: Path = Path("runs")
    """Folder of the run folders."""


def pack(words: Sequence[str]) -> None:
    """Command line of `medseg deposit`."""
    options = tyro.cli(Packing, prog="medseg deposit", args=words)
    folders = options.run_folders or tuple(_worth_publishing(options.runs_root))
    if not folders:
        raise InputError(f"{options.runs_root}: no finished run in it that is worth publishing")
    for folder in folders:
        paper = folder.resolve().parent.name
        config = _config(paper, folder)
        card = deposits.card(paper, folder, _about(paper, folder, config))
        made = deposits.pack(folder, paper, card, options.out, not options.without_weights)
        print(f"{made.path}: {megabytes(made.size)}, {made.checksum}", flush=True)
    print("to use one: medseg fetch-run ADDRESS --checksum sha256:…, as above")


def fetch(words: Sequence[str]) -> None:
    """Command line of `medseg fetch-run`."""
    options = tyro.cli(Fetching, prog="medseg fetch-run", args=words)
    folder = deposits.fetch(options.address, options.checksum, options.runs_root, _config)
    paper = folder.parent.name
    print(f"{folder}: complete")
    print(f"medseg predict {paper} IMAGES --run {folder} --out DIR applies it")


def _worth_publishing(runs_root: Path) -> Iterator[Path]:
    for paper in reproductions.names():
        for folder in sorted((runs_root / paper).glob("*")):
            if not finished_runs.is_finished(folder) or finished_runs.is_synthetic(folder):
                continue
            if runs.read_json(folder / "config.json").get("profile") != "smoke":
                yield folder


def _config(paper: str, folder: Path) -> Any:
    """The Config of a run, which the folder has to be named after."""
    if paper not in reproductions.names():
        raise InputError(f"{folder}: {paper!r:.80} is no paper of this project")
    module = importlib.import_module(f"reproductions.{paper}.config")
    try:
        config = runs.load_config(folder, module.Config)
        settings.check(config)
        name = config.run_id
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder}/config.json: no settings of {paper} ({error})") from None
    several = len(module.DATA_SETS) > 1
    expected = [f"{data}-{name}" for data in module.DATA_SETS] if several else [name]
    if folder.name not in expected:
        raise InputError(f"{folder}: another name than that of its config.json, {expected[0]}")
    return config


def _about(paper: str, folder: Path, config: Any) -> Dict[str, str]:
    about = read_yaml(reproductions.FOLDER / paper / "paper.yaml")
    lines = {"paper": about["title"], "published as": about["citation"], "task": about["task"]}
    trained_on = finished_runs.data_of(folder)
    for name in importlib.import_module(f"reproductions.{paper}.config").DATA_SETS:
        manifest = manifests.load_manifest(name)
        if trained_on in (manifest.title, manifest.rebuilt_title):
            lines["licence of the data"] = manifest.licence
            lines["citation of the data"] = " ".join(manifest.citation.split())
    return {**lines, "profile": config.profile, "protocol": config.protocol}
