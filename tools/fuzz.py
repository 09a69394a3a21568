"""Feed damaged files to everything that reads files of strangers: `make fuzz`.

Good files of each kind are damaged at random (bytes changed, cut, doubled, mixed with another file,
numbers blown up) and read. A reader has to take what it gets or refuse it in one line: no
traceback, no crash, no more than 10 s, no more than 1 GB. The seed decides the damage, the seconds
how much of it is tried; EXPLORE=1 takes twenty times as long. What breaks a reader stays in
.cache/fuzz, with the number to damage it again.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from common import errors
from common.errors import InputError, exits_cleanly
from common.files import PROJECT

MOST_SECONDS = 10  # for one file
MOST_MEMORY = 1 << 30  # bytes, beside what the imports take
KEPT = Path(".cache/fuzz")
TOKENS = (
    *(b"\0", b"\xff" * 8, b"\x7f\xff\xff\xff", b"-1", b"1e999", b"NaN", b"9" * 400, b"[" * 3000),
    *(b'"', b"\n", b"{}", b"!!python/object:os.system x", b"&a [*a]", b"../../", b"\xed\xa0\x80"),
)

Read = Callable[[Path], object]


class Target(NamedTuple):
    """What reads files of one kind: its good files, made in a folder, and the reader."""

    examples: Callable[[Path], List[Path]]
    reader: Callable[[], Read]  # imports what it needs


def _images(suffix: str) -> Callable[[Path], List[Path]]:
    def make(folder: Path) -> List[Path]:
        import numpy as np
        from PIL import Image

        path = folder / f"image.{suffix}"
        if suffix == "dcm":
            _dicom(path)
            return [path]
        pixels = np.arange(40 * 30 * 3, dtype=np.uint32).reshape(40, 30, 3) % 251
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        deep = folder / f"deep.{suffix}"
        if suffix in ("png", "tif"):
            Image.fromarray((pixels[..., 0] * 200).astype(np.uint16)).save(deep)
        return [one for one in (path, deep) if one.exists()]

    return make


def _dicom(path: Path) -> None:
    import numpy as np
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["one"])
    image = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    image.is_little_endian, image.is_implicit_VR = True, False
    image.Rows, image.Columns, image.SamplesPerPixel = 16, 12, 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, 0
    image.RescaleSlope, image.RescaleIntercept, image.WindowCenter, image.WindowWidth = 1, 0, 90, 90
    image.PixelData = np.arange(16 * 12, dtype=np.uint16).tobytes()
    image.save_as(str(path))


def _image_reader() -> Read:
    from common.imaging import reading

    return reading.read


def _phantom_files(paper: str, pattern: str) -> Callable[[Path], List[Path]]:
    def make(folder: Path) -> List[Path]:
        from importlib import import_module

        from common.datasets import manifests

        import_module(f"reproductions.{paper}.phantom").write(folder / "data")
        found = sorted((folder / "data").glob(pattern))
        return [path for path in found if path.name != manifests.PHANTOM][:3]

    return make


def _via() -> Read:
    from reproductions.brain_tumour_mask_rcnn import annotation_files as annotations

    def read(path: Path) -> None:
        for polygons in annotations.read(path).values():
            annotations.draw(polygons, (512, 512), path.name)

    return read


def _brecahad() -> Read:
    from reproductions.brecahad_slicing import annotation_files as annotations

    return annotations.centres


def _npz(folder: Path) -> List[Path]:
    import numpy as np

    arrays = {}
    for part in ("train", "val", "test"):
        arrays[f"{part}_images"] = np.zeros((2, 16, 16, 3), np.uint8)
        arrays[f"{part}_label"] = np.zeros((2, 16, 16), np.uint8)
    np.savez(folder / "polyps.npz", **arrays)
    np.savez_compressed(folder / "packed.npz", **arrays)
    return [folder / "polyps.npz", folder / "packed.npz"]


def _npz_reader() -> Read:
    from reproductions.polyp_unet import data

    return data.unpack


def _h5(folder: Path) -> List[Path]:
    import h5py
    import numpy as np

    path = folder / "weights.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"one", b"two"]
        for layer in ("one", "two"):
            group = file.create_group(layer)
            group.attrs["weight_names"] = [b"kernel:0"]
            group["kernel:0"] = np.ones((3, 3), np.float32)
    return [path]


def _h5_reader() -> Read:
    from common.training import weights_files

    return weights_files.check


def _tracked(pattern: str) -> Callable[[Path], List[Path]]:
    return lambda folder: sorted(PROJECT.glob(pattern))[:8]


def _manifest() -> Read:
    from common.datasets import manifest_schema

    return manifest_schema.read


def _published() -> Read:
    from common.published import schema

    return schema.load


def _table() -> Read:
    from common.results import tables

    return tables.read


def _scores(folder: Path) -> List[Path]:
    path = folder / "scores.csv"
    path.write_text("row,metric,value,seed\nresnext50,dsc,0.7,0\nvgg19,aji,0.5,1\n")
    return [path]


def _compare() -> Read:
    from common.published import schema
    from common.results import compare

    reference = schema.load(PROJECT / "reproductions/tnbc_linknet/published/table1.yaml")
    return lambda path: compare.read(path, reference)


def _archives(folder: Path) -> List[Path]:
    import tarfile

    (folder / "a.txt").write_text("text\n" * 300)
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "a.txt", "x/a.txt")
        archive.write(folder / "a.txt", "x/b.txt")
    for suffix in ("", ".gz", ".bz2", ".xz"):
        mode = f"w:{suffix.lstrip('.')}"
        with tarfile.open(folder / f"a.tar{suffix}", mode) as tar:  # type: ignore[call-overload]
            tar.add(folder / "a.txt", "x/a.txt")
    return sorted(path for path in folder.glob("a.*") if path.suffix != ".txt")


def _unpack() -> Read:
    from common.datasets import archives

    def read(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            archives.unpack(path, Path(folder) / "unpacked", max_bytes=1 << 24)

    return read


def _run_json(folder: Path) -> List[Path]:
    path = folder / "config.json"
    path.write_text(json.dumps({"profile": "smoke", "seed": 3, "epochs": 2, "loss": "dice"}))
    return [path]


def _run_config() -> Read:
    from common.training import runs
    from reproductions.polyp_unet.config import Config

    return lambda path: runs.load_config(path.parent, Config)


TARGETS: Dict[str, Target] = {
    **{
        suffix: Target(_images(suffix), _image_reader)
        for suffix in ("png", "jpg", "bmp", "tif", "gif", "dcm")
    },
    "via": Target(_phantom_files("brain_tumour_mask_rcnn", "**/*.json"), _via),
    "brecahad": Target(_phantom_files("brecahad_slicing", "**/*.json"), _brecahad),
    "npz": Target(_npz, _npz_reader),
    "h5": Target(_h5, _h5_reader),
    "manifest": Target(_tracked("data_manifests/*.yaml"), _manifest),
    "published": Target(_tracked("reproductions/*/published/table*.yaml"), _published),
    "table": Target(_tracked("results/*_*/table[1-9].csv"), _table),
    "compare": Target(_scores, _compare),
    "archive": Target(_archives, _unpack),
    "run": Target(_run_json, _run_config),
}


def damage(content: bytes, other: bytes, chance: random.Random) -> bytes:
    """Damage a file in one to four ways."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        where = chance.randrange(len(data) + 1)
        span = chance.randint(1, 1 << chance.randint(0, 8))
        kind = chance.randrange(8)
        if kind == 0:
            del data[where:]
        elif kind == 1:
            del data[where : where + span]
        elif kind == 2:
            data[where:where] = data[where : where + span] * chance.randint(1, 50)
        elif kind == 3:
            start = chance.randrange(len(other) + 1)
            data[where : where + span] = other[start : start + span]
        elif kind == 4:
            data[where:where] = chance.choice(TOKENS)
        elif kind == 5:
            token = chance.choice(TOKENS)
            data[where : where + len(token)] = token
        else:
            for _ in range(chance.randint(1, 8)):
                if data:
                    data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


