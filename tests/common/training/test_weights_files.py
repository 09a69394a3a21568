"""Weights files that point elsewhere, declare too much, hold what is no number, or are damaged."""

import contextlib
import os
import random
import resource
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from common.datasets import downloads
from common.errors import InputError
from common.training import weights_files

SECRET = 12345.0


def keras_file(path, change=None, **kwargs):
    """A file as Keras writes it, of two layers; `change` gets it before it is closed."""
    with h5py.File(path, "w", **kwargs) as file:
        file.attrs["layer_names"] = np.array([b"conv", b"pool", b"dense"])
        for name in ("conv", "pool", "dense"):
            group = file.create_group(name)
            names = (
                [] if name == "pool" else [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
            )
            group.attrs["weight_names"] = np.array(names)
            if names:
                group.create_dataset(f"{name}/kernel:0", data=np.full((3, 2), 0.5, np.float32))
                group.create_dataset(f"{name}/bias:0", data=np.zeros(2, np.float16))
        if change:
            change(file)
    return path


def replaced(make):
    """Put something else in the place of conv/kernel:0."""

    def change(file):
        del file["conv/conv/kernel:0"]
        make(file["conv/conv"])

    return change


def dataset(*arguments, **options):
    return replaced(lambda group: group.create_dataset("kernel:0", *arguments, **options))


def link(target):
    return replaced(lambda group: group.__setitem__("kernel:0", target))


def names(value, attribute="layer_names"):
    def change(file):
        holder = file if attribute == "layer_names" else file["conv"]
        holder.attrs[attribute] = value

    return change


def external(file):
    secret = Path(file.filename).with_name("secret.bin")
    secret.write_bytes(np.full(6, SECRET, np.float32).tobytes())
    dataset((3, 2), np.float32, external=[(str(secret), 0, 24)])(file)


def virtual(file):
    layout = h5py.VirtualLayout((3, 2), np.float32)
    layout[:] = h5py.VirtualSource(str(Path(file.filename).with_name("secret.h5")), "a", (3, 2))
    replaced(lambda group: group.create_virtual_dataset("kernel:0", layout))(file)


def circle(file):
    file["conv/conv/again"] = file["conv"]
    file["conv"].attrs["weight_names"] = np.array([b"conv/again/conv/again"])


HOSTILE = {
    "external link": (link(h5py.ExternalLink("secret.h5", "/a")), "is a link to another place"),
    "soft link": (link(h5py.SoftLink("/dense/dense/kernel:0")), "is a link to another place"),
    "soft link to itself": (link(h5py.SoftLink("/conv/conv/kernel:0")), "is a link"),
    "external storage": (external, "lies in another file"),
    "virtual": (virtual, "lies in another file"),
    "circle": (circle, "is no array"),
    "never written": (dataset((1 << 30, 8), np.float32, chunks=(4096, 8)), "more than the file"),
    "partly written": (dataset((4096, 64), np.float32, chunks=(64, 64)), "more than the file"),
    "compressed": (dataset(data=np.zeros((3, 2)), compression="gzip"), "is compressed"),
    "NaN": (dataset(data=np.full((3, 2), np.nan, np.float32)), "not finite"),
    "infinite as float32": (dataset(data=np.full((3, 2), 1e300)), "not finite"),
    "strings": (dataset(data=np.array([b"a", b"b"])), "expected numbers with a fraction"),
    "objects": (dataset((2,), h5py.string_dtype()), "expected numbers with a fraction"),
    "references": (dataset((2,), h5py.ref_dtype), "expected numbers with a fraction"),
    "compounds": (dataset((2,), [("a", "f4"), ("b", "i4")]), "expected numbers with a fraction"),
    "integers": (dataset(data=np.zeros((3, 2), int)), "expected numbers with a fraction"),
    "complex": (dataset(data=np.zeros((3, 2), complex)), "expected numbers with a fraction"),
    "empty": (dataset(data=h5py.Empty(np.float32)), "has the shape None"),
    "many axes": (dataset(data=np.zeros([1] * 20, np.float32)), "has the shape"),
    "group": (replaced(lambda group: group.create_group("kernel:0")), "is no array"),
    "missing": (replaced(lambda group: None), "is missing"),
    "names that are a number": (names(5), "layer_names is no list of names"),
    "names that are numbers": (names([1.5, 2.5]), "layer_names is no list of names"),
    "names in two dimensions": (names([[b"conv"]]), "layer_names is no list of names"),
    "names that are long": (names(np.array([b"a" * 2000])), "layer_names is no list of names"),
    "names that are no text": (names(np.array([b"\xff\xfe"])), "can't decode"),
    "no names": (names(np.array([], "S1")), "it names no layers"),
    "weights that are a number": (names(7, "weight_names"), "weight_names is no list of names"),
    "weights upwards": (names([b"../../etc"], "weight_names"), "../../etc is missing"),
}


def refusal(path):
    with pytest.raises(InputError) as caught:
        weights_files.check(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: not a Keras .h5 weights file (")
    assert message.isprintable() and "give ENCODER_WEIGHTS=none" in message
    return message


@pytest.fixture
def here(monkeypatch):
    """Without the process that reads a file first, which takes half a second."""
    monkeypatch.setattr(weights_files, "_ends_apart", lambda *_: True)


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_before_they_are_read(tmp_path, here, kind):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["a"] = np.full((3, 2), SECRET, np.float32)
    change, words = HOSTILE[kind]
    path = keras_file(tmp_path / "weights.h5", change)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert words in refusal(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
    # The walk that takes every array, as for Matterport's files, must not be led there either.
    read = []
    with weights_files.opened(path) as file, contextlib.suppress(InputError):
        read = [array.read() for array in file.arrays()]
    assert not any((array == SECRET).any() for array in read)


def test_a_whole_file_is_read_layer_by_layer_and_array_by_array(tmp_path):
    for options in ({}, {"libver": "latest"}, {"userblock_size": 512}):
        path = keras_file(tmp_path / "weights.h5", **options)
        with weights_files.opened(path) as file:
            layers = [(name, [array.read() for array in arrays]) for name, arrays in file.layers()]
            assert [name for name, _ in layers] == ["conv", "dense"]
            for _, (kernel, bias) in layers:
                assert kernel.dtype == bias.dtype == np.float32
                np.testing.assert_array_equal(kernel, np.full((3, 2), 0.5))
        with weights_files.opened(path) as file:
            found = {array.name: array.shape for array in file.arrays()}
        assert found["conv/conv/kernel:0"] == (3, 2) and len(found) == 4
        weights_files.check(path)


def test_counters_of_an_optimiser_are_no_weights(tmp_path, here):
    def count(file):
        file["optimizer_weights/iteration:0"] = 7

    with weights_files.opened(keras_file(tmp_path / "weights.h5", count)) as file:
        assert len([array.read() for array in file.arrays()]) == 4


def test_long_lists_of_names_are_put_together_again(tmp_path, here):
    def spread(file):
        del file.attrs["layer_names"]
        file.attrs["layer_names0"] = np.array([b"conv", b"pool"])
        file.attrs["layer_names1"] = np.array([b"dense"])

    with weights_files.opened(keras_file(tmp_path / "weights.h5", spread)) as file:
        assert [name for name, _ in file.layers()] == ["conv", "dense"]


def test_a_whole_models_file_is_read_like_one_of_weights(tmp_path, here):
    keras_file(tmp_path / "weights.h5")
    with h5py.File(tmp_path / "model.h5", "w") as model, h5py.File(tmp_path / "weights.h5") as own:
        own.copy(own["/"], model, "model_weights")
    with weights_files.opened(tmp_path / "model.h5") as file:
        assert [name for name, _ in file.layers()] == ["conv", "dense"]


def test_what_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    with pytest.raises(InputError, match="expected a file, this is a named pipe"):
        weights_files.check(tmp_path / "pipe.h5")
    with pytest.raises(InputError, match=r"none\.h5: no such file; give"):
        weights_files.check(tmp_path / "none.h5")
    with pytest.raises(InputError, match="cannot be read .Is a directory.; give"):
        weights_files.check(tmp_path)


def test_a_file_that_hdf5_does_not_come_to_an_end_with_is_refused(tmp_path, monkeypatch):
    path = keras_file(tmp_path / "weights.h5")
    for code in ("while True: pass", "import os; os.kill(os.getpid(), 11)", "bytearray(1 << 34)"):
        monkeypatch.setattr(weights_files, "CPU_SECONDS", 1)
        monkeypatch.setattr(weights_files, "BEFORE_READING", f"{code}\n")
        weights_files._ends_apart.cache_clear()
        began = time.monotonic()
        assert "reading it does not come to an end" in refusal(path)
        assert weights_files.is_matterport(path) is False
        assert time.monotonic() - began < 300  # of a second each, on a machine at rest
    weights_files._ends_apart.cache_clear()


def test_damaged_bytes_are_read_or_refused_in_one_line(tmp_path):
    """By the public way, so that neither a crash nor a loop of HDF5 reaches us."""
    rng = random.Random(3)
    path = tmp_path / "weights.h5"
    whole = keras_file(path).read_bytes()
    for _ in range(200 if os.environ.get("EXPLORE") else 6):
        content = bytearray(whole)
        for _ in range(rng.choice([1, 4, 16])):
            place = rng.randrange(len(content))
            content[place : place + 4] = rng.randrange(1 << 32).to_bytes(4, "little")
        path.write_bytes(content[: rng.choice([len(content), rng.randrange(len(content))])])
        try:
            weights_files.check(path)
        except InputError as error:
            assert str(error).isprintable() and str(path) in str(error)


def test_matterports_files_are_told_by_their_pyramid(tmp_path, here):
    path = keras_file(tmp_path / "weights.h5")
    assert not weights_files.is_matterport(path)
    keras_file(path, lambda file: file.create_group("fpn_c5p5"))
    assert weights_files.is_matterport(path)
    assert not weights_files.is_matterport(tmp_path / "none.h5")


# COCO's weights


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(downloads, "FIRST_DELAY", 0)
    return tmp_path / "models/mask_rcnn_coco.h5"


def test_coco_is_fetched_once_and_checked(cache, monkeypatch):
    asked = []

    def fetch(source, folder, parts):
        asked.append(source)
        (folder / source.filename).write_bytes(b"abc")
        return folder / source.filename

    monkeypatch.setattr(downloads, "fetch", fetch)
    with pytest.raises(InputError, match="another checksum than expected, md5:e98aaff6"):
        weights_files.coco()
    monkeypatch.setattr(weights_files, "COCO_CHECKSUM", "md5:900150983cd24fb0d6963f7d28e17f72")
    assert weights_files.coco() == cache
    assert len(asked) == 1 and asked[0].size == 257_557_808
    assert asked[0].url.startswith(
        "https://github.com/matterport/Mask_RCNN/releases/download/v2.0/"
    )


def test_coco_without_a_network_names_the_file_and_the_remedy(cache, monkeypatch):
    monkeypatch.setattr(weights_files, "COCO_URL", "http://127.0.0.1:9/mask_rcnn_coco.h5")
    with pytest.raises(InputError, match="ENCODER_WEIGHTS=none, or put that file at") as caught:
        weights_files.coco()
    assert str(cache) in str(caught.value) and "ConnectionError" in str(caught.value)
    assert not cache.exists()


def test_weights_are_described_by_content(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"abc")
    assert weights_files.describe(str(tmp_path / "a.h5")) == "a.h5 (sha256 ba7816bf8f01cfea)"
    assert weights_files.describe("none") == "none"
    with pytest.raises(InputError, match="no such encoder weights"):
        weights_files.describe(str(tmp_path / "b.h5"))
