from __future__ import annotations

import asyncio

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

from reproductions.brain_tumour_mask_rcnn.app import tab_kernels
from reproductions.brain_tumour_mask_rcnn.app.tab_kernels import TabKernels


def test_tabs_that_open_at_the_same_time_are_counted_once_each(monkeypatch):
    kernels = TabKernels(most_tabs=3)
    listed, environments = [], []

    async def start(self, **kwargs):
        listed.append(kwargs["kernel_id"])  # as the manager lists one that is still starting
        environments.append(kwargs["env"])
        await asyncio.sleep(0.01)
        return kwargs["kernel_id"]

    monkeypatch.setattr(AsyncMappingKernelManager, "start_kernel", start)
    monkeypatch.setattr(TabKernels, "list_kernel_ids", lambda self: listed)

    async def open_three():
        starting = []
        for _ in range(3):
            assert kernels.has_room()
            starting.append(asyncio.ensure_future(kernels.start_kernel(env={})))
            await asyncio.sleep(0)
        assert not kernels.has_room()
        names = await asyncio.gather(*starting)
        assert sorted(names) == sorted(listed) and not kernels.has_room()
        kernels._look.stop()
        listed.pop()
        assert kernels.has_room() and not kernels.has_room()  # a place is kept for the one let in

    asyncio.run(open_three())
    assert all(environment["OPENBLAS_NUM_THREADS"] == "1" for environment in environments)


def test_a_tab_that_asks_after_its_process_has_not_abandoned_it(monkeypatch):
    now, ended = [0.0], []
    kernels = TabKernels(abandoned_after=60)
    monkeypatch.setattr(tab_kernels.time, "monotonic", lambda: now[0])

    async def running(self, kernel_id):
        return True

    async def shut_down(self, kernel_id, now):
        ended.append(kernel_id)

    monkeypatch.setattr(TabKernels, "list_kernel_ids", lambda self: ["asks", "silent", "connected"])
    monkeypatch.setattr(TabKernels, "__contains__", lambda self, kernel_id: True)
    monkeypatch.setattr(TabKernels, "is_running", running)
    monkeypatch.setattr(TabKernels, "shutdown_kernel", shut_down)
    kernels._alone_since.update(asks=60.0, silent=60.0)
    for seconds, expected in ((100, []), (121, ["silent"]), (161, ["silent", "asks"])):
        now[0] = float(seconds)
        if seconds == 100:
            kernels.notify_question("asks")
            kernels.notify_question("connected")
        asyncio.run(kernels._end_abandoned())
        assert ended == expected
