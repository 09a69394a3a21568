"""Sliding-window blending with MONAI, in an interpreter that has it (.venv/torch)."""

from __future__ import annotations

import numpy as np
import torch
from monai.inferers import sliding_window_inference


def blending(side: int, channels: int, tile: int, overlap: float):
    """Prepare an image; the step cuts it into tiles that overlap and blends them again.

    The fact is the largest difference from the image, as nothing is done to the tiles in between.
    They are copied, though: MONAI hands over views of the image, and weights what it gets in place.
    """
    image = np.random.default_rng(0).random((side, side, channels), np.float32)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].contiguous()

    def blend() -> torch.Tensor:
        with torch.inference_mode():
            return sliding_window_inference(tensor, tile, 1, torch.clone, overlap, mode="gaussian")

    def step() -> None:
        blend()

    return step, {"error": float((blend() - tensor).abs().max())}
