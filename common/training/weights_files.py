"""Weights files of strangers: Keras' .h5, looked through before anything of it is read.

HDF5 can point to other files, declare arrays that no memory holds, and run filters that somebody
has installed. A weights file needs none of that. Its library also loops for ever, or crashes, on
some damaged files; therefore another process reads each file first.
"""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, List, Tuple

import h5py
import numpy as np

from common import files
from common.errors import InputError, on_one_line

if TYPE_CHECKING:
    from tensorflow import keras

MOST_BYTES = 4 << 30  # of all arrays; the largest encoders have 0.4 GB
MOST_NAMES = 100_000
MOST_NAME_BYTES = 1000
DEEPEST = 12  # groups within groups
CPU_SECONDS = 2  # of the process that reads a file first, and more for a large one
BEFORE_READING = ""  # what else that process does, for tests
MEMORY = 1 << 30  # bytes, beside what its imports take, and more for a large file
REMEDY = "give ENCODER_WEIGHTS=none, imagenet or such a file"
# Matterport's Mask R-CNN, trained on COCO; size and checksum as others publish them.
COCO_URL = "https://github.com/matterport/Mask_RCNN/releases/download/v2.0/mask_rcnn_coco.h5"
COCO_CHECKSUM = "md5:e98aaff6f99e307b5e2a8a3ff741a518"
COCO_SIZE = 257_557_808  # bytes


def describe(encoder_weights: str) -> str:
    """Name encoder weights for a record: "imagenet", "none", "coco", or a file by its name and
    content, wherever it lies.

    Raises:
        InputError: no such file.
    """
    if encoder_weights in ("imagenet", "none", "coco"):
        return encoder_weights
    path = Path(encoder_weights)
    if not path.is_file():
        raise InputError(
            f"{path}: no such encoder weights; give imagenet, none, coco or a Keras .h5 file"
        )
    return f"{path.name} (sha256 {files.sha256(path)[:16]})"


@dataclass(frozen=True)
class StoredArray:
    """An array of a file that has been looked at, and not yet read."""

    name: str
    shape: Tuple[int, ...]
    _file: WeightsFile
    _dataset: h5py.Dataset

    def read(self) -> np.ndarray:
        """Read it as float32.

        Raises:
            InputError: it is damaged, or holds NaN or infinity.
        """
        with self._file.named_errors():
            stored = self._dataset[()]
        with np.errstate(over="ignore"):
            array = np.asarray(stored, np.float32)
        if not np.isfinite(array).all():
            raise self._file.refused(f"{self.name} holds numbers that are not finite")
        return array


