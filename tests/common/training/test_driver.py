"""What is said of the NVIDIA driver, with a library that is not there or answers as it is told."""

import ctypes
from types import SimpleNamespace

import pytest

from common.training import cuda, driver


def library(cards=(), init=0, version=12040):
    """Stand in for libcuda: `cards` are (name, (major, minor), bytes)."""

    def into(pointer, value):
        pointer._obj.value = value
        return 0

    return SimpleNamespace(
        cuDriverGetVersion=lambda number: into(number, version),
        cuInit=lambda flags: init,
        cuDeviceGetCount=lambda number: into(number, len(cards)),
        cuDeviceGet=into,
        cuDeviceGetName=lambda buffer, size, device: setattr(
            buffer, "value", cards[device.value][0].encode()
        ),
        cuDeviceTotalMem_v2=lambda number, device: into(number, cards[device.value][2]),
        cuDeviceGetAttribute=lambda number, attribute, device: into(
            number, cards[device.value][1][attribute - 75]
        ),
        cuGetErrorString=lambda status, text: into(text, b"no CUDA-capable device is detected"),
    )


@pytest.fixture
def answers(monkeypatch):
    """Let a library answer in the place of the driver's; None for none."""

    def set_library(found):
        problem = "" if found else "libcuda.so.1: cannot open shared object file"
        monkeypatch.setattr(driver, "_load", lambda: (found, problem))

    return set_library


def test_cards_are_described(answers):
    answers(library([("RTX 4090", (8, 9), 24 << 30), ("H100", (9, 0), 80 << 30)]))
    found = driver.look()
    assert found.cards == (
        driver.Card("RTX 4090", (8, 9), 24 << 30),
        driver.Card("H100", (9, 0), 80 << 30),
    )
    assert found.cuda == (12, 4) and found.problem == ""


def test_a_driver_that_refuses_is_quoted(answers, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    answers(library(init=100))
    refusal = "the NVIDIA driver refuses: no CUDA-capable device is detected (error 100)"
    assert driver.look().problem == refusal
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert driver.look().problem == f"{refusal}; CUDA_VISIBLE_DEVICES=7 may hide the card"


def test_a_driver_that_is_too_old_is_told(answers, monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(cuda, "_wheels", lambda: tmp_path / "none")
    answers(library([("K80", (3, 7), 12 << 30)], version=10020))
    told = "the NVIDIA driver runs CUDA up to 10.2, 11.0 is needed: update it"
    assert cuda.why_none() == told and driver.look().cards


def test_without_a_driver_there_is_nothing_to_say(answers, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    answers(None)
    assert driver.look() == driver.Driver()


def test_a_tool_without_its_library_is_told_with_the_remedy(answers, monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    answers(None)
    reason = cuda.why_none()
    assert "nvidia-smi is there" in reason and "--gpus all" in reason and "\n" not in reason


def test_the_real_library_is_loaded_by_its_name(monkeypatch):
    asked = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: asked.append(name))
    assert driver.is_there() and asked == ["libcuda.so.1"]
