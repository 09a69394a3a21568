"""Finding a data set on this machine, or downloading it, and making sure that it is the right one.

`.venv/bin/python -m common.datasets.manifests tnbc` prints where a data set lies and what it is; of
several names it takes the first that is there. Without a name it lists all data sets, `--all`
fetches them. What is expected of each stands in `data_manifests/<name>.yaml`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, List, Mapping, Optional, Sequence, Tuple

from PIL import Image

from common import files
from common.datasets import downloads
from common.datasets.archives import unpack
from common.datasets.downloads import megabytes
from common.datasets.manifest_schema import Archive, Manifest, is_expectation, is_size, read
from common.errors import InputError, exits_cleanly
from common.files import PROJECT
from common.imaging import listing

__all__ = ["Archive", "DataSet", "Manifest", "find", "find_first", "load_manifest", "verify"]

MANIFESTS = PROJECT / "data_manifests"
DATA = PROJECT / "data"
PHANTOM = "PHANTOM.json"  # marks a synthetic data set and says what it holds
REBUILT = "REBUILT.txt"  # marks data that `rebuild` has made
MOST_JSON_BYTES = 1 << 20


@dataclass(frozen=True)
class DataSet:
    """A verified data set on disk."""

    name: str
    title: str
    folder: Path
    synthetic: bool
    fingerprint: str  # 16 hex digits that stand for all names and contents


def all_names() -> List[str]:
    """Names of all data sets."""
    return sorted(path.stem for path in MANIFESTS.glob("*.yaml"))


def load_manifest(name: str) -> Manifest:
    """Read `data_manifests/<name>.yaml`. Raises InputError naming the file and the key that is
    wrong.
    """
    path = MANIFESTS / f"{name}.yaml"
    if not re.fullmatch(r"\w{1,100}", name, re.ASCII) or not path.is_file():
        raise InputError(f"{path}: no such manifest, expected one of: {', '.join(all_names())}")
    manifest = read(path)
    if manifest.name != name:
        raise InputError(f"{path}: `name` must be that of the file, got {manifest.name!r:.80}")
    return manifest


def find(name: str, data_root: Path | str | None = None, download: bool = True) -> DataSet:
    """Find a data set: in `data_root/<folder>` if that is given, and nowhere else, or in the
    project's `data/<folder>`.

    What `data` lacks is unpacked from an archive lying there, or else downloaded; it appears under
    its name only when complete. Raises InputError, naming addresses and folders, for data that are
    missing or not as expected.
    """
    manifest = load_manifest(name)
    if data_root is not None:
        return verify(manifest, located(manifest, Path(data_root)))
    folder = located(manifest, DATA)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with files.locked(DATA / f".{name}.lock"):
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
    if data_root is None:
        return names[0]
    manifests = [load_manifest(name) for name in names]
    present = (m.name for m in manifests if _has_images(m, located(m, Path(data_root))))
    return next(present, names[0])


def verify(manifest: Manifest, folder: Path) -> DataSet:
    """Check the number of files in `folder`, the size of images and the checksum of a kept archive;
    describe them.

    For a folder with a PHANTOM.json, that file says what to expect. Raises InputError naming the
    folder, what was expected and what was found.
    """
    if not folder.is_dir():
        wanted = ", ".join(f"{count} {pattern}" for pattern, count in manifest.expect.items())
        raise InputError(
            f"{folder}: no such folder, expected it to hold {manifest.title} ({wanted})"
        )
    root = _unwrapped(manifest, folder)
    title, expect = manifest.title, manifest.expect
    image_size: Optional[Sequence[int]] = manifest.image_size
    synthetic = (root / PHANTOM).exists()
    if synthetic:
        title = f"{manifest.name} phantoms (synthetic)"
        expect, image_size = _read_phantom(root / PHANTOM)
    elif manifest.rebuilt_title and (root / REBUILT).exists():
        title = manifest.rebuilt_title

    found = {pattern: len(matching(root, pattern)) for pattern in expect}
    missing = [
        f"{found[pattern]} of {count} {pattern}"
        for pattern, count in expect.items()
        if found[pattern] != count
    ]
    if missing:
        raise InputError(f"{root}: expected {title}, found {', '.join(missing)}")
    if image_size:
        for path in matching(root, manifest.images):
            _check_image(path, image_size, title)
    if not synthetic:
        for path in {root / archive.filename for archive in manifest.archives if archive.keep}:
            _check_archive(manifest, path)
    return DataSet(manifest.name, title, root, synthetic, _fingerprint(root, expect))


def matching(folder: Path, pattern: str) -> List[Path]:
    """Sorted paths in `folder` that match the glob `pattern`, without what systems leave there; see
    `listing.matching`.
    """
    return listing.matching(folder, pattern)


def located(manifest: Manifest, root: Path) -> Path:
    """The folder in a data root where the images are, or else should be."""
    folders = [root / name for name in manifest.folders]
    return next((folder for folder in folders if _has_images(manifest, folder)), folders[0])


def _has_images(manifest: Manifest, folder: Path) -> bool:
    return bool(matching(_unwrapped(manifest, folder), manifest.images))


def _unwrapped(manifest: Manifest, folder: Path) -> Path:
    """`folder`, or the one in it that its archive wraps the images in."""
    candidates = (folder, *(folder / layout for layout in manifest.layouts))
    return next(
        (candidate for candidate in candidates if matching(candidate, manifest.images)), folder
    )


def _read_phantom(path: Path) -> Tuple[Mapping[str, int], Optional[Sequence[int]]]:
    """What a PHANTOM.json says to expect: numbers of files by pattern, and the size of images."""
    try:
        phantom = json.loads(files.read_bytes(path, MOST_JSON_BYTES).decode("utf-8"))
        expect, image_size = phantom["expect"], phantom.get("image_size")
        if is_expectation(expect) and is_size(image_size):
            return expect, image_size
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise InputError(f"{path}: expected a JSON object with numbers of files in `expect`")


def _check_image(path: Path, size: Sequence[int], title: str) -> None:
    try:
        with files.open_regular(path) as stream, Image.open(stream) as image:
            found = image.size
    except InputError:
        raise
    # Whatever the damage leads Pillow to: OSError, SyntaxError, DecompressionBombError …
    except Exception:
        raise InputError(f"{path}: not an image, expected one of {title}") from None
    if found != tuple(size):
        raise InputError(
            f"{path}: expected an image of {size[0]}x{size[1]}, got {found[0]}x{found[1]}"
        )


def _fingerprint(root: Path, patterns: Iterable[str]) -> str:
    """Hash of the lines that `sha256sum` prints for the matching files, in the order of their POSIX
    paths.
    """
    found = {
        path.relative_to(root).as_posix(): path
        for pattern in patterns
        for path in matching(root, pattern)
        if not path.is_dir()
    }
    digest = hashlib.sha256()
    for name in sorted(found):
        try:
            line = f"{files.sha256(found[name])}  {name}\n"
        except OSError as error:
            raise InputError(f"{found[name]}: cannot be read ({error.strerror})") from None
        digest.update(os.fsencode(line))
    return digest.hexdigest()[:16]


def _install(manifest: Manifest, folder: Path, download: bool) -> None:
    """Unpack a hand-placed or downloaded archive in a folder beside `folder`, then rename what it
    holds.
    """
    work = DATA / f".partial-{manifest.name}"
    shutil.rmtree(work, ignore_errors=True)  # left behind by a run that was killed
    try:
        placed = _placed_archive(manifest)
        if placed:
            try:
                content = _content(manifest, placed, work)
            except InputError as error:
                raise InputError(f"{error}; {_remedy(manifest)}") from None
        elif download and manifest.archives:
            content = _download(manifest, work)
        else:
            raise InputError(f"{manifest.title}: not in {folder}; {_remedy(manifest)}")
        content.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _download(manifest: Manifest, work: Path) -> Path:
    """Download, unpack and verify a data set from the first address that has it."""
    failures = []
    for archive in manifest.archives:
        try:
            path = downloads.fetch(archive, work, DATA / downloads.PARTS)
            return _content(manifest, path, work)
        except (downloads.Failed, InputError) as failure:
            failures.append(f"{archive.address} ({failure})")
            shutil.rmtree(work, ignore_errors=True)
    raise InputError(
        f"cannot download {manifest.title} from {' or '.join(failures)}; {_remedy(manifest)}"
    )


def _content(manifest: Manifest, archive: Path, work: Path) -> Path:
    """Unpack an archive in `work`, and give the folder in it that is the verified data set."""
    unpacked = work / "unpacked"
    known = [entry for entry in manifest.archives if entry.filename == archive.name]
    try:
        if any(entry.keep for entry in known):
            unpacked.mkdir(parents=True)
            shutil.copyfile(archive, unpacked / archive.name)
        else:
            unpack(archive, unpacked)
        if manifest.rebuild:
            unpacked = _rebuilt(manifest, unpacked, work / "rebuilt")
        data = verify(manifest, unpacked)
        if manifest.fingerprint and not any(entry.checksum for entry in known):
            _check_fingerprint(data, manifest.fingerprint)
    except InputError as error:
        raise InputError(f"{archive.name} is not the expected archive: {error}") from None
    return data.folder


def _rebuilt(manifest: Manifest, source: Path, target: Path) -> Path:
    from common.datasets import rebuild  # not at the top: it takes a second

    if manifest.rebuild not in rebuild.PROCEDURES:
        known = ", ".join(rebuild.PROCEDURES)
        raise InputError(f"`rebuild` must be one of {known}, got {manifest.rebuild!r:.80}")
    print(f"making {manifest.name} from it", file=sys.stderr)
    rebuild.PROCEDURES[manifest.rebuild](source, target, MANIFESTS)
    (target / REBUILT).write_text(f"Made from the archive of {manifest.homepage}\n")
    return target


def _check_fingerprint(data: DataSet, expected: str) -> None:
    if data.fingerprint != expected:
        raise InputError(f"other content: fingerprint {data.fingerprint}, expected {expected}")


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
    if not any(downloads.is_right(path, archive) for archive in known):
        wanted = " or ".join(
            f"{archive.checksum} ({archive.size or '?'} bytes)" for archive in known
        )
        raise InputError(
            f"{path}: {path.stat().st_size} bytes with another checksum than expected, {wanted}"
        )


def _remedy(manifest: Manifest) -> str:
    folder = DATA / manifest.folder
    by_hand = f"get it from {manifest.homepage} and put its content into {folder}"
    if manifest.archives:
        url, place = manifest.archives[0].address, DATA / manifest.archives[0].filename
        by_hand = f"get {url} by hand and put it at {place}"
        if not manifest.rebuild:
            by_hand += f" or its content into {folder}"
    return f"{by_hand}, set DATA_ROOT to a folder that holds {manifest.folder}/, or try `make demo`"


# Command line


def _describe(data: DataSet) -> None:
    """Print what a data set is."""
    manifest = load_manifest(data.name)
    paths = [path for path in matching(data.folder, "**/*") if path.is_file()]
    print(data.title)
    print(f"  folder       {data.folder}")
    print(f"  found        {len(matching(data.folder, manifest.images))} {manifest.images}")
    print(f"  size         {megabytes(sum(path.stat().st_size for path in paths))}")
    print(f"  fingerprint  {data.fingerprint}")
    if not data.synthetic:
        for archive in manifest.archives:
            print(f"  published    {archive.described()}")
        print(f"  licence      {manifest.licence}")
        print(f"  citation     {manifest.citation}")


def _list_all(data_root: Optional[Path]) -> None:
    """Print which data sets are here and where the others come from, without reading them."""
    root = data_root or DATA
    for name in all_names():
        manifest = load_manifest(name)
        place = located(manifest, root)
        print(f"{name}: {manifest.title}")
        if _has_images(manifest, place):
            paths = [path for path in matching(place, "**/*") if path.is_file()]
            size = megabytes(sum(path.stat().st_size for path in paths))
            print(f"  here       {place}, {len(paths)} files, {size}")
        else:
            print(f"  not here   {place}")
        for archive in manifest.archives:
            print(f"  published  {archive.described()}")
        print(f"  licence    {manifest.licence}")


def _fetch_all(data_root: Optional[Path]) -> None:
    """Find or download every data set; go on after one that cannot be had."""
    failed = []
    for name in all_names():
        try:
            data = find(name, data_root)
            print(f"{name}: {data.title}, in {data.folder}")
        except InputError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed.append(name)
    if failed:
        raise InputError(f"without {', '.join(failed)}, for the reasons above")


@exits_cleanly
def main(argv: Optional[List[str]] = None) -> None:
    """Find or download one data set and print what it is; of several, the first that is there.
    Without a name: list all data sets, and where they come from.
    """
    parser = argparse.ArgumentParser(
        prog=".venv/bin/python -m common.datasets.manifests", description=main.__doc__
    )
    parser.add_argument(
        "names", nargs="*", metavar="name", help="a file of data_manifests, without .yaml"
    )
    parser.add_argument("--all", action="store_true", help="find or download every data set")
    parser.add_argument(
        "--data-root", type=Path, help="folder that holds the data set's own folder"
    )
    arguments = parser.parse_args(argv)
    if arguments.names:
        _describe(find_first(arguments.names, arguments.data_root))
    elif arguments.all:
        _fetch_all(arguments.data_root)
    else:
        _list_all(arguments.data_root)


if __name__ == "__main__":
    main()
