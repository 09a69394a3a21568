"""The device a run computes on: CUDA libraries from wheels before TensorFlow starts, the device's
name after.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import os
import platform
import sysconfig
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from common.errors import InputError
from common.training import driver

# What TensorFlow 2.9 opens by these names, each after those it needs. NVRTC is for cuDNN, which
# looks for it in a folder that the wheels do not have. cuDNN's own parts lie beside libcudnn.so.8,
# where it finds them.
LIBRARIES = (
    "cuda_runtime/lib/libcudart.so.11.0",
    "cuda_nvrtc/lib/libnvrtc.so.11.2",
    "cublas/lib/libcublasLt.so.11",
    "cublas/lib/libcublas.so.11",
    "cufft/lib/libcufft.so.10",
    "curand/lib/libcurand.so.10",
    "cusparse/lib/libcusparse.so.11",
    "cusolver/lib/libcusolver.so.11",
    "cudnn/lib/libcudnn.so.8",
)
# TensorFlow 2.9's packages hold machine code for compute capabilities 3.5 to 8.0, which all 8.x
# (Ampere and Ada) run, and PTX, which the driver translates for what came later (Hopper and on).
NEWEST_MAJOR = 8

# Why the libraries of the wheels could not be loaded: the first that failed.
_unusable = ""


class NoKernels(InputError):
    """The device has no usable kernels for a precision."""


def prepare() -> None:
    """Set TensorFlow's environment; with an NVIDIA driver, make the CUDA wheels' libraries
    findable.

    Call it before TensorFlow is imported. Variables that the user has set stay as they are.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") == "2":
        # Several trainings in one process trace their networks anew; that is no fault.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    wheels = _wheels()
    if not (wheels.is_dir() and driver.is_there()):
        return
    # A library that is loaded already is found by its name, whatever LD_LIBRARY_PATH says.
    for library in LIBRARIES:
        try:
            ctypes.CDLL(str(wheels / library), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:  # another package's folder, or half an installation
            global _unusable
            _unusable = str(error)
            return
    compiler = wheels / "cuda_nvcc"
    os.environ["PATH"] = f"{compiler / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    flags = os.environ.get("XLA_FLAGS", "")
    if "--xla_gpu_cuda_data_dir" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_cuda_data_dir={compiler}".strip()
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    # For a card above `NEWEST_MAJOR` the driver translates each kernel at its first use, and its
    # default cache is too small to keep them all for the next start.
    os.environ.setdefault("CUDA_MODULE_LOADING", "LAZY")
    os.environ.setdefault("CUDA_CACHE_MAXSIZE", str(4 << 30))


def device_name() -> str:
    """The device TensorFlow computes on: "NVIDIA H200", or "CPU (2 cores, AMD EPYC 9V74,
    avx512_bf16)".
    """
    import tensorflow as tf  # not at the top: `prepare` comes before it

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return tf.config.experimental.get_device_details(gpus[0])["device_name"]
    return cpu_name()


def cpu_name() -> str:
    """The processor: "CPU (2 cores, AMD EPYC 9V74, avx512_bf16)", with its fastest instructions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = cpu_facts()
    fastest = [
        name for name in ("avx512_bf16", "avx512f", "avx2") if name in facts["flags"].split()
    ][:1]
    return f"CPU ({', '.join([f'{cores} cores', facts['model name'], *fastest])})"


def cpu_facts() -> Dict[str, str]:
    """What Linux says of the first processor, "model name" and "flags" among it."""
    facts = {"model name": platform.processor(), "flags": ""}
    with contextlib.suppress(OSError):  # /proc is Linux's
        for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines():
            key, _, value = line.partition(":")
            facts[key.strip()] = value.strip()
    return facts


@functools.lru_cache(maxsize=None)
def announce() -> None:
    """Print one line, once a process, if TensorFlow finds no GPU, with the reason and the remedy if
    there may be one, or if the first start on its GPU takes long.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        told = slow_start(details)
        if told:
            print(told)
        return
    reason = why_none()
    print(f"no GPU found: running on the CPU{f' ({reason})' if reason else ''}")


def slow_start(details: Mapping[str, Any]) -> str:
    """What to expect of the first start on a card, by TensorFlow's details of it; "" for nothing.

    Example:
        >>> slow_start({"device_name": "NVIDIA RTX 4090", "compute_capability": (8, 9)})
        ''
    """
    capability: Tuple[int, int] = details.get("compute_capability", (0, 0))
    if capability[0] <= NEWEST_MAJOR:
        return ""
    return (
        f"{details.get('device_name', 'GPU')}: newer than TensorFlow 2.9, so the driver translates "
        "its kernels, once: minutes at the first start, half an hour at most"
    )


def why_none() -> str:
    """Say in one sentence why TensorFlow finds no GPU and what helps; "" where there is none."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return ""  # as asked
    if _unusable:
        return f"a CUDA library fails: {_unusable}; `make setup GPU=1` installs them all"
    found = driver.look()
    if found.cards and not found.problem and not _wheels().is_dir():
        return "`make setup GPU=1` installs the CUDA libraries"
    return found.problem


def check_precision(precision: str) -> None:
    """Refuse a precision that the device has no kernels for.

    Raises:
        NoKernels: mixed_bfloat16 on a GPU, or mixed_float16 without one.
    """
    import tensorflow as tf

    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    if precision == "mixed_float16" and not has_gpu:
        raise NoKernels(
            "precision mixed_float16: on a CPU a convolution takes 80 times as long as in float32; "
            "take mixed_bfloat16 or float32"
        )
    if precision == "mixed_bfloat16" and has_gpu:
        raise NoKernels(
            "precision mixed_bfloat16: TensorFlow 2.9 has no bfloat16 kernels for GPUs and would "
            "compute on the CPU; take mixed_float16 or float32, or hide the GPU: "
            "CUDA_VISIBLE_DEVICES=-1"
        )


def libraries() -> List[Tuple[str, Optional[Path]]]:
    """The CUDA libraries by name, with the wheel's file where there are wheels."""
    wheels = _wheels()
    places = [wheels / library if wheels.is_dir() else None for library in LIBRARIES]
    return [(Path(library).name, place) for library, place in zip(LIBRARIES, places)]


def _wheels() -> Path:
    return Path(sysconfig.get_path("purelib")) / "nvidia"