@dataclass(frozen=True)
class Options:
    """Damage files at random and read them: no traceback, no hang, little memory."""

    seconds: float = 10
    """For each kind of file; EXPLORE=1 in the environment takes twenty times as long."""
    seed: int = 0
    """Decides the damage."""
    kinds: Tuple[str, ...] = tuple(TARGETS)
    """Which kinds of files."""
    child: Optional[str] = None
    """Used by the command itself: read files of this kind, in this process."""


def read_many(kind: str, options: Options) -> None:
    """Read damaged files of a kind until the time is up; print what happened as JSON.

    Before each file its number is written down, for the case of a crash.
    """
    signal.signal(signal.SIGALRM, _too_slow)
    facts = {"read": 0, "refused": 0, "slowest": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made"
        made.mkdir()
        originals = TARGETS[kind].examples(made)
        contents = [path.read_bytes() for path in originals]
        read = TARGETS[kind].reader()
        read(originals[0])  # imports what it needs
        _limit_memory()
        ends = time.monotonic() + options.seconds
        number = 0
        while time.monotonic() < ends:
            chance = random.Random(f"{options.seed} {kind} {number}")
            chosen = chance.randrange(len(originals))
            path = Path(folder) / originals[chosen].name
            path.write_bytes(damage(contents[chosen], chance.choice(contents), chance))
            print(f"NUMBER {number} {path.name}", flush=True)
            began = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
            taken = _is_taken(read, path)
            signal.setitimer(signal.ITIMER_REAL, 0)
            facts["slowest"] = max(facts["slowest"], time.monotonic() - began)
            facts["read" if taken else "refused"] += 1
            number += 1
    print("FACTS " + json.dumps(facts))


def _is_taken(read: Read, path: Path) -> bool:
    """Whether a file is read; False where it is refused in one line. Anything else is raised."""
    try:
        read(path)
    except (Exception, SystemExit) as error:
        if isinstance(error, InputError):
            if "\n" in str(error):
                raise AssertionError(f"more than one line: {error!r:.200}") from error
            return False
        if isinstance(error, (MemoryError, OSError)) and errors.is_told(error):
            return False
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / path.name).write_bytes(path.read_bytes())
        raise
    return True


