"""`medseg doctor`: what this machine has, what is missing, and what helps.

Each line is "ok", "note" (it works without) or "MISSING", which comes with the remedy and makes
the exit code 2.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import tyro
from packaging.requirements import Requirement

import reproductions
from common import files
from common.datasets import downloads, manifests
from common.datasets.downloads import megabytes
from common.errors import InputError, exits_cleanly, on_one_line
from common.files import PROJECT
from common.prediction import finished_runs
from common.training import cuda, driver, weights_files

LOCKS = {".ready": "dev.txt", ".ready-gpu": "gpu.txt"}  # by the stamp that says it is installed
LEAST_MEMORY = 2 << 30  # bytes; the largest training was measured at 4 GiB
GOOD_MEMORY = 6 << 30
LEAST_DISK = 1 << 30
GOOD_DISK = 20 << 30
PROBE_SECONDS = 600
TRANSLATING = 4  # times as long, where the driver translates all kernels first
SHOWN = 100  # characters of an error

OK, NOTE, MISSING = "ok", "note", "MISSING"
Finding = Tuple[str, str]


@dataclass(frozen=True)
class Options:
    """Print what this machine has and what is missing; exit code 2 if something needed is."""

    data_root: Optional[Path] = None
    """Folder that holds the data sets; by default data/."""
    runs_root: Path = Path("runs")
    """Folder of the run folders."""
    quick: bool = False
    """Leave out what takes long: TensorFlow's start and the checksums of the data."""


@dataclass
class Report:
    """What was found so far."""

    missing: List[str] = field(default_factory=list)

    def tell(self, subject: str, look: Callable[[], Iterator[Finding]]) -> None:
        """Print the findings on one subject, and its failure as one of them."""
        for level, text in _guarded(look):
            _show(level, subject, on_one_line(text))
            if level == MISSING:
                self.missing.append(f"{subject}: {text}")


