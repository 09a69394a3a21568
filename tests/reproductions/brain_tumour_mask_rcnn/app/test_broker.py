from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from reproductions.brain_tumour_mask_rcnn.app import broker as brokers
from reproductions.brain_tumour_mask_rcnn.app import findings, wire
from reproductions.brain_tumour_mask_rcnn.app.broker import Broker
from reproductions.brain_tumour_mask_rcnn.app.model_client import DetectionError, ModelClient

from .conftest import plain, run_folder, stub_command
from .stub_model import DIES, FAILS, NO_MEMORY, SLOW, STUCK

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def folder(tmp_path):
    return run_folder(tmp_path / "run")


@asynccontextmanager
async def running(folder: Path, **options):
    """A broker with the stand-in network, and a client of it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as private:
        broker = Broker(stub_command(folder), Path(private) / "model", folder, **options)
        await broker.start()
        try:
            assert (await asyncio.wait_for(broker.settled(), 60))["state"] == "ready"
            yield broker, ModelClient(broker.path)
        finally:
            await broker.stop()


async def until(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)


async def refusal(client: ModelClient, red: int) -> str:
    with pytest.raises(DetectionError) as error:
        await client.detect(plain(red), 0.05)
    return error.value.key


def test_findings_come_back_as_they_were_found(folder):
    async def check():
        async with running(folder) as (_, client):
            found = await client.detect(plain(), 0.05)
            assert [f.score for f in found] == [0.9375, 0.75, 0.25]
            assert [f.pixels for f in found] == [300, 200, 40]
            assert findings.union(found[:1], 40, 60)[20:30, 30:60].all()
            assert [f.score for f in await client.detect(plain(), 0.7)] == [0.9375, 0.75]
            assert await client.detect(np.zeros((40, 60, 3), np.uint8), 0.05) == []

    asyncio.run(check())


def test_jobs_of_many_tabs_wait_in_order_and_one_too_many_is_refused(folder):
    async def check():
        async with running(folder, waiting=3) as (broker, client):
            done = []

            async def tab(number):
                try:
                    await client.detect(plain(SLOW if number == 0 else 200), 0.05)
                    done.append(number)
                except DetectionError as error:
                    done.append(error.key)

            tabs = [asyncio.ensure_future(tab(0))]
            await asyncio.sleep(0.3)  # it is being worked on
            for number in (1, 2, 3):
                tabs.append(asyncio.ensure_future(tab(number)))
                await until(lambda: len(broker._jobs) == number)  # noqa: B023
            tabs.append(asyncio.ensure_future(tab(4)))
            await asyncio.gather(*tabs)
            assert done == ["busy", 0, 1, 2, 3]

    asyncio.run(check())


def test_a_tab_that_goes_frees_its_place(folder):
    async def check():
        async with running(folder, waiting=1) as (broker, client):
            slow = asyncio.ensure_future(client.detect(plain(SLOW), 0.05))
            await asyncio.sleep(0.3)
            gone = asyncio.ensure_future(client.detect(plain(), 0.05))
            await until(lambda: len(broker._jobs) == 1)
            gone.cancel()
            await until(lambda: not broker._jobs)
            assert len(await client.detect(plain(), 0.05)) == 3
            assert len(await slow) == 3

    asyncio.run(check())


@pytest.mark.parametrize("red, key", [(FAILS, "failed"), (NO_MEMORY, "memory")])
def test_a_job_that_fails_is_told_and_the_process_lives_on(folder, red, key):
    async def check():
        async with running(folder) as (broker, client):
            before = broker.process_id
            assert await refusal(client, red) == key
            assert len(await client.detect(plain(), 0.05)) == 3 and broker.process_id == before

    asyncio.run(check())


def test_what_a_failure_says_to_the_page_holds_no_paths(folder):
    async def check():
        async with running(folder) as (_, client):
            with pytest.raises(DetectionError) as error:
                await client.detect(plain(FAILS), 0.05)
            assert error.value.reason == "RuntimeError"

    asyncio.run(check())


def test_a_process_that_is_stuck_is_replaced(folder):
    async def check():
        async with running(folder, seconds=1.0) as (broker, client):
            before = broker.process_id
            assert await refusal(client, STUCK) == "time"
            assert len(await client.detect(plain(), 0.05)) == 3
            assert broker.process_id != before and not psutil.pid_exists(before)

    asyncio.run(check())


def test_a_killed_process_is_told_and_replaced_and_waiting_jobs_are_kept(folder):
    async def check():
        async with running(folder) as (broker, client):
            states = []
            watching = asyncio.ensure_future(client.watch(lambda s: states.append(s["state"])))
            await until(lambda: states)
            dying = asyncio.ensure_future(refusal(client, DIES))
            await asyncio.sleep(0.05)
            waiting = asyncio.ensure_future(client.detect(plain(), 0.05))
            assert await dying == "killed" and len(await waiting) == 3
            os.kill(broker.process_id, signal.SIGKILL)  # while it has nothing to do
            await until(lambda: states.count("ready") == 3)
            assert states == ["ready", "restarting", "ready", "restarting", "ready"]
            watching.cancel()

    asyncio.run(check())


def test_a_run_folder_that_vanishes_is_told_and_taken_up_again(folder, monkeypatch):
    monkeypatch.setattr(brokers, "LOOK", 0.05)

    async def check():
        async with running(folder) as (broker, client):
            states = []
            watching = asyncio.ensure_future(client.watch(states.append))
            away = folder.rename(folder.with_name("away"))
            await until(lambda: states and not states[-1]["folder"])
            assert len(await client.detect(plain(), 0.05)) == 3  # the network in memory goes on
            os.kill(broker.process_id, signal.SIGKILL)
            await until(lambda: states[-1]["state"] == "restarting")
            await asyncio.sleep(0.8)
            assert broker.process_id is None
            shutil.copytree(away, folder)
            await until(lambda: states[-1]["state"] == "ready" and states[-1]["folder"])
            watching.cancel()

    asyncio.run(check())


def test_a_network_that_cannot_be_loaded_says_why(folder):
    (folder / "broken").touch()

    async def check():
        with tempfile.TemporaryDirectory(dir="/tmp") as private:
            broker = Broker(stub_command(folder), Path(private) / "model", folder)
            await broker.start()
            state = await asyncio.wait_for(broker.settled(), 60)
            assert (state["state"], state["reason"]) == ("failed", "weights.h5 is <damaged>")
            assert await refusal(ModelClient(broker.path), 200) == "no_model"
            await broker.stop()

    asyncio.run(check())


def test_nonsense_on_the_socket_harms_nobody(folder):
    async def check():
        async with running(folder) as (broker, client):
            for nonsense in (
                b"\n",
                b"[]\n",
                b'{"bytes": -1}\n',
                b'{"bytes": 9}\nab',
                b"\0" * 99999,
            ):
                _, writer = await asyncio.open_unix_connection(str(broker.path))
                writer.write(nonsense)
                writer.write_eof()
                writer.close()
            for header in ({"op": "?"}, {"op": "detect"}, {"op": "detect", "shape": [9, 9]}):
                reader, writer = await asyncio.open_unix_connection(str(broker.path))
                writer.write(wire.pack(header, b"1"))
                await reader.read()
                writer.close()
            assert len(await client.detect(plain(), 0.05)) == 3

    asyncio.run(check())


def test_only_this_user_may_speak_to_the_process(folder):
    async def check():
        async with running(folder) as (broker, _):
            assert broker.path.stat().st_mode & 0o077 == 0

    asyncio.run(check())


def test_the_process_ends_with_the_server():
    ours, theirs = socket.socketpair()
    import subprocess

    process = subprocess.Popen(
        [*stub_command(Path("x")), str(theirs.fileno())], pass_fds=[theirs.fileno()]
    )
    theirs.close()
    with ours.makefile("rb") as incoming:
        assert wire.read(incoming)[0]["state"] == "ready"
    ours.close()
    assert process.wait(20) == 0
