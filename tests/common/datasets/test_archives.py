from __future__ import annotations

import io
import os
import random
import shutil
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.datasets import archives
from common.datasets.archives import unpack
from common.errors import InputError

CONTENT = {"set/a/1.png": os.urandom(5000), "set/b.txt": b"text"}
JUNK = {"__MACOSX/set/a/._1.png": b"x", "set/.DS_Store": b"x", "set/a/._1.png": b"x"}


def make_zip(path: Path, members: dict, **info) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name)
            member.compress_type = zipfile.ZIP_DEFLATED
            for key, value in info.items():
                setattr(member, key, value)
            archive.writestr(member, content)
    return path


def make_tar(path: Path, members: dict, mode: str = "w:gz", **info) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in info.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(content))
    return path


def files(folder: Path) -> dict:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    "make", [make_zip, make_tar, lambda path, members: make_tar(path, members, "w:xz")]
)
def test_unpacks_all_but_junk(tmp_path, make):
    unpack(make(tmp_path / "archive", {**CONTENT, **JUNK}), tmp_path / "out")
    assert files(tmp_path / "out") == CONTENT


def test_folders_in_an_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("set/empty/", b"")
        archive.writestr("set/a", b"a")
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert (tmp_path / "out/set/empty").is_dir()
    assert files(tmp_path / "out") == {"set/a": b"a"}


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "C:\\evil", "C:evil", "\\evil"]
)
def test_nothing_leads_outside(tmp_path, make, name):
    archive = make(tmp_path / "a", {"good": b"1", name: b"2"})
    with pytest.raises(InputError, match="outside") as caught:
        unpack(archive, tmp_path / "out")
    assert repr(name) in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    "kind, word",
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.FIFOTYPE, "device"),
    ],
)
def test_tar_links_and_devices(tmp_path, kind, word):
    archive = make_tar(tmp_path / "a.tar", {"trap": b""}, type=kind, linkname="/etc/passwd")
    with pytest.raises(InputError, match=f"'trap' is a {word}"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode, word", [(stat.S_IFLNK, "link"), (stat.S_IFCHR, "device")])
def test_zip_links_and_devices(tmp_path, mode, word):
    archive = make_zip(
        tmp_path / "a.zip", {"trap": b"/etc/passwd"}, external_attr=(mode | 0o777) << 16
    )
    with pytest.raises(InputError, match=f"'trap' is a {word}"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_bombs(tmp_path, make):
    archive = make(tmp_path / "a", {"one": os.urandom(1000), "bomb": bytes(10_000_000)})
    with pytest.raises(InputError, match="refused to unpack more than.*'bomb'"):
        unpack(archive, tmp_path / "out")
    with pytest.raises(InputError, match=r"more than 0.0005 MB, passed at the member 'one'"):
        unpack(archive, tmp_path / "out", max_bytes=500, max_ratio=1e6)
    assert not (tmp_path / "out").exists()
    unpack(archive, tmp_path / "out", max_ratio=1e6)
    assert files(tmp_path / "out")["bomb"] == bytes(10_000_000)


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_many_small_members_add_up(tmp_path, make):
    archive = make(tmp_path / "a", {str(n): os.urandom(100) for n in range(20)})
    with pytest.raises(InputError, match="passed at the member '10'"):
        unpack(archive, tmp_path / "out", max_bytes=1000)
    assert not (tmp_path / "out").exists()


def test_a_zip_that_lies_about_its_sizes(tmp_path):
    content = make_zip(tmp_path / "a.zip", {"x": bytes(1_000_000)}).read_bytes()
    true, false = (1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(content.replace(true, false))
    with pytest.raises(InputError, match="damaged"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert sum(map(len, files(tmp_path / "out").values())) <= 10


def test_a_member_that_occurs_twice(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, pytest.warns(UserWarning):
        archive.writestr("x", b"1")
        archive.writestr("x", b"2")
    with pytest.raises(InputError, match="'x' occurs twice"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("names", [("a.png", "A.png"), ("\u00f6.png", "o\u0308.png")])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_names_that_some_disks_take_for_one(tmp_path, make, names):
    archive = make(tmp_path / "a", dict.fromkeys(names, b"x"))
    with pytest.raises(InputError, match="occurs twice, expected once"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["", ".", "./"])
def test_a_member_without_a_name(tmp_path, name):
    archive = make_zip(tmp_path / "a.zip", {"good": b"1", "xx": b"2"})
    archive.write_bytes(archive.read_bytes().replace(b"xx", name.encode().ljust(2, b".")))
    if not name:
        archive = make_tar(tmp_path / "a.tar", {"good": b"1", "": b"2"})
    try:
        unpack(archive, tmp_path / "out")
    except InputError as error:
        assert "has no name" in str(error) or "outside" in str(error)
    assert set(files(tmp_path)) <= {"a.zip", "a.tar", "out/good"}


def test_a_zip_member_named_nothing(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x", b"1")
        archive.filelist[0].filename = ""  # as the directory at the end will say
    with pytest.raises(InputError, match="member '' has no name|damaged"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("name", ["a" * 300, "a/" * 600 + "b", "\u00e7" * 150])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_names_that_are_too_long(tmp_path, make, name):
    archive = make(tmp_path / "a", {"good": b"1", name: b"2"})
    with pytest.raises(InputError, match="has too long a name") as caught:
        unpack(archive, tmp_path / "out")
    assert len(str(caught.value)) < 400 + len(str(tmp_path))
    assert not (tmp_path / "out").exists()


def test_a_header_that_is_read_whole_may_not_be_long(tmp_path):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("a")
        member.type, member.size = tarfile.GNUTYPE_LONGNAME, 50_000_000
        archive.fileobj.write(member.tobuf(tarfile.GNU_FORMAT) + bytes(50_000_000))
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match="a header of 50000384 bytes|neither"):
        unpack(path, tmp_path / "out", max_ratio=1e6)


def test_very_many_headers_before_a_member(tmp_path):
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 512
    content = (header.tobuf(tarfile.GNU_FORMAT) + bytes(512)) * 3000
    (tmp_path / "a.tar").write_bytes(content + tarfile.TarInfo("a").tobuf() + bytes(1024))
    with pytest.raises(InputError, match="damaged archive"):
        unpack(tmp_path / "a.tar", tmp_path / "out")


def test_very_many_members(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_MEMBERS", 10)
    archive = make_tar(tmp_path / "a.tar", {str(number): b"" for number in range(20)})
    with pytest.raises(InputError, match="more than 10 members"):
        unpack(archive, tmp_path / "out")


def test_a_named_pipe_is_no_archive(tmp_path):
    os.mkfifo(tmp_path / "a.zip")
    with pytest.raises(InputError, match="this is a named pipe"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_tar_file_that_ends_with_a_zip_file_is_a_tar_file(tmp_path):
    zipped = make_zip(tmp_path / "a.zip", CONTENT).read_bytes()
    unpack(make_tar(tmp_path / "a.tar", {"a.zip": zipped}, mode="w"), tmp_path / "out")
    assert files(tmp_path / "out") == {"a.zip": zipped}


@pytest.mark.parametrize("make", [make_zip, make_tar, lambda p, m: make_tar(p, m, "w")])
def test_damaged_bytes_are_unpacked_or_refused_in_one_line(tmp_path, make):
    whole = make(tmp_path / "whole", CONTENT).read_bytes()
    rng, path = random.Random(1), tmp_path / "archive"
    for _ in range(3000 if os.environ.get("EXPLORE") else 100):
        content = bytearray(whole)
        for _ in range(rng.choice([1, 3, 20])):
            place = rng.randrange(len(content) - 4)
            content[place : place + rng.choice([1, 4])] = rng.choice([b"\xff" * 4, b"\0", b"7777"])
        path.write_bytes(content)
        try:
            unpack(path, tmp_path / "out")
        except InputError as error:
            assert "\n" not in str(error) and str(path) in str(error)
        assert {entry.name for entry in tmp_path.iterdir()} <= {"whole", "archive", "out"}
        shutil.rmtree(tmp_path / "out", ignore_errors=True)


def test_encrypted(tmp_path):
    content = bytearray(make_zip(tmp_path / "a.zip", {"x": b"secret"}).read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1  # the flag in the central directory
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match="'x' is encrypted"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize(
    "make", [make_zip, make_tar, lambda path, members: make_tar(path, members, "w:bz2")]
)
@pytest.mark.parametrize("part", [0, 0.01, 0.5, 0.9])
def test_truncated(tmp_path, make, part):
    whole = make(tmp_path / "a", CONTENT).read_bytes()
    (tmp_path / "a").write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(InputError, match="damaged|neither") as caught:
        unpack(tmp_path / "a", tmp_path / "out")
    assert "\n" not in str(caught.value)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text("./\\:aC~-\n", min_size=1, max_size=8), min_size=1, max_size=4, unique=True),
    st.booleans(),
)
def test_whatever_the_names_nothing_is_written_elsewhere(names, zipped):
    with tempfile.TemporaryDirectory() as top:
        outer = Path(top, "1", "2", "3", "4")
        outer.mkdir(parents=True)
        archive = Path(top, "archive")
        (make_zip if zipped else make_tar)(archive, dict.fromkeys(names, b"x"))
        try:
            unpack(archive, outer / "out")
        except InputError as error:
            assert "\n" not in str(error)
        outside = {
            path for path in Path(top).rglob("*") if outer / "out" not in (path, *path.parents)
        }
        assert outside == {archive, *(Path(top, *"1234"[:n]) for n in range(1, 5))} - {Path(top)}


def test_a_header_of_an_impossible_length_is_a_damaged_archive(tmp_path):
    record = b"9" * 30 + b" path=a\n"
    header = tarfile.TarInfo("long")
    header.type, header.size = tarfile.XHDTYPE, len(record)
    content = header.tobuf() + record.ljust(512, b"\0") + bytes(1024)
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(InputError, match="damaged archive"):
        unpack(tmp_path / "a.tar", tmp_path / "out")


def test_a_packed_archive_is_unpacked_to_the_same_and_holds_no_time(tmp_path):
    members = [("a/b.txt", b"one"), ("c.bin", bytes(5000))]
    archives.pack(tmp_path / "a.zip", members)
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert [(name, (tmp_path / "out" / name).read_bytes()) for name, _ in members] == members
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert (tmp_path / "a.zip").stat().st_size < 1000
