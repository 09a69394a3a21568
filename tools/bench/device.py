"""On a GPU: images per second by precision, with XLA and without; how busy the device is; the
physical limit.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from typing import Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from common.training import cuda
from tools.bench.child import Worker
from tools.bench.encoders import Work
from tools.bench.scale import Scale
from tools.bench.timing import Row, race, row


class Setting(NamedTuple):
    """How a network is built and run."""

    fast: bool
    precision: str
    tf32: bool
    xla: bool

    def __str__(self) -> str:
        words = [
            "fast" if self.fast else "stock",
            "TF32" if self.tf32 else self.precision,
            "XLA" if self.xla else "",
        ]
        return " ".join(filter(None, words))


class Result(NamedTuple):
    """One line of results/bench/gpu_limits.csv; a kernel ran in the fraction `busy` of the time."""

    device: str
    case: str
    setting: str
    images_per_second: float
    busy: float
    operations_per_step: float
    bytes_per_step: float
    limit_images_per_second: float
    limited_by: str
    fraction_of_limit: float


SETTINGS = tuple(
    Setting(fast, precision, tf32, xla)
    for precision, tf32 in (("float32", False), ("float32", True), ("mixed_float16", False))
    for fast in (False, True)
    for xla in (False, True)
)


def run(
    scale: Scale, work: Optional[Work] = None, settings: Tuple[Setting, ...] = SETTINGS
) -> Tuple[List[Row], List[Result]]:
    """Measure all settings one after the other, each in its own process; on a CPU the limits hold
    as well.
    """
    work = work or Work("Linknet", "resnext50", scale.linknet, 16)
    rows, results, baseline = [], [], []
    for setting in settings:
        options = {**work._asdict(), **setting._asdict(), "limit_side": scale.matrices}
        with Worker("tools.bench.steps:training_step", **options) as worker:
            worker()
            worker()  # the second step may still allocate
            with _busy() as samples:
                costs = race({"": worker}, scale)[""]
            seconds = float(np.median([cost.wall for cost in costs]))
            results.append(_result(work, setting, seconds, samples, worker.facts))
        if setting == settings[0]:
            baseline = costs
        else:
            shared = min(len(costs), len(baseline))
            rows.append(
                row(
                    f"training step, {work}, {setting}",
                    costs[:shared],
                    str(settings[0]),
                    baseline[:shared],
                )
            )
    return rows, results


def _result(work: Work, setting: Setting, seconds: float, busy: List[float], facts: dict) -> Result:
    least = {"operations": facts["least_by_operations"], "bytes": facts["least_by_bytes"]}
    limited_by = max(least, key=least.get)
    return Result(
        cuda.device_name(),
        str(work),
        str(setting),
        work.batch / seconds,
        float(np.mean(busy)) / 100 if busy else np.nan,
        facts["operations"],
        facts["moved"],
        work.batch / least[limited_by],
        limited_by,
        least[limited_by] / seconds,
    )


@contextlib.contextmanager
def _busy() -> Iterator[List[float]]:
    """Sample how busy the device is, in per cent, ten times a second; no samples where there is
    no nvidia-smi.
    """
    samples: List[float] = []
    command = shutil.which("nvidia-smi")
    if not command:
        yield samples
        return
    query = [
        command,
        "--query-gpu=utilization.gpu",
        "--format=csv,noheader,nounits",
        "--loop-ms=100",
        "--id=0",
    ]
    with subprocess.Popen(query, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield samples
        finally:
            process.terminate()
            samples += [
                float(line) for line in process.stdout.read().split() if line.strip().isdigit()
            ]
