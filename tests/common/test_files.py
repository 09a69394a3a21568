"""Reading what may be no file at all, and locks where the disk has none."""

import errno
import fcntl
import hashlib
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import h5py
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from common import files
from common.errors import InputError
from common.files import PROJECT

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


# Reading


@settings(max_examples=40)
@given(plain)
def test_plain_yaml_is_read_as_the_library_reads_it(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "plain.yaml"
    text = yaml.safe_dump(value, allow_unicode=True)
    path.write_text(text, encoding="utf-8")
    assert files.read_yaml(path) == yaml.safe_load(text)


@given(st.binary(max_size=200) | st.text("[]{}:,-?&*!|>'\"%@ab1 \n\t#", max_size=80))
def test_any_bytes_are_yaml_or_refused_in_one_line(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        files.read_yaml(path)
    except InputError as error:
        assert str(path) in str(error) and str(error).isprintable()


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, words in ((tmp_path / "pipe", "named pipe"), ("/dev/zero", "a device")):
        for read in (files.sha256, files.read_yaml, files.read_csv_lines, files.buffered):
            with pytest.raises(InputError, match=f"{path}: expected a file, this is .*{words}"):
                read(path)
    for path, error in (("", IsADirectoryError), ("none", FileNotFoundError)):
        with pytest.raises(error) as caught:
            files.sha256(tmp_path / path)
        assert caught.value.filename == str(tmp_path / path)


def test_texts_of_another_encoding_and_csv_that_is_none_are_named(tmp_path):
    path = tmp_path / "a.csv"
    for content, words in (("Rüya", "not a text in UTF-8"), ('a,"b\0', "a.csv: not CSV")):
        path.write_bytes(content.encode("latin-1"))
        with pytest.raises(InputError, match=words):
            files.read_csv_lines(path)
    path.write_bytes('a,"b\r\nü"\n1,2\n'.encode())
    assert files.read_csv_lines(path) == [["a", "b\r\nü"], ["1", "2"]]


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with (tmp_path / "a").open("wb") as stream:
        stream.truncate(1 << 40)  # takes no room on the disk
    with pytest.raises(InputError, match="1099511627776 bytes, expected at most 100"):
        files.read_bytes(tmp_path / "a", 100)
    with pytest.raises(InputError, match="expected at most"):
        files.read_yaml(tmp_path / "a")


@pytest.mark.parametrize("change", ["grows", "shrinks"])
@pytest.mark.parametrize("read", [files.sha256, lambda path: files.read_bytes(path, 1 << 30)])
def test_a_file_that_changes_while_it_is_read_is_told(tmp_path, monkeypatch, change, read):
    path = tmp_path / "a"
    path.write_bytes(bytes(1000))
    real, calls = os.fstat, []

    def fstat(handle):  # the writer is faster than the reader
        facts = real(handle)
        calls.append(handle)
        if len(calls) == 2:
            os.truncate(path, 2000 if change == "grows" else 10)
        return facts

    monkeypatch.setattr(os, "fstat", fstat)
    with pytest.raises(InputError, match="changes while it is read"):
        read(path)


@given(st.binary(max_size=100))
def test_checksums_are_those_of_hashlib(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "sum"
    path.write_bytes(content)
    assert files.sha256(path) == hashlib.sha256(content).hexdigest()
    assert files.checksum(path, "md5") == hashlib.md5(content).hexdigest()


# Locks


@pytest.fixture(params=["flock", "ENOLCK", "ENOSYS", "EOPNOTSUPP", "no links"])
def disk(request, monkeypatch, tmp_path):
    """A disk with locks, and some without."""
    if request.param != "flock":
        refused = OSError(getattr(errno, request.param, errno.ENOLCK), "no locks here")
        monkeypatch.setattr(fcntl, "flock", mock.Mock(side_effect=refused))
        if request.param == "no links":
            no_links = OSError(errno.EPERM, "no links here")
            monkeypatch.setattr(os, "link", mock.Mock(side_effect=no_links))
    return tmp_path


def test_one_holds_a_lock_and_the_others_wait(disk):
    inside, most = [], []

    def work(_):
        with files.locked(disk / ".lock"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert most == [1] * 8
    assert [path.name for path in disk.iterdir()] == [".lock"]


def test_who_does_not_wait_is_told(disk):
    with files.locked(disk / ".lock"), pytest.raises(files.InUse, match="in use by"):
        files.locked(disk / ".lock", wait=False).__enter__()
    with files.locked(disk / ".lock", wait=False):
        pass


def test_an_error_releases_the_lock(disk):
    with pytest.raises(KeyError), files.locked(disk / ".lock"):
        raise KeyError
    with files.locked(disk / ".lock", wait=False):
        pass


def test_a_marker_of_a_process_that_has_ended_is_taken_away(disk):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for text in (f"{ended.pid} {os.uname().nodename} 5", f"{os.getpid()} {os.uname().nodename} 5"):
        (disk / ".lock.held").write_text(text)  # the second: of a process with its number before
        with files.locked(disk / ".lock", wait=False):
            pass
    assert not (disk / ".lock.held").exists() or (disk / ".lock.held").read_text() == text


def test_a_marker_of_another_machine_is_respected_and_says_what_to_do(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    marker = tmp_path / ".lock.held"
    marker.write_text("7 node5 99\n")
    with pytest.raises(files.InUse, match=rf"by process 7 on node5; .* remove {marker}"):
        files.locked(tmp_path / ".lock", wait=False).__enter__()
    threading.Timer(0.3, marker.unlink).start()
    with files.locked(tmp_path / ".lock"):
        assert marker.read_text().split()[0] == str(os.getpid())


def test_what_is_no_lock_file_is_named(tmp_path):
    (tmp_path / ".lock").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        files.locked(tmp_path / ".lock").__enter__()
    assert caught.value.filename == str(tmp_path / ".lock")


def test_what_a_killed_process_half_wrote_is_taken_over_by_the_next(tmp_path):
    code = (
        "import os, sys; from common import files\n"
        "with files.scratch_folder(__import__('pathlib').Path(sys.argv[1]), 'x') as scratch:\n"
        "    (scratch / 'half').write_text('half')\n"
        "    with files.atomic_path(sys.argv[1] + '/a.csv') as partial:\n"
        "        partial.write_text('half of it')\n"
        "        os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=PROJECT)
    assert ended.returncode == -9 and len(list(tmp_path.glob(".partial-*"))) == 2
    with files.scratch_folder(tmp_path, "x") as scratch:
        assert list(scratch.iterdir()) == []
    files.write_text(tmp_path / "a.csv", "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "a"


def test_two_that_write_one_file_at_once_do_not_meet(tmp_path):
    with files.atomic_path(tmp_path / "a.csv") as one:
        one.write_text("one")
        with files.atomic_path(tmp_path / "a.csv") as other:
            assert other != one
            other.write_text("other")
        assert (tmp_path / "a.csv").read_text() == "other"
        with files.scratch_folder(tmp_path, "x") as scratch:
            with files.scratch_folder(tmp_path, "x") as another:
                assert scratch != another
            assert scratch.is_dir()
    assert (tmp_path / "a.csv").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_hdf5_which_locks_its_files_itself_can_write(tmp_path):
    with files.atomic_path(tmp_path / "a.h5") as path, h5py.File(path, "w") as file:
        file["x"] = [1]
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["x"][0] == 1


@pytest.mark.parametrize("there", ["link", "pipe", "folder"])
def test_what_lies_at_the_temporary_name_is_left_alone(tmp_path, there):
    with files.atomic_path(tmp_path / "a.csv") as usual:
        pass
    (tmp_path / "target").write_text("mine")
    make = {"link": lambda: usual.symlink_to(tmp_path / "target"), "folder": usual.mkdir}
    make.get(there, lambda: os.mkfifo(usual))()
    files.write_text(tmp_path / "a.csv", "a")
    assert (tmp_path / "a.csv").read_text() == "a"
    assert (tmp_path / "target").read_text() == "mine" and os.path.lexists(usual)
