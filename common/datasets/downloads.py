"""Downloads: resumed where they broke off, tried again while a server is busy, and verified."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import sys
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TimedOut
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Iterator, Mapping, Optional
from urllib.parse import urlsplit

from tqdm import tqdm

from common import files

if TYPE_CHECKING:
    import requests

USER_AGENT = "medseg-reproductions/0.2 (a reproduction suite; python-requests)"
TRIES = 5  # of one address, while it is busy or breaks off
FIRST_DELAY = 1.0  # seconds; doubled from try to try
LONGEST_DELAY = 60.0  # seconds, whatever the server asks for
TIMEOUT = (10, 30)  # seconds to connect, and without a byte
ANSWER = 60.0  # seconds until an answer begins with its content, however its bytes trickle
SLOWEST = 200  # bytes a second, over WINDOW seconds
WINDOW = 60.0
MOST_BYTES = 16 << 30
BLOCK = 1 << 16
PROGRESS = 1 << 20  # bytes that make a try that broke off count as none
BUSY = (429, 500, 502, 503, 504)
PARTS = ".downloads"  # folder beside the data that keeps what an interruption has left


@dataclass(frozen=True)
class Source:
    """One address of a file, and how to know that it is the right one."""

    url: str
    checksum: Optional[str] = None  # "md5:…" or "sha256:…"; None where none is published
    size: Optional[int] = None  # bytes

    @property
    def filename(self) -> str:
        """The name to keep the file by: the last part of the address, or what stands after #/."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def address(self) -> str:
        """The address alone."""
        return self.url.partition("#")[0]

    def described(self) -> str:
        """The address and the size, for a message."""
        return f"{self.address} ({megabytes(self.size)})" if self.size else self.address


class Failed(Exception):
    """A file cannot be had from an address. The message says why."""


class _Again(Failed):
    """It may be had later, after `delay` seconds where the server says so."""

    def __init__(self, reason: str, delay: Optional[float] = None, tries: int = TRIES):
        super().__init__(reason)
        self.delay = delay
        self.tries = tries


def fetch(source: Source, folder: Path, parts: Path) -> Path:
    """Download a file, and give its path in `folder`, where it appears once it is verified.

    Args:
        source: the address, with checksum and size where they are known.
        folder: made if need be.
        parts: folder that keeps an unfinished file for the next call, if the server can continue.

    Raises:
        Failed: it cannot be had from there; the message says why.
        OSError: the disk is full.
    """
    print(f"downloading {source.described()}", file=sys.stderr)
    part = _Part(source, parts)
    try:
        _fetch_into(part)
        folder.mkdir(parents=True, exist_ok=True)
        return part.path.replace(folder / source.filename)
    finally:
        part.drop_unless_resumable()


def is_right(path: Path, source: Source) -> bool:
    """Whether a file has the checksum of a source; True where that has none."""
    if source.checksum is None:
        return True
    algorithm, _, expected = source.checksum.partition(":")
    return files.checksum(path, algorithm) == expected


def megabytes(size: float) -> str:
    """A number of bytes for people: "25.2 MB"."""
    return f"{size / 1e6:.3g} MB" if size >= 1e5 else f"{size / 1e3:.3g} kB"


class _Part:
    """An unfinished file, and what the server said of the whole."""

    def __init__(self, source: Source, folder: Path):
        key = hashlib.sha256(source.url.encode()).hexdigest()[:12]
        self.path = folder / f"{source.filename}.{key}.part"
        self._facts = folder / f"{source.filename}.{key}.json"
        self.validator: Optional[str] = None  # the whole file's ETag or date
        with contextlib.suppress(OSError, ValueError, RecursionError, files.InputError):
            stored = json.loads(files.read_bytes(self._facts, 10_000))
            if isinstance(stored, dict) and stored.get("url") == source.url:
                self.validator = str(stored["validator"]) if "validator" in stored else None
        self.source = source
        if self.size and not self.validator:
            self.drop()

    @property
    def size(self) -> int:
        """Bytes that are there."""
        try:
            return os.stat(self.path, follow_symlinks=False).st_size
        except FileNotFoundError:
            return 0

    def begin(self, headers: Mapping[str, str]) -> None:
        """Note what a server says of the file that it begins to send."""
        self.drop()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        tag = headers.get("ETag", "")
        weak = not tag or tag.startswith("W/")
        validator = headers.get("Last-Modified") if weak else tag
        encoded = headers.get("Content-Encoding", "identity") != "identity"
        if validator and not encoded and headers.get("Accept-Ranges", "").lower() == "bytes":
            self.validator = validator
            files.write_json(self._facts, {"url": self.source.url, "validator": validator})

    def drop(self) -> None:
        """Remove it."""
        self.validator = None
        for path in (self.path, self._facts):
            path.unlink(missing_ok=True)

    def drop_unless_resumable(self) -> None:
        """Leave only what a later call can continue, and no empty folder."""
        if not (self.validator and self.size):
            self.drop()
            with contextlib.suppress(OSError):
                self.path.parent.rmdir()


def _fetch_into(part: _Part) -> None:
    """Bring the whole file into `part`, verified.

    Raises:
        Failed: it cannot be had from there.
    """
    failures, before = 0, part.size
    while True:
        try:
            _request(part.source, part)
            _verify(part.source, part, resumed=before > 0)
            return
        except _Again as problem:
            if not part.validator:
                part.drop()
            # A line that breaks off again and again still gets there, as long as it brings more.
            failures = 1 if part.size - before > PROGRESS else failures + 1
            before = part.size
            if failures >= problem.tries:
                raise Failed(str(problem)) from None
            delay = FIRST_DELAY * 2 ** (failures - 1) if problem.delay is None else problem.delay
            if delay >= 1:
                print(
                    f"{problem}: trying again in {min(delay, LONGEST_DELAY):.0f} s", file=sys.stderr
                )
            time.sleep(min(delay, LONGEST_DELAY))


