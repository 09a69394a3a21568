"""Real workers on this machine; runs without TensorFlow, but for the last test."""

import contextlib
import importlib
import itertools
import os
import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.cli import Request
from common.datasets.manifests import DataSet
from common.errors import InputError
from common.files import PROJECT
from common.results import dask_backend, experiment
from common.training import runs
from reproductions.polyp_unet import eval as polyp_unet
from reproductions.polyp_unet import phantom as polyp_phantom

# A module that workers can import. A run is STEPS steps of 0.1 s, one line of a file each, and
# resumes.
PAPER = """
import os, signal, sys, time
from dataclasses import dataclass
from pathlib import Path
import pandas
from common.training import runs
from common.errors import InputError

STEPS = 20

@dataclass(frozen=True)
class Config:
    run_id: str
    fault: str = ""

def train(config, data_set, runs_root):
    run = runs.Run(runs_root / "paper" / config.run_id, {"run_id": config.run_id})
    if run.complete:
        return run
    with run.locked():
        path = run.folder / "steps"
        done = len(path.read_text().splitlines()) if path.exists() else 0
        for step in range(done, STEPS):
            with path.open("a") as file:
                file.write(f"{step} {os.getpid()} {os.getppid()} {time.time()}\\n")
            if step == 2:
                if config.fault == "input":
                    raise InputError("slide.png: truncated")
                if config.fault == "bug":
                    1 / 0
                if config.fault == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
            if config.fault == "worker":
                os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(0.1)
        print(f"{config.run_id} is done")
        run.save_metrics(pandas.DataFrame({"id": ["a"]}))
    return run
"""


