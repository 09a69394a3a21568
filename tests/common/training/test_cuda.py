"""Without a GPU: what `prepare` leaves alone, which libraries it loads where there are wheels and a
driver.
"""

import ast
import ctypes
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from common.files import PROJECT
from common.training import cuda

COMMANDS = sorted(
    path for path in PROJECT.glob("reproductions/**/*.py") if "__main__" in path.read_text("utf-8")
)


@pytest.fixture()
def loaded(monkeypatch, tmp_path):
    """Wheels and a driver that are not there; gives the list of the libraries loaded instead."""
    names = []
    monkeypatch.setattr(cuda, "_wheels", lambda: tmp_path)
    monkeypatch.setattr(cuda.driver, "is_there", lambda: True)
    monkeypatch.setattr(
        ctypes, "CDLL", lambda path, mode: names.append((os.path.relpath(path, tmp_path), mode))
    )
    monkeypatch.setattr(os, "environ", {"PATH": "/bin"})
    return names


def test_libraries_are_loaded_for_all_to_see_after_those_they_need(loaded):
    cuda.prepare()
    assert [name for name, _ in loaded] == list(cuda.LIBRARIES)
    assert {mode for _, mode in loaded} == {ctypes.RTLD_GLOBAL}
    position = {Path(name).stem.split(".")[0]: index for index, (name, _) in enumerate(loaded)}
    for library, needed in [
        ("libcublas", "libcublasLt"),
        ("libcusolver", "libcublas"),
        ("libcusolver", "libcusparse"),
    ]:
        assert position[needed] < position[library]


def test_the_users_variables_stay(loaded, tmp_path):
    os.environ.update(
        TF_CPP_MIN_LOG_LEVEL="0", XLA_FLAGS="--xla_dump_to=x", TF_FORCE_GPU_ALLOW_GROWTH="false"
    )
    cuda.prepare()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "false"
    assert (
        os.environ["XLA_FLAGS"] == f"--xla_dump_to=x --xla_gpu_cuda_data_dir={tmp_path}/cuda_nvcc"
    )
    assert os.environ["PATH"] == f"{tmp_path}/cuda_nvcc/bin:/bin"


def test_without_a_driver_only_the_log_is_quietened(loaded, monkeypatch):
    monkeypatch.setattr(cuda.driver, "is_there", lambda: False)
    monkeypatch.setattr(logging.getLogger("tensorflow"), "level", logging.NOTSET)
    cuda.prepare()
    assert logging.getLogger("tensorflow").level == logging.ERROR
    assert loaded == []
    assert set(os.environ) - {"PYTEST_CURRENT_TEST"} == {"PATH", "TF_CPP_MIN_LOG_LEVEL"}
    assert os.environ["PATH"] == "/bin"


def test_the_cpu_is_named_and_announced_in_one_line_and_tensorflow_starts_quietly():
    script = (
        "from common.training import cuda; cuda.prepare(); cuda.announce(); "
        "print(cuda.device_name())"
    )
    environment = {
        name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"
    }
    environment["CUDA_VISIBLE_DEVICES"] = ""
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    announced, name = result.stdout.splitlines()
    assert announced.startswith("no GPU found: running on the CPU")
    assert re.fullmatch(r"CPU \(\d+ cores, .+\)", name)
    assert result.stderr == ""


@pytest.mark.parametrize("content", [None, b"no library"])
def test_an_nvidia_folder_of_something_else_stops_no_command(monkeypatch, tmp_path, content):
    first = tmp_path / cuda.LIBRARIES[0]
    if content:
        first.parent.mkdir(parents=True)
        first.write_bytes(content)
    monkeypatch.setattr(cuda, "_wheels", lambda: tmp_path)
    monkeypatch.setattr(cuda.driver, "is_there", lambda: True)
    monkeypatch.setattr(cuda, "_unusable", "")
    monkeypatch.setattr(os, "environ", {"PATH": "/bin"})
    cuda.prepare()
    reason = cuda.why_none()
    assert reason.startswith("a CUDA library fails: ") and str(first) in reason
    assert "make setup GPU=1" in reason and os.environ["PATH"] == "/bin"


@pytest.mark.parametrize(("capability", "slow"), [((7, 5), False), ((8, 9), False), ((9, 0), True)])
def test_cards_newer_than_tensorflow_are_told_of_their_slow_start(capability, slow):
    told = cuda.slow_start({"device_name": "Card", "compute_capability": capability})
    assert told.startswith("Card: newer than TensorFlow 2.9") == slow == bool(told)


@pytest.mark.parametrize(
    ("precision", "gpus", "refused"),
    [
        ("mixed_bfloat16", ["GPU:0"], True),
        ("mixed_bfloat16", [], False),
        ("mixed_float16", ["GPU:0"], False),
        ("mixed_float16", [], True),
        ("float32", ["GPU:0"], False),
        ("float32", [], False),
    ],
)
def test_a_precision_without_kernels_is_refused(monkeypatch, precision, gpus, refused):
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    if not refused:
        cuda.check_precision(precision)
        return
    with pytest.raises(cuda.NoKernels, match=f"precision {precision}: .* take mixed_"):
        cuda.check_precision(precision)


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_no_command_imports_tensorflow_before_it_is_set_up(path):
    imported = []
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            imported += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported.append(node.module)
    roots = [name.partition(".")[0] for name in imported]
    assert "tensorflow" not in (roots[: roots.index("common")] if "common" in roots else roots)
