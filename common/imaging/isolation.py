"""Decoding in a process of its own, which a file may crash, stall or fill without harm.

TIFF, GIF, WebP and DICOM files are decoded by libraries in C that print what they think, and that
damaged files have brought down. Here they run in a process that waits for work on a pipe, prints
nowhere, and has limits on its computing time and memory. It ends with the one that started it, or
after a minute without work.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import io
import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import List, Tuple

import numpy as np

from common.errors import InputError
from common.files import PROJECT
from common.imaging import limits
from common.imaging.decoding import Decoded, Mapping, Options, Source
from common.imaging.levels import GreyRange

MEMORY = 3 << 30  # bytes, beyond what the process needs for itself
IDLE = 60  # seconds without work after which the process ends
WAITING = 30  # the longest wait for an answer, as a multiple of the computing time
_SERVE = "from common.imaging import isolation; isolation.serve()"
_ERRORS = {kind.__name__: kind for kind in (InputError, limits.TooManyPixels)}
_serving = False  # whether this is such a process


def run(kind: str, source: Source, name: str, options: Options) -> Decoded:
    """Do as `readers.read` does, in a process of its own.

    Raises:
        InputError: as the reader raises it; or the file brought the process down, or kept it busy
        for too long.
    """
    with _pool.places:
        while True:
            worker = _pool.take()
            try:
                decoded = worker.ask(kind, source, name, options)
            except _NoWork:
                continue
            except InputError:
                _pool.give_back(worker)
                raise
            except BaseException:  # an interruption: its answer would be taken for the next one
                worker.end()
                raise
            _pool.give_back(worker)
            return decoded


def allow(pixels: int) -> None:
    """Give the file that is being read the computing time for so many pixels.

    Where files are read in the process that asks for them, their time is not limited.
    """
    if _serving:
        seconds = limits.SECONDS + limits.SECONDS_PER_MEGAPIXEL * pixels / 1e6
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, WAITING * seconds)


def serve() -> None:
    """Read files as asked for on the standard input, until that ends."""
    global _serving
    from common.imaging import readers

    _serving = True
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries print there as well
    _limit_memory()
    while select.select([sys.stdin], [], [], IDLE)[0]:
        request = sys.stdin.buffer.readline()
        if not request:
            return
        allow(0)
        try:
            fields, pixels = _packed(readers.read(*_unpacked(request)))
        except InputError as error:
            fields = {"error": type(error).__name__, "message": str(error)}
            pixels = memoryview(b"")
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(json.dumps(fields).encode() + b"\n")
        answers.write(pixels)
        answers.flush()


def _limit_memory() -> None:
    """Let this process take `MEMORY` beyond what it has; mapped files do not count."""
    status = Path("/proc/self/status")
    if not status.exists():  # not on Linux
        return
    used = int(status.read_text().split("VmData:")[1].split()[0]) << 10
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = used + MEMORY
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, most))


def _request(kind: str, source: Source, name: str, options: Options) -> bytes:
    """A request as one line of JSON, behind which the content of a file comes, if that is given."""
    fields = dataclasses.asdict(options)
    fields["scratch"] = options.scratch and str(options.scratch)
    what, content = (len(source), source) if isinstance(source, bytes) else (str(source), b"")
    return json.dumps([kind, what, name, fields]).encode() + b"\n" + content


def _unpacked(request: bytes) -> Tuple[str, Source, str, Options]:
    kind, what, name, fields = json.loads(request)
    source = sys.stdin.buffer.read(what) if isinstance(what, int) else Path(what)
    if fields["grey_range"]:
        fields["grey_range"] = GreyRange(**fields["grey_range"])
    fields["scratch"] = fields["scratch"] and Path(fields["scratch"])
    return kind, source, name, Options(**fields)


def _packed(decoded: Decoded) -> Tuple[dict, memoryview]:
    """Split what a reader gives into what fits into JSON, and the bytes of its pixels."""
    fields = decoded._asdict()
    pixels: np.ndarray = fields.pop("pixels")
    pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    fields = {**fields, "dtype": pixels.dtype.str, "shape": pixels.shape}
    return fields, pixels.reshape(-1).view(np.uint8).data


class _NoWork(Exception):
    """The process ended for want of work just when there was some."""


class _Worker:
    """A process that reads files, one after the other."""

    def __init__(self) -> None:
        self.has_answered = False
        # In a session of its own: an interruption from the keyboard is for the one who asks.
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVE],
            cwd=PROJECT,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self.process.stdin and isinstance(self.process.stdout, io.BufferedReader)
        self.requests, self.answers = self.process.stdin, self.process.stdout

    def ask(self, kind: str, source: Source, name: str, options: Options) -> Decoded:
        try:
            self.requests.write(_request(kind, source, name, options))
            self.requests.flush()
            answer = json.loads(self.answers.readline())
        except (BrokenPipeError, ValueError):  # it has ended, and there is no answer
            if self.process.wait() == 0 and self.has_answered:
                self._close()
                raise _NoWork from None
            raise InputError(f"{name}: {self._reason_of_end()}") from None
        self.has_answered = True
        if "error" in answer:
            raise _ERRORS[answer["error"]](answer["message"])
        pixels = np.empty(answer.pop("shape"), np.dtype(answer.pop("dtype")))
        self._fill(pixels.reshape(-1).view(np.uint8).data, name)
        if answer["mapping"]:
            path, offset, shape = answer["mapping"]
            answer["mapping"] = Mapping(path, offset, tuple(shape))
        answer["levels"] = tuple(answer["levels"])
        answer["spacing"] = answer["spacing"] and tuple(answer["spacing"])
        return Decoded(pixels, **answer)

    def _fill(self, view: memoryview, name: str) -> None:
        while view:
            count = self.answers.readinto(view)
            if not count:
                raise InputError(f"{name}: {self._reason_of_end()}")
            view = view[count:]

    def _reason_of_end(self) -> str:
        status = self.process.wait()
        self._close()
        if status in (-signal.SIGPROF, -signal.SIGALRM):
            return "decoding it takes far longer than an image of its size should"
        if status < 0:
            return f"damaged image, which brought its decoder down ({signal.Signals(-status).name})"
        return f"its decoder could not be run (exit code {status})"

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.requests.close()
        self.answers.close()


class _Pool:
    """The processes that wait for work."""

    def __init__(self) -> None:
        self.places = threading.BoundedSemaphore(min(os.cpu_count() or 1, 8))
        self._lock = threading.Lock()
        self._idle: List[_Worker] = []

    def take(self) -> _Worker:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.process.poll() is None:
                    return worker
        return _Worker()

    def give_back(self, worker: _Worker) -> None:
        with self._lock:
            self._idle.append(worker)

    def end(self) -> None:
        for worker in self._idle:
            worker.end()


_pool = _Pool()
atexit.register(lambda: _pool.end())


def _forget() -> None:
    """Leave the processes of the one that this process was forked from to that."""
    global _pool
    _pool = _Pool()


os.register_at_fork(after_in_child=_forget)
