"""Reading files that may be anything, and writing so that nobody ever meets half a file."""

from __future__ import annotations

import contextlib
import csv
import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
import socket
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, BinaryIO, Iterator, List, Optional, Tuple

import yaml

from common.errors import InputError, on_one_line

PROJECT = Path(__file__).resolve().parent.parent

MOST_BYTES = 200_000_000  # of a text or table; those of the project have a few MB
YAML_BYTES = 200_000  # the largest file of the project has 5 kB
YAML_DEPTH = 20
YAML_ALIASES = 100
YAML_DIGITS = 30  # of a number
# What a file system answers that has no locks: NFS without lockd, Lustre mounted without flock.
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
# And one that has no hard links either, such as a network folder of Windows.
WITHOUT_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)


class InUse(InputError):
    """Another process holds a lock that this one wants."""


# Reading


@contextlib.contextmanager
def open_regular(path: Path | str) -> Iterator[BinaryIO]:
    """Open a file for reading bytes, unless it is one that may never end, such as a named pipe.

    Raises:
        InputError: a named pipe, a socket or a device.
        OSError: no such file, a folder, or one that may not be read.
    """
    try:
        # Opening a pipe that nobody writes to would wait for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise InputError(f"{path}: expected a file, this is a socket or a device") from None
        raise
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        with os.fdopen(handle, "rb") as stream:
            yield stream
        return
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    kind = "a named pipe" if stat.S_ISFIFO(mode) else "a device"
    raise InputError(f"{path}: expected a file, this is {kind}")


def read_bytes(path: Path | str, most: int) -> bytes:
    """Read a whole file of at most `most` bytes.

    Raises:
        InputError: not a regular file, a larger one, or one that changes while it is read.
        OSError: as `open_regular`.
    """
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > most:
            raise InputError(f"{path}: {size} bytes, expected at most {most}")
        content = stream.read(size + 1)
    if len(content) != size:
        raise InputError(f"{path}: changes while it is read; wait until it is written")
    return content


