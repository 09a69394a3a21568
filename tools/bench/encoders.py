"""Networks: building them with the first training step, and the steady step, each contender in its
own process.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from common.training import cuda
from tools.bench.child import TORCH_PYTHON, Worker, torch_worker
from tools.bench.scale import Scale
from tools.bench.timing import Cost, Row, missing, race, row

OURS = "ours"
STOCK, TORCH = "stock segmentation_models", "segmentation_models_pytorch"
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
    rows = []
    for work in works:
        # The table's network in both precisions, and beside PyTorch.
        linknet = work.architecture == "Linknet"
        rows += measure(work, scale, precisions() if linknet else (FLOAT32,))
        if linknet:
            rows += beside_torch(work, scale, torch_python)
    return rows


def precisions() -> Tuple[str, ...]:
    """Those in which this processor computes fast."""
    return (FLOAT32, BFLOAT16) if "avx512_bf16" in cuda.device_name() else (FLOAT32,)


def measure(work: Work, scale: Scale, among: Sequence[str]) -> List[Row]:
    """Build and train one network here and as the library builds it, in each precision."""
    # An encoder without grouped convolutions is the library's own: "never slower", but for noise.
    packed = work.encoder.startswith("resnext")
    target = 1 if packed else 0.95
    contenders: Dict[str, Worker] = {}
    starts: Dict[str, List[Cost]] = {}
    with contextlib.ExitStack() as stack:
        for precision in among:
            for name, fast in ((OURS, True), (STOCK, False)):
                worker = _keras(work, precision, fast)
                contenders[f"{name}, {precision}"] = stack.enter_context(worker)
                first_step = worker()
                starts[f"{name}, {precision}"] = [Cost(worker.facts["build"] + first_step.wall)]
            _check(work, contenders, precision)
        steps = _steps(contenders, scale)

    rows = []
    for precision in among:
        ours, stock = f"{OURS}, {precision}", f"{STOCK}, {precision}"
        if packed:
            case = f"build + first step, {work}, {precision}"
            rows.append(row(case, starts[ours], stock, starts[stock], 2.5))
        case = f"training step, {work}, {precision}"
        rows.append(row(case, steps[ours], stock, steps[stock], target))
        if precision != FLOAT32:
            rows.append(row(case, steps[ours], f"{OURS}, {FLOAT32}", steps[f"{OURS}, {FLOAT32}"]))
    return rows


def beside_torch(work: Work, scale: Scale, python: Path) -> List[Row]:
    """Train one network here and with PyTorch, as it is and compiled, in the same precision."""
    rows = []
    for precision in precisions():
        case = f"training step, {work}, {precision}"
        peers = {
            f"{TORCH}, {precision}, channels_last{', compiled' if compiled else ''}": compiled
            for compiled in (False, True)
        }
        options = {**work._asdict(), "precision": precision}
        with contextlib.ExitStack() as stack:
            contenders = {}
            for peer, compiled in peers.items():
                target = "tools.bench.torch_step:training_step"
                worker = torch_worker(python, target, compiled=compiled, **options)
                if worker is None:
                    rows.append(missing(case, peer, 1))
                    continue
                stack.enter_context(worker)
                try:
                    worker()  # the first step compiles
                except RuntimeError as error:
                    rows.append(missing(case, peer, 1, f"does not run here: {error}"))
                    continue
                contenders[peer] = worker
            if not contenders:
                continue
            contenders[OURS] = stack.enter_context(_keras(work, precision, fast=True))
            contenders[OURS]()
            steps = _steps(contenders, scale)
            parameters = {name: worker.facts["parameters"] for name, worker in contenders.items()}
        for peer in peers:
            if peer in steps:
                note = f"{parameters[peer]} parameters, ours {parameters[OURS]}"
                rows.append(row(case, steps[OURS], peer, steps[peer], 1, note))
    return rows


def _keras(work: Work, precision: str, fast: bool) -> Worker:
    options = {**work._asdict(), "fast": fast, "precision": precision}
    return Worker("tools.bench.steps:training_step", **options)


def _steps(contenders: Dict[str, Worker], scale: Scale) -> Dict[str, List[Cost]]:
    for worker in contenders.values():
        worker()  # the second step may still allocate
    # A step may take ten seconds.
    return race(contenders, replace(scale, seconds=max(4, len(contenders)) * scale.seconds))


def _check(work: Work, contenders: Dict[str, Worker], precision: str) -> None:
    """The same kernels and images give the same first loss, to the rounding of the precision."""
    losses = [contenders[f"{name}, {precision}"].last["result"] for name in (OURS, STOCK)]
    if not np.isclose(*losses, rtol=ROUNDING[precision]):
        raise AssertionError(f"{work}, {precision}: loss {losses[0]}, stock {losses[1]}")
