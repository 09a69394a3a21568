"""The process that holds the network: it loads it, warms it up, and answers one job at a time.

The page's server starts it and speaks with it through a socket. It is the only process of the page
that loads TensorFlow, and it ends when the server does.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Callable

import numpy as np

from reproductions.brain_tumour_mask_rcnn.app import findings, wire
from reproductions.brain_tumour_mask_rcnn.detections import Detections

Detector = Callable[[np.ndarray, float], Detections]
BLANK = 256  # size of the image that warms the network up
OUT_OF_MEMORY = ("MemoryError", "ResourceExhaustedError")


def answer(connection: socket.socket, load: Callable[[], Detector]) -> None:
    """Load a detector, say so, and answer jobs until the other side closes.

    Args:
        connection: to the page's server.
        load: gives the detector, which takes an image, uint8 (H, W, 3), and a lowest score.
    """
    with connection.makefile("rb") as incoming:
        try:
            detector = load()
            detector(np.zeros((BLANK, BLANK, 3), np.uint8), 0.0)
        except Exception as error:  # of a damaged run folder, or a missing library
            reason = " ".join(str(error).split()) or type(error).__name__
            connection.sendall(wire.pack({"state": "failed", "reason": reason}))
            return
        connection.sendall(wire.pack({"state": "ready"}))
        for header, content in iter(lambda: wire.read(incoming), None):
            connection.sendall(wire.pack(*_examine(detector, header, content)))


def _examine(detector: Detector, header: dict, content: bytes) -> wire.Message:
    """Run one job; whatever goes wrong is told, and the next job is answered all the same."""
    try:
        image = np.frombuffer(content, np.uint8).reshape(*header["shape"])
        found = detector(image, header["min_score"])
        return findings.to_message(findings.from_masks(found.scores, found.boxes, found.masks))
    except Exception as error:  # the page says it, and goes on
        name = type(error).__name__
        return {"error": "memory" if name in OUT_OF_MEMORY else "failed", "reason": name}, b""


def main() -> None:
    """Answer on the socket whose number is the second argument, for the run folder in the first."""
    run_folder, number = Path(sys.argv[1]), int(sys.argv[2])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    def load() -> Detector:
        from reproductions.brain_tumour_mask_rcnn import model  # takes about 15 seconds

        return model.load(run_folder)

    answer(socket.socket(fileno=number), load)


if __name__ == "__main__":
    main()
