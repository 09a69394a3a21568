"""Finding a data set on this machine, or downloading it, and making sure that it is the right one.

`python -m common.datasets.manifests tnbc` prints where a data set lies and what it is; of several
names it takes the first that is there. What is expected of each data set stands in
`data_manifests/<name>.yaml`.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, List, Mapping, Optional, Sequence, Tuple

import pooch
import requests
import yaml
from PIL import Image
from pooch.hashes import hash_matches

from common.datasets.archives import unpack
from common.errors import InputError, exits_cleanly
from common.files import PROJECT, sha256

MANIFESTS = PROJECT / "data_manifests"
DATA = PROJECT / "data"
PHANTOM = "PHANTOM.json"  # marks a synthetic data set and says what it holds


@dataclass(frozen=True)
class Archive:
    """One place a data set can be downloaded from."""

    url: str
    checksum: Optional[str] = None  # "md5:…" or "sha256:…"; None where none is published
    size: Optional[int] = None  # bytes
    keep: bool = False  # the file is the data, and not unpacked

    @property
    def filename(self) -> str:
        """Last part of the address."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Manifest:
    """What a data set is, where it comes from and how to recognise it: the content of one YAML
    file.
    """

    name: str
    title: str
    citation: str
    licence: str
    homepage: str
    archives: Tuple[
        Archive, ...
    ]  # alternatives, tried in this order; none where it cannot be downloaded
    folder: str  # inside the data root
    layouts: Tuple[str, ...]  # folders that an archive may wrap its content in
    images: str  # the pattern of `expect` that the pictures match
    expect: Mapping[str, int]  # glob pattern -> how many files or folders match it
    image_size: Optional[Tuple[int, int]] = None  # width, height; None where it varies


@dataclass(frozen=True)
class DataSet:
    """A verified data set on disk."""

    name: str
    title: str
    folder: Path
    synthetic: bool
    fingerprint: str  # 16 hex digits that stand for all names and contents


_MANIFEST_KEYS = {
    **dict.fromkeys(("name", "title", "citation", "licence", "homepage", "folder", "images"), str),
    **{"archives": list, "layouts": list, "image_size": list, "expect": dict},
}
_ARCHIVE_KEYS = {"url": str, "checksum": str, "size": int, "keep": bool}
_OPTIONAL_KEYS = {"image_size", "checksum", "size", "keep"}


def load_manifest(name: str) -> Manifest:
    """Read `data_manifests/<name>.yaml`. Raises InputError naming the file and the key that is
    wrong.
    """
    path = MANIFESTS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(other.stem for other in MANIFESTS.glob("*.yaml")))
        raise InputError(f"{path}: no such manifest, expected one of: {known}")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    _check_keys(path, raw, _MANIFEST_KEYS)
    for archive in raw["archives"]:
        _check_keys(path, archive, _ARCHIVE_KEYS)
    if raw["images"] not in raw["expect"] or not _is_expectation(raw["expect"]):
        raise InputError(
            f"{path}: `expect` must map patterns, among them the one of `images`, to whole numbers"
        )
    if not _is_size(raw.get("image_size")):
        raise InputError(
            f"{path}: `image_size` must be a width and a height, got {raw['image_size']!r}"
        )
    if not all(isinstance(layout, str) for layout in raw["layouts"]):
        raise InputError(f"{path}: `layouts` must be names of folders, got {raw['layouts']!r}")
    raw["archives"] = tuple(Archive(**archive) for archive in raw["archives"])
    raw["layouts"] = tuple(raw["layouts"])
    raw["image_size"] = tuple(raw["image_size"]) if "image_size" in raw else None
    return Manifest(**raw)