def _verify(source: Source, part: _Part, resumed: bool) -> None:
    size = part.size
    start = b""
    with contextlib.suppress(FileNotFoundError), part.path.open("rb") as stream:
        start = stream.read(100).lstrip().lower()
    is_page = start.startswith((b"<!doctype", b"<html"))
    right_size = size == source.size if source.size else size > 0
    if right_size and is_right(part.path, source) and not is_page:
        return
    part.drop()
    if resumed:  # perhaps the beginning was of another version
        raise _Again("wrong checksum after it was continued", delay=0)
    page = "a web page instead of the file: " if is_page else ""
    if source.checksum is None:
        raise Failed(f"{page}{size} bytes, expected {source.size or 'some'}")
    raise Failed(f"{page}wrong checksum, expected {source.checksum}")


def _request(source: Source, part: _Part) -> None:
    """Ask once for what is missing of the file, and write it down."""
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if part.size:
        headers.update({"Range": f"bytes={part.size}-", "If-Range": part.validator or ""})
    import requests  # not at the top: most commands name downloads and make none

    with _readable_errors(), requests.Session() as session:
        session.max_redirects = 10
        with _answer(session, source.url, headers) as response:
            _check_answer(source, part, response)
            if response.status_code == 416:  # nothing is missing, or the file has become shorter
                return
            if response.status_code == 200 or not part.size:
                part.begin(response.headers)
            _write(source, part, response)


def _answer(session: requests.Session, url: str, headers: Mapping[str, str]) -> requests.Response:
    """Ask for an address, and give the answer without its content.

    A thread waits for it: a server can send headers for ever, each in time.
    """
    answer: Future = Future()

    def ask() -> None:
        try:
            answer.set_result(session.get(url, headers=headers, stream=True, timeout=TIMEOUT))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    return answer.result(ANSWER)


def _check_answer(source: Source, part: _Part, response: requests.Response) -> None:
    status = response.status_code
    hops = [*response.history, response]
    if source.url.startswith("https:") and any(urlsplit(hop.url).scheme != "https" for hop in hops):
        raise Failed("sent on to an address without encryption")
    if status in BUSY:
        raise _Again(f"answer {status}", _seconds(response.headers.get("Retry-After")))
    if status == 416 and part.size:
        return
    if status not in (200, 206):  # 202 with nothing is a firewall's
        raise Failed(f"answer {status}" + (", and nothing with it" if status == 202 else ""))
    announced = _whole_size(response)
    if source.size and announced is not None and announced != source.size:
        raise Failed(f"a file of {announced} bytes, expected {source.size}")
    if status == 206:
        begins = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if not begins or int(begins.group(1)) != part.size:
            part.drop()
            raise _Again("another part than the one asked for", delay=0)


def _whole_size(response: requests.Response) -> Optional[int]:
    """Bytes of the whole file, as the server announces them."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return None
    if response.status_code == 206:
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        total = response.headers.get("Content-Length", "")
        if total and not total.isdecimal():
            raise Failed(f"an answer of {total!r:.40} bytes")
    return int(total) if re.fullmatch(r"\d{1,18}", total, re.ASCII) else None


def _write(source: Source, part: _Part, response: requests.Response) -> None:
    """Append what a server sends to `part`."""
    whole = _whole_size(response)
    most = min(size for size in (source.size, MOST_BYTES) if size)
    if whole and shutil.disk_usage(part.path.parent).free < whole - part.size:
        reason = f"{os.strerror(errno.ENOSPC)}, {megabytes(whole)} are needed"
        raise OSError(errno.ENOSPC, reason, str(part.path.parent))
    window, received = time.monotonic(), 0
    bar = tqdm(initial=part.size, total=whole, unit="B", unit_scale=True, mininterval=0.5)
    with bar, part.path.open("ab") as stream:
        for block in response.iter_content(BLOCK):
            stream.write(block)
            bar.update(len(block))
            received += len(block)
            if stream.tell() > most:
                part.validator = None
                raise Failed(f"more than the expected {most} bytes")
            now = time.monotonic()
            if now - window > WINDOW:
                if received < SLOWEST * (now - window):
                    raise _Again(f"less than {SLOWEST} bytes a second")
                window, received = now, 0
        if whole and stream.tell() < whole:
            raise _Again("broke off")


def _seconds(retry_after: Optional[str]) -> Optional[float]:
    """The wait that a server asks for, in seconds; None where it gives a date or nonsense."""
    number = re.fullmatch(r"\d{1,6}", retry_after or "", re.ASCII)
    return float(number.group()) if number else None


@contextlib.contextmanager
def _readable_errors() -> Iterator[None]:
    """Turn what goes wrong on the way into `Failed`, or `_Again` where another try may help."""
    import requests

    try:
        yield
    except (requests.exceptions.SSLError, requests.exceptions.ProxyError) as error:
        raise Failed(type(error).__name__) from None
    except TimedOut:
        raise _Again(f"no answer within {ANSWER:.0f} s", tries=2) from None
    except (requests.ReadTimeout, requests.exceptions.ChunkedEncodingError) as error:
        raise _Again(type(error).__name__) from None
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _Again(type(error).__name__, tries=2) from None  # often there is no network at all
    except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL):
        raise Failed("no address of the web, or sent on to one that is none") from None
    except requests.RequestException as error:
        raise Failed(type(error).__name__) from None
    except ValueError as error:  # an answer that makes no sense, such as "many" bytes
        raise Failed(" ".join(str(error).split())) from None
