"""Networks: building them with the first training step, and the steady step, each contender in its
own process.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

import numpy as np

from common.training import cuda
from tools.bench.child import Worker
from tools.bench.scale import Scale
from tools.bench.timing import Row, missing, race, row

STOCK, TORCH = "stock segmentation_models", "segmentation_models_pytorch"
TORCH_PYTHON = (
    Path(sys.prefix) / "torch" / "bin" / "python"
)  # its CUDA libraries and TensorFlow's shut each other out
FLOAT32, BFLOAT16 = "float32", "mixed_bfloat16"
ROUNDING = {FLOAT32: 1e-3, BFLOAT16: 3e-2}  # of the first step's loss, relative


class Work(NamedTuple):
    """What the contenders build and train."""

    architecture: str
    encoder: str
    side: int
    batch: int

    def __str__(self) -> str:
        return f"{self.architecture}, {self.encoder}, {self.side}×{self.side}, batch {self.batch}"


def run(scale: Scale, torch_python: Path = TORCH_PYTHON) -> List[Row]:
    """Measure everything about networks."""
    first, *others = scale.encoders
    works = [Work("Linknet", first, scale.linknet, 2), Work("Unet", first, scale.unet, 4)]
    works += [Work("Linknet", encoder, scale.linknet, 2) for encoder in others]
    return [row for work in works for row in measure(work, scale, torch_python)]


def measure(work: Work, scale: Scale, torch_python: Path = TORCH_PYTHON) -> List[Row]:
    """Build and train one network in all ways side by side."""
    packed = work.encoder.startswith("resnext")
    linknet = work.architecture == "Linknet"
    precisions = [FLOAT32]
    rows: List[Row] = []
    if linknet and "avx512_bf16" in cuda.device_name():
        precisions.append(BFLOAT16)
    elif linknet:
        rows.append(
            missing(
                f"training step, {work}, {BFLOAT16}",
                STOCK,
                1.5,
                "this processor has no AVX512-BF16",
            )
        )

    kinds = [(f"ours, {precision}", True, precision) for precision in precisions] + [
        (STOCK, False, FLOAT32)
    ]
    contenders: Dict[str, Worker] = {}
    with contextlib.ExitStack() as stack:
        starts = {}
        for name, fast, precision in kinds:
            worker = Worker(
                "tools.bench.steps:training_step", fast=fast, precision=precision, **work._asdict()
            )
            contenders[name] = stack.enter_context(worker)
            starts[name] = [worker.facts["build"] + worker()]
        _check(work, contenders)
        if linknet:
            torch = _torch(work, torch_python)
            if torch:
                contenders[TORCH] = stack.enter_context(torch)
                torch()
        for worker in contenders.values():
            worker()  # the second step may still allocate
        steps = race(
            contenders, replace(scale, seconds=4 * scale.seconds)
        )  # a round may take half a minute

    name = f"ours, {FLOAT32}"
    if packed:
        rows.append(row(f"build + first step, {work}", starts[name], STOCK, starts[STOCK], 2.5))
    # "Never slower": for an encoder that is the stock one, equal but for noise.
    rows.append(
        row(
            f"training step, {work}, {FLOAT32}",
            steps[name],
            STOCK,
            steps[STOCK],
            1 if packed else 0.95,
        )
    )
    if BFLOAT16 in precisions:
        half = steps[f"ours, {BFLOAT16}"]
        rows.append(
            row(
                f"training step, {work}, {BFLOAT16}", half, f"{STOCK}, {FLOAT32}", steps[STOCK], 1.5
            )
        )
    if linknet and TORCH in steps:
        note = f"{contenders[TORCH].facts['parameters']} parameters, ours {contenders[name].facts['parameters']}"
        for precision, target in zip(precisions, (None, 1)):
            case, ours = f"training step, {work}, {precision}", steps[f"ours, {precision}"]
            rows.append(row(case, ours, f"{TORCH}, {FLOAT32}", steps[TORCH], target, note))
    elif linknet:
        rows.append(missing(f"training step, {work}", TORCH, 1))
    return rows


def _check(work: Work, contenders: Dict[str, Worker]) -> None:
    """The same kernels and images give the same first loss, to the rounding of the precision."""
    expected = contenders[STOCK].last["result"]
    for precision, rounding in ROUNDING.items():
        worker = contenders.get(f"ours, {precision}")
        if worker and not np.isclose(worker.last["result"], expected, rtol=rounding):
            raise AssertionError(
                f"{work}, {precision}: loss {worker.last['result']}, stock {expected}"
            )


def _torch(work: Work, python: Path) -> Optional[Worker]:
    if not python.exists():
        return None
    try:
        return Worker("bench.torch_step:training_step", python=str(python), **work._asdict())
    except RuntimeError as error:
        if "No module named" not in str(error):
            raise
        return None
