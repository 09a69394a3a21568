"""Many runs on many machines: a Dask cluster whose workers see the same folders as this process
does.

A worker trains each run in a process of its own, so that nothing of TensorFlow (seed, precision,
determinism, a card's memory) outlives the run. Dask is imported only where a cluster is asked for.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import multiprocessing
import os
import platform
import signal
import socket
import sys
import threading
import time
from concurrent.futures import CancelledError
from importlib import metadata
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Sequence, TypeVar

from common.cli import Request
from common.datasets.manifests import DataSet
from common.errors import InputError
from common.training import runs

ConfigType = TypeVar("ConfigType")
ANSWER = 10  # seconds within which a scheduler has to answer
BUSY = 5  # seconds between two looks at a run folder that another process holds
# Of workers on this machine: an interruption, which the terminal sends to them too, is the
# command's to handle.
PRELOAD = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"


class Here(NamedTuple):
    """What a worker has to have in common with the process that sends it runs."""

    folder: str  # current one
    data: Path  # folder of the data set
    mark: Path  # file in the folder of runs
    versions: Dict[str, str]  # of Python and libraries
    topic: str  # that the output of runs goes to

    def check(self) -> None:
        """Raise InputError, naming this machine, for a folder or a version that is not the same
        here.
        """
        host = socket.gethostname()
        for folder in (
            Path(self.folder),
            Path(self.folder, self.data),
            Path(self.folder, self.mark.parent),
        ):
            if not folder.is_dir():
                raise InputError(
                    f"worker on {host}: no folder {folder}; a cluster needs it there at the same "
                    "path"
                )
        if not (self.folder / self.mark).exists():
            raise InputError(
                f"worker on {host}: its {self.folder / self.mark.parent} is another folder than "
                "here; share it"
            )
        for name, version in versions().items():
            if version != self.versions[name]:
                raise InputError(
                    f"worker on {host}: {name} {version} there, {self.versions[name]} here; "
                    "start workers with the .venv of this project"
                )


def versions() -> Dict[str, str]:
    """Name the versions of what decides results and of Dask."""
    libraries = {name: metadata.version(name) for name in (*runs.LIBRARIES, "distributed")}
    return {"python": platform.python_version(), **libraries}


def finish(
    configs: Sequence[ConfigType],
    train: Callable[..., runs.Run],
    data_set: DataSet,
    request: Request,
) -> List[runs.Run]:
    """Have the workers of `request.cluster` bring all runs to completion, and give them in the
    order of `configs`.

    A run whose worker is lost is sent to another one and resumes. One that fails does not keep the
    others from ending.

    Args:
        configs: each with a `run_id`.
        train: function of a module; gets a configuration, `data_set` and the folder of runs.
        data_set: the same on every machine.
        request: which cluster, and where runs are kept.

    Raises:
        InputError: there is no such cluster, its machines differ, or runs failed.
    """
    from distributed import as_completed

    started, failures = time.monotonic(), {}
    finished: List[runs.Run] = [None] * len(configs)
    with _client(request.cluster) as client, _marked(request.runs_root) as mark:
        here = Here(os.getcwd(), data_set.folder, mark, versions(), topic=f"output for {client.id}")
        client.subscribe_topic(here.topic, lambda event: print(event[1], end="", flush=True))
        # A card takes one run at a time; where no worker has any, none is asked for.
        cards = client.run_on_scheduler(
            lambda dask_scheduler: bool(dask_scheduler.resources.get("GPU"))
        )
        sent = {
            client.submit(
                _attend,
                here,
                (train.__module__, train.__name__, config, data_set, request.runs_root),
                resources={"GPU": 1} if cards else None,
                pure=False,
            ): number
            for number, config in enumerate(configs)
        }
        print(f"{len(sent)} runs for the cluster {request.cluster}", flush=True)
        for done, future in enumerate(as_completed(sent), start=1):
            name = configs[sent[future]].run_id
            try:
                finished[sent[future]] = _result(future)
                ending = "complete"
            except InputError as error:
                failures[name] = error
                ending = f"failed: {error}"
            left = (time.monotonic() - started) / done * (len(sent) - done)
            print(
                f"[{done}/{len(sent)}] {name}: {ending}  (about {left / 60:.1f} min left)",
                flush=True,
            )
    if failures:
        name, error = next(iter(failures.items()))
        raise InputError(
            f"{len(failures)} of {len(configs)} runs failed, the first of them {name}: {error}"
        )
    return finished


@contextlib.contextmanager
def _client(cluster: str) -> Iterator[distributed.Client]:  # noqa: F821
    """Connect to a scheduler, or start as many workers on this machine; both are left again at the
    end.
    """
    from distributed import Client, LocalCluster

    if cluster.isdigit() and int(cluster):
        with LocalCluster(
            n_workers=int(cluster),
            threads_per_worker=1,
            memory_limit=0,  # training is done outside of the workers, whose memory says nothing
            host="127.0.0.1",  # nothing listens beyond this machine
            dashboard_address="127.0.0.1:0",
            preload=PRELOAD,
            silence_logs=logging.ERROR,
        ) as workers, Client(workers) as client:
            yield client
        return
    try:
        client = Client(cluster, timeout=ANSWER)
    except (OSError, ValueError) as error:
        raise InputError(
            f"cluster {cluster}: expected a number of workers, or a Dask scheduler that "
            f"answers within {ANSWER} s "
            f"at an address like tcp://host:8786 ({' '.join(str(error).split())})"
        ) from None
    with client:
        if not client.nthreads():
            print(f"{cluster} has no worker yet: waiting for one", flush=True)
            client.wait_for_workers(1)
        yield client


@contextlib.contextmanager
def _marked(runs_root: Path) -> Iterator[Path]:
    """Leave a file in the folder of runs, by which a worker knows that its folder is the same
    one.
    """
    runs_root.mkdir(parents=True, exist_ok=True)
    mark = runs_root / f".shared-{socket.gethostname()}-{os.getpid()}"
    mark.touch()
    try:
        yield mark
    finally:
        mark.unlink()


def _result(future: distributed.Future) -> runs.Run:  # noqa: F821
    """Give the run of a future that has ended. Raises InputError for whatever the user can mend."""
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        raise InputError(
            f"lost with its worker {error.allowed_failures + 1} times, the last one being "
            f"{error.last_worker.address}; the same command resumes it"
        ) from None
    except CancelledError:
        raise InputError("the scheduler is gone; the same command resumes") from None
    except (ImportError, RuntimeError) as error:
        missing = error.__cause__ or error
        if not isinstance(missing, ImportError):
            raise
        raise InputError(
            f"the cluster cannot import this project ({missing}); start its scheduler and its "
            "workers in the "
            "project's folder with .venv/bin/python -m distributed.cli.dask_scheduler and "
            "dask_worker"
        ) from None
    except OSError as error:  # such as a full disk
        raise InputError(str(error)) from None


def _attend(here: Here, call: tuple) -> runs.Run:
    """On a worker: train in a process of its own and pass on what it prints.

    Raises:
        InputError: the run's own, or its process came to an end without saying why.
    """
    from distributed import get_worker

    here.check()
    multiprocessing.current_process().daemon = (
        False  # as which workers are started, and may have no children
    )
    context = multiprocessing.get_context("spawn")
    printed, output = context.Pipe(duplex=False)
    result, outcome = context.Pipe(duplex=False)
    process = context.Process(
        target=_train, args=(here.folder, output, outcome, *call), daemon=True
    )
    process.start()
    output.close()
    outcome.close()
    worker = get_worker()
    with open(printed.fileno(), encoding="utf-8", errors="replace", closefd=False) as lines:
        for line in lines:
            worker.log_event(here.topic, line)
    process.join()
    try:
        answer = result.recv()
    except EOFError:
        code = process.exitcode
        reason = (
            f"was killed by signal {-code}, perhaps for lack of memory"
            if code < 0
            else "failed, see above"
        )
        raise InputError(
            f"its process on {worker.address} {reason}; the same command resumes it"
        ) from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _train(
    folder: str,
    output: Connection,
    outcome: Connection,
    module: str,
    function: str,
    config: ConfigType,
    data_set: DataSet,
    runs_root: Path,
) -> None:
    """In the process of one run: train, and send the run or the user's mistake. Any other exception
    is printed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption is the worker's to handle
    os.dup2(output.fileno(), sys.stdout.fileno())
    os.dup2(output.fileno(), sys.stderr.fileno())
    threading.Thread(target=_end_with_worker, daemon=True).start()
    os.chdir(folder)
    train = getattr(importlib.import_module(module), function)
    while True:
        try:
            answer = train(config, data_set, runs_root)
        except (
            runs.InUse
        ) as busy:  # perhaps by this run's former process, on a machine that is cut off
            print(f"waiting: {busy}", flush=True)
            time.sleep(BUSY)
            continue
        except (InputError, OSError) as error:
            answer = error
        outcome.send(answer)
        return


def _end_with_worker() -> None:
    """Let no run outlive its worker: it would hold the run folder against the one that is sent
    again.
    """
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
