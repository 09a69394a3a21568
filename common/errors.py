"""The one exception users are meant to see, and the wrapper that prints it as one line."""

from __future__ import annotations

import errno
import functools
import sys
from typing import Callable


class InputError(Exception):
    """Something outside the program is wrong: a file, a folder, an archive, a setting.

    The message is one line that names the thing, what was expected of it and, where there is one, the remedy.
    """


def exits_cleanly(main: Callable[..., None]) -> Callable[..., None]:
    """Turn the failures a user can mend into one line on stderr and an exit code, without a traceback.

    `InputError` and a full or read-only disk exit with 2, an interruption with 130. Anything else is a bug of
    ours and keeps its traceback.
    """

    @functools.wraps(main)
    def wrapped(*args, **kwargs):
        try:
            return main(*args, **kwargs)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG):
                raise
            print(f"error: cannot write or read {error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            print("interrupted: the same command resumes where this one stopped", file=sys.stderr)
            sys.exit(130)

    return wrapped
