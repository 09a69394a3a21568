"""Building blocks shared by every reproduction. Nothing in here knows a paper.

Every command imports this package first, so that what holds for all of them begins here: one line
after Ctrl-C, no Python variables of the user's, and TensorFlow's environment.
"""

import io
import os
import sys

from common import errors

# Python's variables that change what runs or how, set for other programs. Those that only concern
# output buffering, byte code and hashes are left alone.
FOREIGN = (
    *("PYTHONPATH", "PYTHONHOME", "PYTHONPLATLIBDIR", "PYTHONUSERBASE", "PYTHONEXECUTABLE"),
    *("PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONIOENCODING", "PYTHONUTF8", "PYTHONCOERCECLOCALE"),
    *("PYTHONINSPECT", "PYTHONDEBUG", "PYTHONVERBOSE", "PYTHONDEVMODE", "PYTHONASYNCIODEBUG"),
    *("PYTHONMALLOC", "PYTHONTRACEMALLOC", "PYTHONPROFILEIMPORTTIME", "PYTHONCASEOK"),
    *("PYTHONBREAKPOINT", "PYTHONSTARTUP", "PYTHONSAFEPATH"),
)


def is_command() -> bool:
    """Whether this process is one of the project's commands: `python -m common.…`, … or `medseg`.

    Until the module of `python -m` is found, which takes importing its packages, it is called -m.
    """
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing and multiprocessing.parent_process():
        return False  # a part of one: it takes over the arguments, and then the module
    started = getattr(sys.modules["__main__"], "__file__", None) or ""
    return sys.argv[:1] == ["-m"] or os.path.basename(started) == "medseg"


def _restart_without(foreign: list) -> None:
    """Replace this process by the same command without these variables."""
    arguments = getattr(sys, "orig_argv", None)  # Python 3.10; before it, /proc knows
    if arguments is None and os.path.exists("/proc/self/cmdline"):
        with open("/proc/self/cmdline", "rb") as stream:
            arguments = [os.fsdecode(part) for part in stream.read().split(b"\0")[:-1]]
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    if arguments:
        os.execve(sys.executable, [sys.executable, *arguments[1:]], environment)


if is_command():
    errors.stop_in_one_line()
    given = [name for name in FOREIGN if name in os.environ]
    if given:
        _restart_without(given)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not where it is closed, or in a notebook
            stream.reconfigure(errors="backslashreplace")  # for names that the terminal has not

import warnings  # noqa: E402

from common.training import cuda  # noqa: E402

# HDF5 locks files that it only reads, and then fails on disks without locks.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "BEST_EFFORT")
# TensorFlow looks for Google's cloud client, which comes with the Model Garden and complains of
# Python's age.
warnings.filterwarnings("ignore", module=r"google\.")
cuda.prepare()  # must come before the first import of TensorFlow, wherever that is
