"""Files in folders: which are images, which the system has left there, and under what names."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import stat
from pathlib import Path
from typing import Iterator, List, Set, Tuple

from common.errors import InputError
from common.imaging import formats

# What systems leave in folders, in lower case, beside names that begin with a dot: .DS_Store, and
# ._* for each file that macOS copies.
LEFT_BEHIND = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir")
CONTENTS = "dicomdir"  # the table of contents of a disk of DICOM files, in lower case


def shown(path: Path | str) -> str:
    """A name for messages, in one line: bytes that are no UTF-8, and control characters, as \\x….

    >>> shown("slide\\udcfe\\n.png")
    'slide\\\\xfe\\\\n.png'
    """
    text = os.fsencode(str(path)).decode("utf-8", "backslashreplace")
    characters = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(characters)


def result_name(path: Path) -> str:
    """The name under which results of an image are kept: its own, without the suffix of an image
    format.

    Other suffixes are none: DICOM files are often named by a UID, all of which is needed.

    >>> result_name(Path("a/1.2.840.7")), result_name(Path("a/slide 1.TIF"))
    ('1.2.840.7', 'slide 1')
    """
    return path.stem if path.suffix.lower() in formats.SUFFIXES else path.name


def is_left_behind(path: Path) -> bool:
    """Whether a path, relative to a folder of data, is none of the data."""
    return any(part[0] == "." or part.lower() in LEFT_BEHIND for part in path.parts)


def matching(folder: Path, pattern: str) -> List[Path]:
    """Sorted files and folders in `folder` that match the glob `pattern`, whose suffix may be
    written in capitals.

    Left out are hidden ones, what the system has left there, and pipes, sockets and devices.
    """
    found = (path for path in Path(folder).glob(_any_case(pattern)) if not _is_special(path))
    return sorted(path for path in found if not is_left_behind(path.relative_to(folder)))


def any_case(path: Path) -> Path:
    """The file of this name, or the one whose suffix is written in capitals where there is none."""
    found = matching(path.parent, glob.escape(path.stem) + path.suffix)
    return path if path.exists() or not found else found[0]


def images(folder: Path, pattern: str = "*") -> List[Path]:
    """Sorted image files in `folder` and below whose names match the glob `pattern`.

    By suffix, or where that is none of an image format, by content: DICOM files often have none.
    Folders behind symbolic links are entered once.

    Raises:
        InputError: a folder cannot be read.
    """
    wanted = re.compile(fnmatch.translate(_any_case(pattern)))
    files = (path for path in _walk(Path(folder)) if wanted.fullmatch(path.name))
    return sorted(path for path in files if _is_image(path))


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder that the system has not left there."""

    def refuse(error: OSError) -> None:
        reason = error.strerror or error
        raise InputError(f"{shown(error.filename or folder)}: cannot be read: {reason}")

    entered: Set[Tuple[int, int]] = set()
    for parent, names, files in os.walk(folder, onerror=refuse, followlinks=True):
        place = os.stat(parent)
        if (place.st_dev, place.st_ino) in entered:
            names.clear()
            continue
        entered.add((place.st_dev, place.st_ino))
        names[:] = sorted(name for name in names if not is_left_behind(Path(name)))
        yield from (Path(parent, name) for name in files if not is_left_behind(Path(name)))


def _is_image(path: Path) -> bool:
    if path.suffix.lower() in formats.SUFFIXES:
        return True
    if path.name.lower() == CONTENTS or not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            return formats.recognise(stream.read(formats.START)) == "DICOM"
    except OSError:
        return False


def _is_special(path: Path) -> bool:
    """Whether this is neither a file nor a folder; a broken link will be named by who reads it."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _any_case(pattern: str) -> str:
    """A glob pattern for suffixes in small letters and in capitals."""
    rest, dot, suffix = pattern.rpartition(".")
    if not dot or "/" in suffix or not suffix.isalnum():
        return pattern
    letters = (f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in suffix)
    return rest + dot + "".join(letters)
