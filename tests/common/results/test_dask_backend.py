"""Real workers on this machine; the runs are scripts without TensorFlow, but for the last test."""

import contextlib
import fcntl
import gc
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from common.errors import InputError
from common.files import PROJECT
from common.results import dask_backend
from common.results.dask_backend import Job
from common.training import driver

# A run is STEPS steps of 0.1 s, one line of a file each; it resumes, and locks its folder.
STEPS = 20
RUN = """
import fcntl, os, signal, sys, time
from pathlib import Path

folder, steps, fault = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
folder.mkdir(exist_ok=True)
lock = open(folder / ".lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
path = folder / "steps"
done = len(path.read_text().splitlines()) if path.exists() else 0
for step in range(done, steps):
    with path.open("a") as file:
        file.write(f"{step} {os.getpid()} {os.getppid()} {time.time()} {os.getpgrp()}\\n")
    if step == 2 and fault == "input":
        sys.exit("error: slide.png: truncated")
    if step == 2 and fault == "bug":
        1 / 0
    if step == 2 and fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "worker":
        os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(0.1)
print(f"{folder.name} is done")
"""


@pytest.fixture
def job(tmp_path):
    """Makes jobs of the script above."""
    (tmp_path / "run.py").write_text(RUN)

    def make(name, fault="", steps=STEPS):
        folder = tmp_path / "runs" / name
        return Job(name, [str(tmp_path / "run.py"), str(folder), str(steps), fault], folder)

    return make


def steps(job):
    """The lines of a run: step, process, its parent, the time and its process group, as numbers."""
    path = job.folder / "steps"
    lines = path.read_text().splitlines() if path.exists() else []
    return [tuple(map(float, line.split())) for line in lines]


