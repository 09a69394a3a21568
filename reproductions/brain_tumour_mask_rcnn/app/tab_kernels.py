"""The processes of the tabs: how many there may be, and when one is ended."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from typing import Dict, List, Set

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.ioloop import PeriodicCallback
from traitlets import Float, Integer

LOOK = 2.0  # seconds between looks for processes to end
STARTING = 30.0  # seconds that a place is kept for a tab whose process has not begun to start
OPENING = 60.0  # seconds more that a tab is given until its first connection

# A tab computes little: one thread each for it, and no memory kept for more of them.
SMALL = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")


class TabKernels(AsyncMappingKernelManager):
    """Starts a process for each tab, up to a limit, and ends those whose tab has gone.

    A tab says goodbye when it is closed. Where it could not, its process ends `abandoned_after`
    seconds after the last connection or question, or after its start if none ever came.
    """

    most_tabs = Integer(24, config=True, help="Tabs that may be open at once.")
    abandoned_after = Float(60.0, config=True, help="Seconds a process is kept without its tab.")

    def __init__(self, **kwargs: object):
        super().__init__(**kwargs)
        self._places: List[float] = []  # kept for tabs whose process has not begun to start
        self._starting: Set[str] = set()  # their ids, some of which the list of all has already
        self._alone_since: Dict[str, float] = {}
        self._look = PeriodicCallback(self._end_abandoned, LOOK * 1000)

    def has_room(self) -> bool:
        """Whether one more tab may be opened; if so, a place is kept for it."""
        now = time.monotonic()
        self._places = [kept for kept in self._places if now - kept < STARTING]
        tabs = self._starting.union(self.list_kernel_ids())
        if len(tabs) + len(self._places) >= self.most_tabs:
            return False
        self._places.append(now)
        return True

    async def start_kernel(self, **kwargs) -> str:
        """Start the process of a tab; what its libraries say is not for the terminal."""
        if not self._look.is_running():
            self._look.start()
        kernel_id = str(uuid.uuid4())
        self._places = self._places[1:]
        self._starting.add(kernel_id)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        env = {**kwargs.get("env", os.environ), **SMALL}
        try:
            kwargs = {**kwargs, **quiet, "env": env, "kernel_id": kernel_id}
            await super().start_kernel(**kwargs)
        finally:
            self._starting.discard(kernel_id)
        self._alone_since[kernel_id] = time.monotonic() + OPENING
        return kernel_id

    async def is_running(self, kernel_id: str) -> bool:
        """Whether the process of a tab is there."""
        return kernel_id in self and await self.get_kernel(kernel_id).is_alive()

    def notify_question(self, kernel_id: str) -> None:
        """Notice that a tab asks after its process: it is there, though it may not be connected, as
        a busy computer takes minutes to open it.
        """
        if kernel_id in self._alone_since:
            latest = max(self._alone_since[kernel_id], time.monotonic())
            self._alone_since[kernel_id] = latest

    def notify_connect(self, kernel_id: str) -> None:
        """Notice a connection of a tab."""
        super().notify_connect(kernel_id)
        self._alone_since.pop(kernel_id, None)

    def notify_disconnect(self, kernel_id: str) -> None:
        """Notice that a connection has ended."""
        super().notify_disconnect(kernel_id)
        if not self._kernel_connections.get(kernel_id):
            self._alone_since[kernel_id] = time.monotonic()

    async def _end_abandoned(self) -> None:
        """End processes without a tab, and forget those that have ended by themselves."""
        for kernel_id in self.list_kernel_ids():
            alone = self._alone_since.get(kernel_id)
            abandoned = alone is not None and time.monotonic() - alone > self.abandoned_after
            if abandoned or not await self.is_running(kernel_id):
                self._alone_since.pop(kernel_id, None)
                if kernel_id in self:
                    await self.shutdown_kernel(kernel_id, now=True)
