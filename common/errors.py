"""The one exception users are meant to see, and the wrapper that prints it as one line."""

from __future__ import annotations

import errno
import functools
import sys
from typing import Callable

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
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "copy what is on this disk to another",
}


class InputError(Exception):
    """Something outside the program is wrong: a file, a folder, an archive, a setting.

    The message is one line that names the thing, what was expected of it and, where there is one,
    the remedy.
    """


def exits_cleanly(main: Callable[..., None]) -> Callable[..., None]:
    """Turn the failures a user can mend into one line on stderr and an exit code, without a
    traceback.

    `InputError`, too little memory and what a disk refuses exit with 2, an interruption with 130.
    Anything else is a bug of ours and keeps its traceback.
    """

    @functools.wraps(main)
    def wrapped(*args, **kwargs):
        status = _status(main, args, kwargs)
        if status:
            sys.exit(status)

    return wrapped


def _status(main: Callable[..., None], args: tuple, kwargs: dict) -> int:
    """Call `main` and give the exit code."""
    try:
        main(*args, **kwargs)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        what = f"cannot write or read {error.filename or 'a file'}: {error.strerror}"
        print(f"error: {what}; {_REMEDIES[error.errno]}", file=sys.stderr)
        return 2
    except MemoryError as error:
        reason = " ".join(str(error).split()) or "none is left"
        print(
            f"error: not enough memory ({reason}); end other programs, or take less at once",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("interrupted: the same command resumes where this one stopped", file=sys.stderr)
        return 130
    return 0
