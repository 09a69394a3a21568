"""The training step of tools/bench/steps.py with segmentation_models_pytorch, in an interpreter
that has it (.venv/torch).

In the form that is fastest on a processor: channels last, Adam fused and, if asked, compiled.
bfloat16 is that of autocast, which like Keras' mixed_bfloat16 keeps the weights in float32.
"""

from __future__ import annotations

import time

import segmentation_models_pytorch
import torch

NAMES = {"resnext50": "resnext50_32x4d"}  # where it differs from segmentation_models


def training_step(
    architecture: str,
    encoder: str,
    side: int,
    batch: int,
    precision: str = "float32",
    compiled: bool = False,
):
    """Build a network; the step trains on a batch with BCE + Dice and gives its loss."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = torch.rand(batch, 3, side, side) * 255
    images = images.to(device, memory_format=torch.channels_last)
    masks = (torch.rand(batch, 1, side, side) < 0.3).float().to(device)
    began = time.perf_counter()
    build = getattr(segmentation_models_pytorch, architecture)
    network = build(NAMES.get(encoder, encoder), encoder_weights=None, classes=1)
    network = network.to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), 1e-4, fused=True)
    dice = segmentation_models_pytorch.losses.DiceLoss("binary")
    bce = torch.nn.BCEWithLogitsLoss()
    facts = {
        "build": time.perf_counter() - began,
        "parameters": sum(p.numel() for p in network.parameters()),
    }
    network.train()
    forward = torch.compile(network) if compiled else network
    half = precision == "mixed_bfloat16"

    def step() -> float:
        optimiser.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=half):
            logits = forward(images)
        logits = logits.float()
        loss = bce(logits, masks) + dice(logits, masks)
        loss.backward()
        optimiser.step()
        return loss.item()

    return step, facts
