"""The device a run computes on: CUDA libraries from wheels before TensorFlow starts, the device's
name after.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sysconfig
from pathlib import Path

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


def prepare() -> None:
    """Set TensorFlow's environment; with an NVIDIA driver, make the CUDA wheels' libraries
    findable.

    Call it before TensorFlow is imported. Variables that the user has set stay as they are.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    wheels = _wheels()
    if not (wheels.is_dir() and _has_driver()):
        return
    # A library that is loaded already is found by its name, whatever LD_LIBRARY_PATH says.
    for library in LIBRARIES:
        ctypes.CDLL(str(wheels / library), mode=ctypes.RTLD_GLOBAL)
    compiler = wheels / "cuda_nvcc"
    os.environ["PATH"] = f"{compiler / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    flags = os.environ.get("XLA_FLAGS", "")
    if "--xla_gpu_cuda_data_dir" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_cuda_data_dir={compiler}".strip()
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    # TensorFlow 2.9 has no machine code for cards newer than Ampere: the driver translates each
    # kernel at its first use, and the default cache is too small to keep them all for the next
    # start.
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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = {"model name": platform.processor(), "flags": ""}
    with contextlib.suppress(OSError):  # /proc is Linux's
        for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines():
            key, _, value = line.partition(":")
            facts[key.strip()] = value.strip()
    fastest = [
        name for name in ("avx512_bf16", "avx512f", "avx2") if name in facts["flags"].split()
    ][:1]
    return f"CPU ({', '.join([f'{cores} cores', facts['model name'], *fastest])})"


def announce() -> None:
    """Print one line if TensorFlow finds no GPU, with the remedy if there may be one."""
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        remedy = (
            " (`make setup GPU=1` installs the CUDA libraries)"
            if _has_driver() and not _wheels().is_dir()
            else ""
        )
        print(f"no GPU found: running on the CPU{remedy}")


def _wheels() -> Path:
    return Path(sysconfig.get_path("purelib")) / "nvidia"


def _has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
