"""Unpacking zip and tar archives from strangers without letting them write elsewhere or fill the
disk.
"""

from __future__ import annotations

import contextlib
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Callable, Iterator, NamedTuple

from common.errors import InputError

_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
)


class _Member(NamedTuple):
    name: str
    size: int
    kind: str  # "file", "folder" or what else it is
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, folder: Path, max_bytes: int = 8 << 30, max_ratio: float = 200) -> None:
    """Unpack a zip or tar file, compressed or not, into `folder`, leaving out what macOS adds.

    Every member is checked before the first is written. Raises InputError, naming the member, for
    absolute paths, `..`, links, devices and encrypted members, and for an archive that is damaged
    or would unpack to more than `max_bytes` or `max_ratio` times its own size. After an error
    `folder` may hold some members: give a temporary one.
    """
    limit = min(max_bytes, max_ratio * archive.stat().st_size)
    accepted, total = [], 0
    with _opened(archive) as members:
        # Stops at the first offence, so that the rest of a compressed bomb is not even read.
        for member in members:
            total += member.size
            # The Windows flavour knows both separators and drive letters.
            path = PureWindowsPath(member.name)
            if path.anchor or ".." in path.parts:
                raise InputError(
                    f"{archive}: refused to unpack, the member {member.name!r} leads outside its "
                    "folder"
                )
            if member.kind not in ("file", "folder"):
                raise InputError(
                    f"{archive}: refused to unpack, the member {member.name!r} is {member.kind}"
                )
            if total > limit:
                size = f"{limit / 1e6:.3g} MB"
                raise InputError(
                    f"{archive}: refused to unpack more than {size}, passed at the member "
                    f"{member.name!r}"
                )
            if not any(
                part in ("__MACOSX", ".DS_Store") or part.startswith("._") for part in path.parts
            ):
                accepted.append(member)
        for member in accepted:
            target = folder / PurePosixPath(member.name)
            try:
                (target if member.kind == "folder" else target.parent).mkdir(
                    parents=True, exist_ok=True
                )
                if member.kind == "file":
                    with member.open() as source, target.open("xb") as copy:
                        shutil.copyfileobj(source, copy)
            except (FileExistsError, NotADirectoryError):
                raise InputError(
                    f"{archive}: the member {member.name!r} occurs twice, expected once"
                ) from None


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[Iterator[_Member]]:
    try:
        if tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                yield (
                    _Member(m.name, m.size, _tar_kind(m), lambda m=m: tar.extractfile(m))
                    for m in tar
                )
        elif zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                infos = zipped.infolist()
                yield (
                    _Member(i.filename, i.file_size, _zip_kind(i), lambda i=i: zipped.open(i))
                    for i in infos
                )
        else:
            raise InputError(f"{archive}: neither a zip nor a tar archive")
    except (*_DAMAGE, OSError) as error:
        # The decompressors raise bare OSErrors; those with a number are the system's, such as a
        # full disk.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{archive}: damaged archive ({' '.join(str(error).split())})") from None


def _tar_kind(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return "a link"
    return "file" if member.isreg() else "folder" if member.isdir() else "a device"


def _zip_kind(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & 1:
        return "encrypted"
    mode = stat.S_IFMT(info.external_attr >> 16)
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link" if mode == stat.S_IFLNK else "a device"
    return "folder" if info.is_dir() else "file"