def until(condition):
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextlib.contextmanager
def scheduler(tmp_path):
    """A scheduler as one starts it by hand, in another folder than the project's.

    Gives its address, its process and a function that starts a worker of it.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    started = []

    def start(role, *arguments, **environment):
        command = [sys.executable, "-m", f"distributed.cli.dask_{role}", *arguments]
        process = subprocess.Popen(
            [*command, "--no-dashboard"],
            cwd=tmp_path,
            env={**os.environ, "DASK_TEMPORARY_DIRECTORY": str(tmp_path), **environment},
            stderr=subprocess.DEVNULL,
        )
        started.append(process)
        return process

    def worker(*arguments, **environment):
        return start("worker", address, "--no-nanny", *arguments, **environment)

    try:
        process = start("scheduler", "--host", "127.0.0.1", "--port", address.rsplit(":", 1)[1])
        yield SimpleNamespace(address=address, process=process, worker=worker)
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_jobs_end_each_in_its_own_process_and_a_fault_is_one_line(job, capfd):
    jobs = [job("a"), job("c", "input"), job("d", "bug"), job("e", "kill")]
    with pytest.raises(InputError) as caught:
        dask_backend.finish(jobs, "1")
    assert re.fullmatch(r"3 of 4 runs failed, the first of them [cde]: [^\n]*", str(caught.value))
    printed = capfd.readouterr().out
    assert "a is done\n" in printed
    assert re.search(r"\[\d/4\] a: complete  \(about \d\.\d min left\)\n", printed)
    assert "c: failed: slide.png: truncated  (" in printed
    assert "d: failed: ZeroDivisionError: division by zero  (" in printed
    assert printed.count("Traceback") == 1
    assert re.search(r"e: failed: worker on \S+: killed by signal 9, perhaps for lack", printed)
    assert "[4/4] " in printed and "about 0.0 min left" in printed
    # Nothing is tried twice, and no process serves two runs.
    assert [len(steps(each)) for each in jobs] == [20, 3, 3, 3]
    assert len({line[1] for each in jobs for line in steps(each)}) == 4
    # A terminal's Ctrl-C does not reach them.
    assert all(line[1] == line[4] for line in steps(jobs[0]))
    # Nothing is left beside the run folders.
    assert sorted(path.name for path in jobs[0].folder.parent.iterdir()) == ["a", "c", "d", "e"]


def test_local_workers_take_turns_with_the_gpus(tmp_path, monkeypatch, capfd):
    cards = (driver.Card("GPU", (8, 0), 1),) * 2
    monkeypatch.setattr(driver, "look", lambda: driver.Driver(cards))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    (tmp_path / "run.py").write_text(
        "import os, time; print('on', os.environ['CUDA_VISIBLE_DEVICES']); time.sleep(3)"
    )
    jobs = [Job(name, [str(tmp_path / "run.py")], tmp_path / f"runs/{name}") for name in "ab"]
    dask_backend.finish(jobs, "2")
    assert {"on 3", "on 5"} <= set(capfd.readouterr().out.splitlines())


def test_a_run_in_use_is_waited_for(job, monkeypatch, capfd):
    monkeypatch.setattr(dask_backend, "POLL", 0.1)
    held = job("a")
    held.folder.mkdir(parents=True)
    printed = []
    with ThreadPoolExecutor() as threads:
        with open(held.folder / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            ending = threads.submit(dask_backend.finish, [held], "1")
            until(lambda: printed.append(capfd.readouterr().out) or "waiting" in "".join(printed))
            time.sleep(0.3)
            assert not steps(held)
        ending.result(240)
    assert re.search(r"waiting: \S+/a is in use by another process\n", "".join(printed))
    assert len(steps(held)) == STEPS


def test_a_run_whose_worker_is_killed_is_sent_again_and_resumes(job, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(dask_backend, "ANSWER", 120)
    jobs = [job(name) for name in "abc"]
    printed = []
    with scheduler(tmp_path) as by_hand, ThreadPoolExecutor() as threads:
        ending = threads.submit(dask_backend.finish, jobs, by_hand.address)
        until(lambda: printed.append(capfd.readouterr().out) or "no worker" in "".join(printed))
        # Room for two runs each, but one GPU.
        workers = [by_hand.worker("--nthreads", "2", "--resources", "GPU=1") for _ in range(2)]
        until(lambda: len(steps(jobs[0])) >= 5)
        pid = steps(jobs[0])[0][2]
        next(process for process in workers if process.pid == pid).kill()
        ending.result(240)
    for each in jobs:
        assert [line[0] for line in steps(each)] == list(range(STEPS))
    assert len({line[1] for line in steps(jobs[0])}) == 2
    # One GPU, one run: no process goes on after another one of the same worker has begun.
    for process in workers:
        lines = [line for each in jobs for line in steps(each) if line[2] == process.pid]
        in_time = sorted(lines, key=lambda line: line[3])
        turns = [run for run, _ in itertools.groupby(line[1] for line in in_time)]
        assert len(turns) == len(set(turns))


def test_a_run_that_takes_its_worker_along_each_time_is_named(job):
    import dask
    import distributed  # noqa: F401  its defaults have to be there before one of them is set

    fatal = job("a", "worker")
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}), pytest.raises(
        InputError, match=r"^1 of 1 runs failed, .* a: lost with its worker 2 times, last tcp://\S+"
    ):
        dask_backend.finish([fatal], "1")
    assert len(steps(fatal)) == 2


COMMAND = """
import sys
from pathlib import Path
from common.errors import exits_cleanly
from common.results import dask_backend