def _too_slow(number: int, frame: object) -> None:
    raise AssertionError(f"takes more than {MOST_SECONDS} s")


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MOST_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def try_kind(kind: str, options: Options) -> Tuple[Dict[str, float], str]:
    """Read damaged files in a process of its own; give what happened, and the problem, or ""."""
    words = ["--child", kind, "--seconds", str(options.seconds), "--seed", str(options.seed)]
    ended = subprocess.run(
        [sys.executable, "-m", "tools.fuzz", *words],
        cwd=PROJECT,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    lines = ended.stdout.splitlines()
    if ended.returncode == 0:
        return json.loads(lines[-1].partition(" ")[2]), ""
    tried = [line for line in lines if line.startswith("NUMBER ")]
    said = "\n".join(ended.stderr.strip().splitlines()[-12:])
    where = tried[-1] if tried else "before the first file"
    return {}, f"{kind}, seed {options.seed}, {where}, exit code {ended.returncode}:\n{said}"


@exits_cleanly
def main() -> None:
    """Fuzz from the command line; exit code 1 where a reader broke."""
    options = tyro.cli(Options, prog=".venv/bin/python -m tools.fuzz")
    if options.child:
        try:
            read_many(options.child, options)
        except Exception:
            traceback.print_exc()
            os._exit(1)
        return
    unknown = set(options.kinds) - set(TARGETS)
    if unknown:
        raise InputError(f"--kinds {' '.join(sorted(unknown))}: expected {', '.join(TARGETS)}")
    longer = 20 if os.environ.get("EXPLORE") == "1" else 1
    options = Options(options.seconds * longer, options.seed, options.kinds)
    grid = Table("kind", "files", "read", "refused", "slowest", "problem", box=box.SIMPLE)
    problems = []
    for kind in options.kinds:
        print(f"{kind}: {options.seconds:.0f} s", flush=True)
        facts, problem = try_kind(kind, options)
        if problem:
            problems.append(problem)
            grid.add_row(kind, "", "", "", "", "yes")
            continue
        read, refused = int(facts["read"]), int(facts["refused"])
        numbers = (read + refused, read, refused)
        grid.add_row(kind, *map(str, numbers), f"{facts['slowest']:.2f} s", "")
    Console(width=None if sys.stdout.isatty() else 100).print(grid)
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(1)
    print("every file was read, or refused in one line")


if __name__ == "__main__":
    main()
