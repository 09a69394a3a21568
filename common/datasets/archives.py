"""Unpacking zip and tar archives from strangers without letting them write elsewhere or fill disk
or memory.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import io
import lzma
import os
import shutil
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import (
    IO,
    Any,
    BinaryIO,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Set,
    Tuple,
    cast,
)

from common.errors import InputError
from common.files import open_regular

MOST_MEMBERS = 200_000
MOST_NAME_BYTES = 255  # of one folder or file, as most file systems allow
MOST_PATH_BYTES = 1024
MOST_HEADER_BYTES = 1 << 20  # of one member of a tar archive

_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    ValueError,  # numbers in headers that are none
    OverflowError,  # or beyond all sizes
    RecursionError,  # thousands of headers before one member
)
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the time of every member that `pack` writes
_PACKINGS: Dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}


class _Member(NamedTuple):
    name: str
    size: int
    kind: str  # "file", "folder" or what else it is
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, folder: Path, max_bytes: int = 8 << 30, max_ratio: float = 200) -> None:
    """Unpack a zip or tar file, compressed or not, into `folder`, leaving out what macOS adds.

    Every member is checked before the first is written. Raises InputError, naming the member, for
    absolute paths, `..`, names that are empty, too long or alike, links, devices and encrypted
    members, and for an archive that is damaged or would unpack to more than `max_bytes` or
    `max_ratio` times its own size. After an error `folder` may hold some members: give a temporary
    one.
    """
    limit = min(max_bytes, max_ratio * archive.stat().st_size)
    with _opened(archive) as members:
        for member in _accepted(archive, members, limit):
            target = folder / PurePosixPath(member.name)
            try:
                (target if member.kind == "folder" else target.parent).mkdir(
                    parents=True, exist_ok=True
                )
                if member.kind == "file":
                    with member.open() as source, target.open("xb") as copy:
                        shutil.copyfileobj(source, copy)
            except (FileExistsError, NotADirectoryError):
                raise _refused(archive, member, "occurs twice, expected once") from None
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    raise _refused(archive, member, "has too long a name for this disk") from None
                raise


def pack(target: Path | BinaryIO, members: Iterable[Tuple[str, bytes]]) -> None:
    """Write a zip file of names and contents; equal members give equal bytes."""
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members:
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, compresslevel=9)


def check_zip_size(
    path: Path, members: zipfile.ZipFile, max_bytes: int = 8 << 30, max_ratio: float = 200
) -> None:
    """Raise InputError for a zip file, such as an .npz, that would unpack to more than that."""
    limit = min(max_bytes, max_ratio * path.stat().st_size)
    if sum(info.file_size for info in members.infolist()) > limit:
        raise InputError(f"{path}: refused to unpack more than {limit / 1e6:.3g} MB")


def _accepted(archive: Path, members: Iterator[_Member], limit: float) -> List[_Member]:
    """Check all members and give those to unpack.

    It stops at the first offence, so that the rest of a compressed bomb is not even read.
    """
    accepted: List[_Member] = []
    seen: Set[str] = set()
    total = 0
    for count, member in enumerate(members, 1):
        total += member.size
        # The Windows flavour knows both separators and drive letters.
        path = PureWindowsPath(member.name)
        if path.anchor or ".." in path.parts:
            raise _refused(archive, member, "leads outside its folder")
        if member.kind not in ("file", "folder"):
            raise _refused(archive, member, f"is {member.kind}")
        if not path.parts and member.kind == "file":
            raise _refused(archive, member, "has no name")
        lengths = [len(os.fsencode(part)) for part in path.parts]
        if (
            max(lengths, default=0) > MOST_NAME_BYTES
            or sum(lengths) + len(lengths) > MOST_PATH_BYTES
        ):
            raise _refused(archive, member, "has too long a name")
        if total > limit:
            size = f"{limit / 1e6:.3g} MB"
            raise InputError(
                f"{archive}: refused to unpack more than {size}, passed at the member "
                f"{_shown(member)}"
            )
        if count > MOST_MEMBERS:
            raise InputError(f"{archive}: refused to unpack more than {MOST_MEMBERS} members")
        if path.parts and not any(_is_junk(part) for part in path.parts):
            if member.kind == "file":
                # Some disks take these two for one: a.png and A.png, composed and decomposed ö.
                key = unicodedata.normalize("NFC", PurePosixPath(member.name).as_posix()).casefold()
                if key in seen:
                    raise _refused(archive, member, "occurs twice, expected once")
                seen.add(key)
            accepted.append(member)
    return accepted


def _is_junk(part: str) -> bool:
    return part in ("__MACOSX", ".DS_Store") or part.startswith("._")


def _refused(archive: Path, member: _Member, reason: str) -> InputError:
    return InputError(f"{archive}: refused to unpack, the member {_shown(member)} {reason}")


def _shown(member: _Member) -> str:
    name = member.name
    return repr(name) if len(name) <= 80 else f"{name[:80]!r}…"


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[Iterator[_Member]]:
    try:
        with open_regular(archive) as stream:
            if _is_zip(stream):
                with zipfile.ZipFile(stream) as zipped:
                    infos = zipped.infolist()
                    yield (
                        _Member(i.filename, i.file_size, _zip_kind(i), partial(zipped.open, i))
                        for i in infos
                    )
            else:
                with _tar(archive, stream) as tar:
                    yield (
                        _Member(m.name, m.size, _tar_kind(m), partial(_content, tar, m))
                        for m in tar
                    )
    except (*_DAMAGE, OSError) as error:
        # The decompressors raise bare OSErrors, and damaged offsets lead before the beginning;
        # others are the system's, such as a full disk.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise InputError(f"{archive}: damaged archive ({' '.join(str(error).split())})") from None


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(member)
    assert content is not None  # it is of files alone
    return content


def _is_zip(stream: BinaryIO) -> bool:
    """Whether this is a zip file, and not a tar file that ends with one."""
    start = stream.read(4)
    if start in (b"PK\3\4", b"PK\5\6"):
        return True
    return not any(start.startswith(magic[:4]) for magic in _PACKINGS) and not _is_tar(stream)


def _is_tar(stream: BinaryIO) -> bool:
    stream.seek(257)  # where its first header says so
    return stream.read(5) == b"ustar" or not zipfile.is_zipfile(stream)


@contextlib.contextmanager
def _tar(archive: Path, stream: BinaryIO) -> Iterator[tarfile.TarFile]:
    """Open a tar archive, whatever it is compressed by."""
    stream.seek(0)
    start = stream.read(6)
    stream.seek(0)
    opener = next((o for magic, o in _PACKINGS.items() if start.startswith(magic)), None)
    unpacked = _WithoutLongHeaders(opener(stream) if opener else stream)
    try:
        tar = tarfile.open(fileobj=cast(IO[bytes], unpacked), mode="r:")  # noqa: SIM115  closed below
    except tarfile.ReadError:
        raise InputError(f"{archive}: neither a zip nor a tar archive") from None
    with tar:
        yield tar


class _WithoutLongHeaders(io.RawIOBase):
    """A stream that refuses to read very much at once.

    `tarfile` reads extended headers whole, of whatever length they say; contents are read in
    pieces.
    """

    def __init__(self, stream: IO[bytes]):
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        if size > MOST_HEADER_BYTES:
            raise tarfile.TarError(f"a header of {size} bytes")
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


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
    return "folder" if info.filename.endswith("/") else "file"
