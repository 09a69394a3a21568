"""How a command ends: with one line where the user can mend it, and where it is stopped."""

from __future__ import annotations

# Until this module is imported Ctrl-C shows a traceback, so it imports what Python has at hand:
# `signal` and `typing` take longer than all the rest.
import _signal as signal  # type: ignore[import-not-found]
import errno
import functools
import os
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Callable, Optional, Type

# What the surroundings of a program do to it, and what helps.
_REMEDIES = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room, the same command resumes"
    ),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "permit it, or name another folder"),
    **dict.fromkeys(
        (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP),
        "put the expected file or folder there",
    ),
    **dict.fromkeys(
        (errno.ENOLCK, errno.ESTALE, errno.ETIMEDOUT),
        "this network disk does not answer as a disk should; name a folder on another",
    ),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "allow more open files: `ulimit -n 4096`"),
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "copy what is on this disk to another",
}
# Where the message says which file: it was there a moment ago, or the program would have asked.
_REMEDY_OF_A_MISSING_FILE = "put it back, then run the same command again"

_STOPS = {signal.SIGINT: ("interrupted", 130), signal.SIGTERM: ("terminated", 143)}
_RESUMES = "the same command resumes where this one stopped"
_PATIENCE = 2.0  # seconds: signals that come closer together are one wish to stop
_LONGEST = 2000  # characters of a message


class InputError(Exception):
    """Something outside the program is wrong: a file, a folder, an archive, a setting.

    The message is one line that names the thing, what was expected of it and, where there is one,
    the remedy. What is quoted in it, from a damaged file for one, cannot break the line.
    """

    def __init__(self, message: str = ""):
        super().__init__(message if message.isprintable() else on_one_line(message))


class Stopped(KeyboardInterrupt):
    """The user or the system asks the program to stop; `number` is that of the signal."""

    def __init__(self, number: int = signal.SIGINT):
        super().__init__()
        self.number = number


class _Stop:
    """What has been asked of this process. Until `main` runs, a signal ends it on the spot."""

    main_runs = False
    number: Optional[int] = None  # of the signal
    moment = 0.0  # when it came
    told = False


def on_one_line(text: str, longest: int = _LONGEST) -> str:
    """Bring a text onto one line without control characters, cut where it is too long to read.

    >>> on_one_line("a\\n  b\\x1b[2J")
    'a b?[2J'
    """
    line = "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
    return line if len(line) <= longest else f"{line[:longest]} …"


def stop_in_one_line() -> None:
    """Let Ctrl-C and SIGTERM end this process with one line and exit code 130 or 143 from now on.

    `common` calls it when a command imports it, before anything that takes long.
    """
    for number in _STOPS:
        # What was started in the background, as by nohup, goes on when its terminal closes.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _on_signal)
    # A parent may have held them back until somebody can answer.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, list(_STOPS))
    sys.excepthook = _on_uncaught


def exits_cleanly(main: Callable[..., None]) -> Callable[..., None]:
    """Turn the failures a user can mend into one line on stderr and an exit code, without a
    traceback.

    `InputError`, too little memory and what a disk refuses exit with 2, Ctrl-C with 130, SIGTERM
    with 143. Anything else is a bug of ours and keeps its traceback.
    """

    @functools.wraps(main)
    def wrapped(*args, **kwargs):
        outer = _Stop.main_runs
        try:
            _Stop.main_runs = True
            main(*args, **kwargs)
            if sys.stdout:
                sys.stdout.flush()  # here, where a full disk or a closed pipe can be told
            _Stop.main_runs = outer
        except BaseException as error:
            _Stop.main_runs = outer
            status = _status(error)
            if status is None:
                raise
        else:
            # A library may have swallowed the exception that asked to stop.
            status = 0 if _Stop.number is None else _tell_stop(_Stop.number)
        if status:
            sys.exit(status)

    return wrapped


def is_told(error: BaseException) -> bool:
    """Whether a command ends in one line where this comes up, and not with a traceback."""
    missing = isinstance(error, OSError) and error.errno == errno.ENOENT and error.filename
    known = isinstance(error, OSError) and (error.errno or 0) in _REMEDIES
    return isinstance(error, (InputError, MemoryError)) or bool(missing or known)


def _status(error: BaseException) -> Optional[int]:
    """Print the line of an exception and give the exit code; None for a bug."""
    number = error.number if isinstance(error, Stopped) else _Stop.number
    if number is None and isinstance(error, KeyboardInterrupt):
        number = signal.SIGINT
    if number is not None:  # whatever the interruption was turned into on its way
        return _tell_stop(number)
    if isinstance(error, InputError):
        return _tell(str(error))
    if isinstance(error, BrokenPipeError) and _nobody_reads():  # as in `make audit | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    if isinstance(error, OSError):
        missing = error.errno == errno.ENOENT and error.filename
        remedy = _REMEDY_OF_A_MISSING_FILE if missing else _REMEDIES.get(error.errno or 0)
        if remedy is None:
            return None
        what = f"cannot write or read {error.filename or 'a file'}: {error.strerror}"
        return _tell(f"{what}; {remedy}")
    if isinstance(error, MemoryError):
        reason = str(error) or "none is left"
        return _tell(f"not enough memory ({reason}); end other programs, or take less at once")
    return None


def _tell(message: str) -> int:
    print(f"error: {on_one_line(message)}", file=sys.stderr)
    return 2


def _nobody_reads() -> bool:
    """Whether the pipe that stdout is has lost its reader."""
    poller = select.poll()
    poller.register(sys.stdout.fileno(), select.POLLOUT)
    return any(event & select.POLLERR for _, event in poller.poll(0))


def _tell_stop(number: int) -> int:
    word, code = _STOPS[number]
    if not _Stop.told:
        print(f"{word}: {_RESUMES}", file=sys.stderr)
    _Stop.told = _Stop.number is not None
    return code


def _on_signal(number: int, frame: Optional[FrameType]) -> None:
    now = time.monotonic()
    if _Stop.main_runs and _Stop.number is None:
        _Stop.number, _Stop.moment = number, now
        raise Stopped(number)
    if _Stop.number is not None and now - _Stop.moment < _PATIENCE:
        return  # `make` and the terminal may both have sent it
    _end_now(number if _Stop.number is None else _Stop.number)


def _end_now(number: int) -> None:
    """End without any clearing up: files appear whole or not at all, and the next run clears."""
    word, code = _STOPS[number]
    if not _Stop.told:
        os.write(2, f"{word}: {_RESUMES}\n".encode())
    os._exit(code)


def _on_uncaught(
    kind: Type[BaseException], error: BaseException, traceback: Optional[TracebackType]
) -> None:
    if isinstance(error, KeyboardInterrupt):
        _end_now(getattr(error, "number", signal.SIGINT))
    sys.__excepthook__(kind, error, traceback)
