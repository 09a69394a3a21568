"""A finished run as one file: to publish it, and to use one that somebody has published.

The file is a zip archive of `<paper>/<run>/` with the run folder's files and MODEL_CARD.md. The
same run gives the same bytes, so the checksum names the run. Nothing appears in the folder of runs
before all of it is verified.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from common import files
from common.datasets import archives, downloads
from common.errors import InputError, on_one_line
from common.training import runs, weights_files

CARD = "MODEL_CARD.md"
WEIGHTS = "weights.h5"
_CHECKSUM = re.compile(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}")
_AGAIN = "ask its publisher for another"


class Deposit(NamedTuple):
    """A packed run, and how to know it again."""

    path: Path
    checksum: str  # "sha256:…"
    size: int  # bytes


def pack(run: Path, paper: str, card: str, target: Path, weights: bool = True) -> Deposit:
    """Pack a finished run into `target`/<paper>--<run>.zip.

    Args:
        run: its folder.
        paper: name of the paper's folder.
        card: text of MODEL_CARD.md.
        target: made if need be.
        weights: without them the run can be evaluated, and predicts nothing.

    Raises:
        InputError: the run is not finished, or a file of it is damaged.
    """
    _check(run)
    names = [*runs.RECORDS, *(["weights.h5"] if weights else [])]
    predictions = sorted(path for path in (run / "predictions").rglob("*") if path.is_file())
    path = target / f"{paper}--{run.name}.zip"
    top = f"{paper}/{run.name}"
    sources = [*(run / name for name in names), *predictions]
    with files.atomic_path(path) as partial:
        archives.pack(partial, _members(run, top, card, sources))
    return Deposit(path, f"sha256:{files.sha256(path)}", path.stat().st_size)


def _members(run: Path, top: str, card: str, sources: List[Path]) -> Iterator[Tuple[str, bytes]]:
    """Names and contents, one at a time: weights are large."""
    yield f"{top}/{CARD}", card.encode("utf-8")
    for source in sources:
        content = files.read_bytes(source, weights_files.MOST_BYTES)
        yield f"{top}/{source.relative_to(run).as_posix()}", content


def fetch(
    address: str, checksum: Optional[str], root: Path, check: Callable[[str, Path], object]
) -> Path:
    """Fetch a packed run and put it into the folder of runs, verified; give its folder.

    An interrupted download is continued by the next call, where the server can.

    Args:
        address: of the web, or doi:<DOI>/<file> of a record of Zenodo, figshare or Dataverse.
        checksum: "md5:…" or "sha256:…"; None where the record of a DOI has one.
        root: folder of runs.
        check: called with the paper and the unpacked folder; raises InputError where these do not
            belong together.

    Raises:
        InputError: it cannot be had, is not what the checksum says, or is no finished run.
    """
    source = resolve(address, checksum)
    root.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(source.url.encode()).hexdigest()[:12]
    work = root / f".partial-{key}"
    with files.locked(root / ".fetch.lock"):
        shutil.rmtree(work, ignore_errors=True)  # left behind by a process that was killed
        try:
            archive = downloads.fetch(source, work, root / downloads.PARTS)
            archives.unpack(archive, work / "unpacked", weights_files.MOST_BYTES)
            folder = _only_run(work / "unpacked")
            paper = folder.parent.name
            _check(folder)
            check(paper, folder)
        except (downloads.Failed, InputError) as failure:
            reason = str(failure).replace(f"{work}/unpacked/", "").replace(f"{work}/", "")
            raise InputError(f"{source.address}: {reason}; {_AGAIN}") from None
        else:
            return _place(folder, root / paper / folder.name)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def resolve(address: str, checksum: Optional[str]) -> downloads.Source:
    """Give the address and the checksum of a file, asking a DOI's record for them.

    Raises:
        InputError: neither tells the checksum, or the record has no such file.
    """
    if checksum is not None and not _CHECKSUM.fullmatch(checksum):
        raise InputError(f"--checksum {checksum:.80}: expected md5:… or sha256:… in hex digits")
    if not address.startswith("doi:"):
        if not re.match(r"https?://[^/\s]+/", address) or not address.isprintable():
            raise InputError(f"{address:.200}: expected https://… or doi:<DOI>/<file>")
        if checksum is None:
            raise InputError(
                f"{address}: give its --checksum, sha256:…, which its publisher states"
            )
        return downloads.Source(address, checksum)
    doi, _, name = address[len("doi:") :].rpartition("/")
    if not re.fullmatch(r"10\.\d+/\S+", doi) or not name:
        raise InputError(f"{address:.200}: expected doi:<DOI>/<file>")
    url, recorded = _record(doi, name)
    known = checksum or recorded
    if not known or not _CHECKSUM.fullmatch(known):
        raise InputError(f"{address}: its record states no checksum; give it as --checksum")
    return downloads.Source(url, known)


def _record(doi: str, name: str) -> tuple:
    """Ask the record of a DOI for the address and the checksum of a file."""
    from pooch import downloaders  # not at the top: most runs come by an address

    class Registry:
        registry: Dict[str, str] = {}

    try:
        repository = downloaders.doi_to_repository(doi, timeout=downloads.TIMEOUT)
        url = repository.download_url(name)
        found = Registry()
        repository.populate_registry(found)
    except Exception as error:  # whatever a strange answer leads pooch to
        raise InputError(f"doi:{doi}: {on_one_line(str(error), 200)}") from None
    return url, found.registry.get(name)


def _only_run(unpacked: Path) -> Path:
    """The folder <paper>/<run> of an unpacked file, which holds nothing else."""
    found = [path.parent for path in unpacked.glob("*/*/config.json")]
    if len(found) != 1:
        raise InputError(f"holds {len(found)} runs, expected one")
    folder = found[0]
    allowed = {CARD, WEIGHTS, *runs.RECORDS}
    for path in unpacked.rglob("*"):
        inside = path.relative_to(folder) if folder in path.parents else None
        known = inside and (inside.as_posix() in allowed or inside.parts[0] == "predictions")
        if path.is_file() and not known:
            raise InputError(f"{path.relative_to(unpacked)} belongs to no run")
    return folder


def _check(folder: Path) -> None:
    """Raise InputError unless this is a finished, undamaged run, with or without weights."""
    for name in runs.RECORDS:
        if not (folder / name).is_file():
            raise InputError(f"{folder}: no {name}, expected the folder of a finished training")
    run = runs.Run(folder, runs.read_json(folder / "config.json"))
    recorded = runs.read_json(folder / "predictions.json").get("sha256")
    if not isinstance(recorded, dict) or not recorded:
        raise InputError(f"{folder}/predictions.json: names no predictions")
    run.check_predictions(recorded)
    if not isinstance(run.split, dict) or "test" not in run.split:
        raise InputError(f"{folder}/split.json: names no test images")
    if (folder / WEIGHTS).exists():
        weights_files.check(folder / WEIGHTS, "it predicts nothing")


def _place(folder: Path, target: Path) -> Path:
    """Move a verified run to its place; leave the same one that is there."""
    if target.exists():
        theirs, ours = (files.sha256(one / "predictions.json") for one in (folder, target))
        if theirs != ours:
            raise InputError(f"{target}: another run is there; remove or rename it")
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    return folder.replace(target)


def card(paper: str, run: Path, about: Dict[str, Any]) -> str:
    """Write the MODEL_CARD.md of a run: what it is, what it was trained on, how, and for what use.

    Args:
        paper: name of the paper's folder.
        run: its folder.
        about: lines for the head, by name, such as the paper's title and the data's licence.
    """
    return "\n".join(_card_lines(paper, run, about)) + "\n"


def _card_lines(paper: str, run: Path, about: Dict[str, Any]) -> Iterator[str]:
    config = runs.read_json(run / "config.json")
    sessions = runs.read_json(run / "environment.json").get("sessions")
    last = sessions[-1] if isinstance(sessions, list) and sessions else {}
    yield f"# {paper}: {run.name}"
    yield ""
    yield "For research and teaching, not for clinical use: no number below was measured on images"
    yield "of another hospital, scanner or stain."
    yield ""
    for name, value in about.items():
        yield f"- {name}: {value}"
    for name in ("data", "fingerprint", "commit", "python", "device"):
        yield f"- {name}: {last.get(name, 'unknown')}"
    yield ""
    yield "## Settings"
    yield "```json"
    yield json.dumps(config, indent=2, ensure_ascii=False)
    yield "```"
    yield "## Training"
    yield "```"
    history = files.read_bytes(run / "history.csv", 10_000_000).decode("utf-8", "replace")
    header, *epochs = history.strip().split("\n")
    yield header
    yield from epochs[-1:]
    yield "```"
    yield f"`medseg table {paper} …` scores its predictions, `medseg predict {paper}` applies it."