dask_backend.POLL = 0.2
job = dask_backend.Job("a", sys.argv[3:], Path(sys.argv[2]))
exits_cleanly(dask_backend.finish)([job], sys.argv[1])
"""


@pytest.mark.parametrize(
    ("where", "lost"),
    [
        ("local", "interrupted"),
        ("local", "killed"),
        ("elsewhere", "interrupted"),
        ("elsewhere", "killed"),
        ("elsewhere", "scheduler"),
    ],
)
def test_runs_end_with_the_command_that_sent_them(job, tmp_path, where, lost):
    long = job("a", steps=3000)
    with contextlib.ExitStack() as stack:
        cluster = "1"
        if where == "elsewhere":
            by_hand = stack.enter_context(scheduler(tmp_path))
            by_hand.worker()
            cluster = by_hand.address
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, cluster, str(long.folder), *long.words],
            cwd=PROJECT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        until(lambda: len(steps(long)) >= 3)
        if lost == "interrupted":
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        elif lost == "killed":
            process.kill()
        else:
            by_hand.process.kill()
        _, errors = process.communicate(timeout=240)
        told = errors
        if sys.version_info < (3, 9):  # whose newest Dask says more, in lines of its own
            ours = re.findall("^(?:error|interrupted): .*\n", errors, re.MULTILINE)
            told = "".join(ours)
        if lost == "interrupted":
            assert process.returncode == 130
            assert told == "interrupted: the same command resumes where this one stopped\n"
        if lost == "scheduler":
            assert process.returncode == 2
            assert re.fullmatch("error: 1 of 1 runs failed, .* the scheduler is gone; .*\n", told)
        until(lambda: dask_backend._free(str(long.folder / ".lock")))
    assert len(steps(long)) < 3000


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "0", "nonsense", "-2"])
def test_a_scheduler_that_does_not_answer_is_named(job, monkeypatch, address):
    monkeypatch.setattr(dask_backend, "ANSWER", 0.5)
    message = rf"^cluster {address}: expected a number of workers, or a Dask [^\n]*$"
    with pytest.raises(InputError, match=message):
        dask_backend.finish([job("a")], address)
    # A client that reached nobody closes when it is collected. Should that happen while another
    # one starts its thread, both would wait for each other.
    gc.collect()


def test_a_worker_with_other_versions_is_refused(job, tmp_path):
    # lz4 is one of the packages whose versions Dask compares; this project has none.
    (tmp_path / "other/lz4-9.9.dist-info").mkdir(parents=True)
    (tmp_path / "other/lz4-9.9.dist-info/METADATA").write_text("Name: lz4\nVersion: 9.9\n")
    (tmp_path / "other/lz4.py").write_text("__version__ = '9.9'\n")
    with scheduler(tmp_path) as by_hand:
        by_hand.worker(PYTHONPATH=str(tmp_path / "other"))
        with pytest.raises(InputError, match=r"^cluster \S+: other versions of lz4 than here; st"):
            dask_backend.finish([job("a")], by_hand.address)


def test_a_worker_with_other_folders_refuses(tmp_path):
    def work(mark, paths):
        return dask_backend._work([sys.executable], str(tmp_path / "a"), mark, paths, "topic", [])

    problem = work(str(tmp_path / ".cluster-1"), [str(tmp_path)])
    assert re.fullmatch(r"worker on \S+: \S+ is another folder than here; share it", problem)
    problem = work(str(tmp_path), [str(tmp_path), "/nowhere"])
    assert re.match(r"worker on \S+: no /nowhere; a cluster needs it there at the same", problem)


def test_a_worker_looks_for_what_the_command_names(tmp_path):
    words = ["-m", "some.module", "--data-root", str(tmp_path), "--runs-root", "runs/nowhere"]
    paths = dask_backend._paths(Job("a", words, tmp_path / "runs/a"))
    assert paths[:2] == [str(PROJECT), sys.executable] and str(tmp_path) in paths
    assert not any("nowhere" in path or "module" in path for path in paths)


@pytest.mark.slow
def test_a_table_is_the_same_bytes_on_a_cluster_and_without(tmp_path):
    from common.cli import Request
    from reproductions.polyp_unet import eval as polyp_unet
    from reproductions.polyp_unet import phantom as polyp_phantom

    polyp_phantom.write(tmp_path / "data/polypgen")
    made = {}
    for workers in (None, "2"):
        results = tmp_path / str(workers)
        request = Request(tmp_path / "data", profile="smoke", results_root=results, cluster=workers)
        polyp_unet.paper.targets["table"].run(request)
        files = sorted(results.rglob("*.csv"))
        made[workers] = {str(path.relative_to(results)): path.read_bytes() for path in files}
    assert len(made["2"]) > 3 and made["2"] == made[None]