def read_text(path: Path | str) -> str:
    """Read a text file in UTF-8.

    Raises:
        InputError: it is in another encoding, or none that `read_bytes` reads.
        OSError: as `open_regular`.
    """
    try:
        return read_bytes(path, MOST_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text in UTF-8 ({error.reason}); restore it") from None


def read_csv_lines(path: Path | str) -> List[List[str]]:
    """Divide a CSV file into lines of fields, the header first; raises as `read_text`."""
    try:
        return list(csv.reader(io.StringIO(read_text(path), newline="")))
    except csv.Error as error:
        raise InputError(f"{path}: not CSV ({error}); restore it") from None


def buffered(path: Path | str) -> io.BytesIO:
    """Give the bytes of a file to a library that would open anything, such as pandas; raises as
    `read_bytes`.
    """
    return io.BytesIO(read_bytes(path, MOST_BYTES))


def sha256(path: Path | str) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits.

    Raises:
        InputError: not a regular file, or one that changes while it is read.
        OSError: as `open_regular`.
    """
    return checksum(path, "sha256")


def checksum(path: Path | str, algorithm: str) -> str:
    """Checksum of a file's bytes by an algorithm of `hashlib`, in hex digits; raises as
    `sha256`.
    """
    digest = hashlib.new(algorithm)
    with open_regular(path) as stream:
        remaining = os.fstat(stream.fileno()).st_size
        while remaining > 0:
            block = stream.read(min(remaining, 1 << 20))
            if not block:
                break
            digest.update(block)
            remaining -= len(block)
        if remaining or stream.read(1):
            raise InputError(f"{path}: changes while it is read; wait until it is written")
    return digest.hexdigest()


def read_yaml(path: Path | str) -> Any:
    """Read a YAML file of mappings, lists, texts, numbers and booleans: no tags, and no key twice.

    Size, depth, aliases and the length of integers are limited (`YAML_BYTES`, …), so that no file
    costs much time or memory.

    Raises:
        InputError: it is not such a file; the message names it and the line.
        OSError: as `open_regular`.
    """
    content = read_bytes(path, YAML_BYTES)
    try:
        return yaml.load(content.decode("utf-8"), Loader=_PlainLoader)  # a subclass of SafeLoader
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path}: not valid YAML ({on_one_line(str(error))})") from None


def _is_plain(resolver: Tuple[str, Any]) -> bool:
    """Whether a resolver is of a plain type: dates, merge keys and the like stay texts."""
    return resolver[0].rpartition(":")[2] in ("bool", "float", "int", "null")


class _PlainLoader(yaml.SafeLoader):
    """YAML as the project writes it. Everything else is a ValueError or a YAMLError."""

    yaml_implicit_resolvers = {
        first: list(filter(_is_plain, resolvers))
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: str):
        super().__init__(stream)
        self._depth = 0
        self._aliases = 0

    def compose_node(self, parent: Optional[yaml.Node], index: object) -> yaml.Node:
        event = self.peek_event()
        line = event.start_mark.line + 1
        if getattr(event, "tag", None) is not None:
            raise ValueError(f"line {line}: a tag, expected plain YAML")
        if self._depth == YAML_DEPTH:
            raise ValueError(f"line {line}: nested more than {YAML_DEPTH} levels deep")
        is_alias = isinstance(event, yaml.AliasEvent)
        self._aliases += is_alias
        if self._aliases > YAML_ALIASES:
            raise ValueError(f"line {line}: more than {YAML_ALIASES} aliases")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias and not isinstance(node, yaml.ScalarNode):
            raise ValueError(
                f"line {line}: an alias of a mapping or a list, expected one of a text"
            )
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        # YAML lets the last of two equal keys win, which would lose a row in silence.
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                raise ValueError(f"line {line}: a key that is no text")
            if key.value in seen:
                raise ValueError(
                    f"{key.value}: given twice in the mapping that starts on line "
                    f"{node.start_mark.line + 1}"
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> float:
        kind = node.tag.rpartition(":")[2]
        line = node.start_mark.line + 1
        if len(node.value) > YAML_DIGITS:
            raise ValueError(f"line {line}: a number of more than {YAML_DIGITS} digits")
        try:
            return getattr(self, f"construct_yaml_{kind}")(node)
        except ValueError:  # such as 0b_
            raise ValueError(f"line {line}: {node.value!r} is no number") from None


for _kind in ("int", "float"):
    _PlainLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _PlainLoader.construct_number)


# Writing


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path`; on leaving without an error it replaces `path` in one
    step.

    The temporary name keeps the suffix, so that libraries that choose a format by it still do. What
    a killed process has left there is taken over by the next that writes the same file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = _partial_file(path)
    try:
        yield temporary
        # So far it is private; results are meant to be read by others.
        temporary.chmod(0o666 & ~_umask())
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)  # not later, when the name may be another's
        if isinstance(error, OSError):
            error.filename = error.filename or str(path)  # where a write failed, it does not say
        raise
    finally:
        os.close(handle)


def _partial_file(path: Path) -> Tuple[int, Path]:
    """Open the temporary file of `path`, locked; one of a random name while another process writes
    there, where there are no locks, and for HDF5, which locks what it writes itself.
    """
    key = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]
    usual = path.with_name(f".partial-{key}{path.suffix}")
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    if path.suffix != ".h5":
        with contextlib.suppress(OSError):  # what is wrong with the folder, mkstemp tells
            handle = os.open(usual, flags, 0o600)
            if stat.S_ISREG(os.fstat(handle).st_mode) and _is_mine(handle, usual):
                os.ftruncate(handle, 0)
                return handle, usual
            os.close(handle)
    handle, name = tempfile.mkstemp(prefix=".partial-", suffix=path.suffix, dir=path.parent)
    return handle, Path(name)


def _is_mine(handle: int, path: Path) -> bool:
    """Lock an open file without waiting, and tell whether it is still the one at `path`."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except OSError:
        return False


@contextlib.contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """Give an empty folder in `parent` for this process alone, removed at the end; `name` says what
    for. What a killed process has left there is cleared away by the next with the same name.
    """
    parent.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    folder = parent / f".partial-{key}"
    folder.mkdir(exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not _is_mine(handle, folder):
            folder = Path(tempfile.mkdtemp(prefix=".partial-", dir=parent))
        for left in folder.iterdir():
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write bytes atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path | str, value: object) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


# Locks


@contextlib.contextmanager
def one_at_a_time(folder: Path | str) -> Iterator[None]:
    """Let one process after the other do what reads files in `folder`, changes and writes them;
    .lock stays there.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    with locked(Path(folder) / ".lock"):
        yield


@contextlib.contextmanager
def locked(path: Path | str, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path`, which stays there. The lock ends with the process, however it
    ends.

    Where the file system has no locks, a file `path`.held marks the holder by host and process
    number; one that a process of this host has left behind is taken away.

    Args:
        path: the file; its folder has to exist.
        wait: for another process to release it.

    Raises:
        InUse: another process holds it, and `wait` is false.
        OSError: the file cannot be made.
    """
    path = Path(path)
    # Opening a named pipe in its place would wait for a reader.
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise InUse(
                f"{path.parent} is in use by another process; wait for it or stop it"
            ) from None
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                error.filename = error.filename or str(path)
                raise
            with _marked(path.with_name(f"{path.name}.held"), wait):
                yield
            return
        yield
    finally:
        os.close(handle)


def has_locks(path: Path) -> bool:
    """Whether the file system of an existing file has locks."""
    with open(path) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in WITHOUT_LOCKS
    return True


@contextlib.contextmanager
def _marked(marker: Path, wait: bool) -> Iterator[None]:
    """Hold a lock by making a file that must not exist, which every file system can."""
    own = f"{os.getpid()} {socket.gethostname()} {_start_time(os.getpid())}\n"
    since, told = time.monotonic(), False
    while not _make_marker(marker, own):
        holder = _text(marker)
        if not holder:  # it has gone, or without links its text comes a moment after it
            time.sleep(0.5)
            holder = _text(marker)
        if _is_left_behind(holder):
            _take_away(marker, holder)
            continue
        pid, host, _ = holder.split()
        remedy = f"if that process no longer runs, remove {marker}"
        if not wait:
            raise InUse(f"{marker.parent} is in use by process {pid} on {host}; {remedy}")
        if not told and time.monotonic() - since > 10:
            print(f"waiting for process {pid} on {host}; {remedy}", file=sys.stderr)
            told = True
        time.sleep(0.1)
    try:
        yield
    finally:
        marker.unlink(missing_ok=True)


def _make_marker(marker: Path, text: str) -> bool:
    """Make a file with this text in one step, unless there is one."""
    handle, name = tempfile.mkstemp(prefix=".partial-", dir=marker.parent)
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
        os.link(name, marker)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in WITHOUT_LINKS:
            raise
        return _make_without_links(marker, text)
    finally:
        os.unlink(name)
    return True


def _make_without_links(marker: Path, text: str) -> bool:
    try:
        with marker.open("x") as stream:
            stream.write(text)
    except FileExistsError:
        return False
    return True


def _is_left_behind(holder: str) -> bool:
    """Whether a marker's process was one of this machine and has ended."""
    parts = holder.split()
    if len(parts) != 3 or not parts[0].isdecimal():
        return True  # not a marker: they appear whole
    pid, host, start = int(parts[0]), parts[1], parts[2]
    return host == socket.gethostname() and start != _start_time(pid)


def _take_away(marker: Path, text: str) -> None:
    """Remove a marker with this text; one that another process has put there meanwhile stays."""
    aside = marker.with_name(f".partial-{marker.name}-{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        os.rename(marker, aside)
        if _text(aside) != text:
            _make_marker(marker, _text(aside))
        aside.unlink()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _start_time(pid: int) -> str:
    """When a process of this machine began, "unknown" where the system does not say, and "none" for
    no process.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "none"
    except (PermissionError, OverflowError):
        pass  # somebody else's
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[19]
    except (OSError, IndexError):
        return "unknown"