class WeightsFile:
    """An .h5 file that is open; `opened` makes it."""

    def __init__(self, path: Path, file: h5py.File, remedy: str = REMEDY):
        self._path = path
        self._file = file
        self._remedy = remedy
        self._bytes_left = min(MOST_BYTES, 4 * os.stat(path).st_size)

    def layers(self) -> List[Tuple[str, List[StoredArray]]]:
        """Name and arrays of every layer with weights, in the order that Keras wrote them.

        Raises:
            InputError: the file says nothing of layers, or an array is none that weights can be.
        """
        with self.named_errors():
            root = self._file
            if "layer_names" not in root.attrs and "layer_names0" not in root.attrs:
                root = self._child(root, "model_weights")
            layers = []
            for layer in self._names(root, "layer_names"):
                group = self._child(root, layer)
                names = self._names(group, "weight_names")
                arrays = [self._array(self._child(group, name), name) for name in names]
                if arrays:
                    layers.append((layer, arrays))
            return layers

    def arrays(self) -> Iterator[StoredArray]:
        """All arrays of the file with their whole names, wherever in it they lie.

        Those of integers, such as an optimiser's count of steps, are left out.
        """
        with self.named_errors():
            yield from self._below(self._file, "", set(), 0)

    def _below(self, group: h5py.Group, prefix: str, seen: set, depth: int) -> Iterator:
        address = h5py.h5o.get_info(group.id).addr
        if address in seen or depth > DEEPEST:
            raise self.refused(f"the group {prefix or '/'} lies in a circle, or too deep")
        seen = {*seen, address}
        if len(group) > MOST_NAMES:
            raise self.refused(f"more than {MOST_NAMES} names in {prefix or '/'}")
        for name in group:
            item = self._child(group, name)
            whole = f"{prefix}/{name}".lstrip("/")
            if isinstance(item, h5py.Group):
                yield from self._below(item, whole, seen, depth + 1)
            elif not _counts(item):
                yield self._array(item, whole)

    def _child(self, group: h5py.Group, path: str) -> Any:
        """What lies at a path in a group, without following a link to elsewhere."""
        item: object = group
        for part in filter(None, path.split("/")):
            if not isinstance(item, h5py.Group) or not item.id.links.exists(part.encode()):
                raise self.refused(f"{path} is missing")
            if item.id.links.get_info(part.encode()).type != h5py.h5l.TYPE_HARD:
                raise self.refused(f"{path} is a link to another place")
            item = item[part]
        return item

    def _names(self, group: object, attribute: str) -> List[str]:
        """A list of names, which Keras spreads over numbered attributes where it is long."""
        attributes: Any = getattr(group, "attrs", {})
        numbered = [f"{attribute}{number}" for number in range(len(attributes))]
        parts = [attribute] if attribute in attributes else numbered
        names: List[str] = []
        for part in parts:
            if part not in attributes:
                break
            stored = attributes.get_id(part)
            text = h5py.check_string_dtype(stored.dtype)
            length = stored.shape[0] if len(stored.shape) == 1 else MOST_NAMES + 1
            if text is None or length > MOST_NAMES or (text.length or 0) > MOST_NAME_BYTES:
                empty = stored.shape == (0,)  # of a layer without weights, which has no type
                if empty:
                    continue
                raise self.refused(f"{attribute} is no list of names")
            names += [_text(name) for name in attributes[part]]
        if not names and attribute == "layer_names":
            raise self.refused("it names no layers")
        return names

    def _array(self, item: object, name: str) -> StoredArray:
        """Check that this is a plain array of numbers, and not larger than the file can hold."""
        if not isinstance(item, h5py.Dataset):
            raise self.refused(f"{name} is no array")
        kept = item.id.get_create_plist()
        if kept.get_external_count() or kept.get_layout() == h5py.h5d.VIRTUAL:
            raise self.refused(f"{name} lies in another file")
        if kept.get_nfilters():
            raise self.refused(f"{name} is compressed; repack the file without that")
        if item.dtype.kind != "f" or item.dtype.itemsize not in (2, 4, 8):
            raise self.refused(f"{name} holds {item.dtype}, expected numbers with a fraction")
        if item.shape is None or len(item.shape) > 6:
            raise self.refused(f"{name} has the shape {item.shape}")
        size = int(np.prod([int(side) for side in item.shape], dtype=object)) * item.dtype.itemsize
        # Chunks that nobody has written take no room in the file, and as much as any in memory.
        self._bytes_left -= size
        if item.id.get_storage_size() < size or self._bytes_left < 0:
            raise self.refused(f"{name} declares {item.shape}, more than the file holds")
        return StoredArray(name, tuple(item.shape), self, item)

    def refused(self, reason: str) -> InputError:
        """The line for a file that is none."""
        return InputError(
            f"{self._path}: not a Keras .h5 weights file ({on_one_line(reason, 200)}); "
            f"{self._remedy}"
        )

    @contextlib.contextmanager
    def named_errors(self) -> Iterator[None]:
        """Turn whatever HDF5 says of a damaged or crafted file into one line."""
        try:
            yield
        except _DAMAGE as error:
            raise self.refused(str(error)) from None


_DAMAGE = (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, OverflowError)


@contextlib.contextmanager
def opened(path: Path, remedy: str = REMEDY) -> Iterator[WeightsFile]:
    """Open an .h5 file of weights; `remedy` ends the line about one that is none.

    Raises:
        InputError: no such file, no HDF5 file, or one that HDF5 cannot cope with.
    """
    path = Path(path)
    try:
        with files.open_regular(path) as stream:
            facts = os.fstat(stream.fileno())
        ends = _ends_apart(path.resolve(), facts.st_size, facts.st_mtime_ns, facts.st_ino)
    except OSError as error:
        reason = "no such file" if not path.exists() else f"cannot be read ({error.strerror})"
        raise InputError(f"{path}: {reason}; {remedy}") from None
    if not ends:
        raise InputError(
            f"{path}: not a Keras .h5 weights file (reading it does not come to an end); {remedy}"
        )
    with _opened_here(path, remedy) as file:
        yield file