def _show(level: str, subject: str, text: str) -> None:
    head = f"{level:<8} {subject:<11} "
    width = min(shutil.get_terminal_size().columns, 100) - 1
    lines = textwrap.wrap(
        text,
        width,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
    print("\n".join(lines), flush=True)


def _guarded(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except (InputError, OSError) as error:
        yield NOTE, f"cannot be told: {error}"


def python() -> Iterator[Finding]:
    """The interpreter, and the system around it."""
    version = platform.python_version()
    text = f"{version} at {sys.executable}, {platform.platform()}"
    if not (3, 8) <= sys.version_info[:2] <= (3, 10):
        yield MISSING, f"{text}: expected 3.8 to 3.10; make setup PYTHON=… takes another"
    elif sys.version_info < (3, 10):
        yield NOTE, f"{text}: 3.10 gets newer packages, with fewer known flaws (SECURITY.md)"
    else:
        yield OK, text


def packages() -> Iterator[Finding]:
    """Whether the packages are those of the locks."""
    locks = [lock for stamp, lock in LOCKS.items() if (PROJECT / ".venv" / stamp).exists()]
    wanted: Dict[str, str] = {}
    for lock in locks or ["dev.txt"]:
        wanted.update(pinned(files.read_text(PROJECT / "requirements" / lock)))
    others = []
    for name, version in wanted.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "none"
        if found != version:
            others.append(f"{name} {found} instead of {version}")
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        yield MISSING, f"{others[0]}{more}; remove .venv/.ready, then make setup"
    else:
        yield OK, f"{len(wanted)} as locked"


def pinned(lock: str) -> Dict[str, str]:
    """The versions of a lock that apply to this interpreter, by the names of the packages.

    Example:
        >>> pinned('six==1.16.0 --hash=sha256:00\\ncffi==1.0 ; python_version < "3"')
        {'six': '1.16.0'}
    """
    found = {}
    for line in re.findall(r"^[A-Za-z0-9].*", lock, re.MULTILINE):
        requirement = Requirement(re.split(r" \\$| --hash", line)[0])
        if requirement.marker is None or requirement.marker.evaluate():
            found[requirement.name] = str(requirement.specifier).lstrip("=")
    return found


def processor() -> Iterator[Finding]:
    """The processor, whose instructions TensorFlow needs."""
    flags = cuda.cpu_facts().get("flags", "").split()
    text = cuda.cpu_name()
    if flags and "avx" not in flags:
        yield MISSING, f"{text}: lacks AVX, which TensorFlow needs; take another machine"
    elif flags and "avx512_bf16" not in flags:
        yield OK, f"{text}; mixed_bfloat16 is no faster here than float32"
    else:
        yield OK, text


def memory() -> Iterator[Finding]:
    """Main memory, by what the system says and by what a container may take."""
    total, free = _memory()
    text = f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB of it free"
    if total < LEAST_MEMORY:
        yield MISSING, f"{text}: too little for any training; take another machine"
    elif free < GOOD_MEMORY:
        yield NOTE, f"{text}; Mask R-CNN takes 4 GiB: end other programs before"
    else:
        yield OK, text


def _memory() -> Tuple[float, float]:
    pages = os.sysconf("SC_PAGE_SIZE")
    total: float = pages * os.sysconf("SC_PHYS_PAGES")
    free: float = pages * os.sysconf("SC_AVPHYS_PAGES")
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            free = 1024.0 * int(line.split()[1])
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        limit = "".join(_lines(path)).strip()
        if limit.isdecimal():
            total = min(total, int(limit))
    return total, min(total, free)


def _lines(path: str) -> List[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def disk(folder: Path) -> Iterator[Finding]:
    """Room, permission and locks where a folder is, or would be made."""
    place = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(place).free
    text = f"{free / 2**30:.0f} GiB free in {folder}"
    try:
        with tempfile.NamedTemporaryFile(prefix=".partial-", dir=place) as probe:
            locks = files.has_locks(Path(probe.name))
    except OSError as error:
        yield MISSING, f"{folder}: {error.strerror}; permit it, or name another folder"
        return
    if free < LEAST_DISK:
        yield MISSING, f"{text}: make room; a training keeps up to 1 GB"
    elif not locks:
        yield NOTE, f"{text}, a disk without file locks: one machine at a time (docs/scale.md)"
    else:
        yield NOTE if free < GOOD_DISK else OK, text


def tensorflow() -> Iterator[Finding]:
    """Whether TensorFlow starts, and what it finds; in a process of its own, for it may crash."""
    probe = _probe()
    if "version" not in probe:
        yield MISSING, f"does not start ({probe['problem']}); remove .venv, then make setup"
        return
    yield OK, f"{probe['version']}, starts in {probe['seconds']:.0f} s"
    for device, text in probe["devices"].items():
        yield (OK if text.startswith("right") else MISSING), f"five operations on {device}: {text}"
    if not probe["cards"]:
        yield from _no_gpu(probe["libraries"])


def _no_gpu(libraries: Sequence[str]) -> Iterator[Finding]:
    reason = cuda.why_none()
    if not reason and driver.look().cards and libraries:
        reason = f"the first CUDA library that fails: {libraries[0]}"
    yield NOTE, f"no GPU: trainings run on the CPU{f' ({reason})' if reason else ''}"


def gpu() -> Iterator[Finding]:
    """What the driver says, whether or not TensorFlow can use it."""
    found = driver.look()
    if not found.cards:
        yield NOTE, found.problem or "no NVIDIA driver here"
        return
    version = ".".join(map(str, found.cuda or ()))
    for card in found.cards:
        capability = ".".join(map(str, card.capability))
        size = f"{card.memory / 2**30:.0f} GiB"
        yield OK, f"{card.name}, {size}, compute capability {capability}, CUDA up to {version}"
        if _slow(card):
            yield NOTE, _slow(card)
    if found.problem:
        yield NOTE, found.problem
        return
    for library, place in cuda.libraries():
        try:
            ctypes.CDLL(str(place or library))
        except OSError as error:
            yield NOTE, f"the first library that fails: {error}; make setup GPU=1 installs all"
            return
    place = cuda.libraries()[0][1]
    origin = place.parents[2] if place else "the system"
    yield OK, f"{len(cuda.LIBRARIES)} CUDA libraries, from {origin}"


def _slow(card: driver.Card) -> str:
    return cuda.slow_start({"device_name": card.name, "compute_capability": card.capability})


PROBE = """
import json, sys, time
began = time.time()
from common.training import cuda, fit
import tensorflow as tf
found = {"version": tf.__version__, "seconds": time.time() - began, "devices": {}, "cards": []}
for card in tf.config.list_physical_devices("GPU"):
    details = tf.config.experimental.get_device_details(card)
    found["cards"].append([details["device_name"], details["compute_capability"]])
fit.start(0)

def five(kernel):
    image = tf.random.stateless_normal((2, 32, 32, 8), (1, 2))
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        maps = tf.nn.conv2d(image, kernel, 1, "SAME")
        maps = tf.image.resize(tf.nn.relu(maps), (16, 16))
        mean, variance = tf.nn.moments(maps, (0, 1, 2))
        maps = tf.nn.batch_normalization(maps, mean, variance, None, None, 1e-3)
        loss = tf.reduce_mean(tf.matmul(tf.reshape(maps, (-1, 8)), kernel[0, 0]) ** 2)
    return tape.gradient(loss, kernel).numpy()

with tf.device("CPU:0"):
    kernel = tf.random.stateless_normal((3, 3, 8, 8), (3, 4))
    expected = five(kernel)
for device in ["CPU:0"] + ["GPU:0"] * bool(found["cards"]):
    try:
        with tf.device(device):
            one, other = five(kernel), five(kernel)
        far = abs(one - expected).max() > 1e-2 * abs(expected).max()
        same = one.tobytes() == other.tobytes()
        found["devices"][device[:3]] = (
            "another result than on the CPU" if far
            else "right, and the same twice" if same else "right, but not twice the same"
        )
    except Exception as error:
        found["devices"][device[:3]] = " ".join(str(error).split())[:200]
print("FOUND" + json.dumps(found))
"""


def _probe() -> Dict[str, Any]:
    """What TensorFlow finds, or {"problem": why it does not start}."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"}
    slow = any(map(_slow, driver.look().cards))
    seconds = PROBE_SECONDS * (TRANSLATING if slow else 1)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", PROBE],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return {"problem": f"nothing within {seconds} s"}
    found = re.search("^FOUND(.+)", ended.stdout, re.MULTILINE)
    if not found:
        said = ended.stderr.strip().rpartition("\n")[2]
        return {"problem": f"exit code {ended.returncode}: {said[:SHOWN] or 'it says nothing'}"}
    libraries = re.findall(r"Could not load dynamic library '(.+?)'", ended.stderr)
    return {**json.loads(found.group(1)), "libraries": libraries}


def data(data_root: Optional[Path], quick: bool) -> Iterator[Finding]:
    """Which data sets are here, and whether they are the expected ones."""
    for name in manifests.all_names():
        manifest = manifests.load_manifest(name)
        place = manifests.located(manifest, data_root or manifests.DATA)
        if not place.is_dir():
            yield NOTE, f"{name}: not here; make data fetches it"
            continue
        if quick:
            yield OK, f"{name}: in {place}, not verified"
            continue
        try:
            found = manifests.verify(manifest, place)
        except InputError as error:
            yield NOTE, f"{name}: {error}"
            continue
        known = manifest.fingerprint
        told = "none is published" if known is None else "as published"
        if known not in (None, found.fingerprint):
            told = f"{known} is published"
        yield OK, f"{found.title}: fingerprint {found.fingerprint} ({told})"


def weights() -> Iterator[Finding]:
    """The encoder weights that were fetched earlier."""
    folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"
    found = sorted([*folder.glob("*no*top*.h5"), *folder.glob("mask_rcnn_coco.h5")])
    for path in found:
        coco = downloads.Source(
            weights_files.COCO_URL, weights_files.COCO_CHECKSUM, weights_files.COCO_SIZE
        )
        right = path.name != coco.filename or downloads.is_right(path, coco)
        size = megabytes(path.stat().st_size)
        yield (OK if right else NOTE), f"{path}, {size}" + ("" if right else ": wrong checksum")
    if not found:
        yield NOTE, f"none in {folder}; they are fetched where ImageNet or COCO weights are asked"


def trained(runs_root: Path) -> Iterator[Finding]:
    """Finished and unfinished trainings."""
    for paper in reproductions.names():
        folders = [path.parent for path in sorted((runs_root / paper).glob("*/config.json"))]
        done = sum(map(finished_runs.is_finished, folders))
        if folders:
            yield OK, f"{paper}: {done} finished, {len(folders) - done} to resume"
    if not any((runs_root / paper).is_dir() for paper in reproductions.names()):
        yield NOTE, f"none in {runs_root}; medseg train, or medseg fetch-run, makes one"


@exits_cleanly
def main(words: Optional[Sequence[str]] = None) -> None:
    """Print what there is; raise InputError, for exit code 2, if something needed is missing."""
    options = tyro.cli(Options, prog="medseg doctor", args=words)
    report = Report()
    report.tell("Python", python)
    report.tell("packages", packages)
    report.tell("processor", processor)
    report.tell("memory", memory)
    for folder in (options.runs_root, Path("results"), options.data_root or manifests.DATA):
        report.tell("disk", lambda folder=folder: disk(folder))  # type: ignore[misc]
    report.tell("GPU", gpu)
    if not options.quick:
        report.tell("TensorFlow", tensorflow)
    report.tell("data", lambda: data(options.data_root, options.quick))
    report.tell("weights", weights)
    report.tell("runs", lambda: trained(options.runs_root))
    if report.missing:
        raise InputError(f"{len(report.missing)} missing; first {report.missing[0]}")
    print("everything needed is here")


if __name__ == "__main__":
    main()
