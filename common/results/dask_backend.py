"""Runs on many machines: each is a command that a Dask worker executes in the project's folder.

The machines share that folder, the data and the folder of runs. Dask is imported only where a
cluster is asked for.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Iterator, List, NamedTuple, Sequence

from common.errors import InputError
from common.files import PROJECT
from common.training import driver

if TYPE_CHECKING:
    import distributed

ANSWER = 10  # seconds within which a scheduler has to answer
POLL = 5  # seconds between two looks at a lock
# Ctrl-C reaches all processes of a terminal; for local workers the command handles it.
IGNORE_INTERRUPTION = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
# Becomes the command in its arguments. The kernel kills that when the worker, whose process id is
# the first argument, has ended: otherwise it would hold the run folder against its successor.
END_WITH_WORKER = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class RunsFailed(InputError):
    """Some runs have failed; the others are complete."""


class Job(NamedTuple):
    """A command that completes a run folder, or resumes it."""

    name: str
    words: Sequence[str]  # the command line after the interpreter
    folder: Path  # of the run; whoever works in it holds a lock on its file .lock


def finish(jobs: Sequence[Job], cluster: str) -> None:
    """Complete the run folders of all jobs on a cluster, and print a line for each that has ended.

    A job whose worker is lost is sent to another one, where it resumes. One that fails does not
    keep the others from ending. When this process ends, so do its jobs.

    Args:
        jobs: their commands end with exit code 0 once the folder is complete.
        cluster: a number of workers on this machine, or the address of a Dask scheduler.

    Raises:
        InputError: there is no such cluster, or its machines differ from this one.
        RunsFailed: some of the jobs have failed.
    """
    import cloudpickle
    from distributed import as_completed

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # no machine has to import it
    jobs = [job._replace(folder=job.folder.resolve()) for job in jobs]
    started, names, failures = time.monotonic(), {}, []
    with _marks(jobs) as marks, _client(cluster) as client:
        topic = f"output for {client.id}"
        client.subscribe_topic(topic, lambda event: print(event[1], end="", flush=True))
        # A GPU takes one run at a time; where no worker has any, none is asked for.
        gpus = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.resources.get("GPU"))
        cards = _cards() if cluster.isdigit() else []
        for job in jobs:
            command = [sys.executable, *job.words]
            future = client.submit(
                lambda *arguments: _work(*arguments),  # a lambda is always sent by value
                *(command, str(job.folder), marks[job.folder.parent], _paths(job), topic, cards),
                resources={"GPU": 1} if gpus else None,
                pure=False,
            )
            names[future] = job.name
        print(f"{len(jobs)} runs for the cluster {cluster}", flush=True)
        for done, future in enumerate(as_completed(names), start=1):
            ending = "complete"
            problem = _problem(future)
            if problem:
                ending = f"failed: {problem}"
                failures.append(f"{names[future]}: {problem}")
            left = (time.monotonic() - started) / 60 / done * (len(jobs) - done)
            line = f"[{done}/{len(jobs)}] {names[future]}: {ending}  (about {left:.1f} min left)"
            print(line, flush=True)
    if failures:
        count = f"{len(failures)} of {len(jobs)} runs failed"
        raise RunsFailed(f"{count}, the first of them {failures[0]}")


def workers(cluster: str) -> int:
    """How many runs a cluster does at a time, as far as it can be told now.

    Raises:
        InputError: there is no such cluster, or its machines differ from this one.
    """
    if cluster.isdigit() and int(cluster):
        return int(cluster)
    with _client(cluster) as client:
        return sum(client.nthreads().values())


@contextlib.contextmanager
def _client(cluster: str) -> Iterator[distributed.Client]:
    """Connect to a scheduler, or start workers on this machine; leave them again at the end."""
    from distributed import Client, LocalCluster

    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # futures tell of a loss
    if cluster.isdigit() and int(cluster):
        with LocalCluster(
            n_workers=int(cluster),
            threads_per_worker=1,
            memory_limit=0,  # a worker's own memory says nothing about its command's
            host="127.0.0.1",  # nothing listens beyond this machine
            dashboard_address="127.0.0.1:0",
            preload=IGNORE_INTERRUPTION,
            silence_logs=logging.ERROR,
        ) as workers, Client(workers) as client:
            yield client
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mismatched versions")  # `_check_versions` looks for them
        try:
            client = Client(cluster, timeout=ANSWER)
        except (OSError, ValueError) as error:
            raise InputError(
                f"cluster {cluster}: expected a number of workers, or a Dask scheduler that "
                f"answers within {ANSWER} s at an address like tcp://host:8786 "
                f"({' '.join(str(error).split())})"
            ) from None
    with client:
        if not client.nthreads():
            print(f"{cluster} has no worker yet: waiting for one", flush=True)
            client.wait_for_workers(1)
        _check_versions(client, cluster)
        yield client


def _check_versions(client: distributed.Client, cluster: str) -> None:
    """Raise InputError where Python, Dask or numpy are of another version on the cluster."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Mismatched versions")
        try:
            client.get_versions(check=True)
        except UserWarning as table:
            _heading, *packages = re.findall(r"^\| (\S+)", str(table), re.MULTILINE)
            raise InputError(
                f"cluster {cluster}: other versions of {', '.join(packages)} than here; start its "
                f"scheduler and its workers with {sys.executable}"
            ) from None