@functools.lru_cache(maxsize=32)
def _ends_apart(path: Path, size: int, modified: int, number: int) -> bool:
    """Whether another process can read the whole file without taking too long or too much memory,
    and without a crash. Then this one can as well.
    """
    seconds = CPU_SECONDS + int(size / 5e7)
    code = (
        f"import sys; sys.path.insert(0, {str(files.PROJECT)!r})\n"
        "from common.training import weights_files\n"
        f"weights_files.limit({seconds}, {MEMORY + 8 * size})\n{BEFORE_READING}"
        f"weights_files.try_here({os.fspath(path)!r})\n"
    )
    try:
        result = subprocess.run(
            [sys.executable, "-I", "-c", code],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60 + 20 * seconds,
        )
    except subprocess.TimeoutExpired:
        return False
    return result.returncode == 0


def limit(seconds: int, memory: int) -> None:
    """Let this process end with an error if it takes more processor time or memory from here on."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    so_far = usage.ru_utime + usage.ru_stime  # for its imports: more on a slow machine
    _limit(resource.RLIMIT_CPU, int(so_far + max(seconds, 4 * so_far)) + 1)
    with contextlib.suppress(OSError):  # /proc is Linux's
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + memory)


def _limit(kind: int, most: int) -> None:
    with contextlib.suppress(ValueError, OSError):  # a stricter limit stays
        resource.setrlimit(kind, (most, most))


def try_here(path: str) -> None:
    """Read a file in every way that this module can."""
    with contextlib.suppress(InputError), _opened_here(Path(path)) as file:
        ways = (lambda: [array for _, arrays in file.layers() for array in arrays], file.arrays)
        for way in ways:
            with contextlib.suppress(InputError):
                for array in way():
                    array.read()


@contextlib.contextmanager
def _opened_here(path: Path, remedy: str = REMEDY) -> Iterator[WeightsFile]:
    try:
        file = h5py.File(path, "r")
    except _DAMAGE as error:
        reason = f"not a Keras .h5 weights file ({on_one_line(str(error), 200)})"
        raise InputError(f"{path}: {reason}; {remedy}") from None
    with file:
        yield WeightsFile(path, file, remedy)


def check(path: Path, remedy: str = REMEDY) -> None:
    """Look through a file that Keras itself is going to load, and read all of it once.

    Raises:
        InputError: it is none that weights can be.
    """
    with opened(path, remedy) as file:
        for _, arrays in file.layers():
            for array in arrays:
                array.read()


def load(model: keras.Model, path: Path, remedy: str) -> None:
    """Load a file of weights into a freshly built network, after a look through it.

    Raises:
        InputError: it is missing, damaged or of another network; the line ends with `remedy`.
    """
    check(path, remedy)
    try:
        model.load_weights(str(path))
    except _DAMAGE as error:
        reason = on_one_line(str(error), 200)
        raise InputError(f"{path}: the weights of another network ({reason}); {remedy}") from None


def is_matterport(path: Path) -> bool:
    """Whether this is a file of Matterport's whole network, told by the pyramid in it; False for
    no file, or a damaged one.
    """
    with contextlib.suppress(InputError), opened(path) as file, file.named_errors():
        names: List[Any] = [*file._file]
        if "model_weights" in names:
            names += file._child(file._file, "model_weights")
        return any("fpn_c5p5" in name for name in names)
    return False


def coco() -> Path:
    """Fetch Matterport's weights for COCO once, into Keras' folder of weights, and check them.

    Raises:
        InputError: they cannot be had, or are not the published ones.
    """
    # Not at the top, so that the process that reads a file first begins at once.
    from common.datasets import downloads

    source = downloads.Source(COCO_URL, COCO_CHECKSUM, COCO_SIZE)
    folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"
    path = folder / source.filename
    folder.mkdir(parents=True, exist_ok=True)
    with files.locked(folder / f".{path.name}.lock"):
        if not path.is_file():
            try:
                downloads.fetch(source, folder, folder / downloads.PARTS)
            except downloads.Failed as failure:
                raise InputError(
                    f"COCO weights could not be fetched from {source.address} ({failure}); set "
                    f"ENCODER_WEIGHTS=none, or put that file at {path}"
                ) from None
    if not downloads.is_right(path, source):
        raise InputError(
            f"{path}: another checksum than expected, {source.checksum}; remove it, and the same "
            "command fetches it again"
        )
    return path


def _counts(item: object) -> bool:
    return isinstance(item, h5py.Dataset) and item.dtype.kind in "iub"


def _text(name: object) -> str:
    return name.decode("utf-8") if isinstance(name, bytes) else str(name)
