"""Work in a process of its own, repeated on demand: a first step that is the first, a peak of
memory that is its own.

The process runs `.venv/bin/python -m tools.bench.child MODULE:FUNCTION ARGUMENTS`. The function
prepares the work and returns (step, facts): each line on the standard input then calls `step`, and
what that returns goes back as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Optional

from common.files import PROJECT
from tools.bench.timing import Cost

# The PyTorch peers have an environment of their own: their CUDA libraries and TensorFlow's shut
# each other out.
TORCH_PYTHON = Path(sys.prefix) / "torch" / "bin" / "python"
TORCH_MODULES = ("torch", "segmentation_models_pytorch", "monai")


class Worker:
    """A child process with a prepared piece of work; calling it repeats the work and gives its
    cost.

    Args:
        target: "module:function", as above.
        python: the interpreter; by default this one.
        environment: variables to add.
        **arguments: of the function, JSON-serialisable.

    Raises:
        RuntimeError: the process ended; the message ends with the last line that it wrote.
    """

    def __init__(
        self,
        target: str,
        python: str = sys.executable,
        environment: Optional[Dict[str, str]] = None,
        **arguments,
    ):
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed by __exit__
        self._process = subprocess.Popen(
            [python, "-m", "tools.bench.child", target, json.dumps(arguments)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self.facts = self._read()
        # Seconds, processor seconds, result and peak_mib of the last call.
        self.last: Dict[str, Any] = {}

    def __call__(self) -> Cost:
        print(file=self._process.stdin, flush=True)
        self.last = self._read()
        return Cost(self.last["seconds"], self.last["seconds"], self.last["cpu"])

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _read(self) -> Dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            written = self._errors.read().strip().splitlines()
            raise RuntimeError(written[-1] if written else f"ended with {self._process.returncode}")
        return json.loads(line)


def torch_worker(python: Path, target: str, **arguments) -> Optional[Worker]:
    """Start a worker in the environment of PyTorch, or give None where that, or one of its peers,
    is not installed.
    """
    if not python.exists():
        return None
    try:
        return Worker(target, python=str(python), **arguments)
    except RuntimeError as error:
        if not any(f"No module named '{name}" in str(error) for name in TORCH_MODULES):
            raise
        return None


def peak_mib() -> float:
    """The most memory that this process has held, in MiB."""
    # ru_maxrss would start with the parent's: Linux keeps it across exec.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def main() -> None:
    """Prepare the work, then repeat it for each line that comes."""
    target, arguments = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the work prints is no answer
    module, function = target.split(":")
    step, facts = getattr(importlib.import_module(module), function)(**json.loads(arguments))
    print(json.dumps(facts), file=answers, flush=True)
    for _ in sys.stdin:
        began, began_cpu = time.perf_counter(), time.process_time()
        result = step()
        answer = {
            "seconds": time.perf_counter() - began,
            "cpu": time.process_time() - began_cpu,
            "result": result,
            "peak_mib": peak_mib(),
        }
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