@contextlib.contextmanager
def _marks(jobs: Sequence[Job]) -> Iterator[Dict[Path, str]]:
    """Keep a locked file beside the run folders; give its path by the folder that it is in.

    A worker that finds the file there has the same folder. Once a worker can lock the file, this
    process has ended, in whatever way.
    """
    with contextlib.ExitStack() as stack:
        marks = {}
        for folder in {job.folder.parent for job in jobs}:
            folder.mkdir(parents=True, exist_ok=True)
            mark = stack.enter_context(tempfile.NamedTemporaryFile(prefix=".cluster-", dir=folder))
            fcntl.flock(mark, fcntl.LOCK_EX)
            marks[folder] = mark.name
        yield marks


def _paths(job: Job) -> List[str]:
    """List what a worker needs at the same path: the project, and what the command names."""
    named = [str(PROJECT / word) for word in job.words]
    paths = [str(PROJECT), sys.executable, str(PROJECT / "data"), *named]
    return [path for path in paths if os.path.exists(path)]


def _cards() -> List[str]:
    """The visible GPUs of this machine, as CUDA_VISIBLE_DEVICES calls them."""
    count = len(driver.look().cards)
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return (chosen.split(",") if chosen else [str(number) for number in range(count)])[:count]


def _problem(future: distributed.Future) -> str:
    """Say why a job that has ended is not complete; "" where it is."""
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        times, last = error.allowed_failures + 1, error.last_worker.address
        return f"lost with its worker {times} times, last {last}; the same command resumes it"
    except CancelledError:
        return "the scheduler is gone; the same command resumes it"
    except OSError as error:  # such as no process or memory left
        return str(error)


def _work(
    command: List[str], folder: str, mark: str, paths: List[str], topic: str, cards: List[str]
) -> str:
    """On a worker: execute a command and pass on what it prints. Say why it failed; "" if not.

    Local workers, which are named by numbers, take turns with the machine's GPUs.
    """
    from distributed import get_worker

    host, lock = f"worker on {socket.gethostname()}", os.path.join(folder, ".lock")
    missing = [path for path in paths if not os.path.exists(path)]
    if missing:
        return f"{host}: no {missing[0]}; a cluster needs it there at the same path"
    if not os.path.exists(mark):
        return f"{host}: {os.path.dirname(mark)} is another folder than here; share it"
    worker = get_worker()
    if not _free(lock):  # perhaps this run's former process, on a machine that is cut off
        worker.log_event(topic, f"waiting: {folder} is in use by another process\n")
    while not _free(lock) and not _free(mark):
        time.sleep(POLL)
    environment = dict(os.environ)
    if len(cards) > 1:  # TensorFlow computes on the first that it sees
        environment["CUDA_VISIBLE_DEVICES"] = cards[int(worker.name) % len(cards)]
    process = subprocess.Popen(
        [command[0], "-c", END_WITH_WORKER, str(os.getpid()), *command[1:]],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # out of reach of the terminal's Ctrl-C
    )
    threading.Thread(target=_end_with_mark, args=(process, mark), daemon=True).start()
    last = "it printed nothing"
    assert process.stdout
    for line in process.stdout:
        worker.log_event(topic, line)
        last = line.strip() or last
    code = process.wait()
    if code < 0:
        reason = f"killed by signal {-code}, perhaps for lack of memory"
        return f"{host}: {reason}; the same command resumes it"
    return re.sub("^error: ", "", last) if code else ""


def _end_with_mark(process: subprocess.Popen, mark: str) -> None:
    """Kill a process when the one that holds the mark has ended."""
    while process.poll() is None:
        if _free(mark):
            process.kill()
        time.sleep(POLL)


def _free(path: str) -> bool:
    """Tell whether nobody holds a lock on a file; there may be no such file."""
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:  # as a rule BlockingIOError
        return False
    return True
