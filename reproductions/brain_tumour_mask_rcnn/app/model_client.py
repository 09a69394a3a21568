"""A tab's side of the model process: ask for a detection, and hear how the process is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Callable, List

import numpy as np

from reproductions.brain_tumour_mask_rcnn.app import findings, wire
from reproductions.brain_tumour_mask_rcnn.app.findings import Finding

AGAIN = 1.0  # seconds until a connection that was lost is tried again


class DetectionError(Exception):
    """No answer to a detection; `key` says why.

    One of `busy`, `time`, `killed`, `ended`, `memory`, `failed` and `no_model`.
    """

    def __init__(self, key: str, reason: str = ""):
        super().__init__(key)
        self.key, self.reason = key, reason


class ModelClient:
    """Speaks with the broker at a Unix socket."""

    def __init__(self, path: Path):
        self.path = path

    async def detect(self, image: np.ndarray, min_score: float) -> List[Finding]:
        """Find tumours in an image, uint8 (H, W, 3), with at least this score, the surest first.

        Raises:
            DetectionError: there is no answer.
        """
        request = {"op": "detect", "shape": image.shape, "min_score": min_score}
        try:
            reader, writer = await asyncio.open_unix_connection(str(self.path))
        except OSError:
            raise DetectionError("no_model") from None
        try:
            writer.write(wire.pack(request, np.ascontiguousarray(image).tobytes()))
            reply = await wire.receive(reader)
        finally:
            writer.close()
        if reply is None:
            raise DetectionError("ended")
        header, content = reply
        if "error" in header:
            raise DetectionError(header["error"], header.get("reason", ""))
        return findings.from_message(header, content)

    async def watch(self, tell: Callable[[dict], None]) -> None:
        """Call `tell` with the state of the process, now and whenever it changes, for ever."""
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(str(self.path))
            except OSError:
                await asyncio.sleep(AGAIN)
                continue
            writer.write(wire.pack({"op": "watch"}))
            message = await wire.receive(reader)
            while message:
                tell(message[0])
                message = await wire.receive(reader)
            writer.close()
            await asyncio.sleep(AGAIN)
