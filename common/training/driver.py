"""What the NVIDIA driver says of the cards in this machine, asked without TensorFlow."""

from __future__ import annotations

import ctypes
import os
import shutil
from typing import List, NamedTuple, Optional, Tuple

LIBRARY = "libcuda.so.1"
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_…
_NAME_BYTES = 256
OLDEST_CUDA = (11, 0)  # that runs TensorFlow 2.9's libraries


class Card(NamedTuple):
    """One card: its name, its compute capability, and its memory in bytes."""

    name: str
    capability: Tuple[int, int]
    memory: int


class Driver(NamedTuple):
    """The cards, and why they cannot be used; `problem` is "" where there is no driver at all."""

    cards: Tuple[Card, ...] = ()
    cuda: Optional[Tuple[int, int]] = None  # the newest CUDA that it runs
    problem: str = ""


def is_there() -> bool:
    """Whether the driver's library can be loaded."""
    return not _load()[1]


def look() -> Driver:
    """Ask the driver for its version and the cards; honours CUDA_VISIBLE_DEVICES."""
    library, problem = _load()
    if library is None:
        if not shutil.which("nvidia-smi"):
            return Driver()
        return Driver(
            problem=f"nvidia-smi is there, but not the driver's library ({problem}); install the "
            "driver anew or, in a container, start it with --gpus all"
        )
    number = ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(number))
    cuda = (number.value // 1000, number.value % 1000 // 10)
    status = library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(number))
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    hidden = "" if chosen is None else f"; CUDA_VISIBLE_DEVICES={chosen} may hide the card"
    if status:
        return Driver((), cuda, f"the NVIDIA driver refuses: {_reason(library, status)}{hidden}")
    cards = tuple(_card(library, index) for index in range(number.value))
    if not cards:
        return Driver((), cuda, f"the NVIDIA driver names no card{hidden}")
    problem = ""
    if cuda < OLDEST_CUDA:
        problem = (
            f"the NVIDIA driver runs CUDA up to {cuda[0]}.{cuda[1]}, 11.0 is needed: update it"
        )
    return Driver(cards, cuda, problem)


def _load() -> Tuple[Optional[ctypes.CDLL], str]:
    try:
        return ctypes.CDLL(LIBRARY), ""
    except OSError as error:
        return None, str(error)


def _card(library: ctypes.CDLL, index: int) -> Card:
    device, memory = ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(_NAME_BYTES)
    library.cuDeviceGet(ctypes.byref(device), index)
    library.cuDeviceGetName(name, _NAME_BYTES, device)
    library.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    capability: List[int] = []
    for attribute in (_MAJOR, _MINOR):
        value = ctypes.c_int()
        library.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        capability.append(value.value)
    return Card(name.value.decode(errors="replace"), (capability[0], capability[1]), memory.value)


def _reason(library: ctypes.CDLL, status: int) -> str:
    text = ctypes.c_char_p()
    library.cuGetErrorString(status, ctypes.byref(text))
    return (text.value or b"unknown").decode(errors="replace") + f" (error {status})"
