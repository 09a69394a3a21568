"""Stands in for the process with the network, without TensorFlow: three rectangles of known area
in every image that is not black. The image's first pixel makes it slow, stuck, fail or end.

Called as `python stub_model.py RUN_FOLDER SOCKET`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

import numpy as np

from reproductions.brain_tumour_mask_rcnn.app import model_process
from reproductions.brain_tumour_mask_rcnn.detections import Detections

SLOW, STUCK, FAILS, NO_MEMORY, DIES = 201, 202, 203, 204, 205  # red of the first pixel
SECONDS = 1.5  # that a slow one takes


def detector(image: np.ndarray, min_score: float) -> Detections:
    """Find rectangles, not in the order of their scores."""
    assert image.dtype == np.uint8 and image.shape[2] == 3
    behave(int(image[0, 0, 0]))
    boxes = np.array([[2, 3, 12, 23], [20, 30, 30, 60], [1, 40, 5, 50]], np.float32)
    scores = np.array([0.75, 0.9375, 0.25], np.float32)
    masks = np.zeros((3, *image.shape[:2]), bool)
    for mask, (y1, x1, y2, x2) in zip(masks, boxes.astype(int)):
        mask[y1:y2, x1:x2] = True
    kept = (scores >= min_score) & image.any()
    return Detections(boxes[kept], scores[kept], masks[kept])


def behave(red: int) -> None:
    if red == SLOW:
        time.sleep(SECONDS)
    elif red == STUCK:
        time.sleep(3600)
    elif red == FAILS:
        raise RuntimeError("a secret path /home/x")
    elif red == NO_MEMORY:
        raise MemoryError
    elif red == DIES:
        os.kill(os.getpid(), signal.SIGKILL)


def load():
    if os.path.exists(os.path.join(sys.argv[1], "broken")):
        raise ValueError("weights.h5 is <damaged>")
    return detector


if __name__ == "__main__":
    model_process.answer(socket.socket(fileno=int(sys.argv[2])), load)