def find(name: str, data_root: Path | str | None = None, download: bool = True) -> DataSet:
    """Find a data set: in `data_root/<folder>` if that is given, and nowhere else, or in the
    project's `data/<folder>`.

    What `data` lacks is unpacked from an archive lying there, or else downloaded; it appears under
    its name only when complete. Raises InputError, naming addresses and folders, for data that are
    missing or not as expected.
    """
    manifest = load_manifest(name)
    if data_root is not None:
        return verify(manifest, Path(data_root) / manifest.folder)
    folder = DATA / manifest.folder
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (DATA / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():  # else another run has installed it while this one waited
                _install(manifest, folder, download)
    return verify(manifest, folder)


def find_first(names: Sequence[str], data_root: Path | str | None = None) -> DataSet:
    """Find the first of these data sets of which `data_root` holds an image; if of none, or for
    None, the first of all.

    Raises InputError as `find` does.
    """
    return find(first_present(names, data_root), data_root)


def first_present(names: Sequence[str], data_root: Path | str | None = None) -> str:
    """Name the data set that `find_first` finds, without verifying it."""
    roots = () if data_root is None else (Path(data_root),)
    manifests = [load_manifest(name) for name in names]
    present = (
        m.name
        for root in roots
        for m in manifests
        if matching(_unwrapped(m, root / m.folder), m.images)
    )
    return next(present, names[0])


def verify(manifest: Manifest, folder: Path) -> DataSet:
    """Check the number of files in `folder`, the size of pictures and the checksum of a kept
    archive; describe them.

    For a folder with a PHANTOM.json, that file says what to expect. Raises InputError naming the
    folder, what was expected and what was found.
    """
    if not folder.is_dir():
        wanted = ", ".join(f"{count} {pattern}" for pattern, count in manifest.expect.items())
        raise InputError(
            f"{folder}: no such folder, expected it to hold {manifest.title} ({wanted})"
        )
    root = _unwrapped(manifest, folder)
    title, expect, image_size = manifest.title, manifest.expect, manifest.image_size
    synthetic = (root / PHANTOM).exists()
    if synthetic:
        title = f"{manifest.name} phantoms (synthetic)"
        try:
            phantom = json.loads((root / PHANTOM).read_text(encoding="utf-8"))
            expect, image_size = phantom["expect"], phantom.get("image_size")
            if not (_is_expectation(expect) and _is_size(image_size)):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise InputError(
                f"{root / PHANTOM}: expected a JSON object with numbers of files in `expect`"
            ) from None

    found = {pattern: len(matching(root, pattern)) for pattern in expect}
    missing = [
        f"{found[pattern]} of {count} {pattern}"
        for pattern, count in expect.items()
        if found[pattern] != count
    ]
    if missing:
        raise InputError(f"{root}: expected {title}, found {', '.join(missing)}")
    for path in matching(root, manifest.images) if image_size else ():
        try:
            with Image.open(path) as image:
                size = image.size
        except (
            Exception
        ):  # whatever the damage leads Pillow to: OSError, SyntaxError, DecompressionBombError …
            raise InputError(f"{path}: not a picture, expected one of {title}") from None
        if size != tuple(image_size):
            raise InputError(
                f"{path}: expected a picture of {image_size[0]}x{image_size[1]}, got "
                f"{size[0]}x{size[1]}"
            )

    for path in (
        ()
        if synthetic
        else {root / archive.filename for archive in manifest.archives if archive.keep}
    ):
        _check_archive(manifest, path)
    return DataSet(manifest.name, title, root, synthetic, _fingerprint(root, expect))


def matching(folder: Path, pattern: str) -> List[Path]:
    """Sorted paths in `folder` that match the glob `pattern`, without hidden ones such as the `._*`
    of macOS.
    """
    paths = folder.glob(pattern)
    return sorted(
        path for path in paths if not any(part[0] == "." for part in path.relative_to(folder).parts)
    )


def _unwrapped(manifest: Manifest, folder: Path) -> Path:
    """`folder`, or the one in it that its archive wraps the images in."""
    candidates = (folder, *(folder / layout for layout in manifest.layouts))
    return next(
        (candidate for candidate in candidates if matching(candidate, manifest.images)), folder
    )


def _fingerprint(root: Path, patterns: Iterable[str]) -> str:
    """Hash of the lines that `sha256sum` prints for the matching files, in the order of their POSIX
    paths.
    """
    files = {
        path.relative_to(root).as_posix(): path
        for pattern in patterns
        for path in matching(root, pattern)
    }
    lines = [f"{sha256(files[name])}  {name}\n" for name in sorted(files) if files[name].is_file()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def _install(manifest: Manifest, folder: Path, download: bool) -> None:
    """Unpack a hand-placed or downloaded archive in a folder beside `folder`, then rename what it
    holds.
    """
    work = DATA / f".partial-{manifest.name}"
    shutil.rmtree(work, ignore_errors=True)  # left behind by a run that was killed
    try:
        archive = _placed_archive(manifest)
        if archive is None and download and manifest.archives:
            archive = _download(manifest, work)
        if archive is None:
            raise InputError(f"{manifest.title}: not in {folder}; {_remedy(manifest)}")
        try:
            if any(known.keep for known in manifest.archives if known.filename == archive.name):
                (work / "unpacked").mkdir(parents=True)
                shutil.copyfile(archive, work / "unpacked" / archive.name)
            else:
                unpack(archive, work / "unpacked")
            content = verify(manifest, work / "unpacked").folder
        except InputError as error:
            raise InputError(
                f"{archive.name} is not the expected archive: {error}; {_remedy(manifest)}"
            ) from None
        content.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _placed_archive(manifest: Manifest) -> Optional[Path]:
    """The archive, where the user has put it into `data`. Its checksum is one of those in the
    manifest.
    """
    for path in {DATA / archive.filename for archive in manifest.archives}:
        if path.is_file():
            _check_archive(manifest, path)
            return path
    return None


def _check_archive(manifest: Manifest, path: Path) -> None:
    known = [archive for archive in manifest.archives if archive.filename == path.name]
    if not any(hash_matches(path, archive.checksum) for archive in known):
        wanted = " or ".join(
            f"{archive.checksum} ({archive.size or '?'} bytes)" for archive in known
        )
        raise InputError(
            f"{path}: {path.stat().st_size} bytes with another checksum than expected, {wanted}"
        )


def _download(manifest: Manifest, work: Path) -> Path:
    pooch.get_logger().setLevel("WARNING")
    failures = []
    for archive in manifest.archives:
        print(f"downloading {archive.url}", file=sys.stderr)
        try:
            return Path(
                pooch.retrieve(
                    archive.url, archive.checksum, archive.filename, work, progressbar=True
                )
            )
        except requests.HTTPError as error:
            failures.append(f"{archive.url} (answer {error.response.status_code})")
        except requests.RequestException as error:
            failures.append(f"{archive.url} ({type(error).__name__})")
        except ValueError as error:
            wrong_hash = "hash" in str(error)  # what else may come is an answer that makes no sense
            reason = (
                f"wrong checksum, expected {archive.checksum}"
                if wrong_hash
                else " ".join(str(error).split())
            )
            failures.append(f"{archive.url} ({reason})")
    raise InputError(
        f"cannot download {manifest.title} from {' or '.join(failures)}; {_remedy(manifest)}"
    )


def _remedy(manifest: Manifest) -> str:
    by_hand = f"get it from {manifest.homepage} and put its content into {DATA / manifest.folder}"
    if manifest.archives:
        url, filename = manifest.archives[0].url, manifest.archives[0].filename
        by_hand = f"get {url} by hand and put it at {DATA / filename} or its content into {DATA / manifest.folder}"
    return f"{by_hand}, set DATA_ROOT to a folder that holds {manifest.folder}/, or try `make demo`"


def _is_expectation(value: object) -> bool:
    """Whether this maps relative patterns to whole numbers."""
    relative = isinstance(value, dict) and all(
        isinstance(p, str) and p and p[0] != "/" for p in value
    )
    return relative and all(isinstance(count, int) for count in value.values())


def _is_size(value: object) -> bool:
    return value is None or (
        isinstance(value, list) and [type(side) for side in value] == [int, int]
    )


def _check_keys(path: Path, raw: object, kinds: Mapping[str, type]) -> None:
    if not isinstance(raw, dict):
        raise InputError(f"{path}: expected the keys {', '.join(kinds)}, got {raw!r}")
    for key in sorted(set(kinds) - set(raw) - _OPTIONAL_KEYS):
        raise InputError(f"{path}: the key `{key}` is missing")
    for key, value in raw.items():
        if key not in kinds:
            raise InputError(f"{path}: unknown key `{key}`, expected one of {', '.join(kinds)}")
        if not isinstance(value, kinds[key]):
            raise InputError(f"{path}: `{key}` must be a {kinds[key].__name__}, got {value!r}")


@exits_cleanly
def main(argv: Optional[List[str]] = None) -> None:
    """Command line: find or download one data set and print what it is; of several, the first that
    is there.
    """
    parser = argparse.ArgumentParser(
        prog="python -m common.datasets.manifests", description=main.__doc__
    )
    parser.add_argument(
        "names", nargs="+", metavar="name", help="a file of data_manifests, without .yaml"
    )
    parser.add_argument(
        "--data-root", type=Path, help="folder that holds the data set's own folder"
    )
    arguments = parser.parse_args(argv)
    data = find_first(arguments.names, arguments.data_root)
    manifest = load_manifest(data.name)
    print(data.title)
    print(f"  folder       {data.folder}")
    print(f"  found        {len(matching(data.folder, manifest.images))} {manifest.images}")
    print(f"  fingerprint  {data.fingerprint}")
    if not data.synthetic:
        print(f"  licence      {manifest.licence}")
        print(f"  citation     {manifest.citation}")


if __name__ == "__main__":
    main()