@pytest.fixture
def paper(tmp_path, monkeypatch):
    """The module above; it, and a folder of data, lie in `tmp_path`."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code/cluster_test_paper.py").write_text(PAPER)
    (tmp_path / "data").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    sys.modules.pop("cluster_test_paper", None)
    yield importlib.import_module("cluster_test_paper")
    del sys.modules["cluster_test_paper"]


def ensure(paper, tmp_path, workers, *configs):
    data_set = DataSet("a", "A", tmp_path / "data", synthetic=True, fingerprint="0" * 16)
    return experiment.ensure(
        configs, paper.train, data_set, Request(runs_root=tmp_path / "runs", cluster=workers)
    )


def steps(tmp_path, run_id):
    """The lines of a run: step, process, its parent and the time, as numbers."""
    path = tmp_path / "runs/paper" / run_id / "steps"
    return (
        [[float(word) for word in line.split()] for line in path.read_text().splitlines()]
        if path.exists()
        else []
    )


def until(condition):
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_all_runs_end_each_in_a_process_of_its_own_and_a_fault_is_one_line(paper, tmp_path, capfd):
    faults = {"c": "input", "d": "bug", "e": "kill"}
    configs = [paper.Config(name, faults.get(name, "")) for name in "acde"]
    with pytest.raises(InputError) as caught:
        ensure(paper, tmp_path, "1", *configs)
    assert re.fullmatch(r"3 of 4 runs failed, the first of them [cde]: [^\n]*", str(caught.value))
    printed = capfd.readouterr().out
    assert "c: failed: slide.png: truncated  (" in printed
    assert re.search(
        r"d: failed: its process on tcp://127\.0\.0\.1:\d+ failed, see above; the same command",
        printed,
    )
    assert printed.count("ZeroDivisionError") == 1  # its traceback
    assert re.search(
        r"e: failed: its process on \S+ was killed by signal 9, perhaps for lack of memory; ",
        printed,
    )
    assert "[4/4] " in printed and "about 0.0 min left" in printed
    # Nothing is tried twice, and no process serves two runs.
    assert [len(steps(tmp_path, name)) for name in "acde"] == [20, 3, 3, 3]
    processes = [{line[1] for line in steps(tmp_path, name)} for name in "acde"]
    assert all(len(process) == 1 for process in processes) and len(set.union(*processes)) == 4

    # A complete run is left alone; one in use is waited for.
    held = runs.Run(tmp_path / "runs/paper/f", {"run_id": "f"})
    with ThreadPoolExecutor() as threads:
        with held.locked():
            lock = held.folder / ".lock"
            os.utime(lock, (0, 0))
            ending = threads.submit(ensure, paper, tmp_path, "1", *map(paper.Config, "fa"))
            until(lambda: lock.stat().st_mtime)  # somebody else wants it
            time.sleep(0.1)
        finished = ending.result(240)
    assert [run.folder.name for run in finished] == ["f", "a"] and all(
        run.complete for run in finished
    )
    printed = capfd.readouterr().out
    assert (
        re.search(r"waiting: \S+/f is in use by another process", printed)
        and "f is done\n" in printed
    )
    assert [len(steps(tmp_path, name)) for name in "af"] == [20, 20]
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["paper"]  # the mark is gone


@contextlib.contextmanager
def scheduler(tmp_path):
    """A scheduler as one starts it by hand; gives its address and a function that starts a worker
    of it.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DASK_TEMPORARY_DIRECTORY": str(tmp_path),
    }
    started = []

    def start(role, *arguments):
        command = [
            sys.executable,
            "-m",
            f"distributed.cli.dask_{role}",
            *arguments,
            "--no-dashboard",
        ]
        started.append(
            subprocess.Popen(command, cwd=PROJECT, env=environment, stderr=subprocess.DEVNULL)
        )
        return started[-1]

    try:
        start("scheduler", "--host", "127.0.0.1", "--port", address.rsplit(":", 1)[1])
        yield address, lambda *arguments: start("worker", address, "--no-nanny", *arguments)
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_a_run_whose_worker_is_killed_is_sent_again_and_resumes(
    paper, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(dask_backend, "ANSWER", 120)
    printed = []
    with scheduler(tmp_path) as (address, worker), ThreadPoolExecutor() as threads:
        ending = threads.submit(ensure, paper, tmp_path, address, *map(paper.Config, "abc"))
        until(
            lambda: (
                printed.append(capfd.readouterr().out)
                or "no worker yet: waiting for one" in "".join(printed)
            )
        )
        # Room for two runs each, but one card.
        workers = [worker("--nthreads", "2", "--resources", "GPU=1") for _ in range(2)]
        until(lambda: len(steps(tmp_path, "a")) >= 5)
        before = steps(tmp_path, "a")[0]
        lost = next(process for process in workers if process.pid == before[2])
        lost.kill()
        assert [run.folder.name for run in ending.result(240)] == ["a", "b", "c"]

        # What the cluster cannot import is its user's mistake.
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere/cluster_test_other.py").write_text(PAPER)
        monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
        with pytest.raises(
            InputError, match=r"No module named 'cluster_test_other'\); start its scheduler and its"
        ):
            ensure(
                paper, tmp_path, address, importlib.import_module("cluster_test_other").Config("d")
            )
    lines = {name: steps(tmp_path, name) for name in "abc"}
    for name in "abc":
        assert [line[0] for line in lines[name]] == list(range(paper.STEPS))
    assert len({line[1] for line in lines["a"]}) == 2
    # One card, one run: by time, no process goes on after another one of the same worker has begun.
    for process in workers:
        mine = sorted(
            (line[3], line[1]) for name in "abc" for line in lines[name] if line[2] == process.pid
        )
        turns = [run for run, _ in itertools.groupby(run for _, run in mine)]
        assert len(turns) == len(set(turns))


def test_a_run_that_takes_its_worker_along_each_time_is_named(paper, tmp_path):
    import dask
    import distributed  # noqa: F401  its defaults have to be there before one of them is set

    with dask.config.set({"distributed.scheduler.allowed-failures": 1}), pytest.raises(
        InputError
    ) as caught:
        ensure(paper, tmp_path, "1", paper.Config("a", "worker"))
    message = r"1 of 1 runs failed, .* a: lost with its worker 2 times, the last one being tcp://\S+; the same command"
    assert re.match(message, str(caught.value))
    assert len(steps(tmp_path, "a")) == 2


def test_a_scheduler_that_does_not_answer_is_named(paper, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_backend, "ANSWER", 0.5)
    for address in ("tcp://127.0.0.1:9", "0", "nonsense", "-2"):
        with pytest.raises(
            InputError,
            match=rf"^cluster {address}: expected a number of workers, or a Dask [^\n]*$",
        ):
            ensure(paper, tmp_path, address, paper.Config("a"))


def test_a_worker_with_another_folder_or_version_refuses(tmp_path):
    (tmp_path / "runs").mkdir()
    here = dask_backend.Here(
        str(tmp_path), Path("."), Path("runs/.shared"), dask_backend.versions(), ""
    )
    with pytest.raises(
        InputError, match=r"^worker on \S+: its \S+/runs is another folder than here; share it$"
    ):
        here.check()
    (tmp_path / "runs/.shared").touch()
    here.check()
    for other in (here._replace(folder="/nowhere"), here._replace(data=Path("/nowhere"))):
        with pytest.raises(
            InputError, match=r"^worker on \S+: no folder /nowhere; a cluster needs it there"
        ):
            other.check()
    older = here._replace(versions={**here.versions, "numpy": "1.0"})
    with pytest.raises(
        InputError, match=r"numpy 1\.2\d\.\d there, 1\.0 here; start workers with the \.venv"
    ):
        older.check()


@pytest.mark.slow
def test_a_table_is_the_same_bytes_on_a_cluster_and_without(tmp_path):
    polyp_phantom.write(tmp_path / "data/polypgen")
    made = {}
    for workers in (None, "2"):
        request = Request(
            tmp_path / "data",
            profile="smoke",
            results_root=tmp_path / str(workers),
            cluster=workers,
        )
        polyp_unet.table(request)
        files = sorted((tmp_path / str(workers)).rglob("*.csv"))
        made[workers] = {
            str(path.relative_to(tmp_path / str(workers))): path.read_bytes() for path in files
        }
    assert len(made["2"]) > 3 and made["2"] == made[None]
