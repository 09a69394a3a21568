from __future__ import annotations

import asyncio

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

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
