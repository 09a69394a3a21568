"""Messages between the page's processes: a line of JSON, then as many bytes as it announces.

Nothing in a message can run code, unlike a pickle.
"""

from __future__ import annotations

import asyncio
import json
from typing import BinaryIO, Optional, Tuple

Message = Tuple[dict, bytes]
MOST = 256 << 20  # bytes after the line; an image of 2048×2048 pixels has 12 MiB


def pack(header: dict, content: bytes = b"") -> bytes:
    """Write a message as bytes.

    >>> pack({"state": "ready"}, b"ab")
    b'{"state": "ready", "bytes": 2}\\nab'
    """
    return json.dumps({**header, "bytes": len(content)}).encode() + b"\n" + content


async def receive(stream: asyncio.StreamReader) -> Optional[Message]:
    """Read one message; None where the other side has closed, half-way through one or between two.

    Raises:
        ValueError: what came is no message.
    """
    try:
        line = await stream.readline()
        if not line.endswith(b"\n"):
            return None
        header = _header(line)
        return header, await stream.readexactly(header["bytes"])
    except (ConnectionError, asyncio.IncompleteReadError):
        return None


def read(stream: BinaryIO) -> Optional[Message]:
    """Do as `receive` does, on a blocking stream."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    header = _header(line)
    content = stream.read(header["bytes"])
    return (header, content) if len(content) == header["bytes"] else None


def _header(line: bytes) -> dict:
    try:
        header = json.loads(line)
    except RecursionError:
        raise ValueError("not a message: nested too deeply") from None
    if not isinstance(header, dict) or not isinstance(header.get("bytes"), int):
        raise ValueError("not a message: expected an object with a number of bytes")
    if not 0 <= header["bytes"] <= MOST:
        raise ValueError(f"a message of {header['bytes']} bytes, expected at most {MOST}")
    return header
