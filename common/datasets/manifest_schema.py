"""What stands in a file of `data_manifests/`, and the check that it does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Mapping, Optional, Tuple

from common.datasets.downloads import Source
from common.errors import InputError
from common.files import read_yaml

MOST_FILES = 10_000_000
MOST_PIXELS = 1_000_000  # along a side


@dataclass(frozen=True)
class Archive(Source):
    """One place a data set can be downloaded from."""

    keep: bool = False  # the file is the data, and not unpacked


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
    images: str  # the pattern of `expect` that the images match
    expect: Mapping[str, int]  # glob pattern -> how many files or folders match it
    image_size: Optional[Tuple[int, int]] = None  # width, height; None where it varies
    # Of the content, as `DataSet` has it; checked where no archive has a checksum.
    fingerprint: Optional[str] = None
    other_folders: Tuple[str, ...] = ()  # where a copy may lie instead
    rebuild: Optional[str] = None  # how the data are made from the archive: `rebuild.PROCEDURES`
    rebuilt_title: Optional[str] = None  # of data that were made so

    @property
    def folders(self) -> Tuple[str, ...]:
        """All folders in a data root where the data may lie."""
        return (self.folder, *self.other_folders)


_TEXTS = ("name", "title", "citation", "licence", "homepage", "folder", "images")
_OPTIONAL_TEXTS = ("fingerprint", "rebuild", "rebuilt_title")
_MANIFEST_KEYS = {
    **dict.fromkeys((*_TEXTS, *_OPTIONAL_TEXTS), str),
    **dict.fromkeys(("archives", "layouts", "image_size", "other_folders"), list),
    "expect": dict,
}
_ARCHIVE_KEYS = {"url": str, "checksum": str, "size": int, "keep": bool}
_OPTIONAL_KEYS = {*_OPTIONAL_TEXTS, "image_size", "other_folders", "checksum", "size", "keep"}


def read(path: Path) -> Manifest:
    """Read a manifest. Raises InputError naming the file and the key that is wrong."""
    raw = read_yaml(path)
    _check_keys(path, raw, _MANIFEST_KEYS)
    for archive in raw["archives"]:
        _check_keys(path, archive, _ARCHIVE_KEYS)
        _check_archive(path, archive)
    if raw["images"] not in raw["expect"] or not is_expectation(raw["expect"]):
        raise InputError(
            f"{path}: `expect` must map patterns, among them the one of `images`, to whole numbers"
        )
    if not is_size(raw.get("image_size")):
        raise InputError(
            f"{path}: `image_size` must be a width and a height, got {raw['image_size']!r:.80}"
        )
    folders = [("folder", [raw["folder"]]), ("layouts", raw["layouts"])]
    for key, names in (*folders, ("other_folders", raw.get("other_folders", []))):
        if not all(is_relative(name) for name in names):
            raise InputError(f"{path}: `{key}` must be names of folders, got {names!r:.80}")
    if not re.fullmatch("[0-9a-f]{16}", raw.get("fingerprint", "0" * 16)):
        raise InputError(f"{path}: `fingerprint` must be 16 hex digits")
    raw["archives"] = tuple(Archive(**archive) for archive in raw["archives"])
    for key in ("layouts", "other_folders", "image_size"):
        if key in raw:
            raw[key] = tuple(raw[key])
    return Manifest(**raw)


def is_relative(name: object) -> bool:
    """Whether this is the name of a folder inside another one."""
    if not isinstance(name, str) or not 0 < len(name) <= 200 or not name.isprintable():
        return False
    return name[0] != "/" and not {"", ".", ".."} & {*name.split("/")}


def is_expectation(value: object) -> bool:
    """Whether this maps relative patterns to numbers of files."""
    return isinstance(value, dict) and all(
        is_relative(pattern) and _is_pattern(pattern) and _is_count(count, MOST_FILES)
        for pattern, count in value.items()
    )


def is_size(value: object) -> bool:
    """Whether this is a list of a width and a height, or None."""
    if value is None:
        return True
    sides = value if isinstance(value, list) else []
    return len(sides) == 2 and all(side and _is_count(side, MOST_PIXELS) for side in sides)


def _is_pattern(pattern: str) -> bool:
    return not any("**" in part for part in PurePosixPath(pattern).parts)


def _is_count(value: object, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def _check_archive(path: Path, raw: Mapping[str, Any]) -> None:
    url, name = raw["url"], Archive(raw["url"]).filename
    if not re.match(r"https?://[^/\s]+/", url) or not url.isprintable():
        raise InputError(f"{path}: `url` must be an address of the web, got {url!r:.80}")
    if not is_relative(name) or name[0] == ".":
        raise InputError(f"{path}: `url` must end in the name of a file, got {url!r:.80}")
    if not re.fullmatch("(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})?", raw.get("checksum", "")):
        raise InputError(f"{path}: `checksum` must be md5:… or sha256:… in hex digits")
    if not _is_count(raw.get("size", 1), 1 << 50):
        raise InputError(f"{path}: `size` must be a number of bytes, got {raw['size']!r:.80}")


def _check_keys(path: Path, raw: object, kinds: Mapping[str, type]) -> None:
    if not isinstance(raw, dict):
        raise InputError(f"{path}: expected the keys {', '.join(kinds)}, got {raw!r:.80}")
    for key in sorted(set(kinds) - set(raw) - _OPTIONAL_KEYS):
        raise InputError(f"{path}: the key `{key}` is missing")
    for key, value in raw.items():
        if key not in kinds:
            raise InputError(
                f"{path}: unknown key `{key!s:.80}`, expected one of {', '.join(kinds)}"
            )
        if type(value) is not kinds[key]:
            raise InputError(f"{path}: `{key}` must be a {kinds[key].__name__}, got {value!r:.80}")
