"""Between the tabs and the one process with the network: a queue with a limit, a time-out per job,
and a new process where one has ended.

Tabs connect to a Unix socket. A connection either asks for one detection, or watches the state:
`loading`, `ready`, `restarting` with the reason why the last process ended (`killed`, `time`,
`ended`), or `failed` with what the process said.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import time
from collections import deque
from pathlib import Path
from typing import Awaitable, Deque, List, Optional, Sequence

from reproductions.brain_tumour_mask_rcnn.app import wire

WAITING = 32  # jobs that may wait; a tab has one at a time
SECONDS = 120.0  # of one job, after which the process is taken for stuck and replaced
PAUSES = (0.5, 2, 5, 15, 60)  # seconds before the first, second … restart in a row
LOOK = 2.0  # seconds between looks whether the run folder is still there
SETTLED = 60.0  # seconds a process has to last for the pauses to begin anew


class Job:
    """One detection that a tab waits for."""

    def __init__(self, header: dict, content: bytes):
        self.header, self.content = header, content
        self.answer: asyncio.Future = asyncio.get_running_loop().create_future()

    def give(self, header: dict, content: bytes = b"") -> None:
        """Answer, unless the tab has gone."""
        if not self.answer.done():
            self.answer.set_result((header, content))


class Broker:
    """Keeps one model process alive and hands it the jobs of all tabs, first come, first served.

    Args:
        command: starts the process; the number of its socket is added as the last argument.
        path: of the Unix socket for the tabs.
        run_folder: that the process loads; while it is missing none is started.
        waiting: jobs that may wait; one more is refused.
        seconds: that one job may take.
    """

    def __init__(
        self,
        command: Sequence[str],
        path: Path,
        run_folder: Path,
        waiting: int = WAITING,
        seconds: float = SECONDS,
    ):
        self.command, self.path, self.run_folder = list(command), path, run_folder
        self.waiting, self.seconds = waiting, seconds
        self.state = {"state": "loading", "reason": "", "folder": True}
        self._process: Optional[subprocess.Popen] = None
        self._changed, self._work = asyncio.Event(), asyncio.Event()
        self._jobs: Deque[Job] = deque()
        self._tasks: List[asyncio.Task] = []
        self._server: Optional[asyncio.AbstractServer] = None

    @property
    def process_id(self) -> Optional[int]:
        """Of the model process; None while there is none."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Listen for tabs and start the process."""
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))
        self.path.chmod(0o600)
        self._tasks = [
            asyncio.ensure_future(task) for task in (self._keep_alive(), self._look_at_folder())
        ]

    async def settled(self) -> dict:
        """Wait until the first process is ready or has failed; give that state."""
        while self.state["state"] == "loading":
            await self._next_change()
        return self.state

    async def stop(self) -> None:
        """End the process and everything else."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server:
            self._server.close()
        self._end_process()

    # The process

    async def _keep_alive(self) -> None:
        """Start the process, give it jobs until it ends, and start it again."""
        attempt = 0
        while True:
            while not self.state["folder"]:
                await self._next_change()
            began = time.monotonic()
            reason = await self._run_once()
            if reason is not None:
                self._set(state="restarting", reason=reason)
            attempt = 0 if time.monotonic() - began > SETTLED else attempt
            await asyncio.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
            attempt += 1

    async def _run_once(self) -> Optional[str]:
        """Run one process to its end and say why it ended; None where it has failed to load."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = process = subprocess.Popen(
                [*self.command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the server, which ends it in order
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            first = await wire.receive(reader)
            if first and first[0].get("state") == "failed":
                self._set(state="failed", reason=first[0]["reason"])
                self._refuse_all({"error": "no_model"})
                return None
            if first:
                self._set(state="ready", reason="")
                return await self._give_jobs(process, reader, writer)
            return await _why(process)
        finally:
            writer.close()
            self._end_process()

    async def _give_jobs(
        self,
        process: subprocess.Popen,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> str:
        """Hand over one job after the other until the process ends; give the reason."""
        closed = asyncio.ensure_future(wire.receive(reader))
        work = asyncio.ensure_future(self._next_job())
        try:
            while True:
                await asyncio.wait({closed, work}, return_when=asyncio.FIRST_COMPLETED)
                if closed.done():
                    if work.done():
                        self._jobs.appendleft(work.result())  # for the next process
                    return await _why(process)
                job = work.result()
                writer.write(wire.pack(job.header, job.content))
                await asyncio.wait({closed}, timeout=self.seconds)
                if not closed.done():
                    job.give({"error": "time"})
                    return "time"
                reply = closed.result()
                if reply is None:
                    reason = await _why(process)
                    job.give({"error": reason})
                    return reason
                job.give(*reply)
                closed = asyncio.ensure_future(wire.receive(reader))
                work = asyncio.ensure_future(self._next_job())
        finally:
            closed.cancel()
            work.cancel()

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process and process.poll() is None:
            process.kill()
        if process:
            process.wait()

    async def _look_at_folder(self) -> None:
        """Notice that the run folder vanishes, and that it is back."""
        while True:
            there = (self.run_folder / "weights.h5").exists()
            if there != self.state["folder"]:
                self._set(folder=there)
            await asyncio.sleep(LOOK)

    # The tabs

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection of a tab."""
        with contextlib.suppress(ConnectionError, ValueError, KeyError):
            request = await wire.receive(reader)
            if request and request[0]["op"] == "watch":
                await self._watch(reader, writer)
            elif request and request[0]["op"] == "detect":
                await self._detect(reader, writer, *request)
        writer.close()

    async def _watch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send the state now and whenever it changes, until the tab closes."""
        gone = asyncio.ensure_future(reader.read())
        while not gone.done():
            changed = self._changed  # of this state: the next one is not missed
            writer.write(wire.pack(self.state))
            await _either(gone, changed.wait())

    async def _detect(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        header: dict,
        content: bytes,
    ) -> None:
        """Queue a job and send its answer; a tab that has gone frees its place."""
        if len(self._jobs) >= self.waiting:
            writer.write(wire.pack({"error": "busy"}))
        elif self.state["state"] == "failed":
            writer.write(wire.pack({"error": "no_model"}))
        else:
            job = Job(header, content)
            self._jobs.append(job)
            self._work.set()
            gone = asyncio.ensure_future(reader.read())
            await asyncio.wait({gone, job.answer}, return_when=asyncio.FIRST_COMPLETED)
            if job.answer.done():
                writer.write(wire.pack(*job.answer.result()))
            else:
                job.answer.cancel()
                with contextlib.suppress(ValueError):  # it is being worked on
                    self._jobs.remove(job)
            gone.cancel()
        await writer.drain()

    async def _next_job(self) -> Job:
        while not self._jobs:
            self._work.clear()
            await self._work.wait()
        return self._jobs.popleft()

    def _refuse_all(self, header: dict) -> None:
        while self._jobs:
            self._jobs.popleft().give(header)

    def _set(self, **facts) -> None:
        self.state = {**self.state, **facts}
        self._changed.set()
        self._changed = asyncio.Event()

    async def _next_change(self) -> None:
        await self._changed.wait()


async def _why(process: subprocess.Popen) -> str:
    """Say how a process that has closed its socket has ended."""
    for _ in range(50):
        if process.poll() is not None:
            break
        await asyncio.sleep(0.02)
    return "killed" if process.poll() == -signal.SIGKILL else "ended"


async def _either(gone: asyncio.Future, other: Awaitable) -> None:
    """Wait for the first of two, and leave nothing of the second behind."""
    waiting = asyncio.ensure_future(other)
    await asyncio.wait({gone, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
