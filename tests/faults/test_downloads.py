"""Servers on this machine that close, stall and lie, and manifests that cannot be read."""

import contextlib
import errno
import hashlib
import os
import pathlib
import shutil
import threading
import time

import pytest
import yaml
from web_server import Server, send

from common.datasets import downloads, manifests
from common.files import PROJECT
from common.published import schema


@pytest.fixture
def archive(originals, tmp_path):
    return pathlib.Path(shutil.make_archive(str(tmp_path / "served"), "zip", originals / "tnbc"))


@pytest.fixture
def download(archive, tmp_path, monkeypatch):
    """Look for a data set whose only address is answered by a function, which gets the handler and
    the right bytes.
    """
    monkeypatch.setattr(manifests, "MANIFESTS", tmp_path / "data_manifests")
    monkeypatch.setattr(manifests, "DATA", tmp_path / "data")
    monkeypatch.setattr(downloads, "FIRST_DELAY", 0)
    monkeypatch.setattr(downloads, "TIMEOUT", (1, 0.4))
    monkeypatch.setattr(downloads, "ANSWER", 2)
    raw = yaml.safe_load((PROJECT / "data_manifests/tnbc.yaml").read_text(encoding="utf-8"))
    whole = archive.read_bytes()
    servers = []

    def run(answer, checksum=True):
        servers.append(Server(lambda handler: answer(handler, whole), name="TNBC.zip"))
        entry = {"url": servers[-1].url}
        if checksum:
            entry["checksum"] = f"sha256:{hashlib.sha256(whole).hexdigest()}"
        (tmp_path / "data_manifests").mkdir()
        text = yaml.safe_dump({**raw, "archives": [entry]})
        (tmp_path / "data_manifests/tnbc.yaml").write_text(text, encoding="utf-8")
        return manifests.main(["tnbc"])

    yield run
    for server in servers:
        server.shutdown()


def stall(handler, whole):
    send(handler, whole[:100], length=len(whole))
    handler.wfile.flush()
    time.sleep(1)


def says_for_ever(words):
    """A server whose answer has no end, for five seconds, before its content; each of its words
    comes in time.
    """

    pause = threading.Event()  # and not time.sleep, which other tests replace

    def say(handler, whole):
        with contextlib.suppress(OSError):
            for _ in range(50):
                handler.wfile.write(words)
                pause.wait(0.1)

    return say


SERVERS = {
    "hangs up at once": lambda h, whole: h.connection.close(),
    "closes half-way": lambda h, whole: send(h, whole[: len(whole) // 2], length=len(whole)),
    "stalls": stall,
    "promises too much": lambda h, whole: send(h, whole, length=2 * len(whole)),
    "promises too little": lambda h, whole: send(h, whole, length=len(whole) // 2),
    "refuses": lambda h, whole: send(h, status=403),
    "is overloaded": lambda h, whole: send(h, status=503),
    "sends headers without end": says_for_ever(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "sends a header without end": says_for_ever(b"HTTP/1.1"),
    "sends a part unasked": lambda h, whole: send(
        h, whole[:9], 206, length=9, Content_Range="bytes 0-8/-1"
    ),
}


@pytest.mark.parametrize("kind", SERVERS)
def test_a_bad_server_leaves_nothing_and_the_line_says_what_to_do(download, fails, tmp_path, kind):
    places = (tmp_path / "data/tnbc", tmp_path / "data/TNBC.zip")
    words = ("/TNBC.zip", "by hand", "DATA_ROOT", "make demo", *places)
    message = fails(lambda: download(SERVERS[kind]), *words)
    short = {"promises too little", "sends a part unasked"}
    assert ("wrong checksum" in message) == (kind in short)
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".tnbc.lock"]


def test_without_a_checksum_a_short_answer_is_a_damaged_archive(download, fails, tmp_path):
    half = lambda h, whole: send(h, whole[: len(whole) // 2], length=False)  # noqa: E731
    fails(
        lambda: download(half, checksum=False),
        "TNBC.zip is not the expected archive",
        "by hand",
        "DATA_ROOT",
    )
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".tnbc.lock"]


def test_without_a_checksum_a_web_page_is_told(download, fails, tmp_path):
    page = lambda h, whole: send(h, b"<!doctype html><title>Log in</title>")  # noqa: E731
    fails(lambda: download(page, checksum=False), "a web page instead of the file", "by hand")
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".tnbc.lock"]


def test_a_disk_that_fills_during_a_download(download, fails, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(downloads, "_write", full)
    fails(lambda: download(SERVERS["promises too little"]), "No space left on device", "make room")
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".tnbc.lock"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "no such manifest"),
        (lambda path: path.symlink_to(path.name), "no such manifest"),
        (lambda path: path.write_bytes(b""), "expected the keys"),
        (lambda path: path.write_text("name: [tnbc"), "not valid YAML"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "not valid YAML"),
        (
            lambda path: path.write_text("name: !!python/object/apply:os.getcwd []"),
            "not valid YAML",
        ),
    ],
    ids=["folder", "symlink loop", "empty", "truncated", "bytes", "code"],
)
def test_a_bad_manifest_is_named(tmp_path, fails, monkeypatch, make, words):
    monkeypatch.setattr(manifests, "MANIFESTS", tmp_path)
    make(tmp_path / "tnbc.yaml")
    fails(lambda: manifests.main(["tnbc"]), tmp_path / "tnbc.yaml", words)


HOSTILE = {
    "nested too deeply": "[" * 20_000,
    "nested blocks": "".join(f"{' ' * depth}a:\n" for depth in range(200)),
    "tag": "name: !!int abc",
    "timestamp": "name: !!timestamp abc",
    "date": "name: 2020-13-45",
    "long integer": f"name: {'9' * 5000}",
    "long base 60": f"name: {':'.join(['1'] * 5000)}",
    "empty binary": "name: 0b_",
    "key that is a mapping": "? {a: 1}\n: 2",
    "key that is a list": "? [a]\n: 2",
    "billion laughs": "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]",
    "alias of itself": "a: &a [*a]",
    "many aliases": "a: &a x\nb: [" + "*a, " * 200 + "]",
    "key given twice": "name: a\nname: b",
    "large": "name: " + "a" * 300_000,
    "several documents": "a: 1\n---\nb: 2",
    "control characters": "name: a\x00\x1b[2J",
    "tab": "\tname: a",
    "version": "%YAML 7.0\n---\nname: a",
    "latin-1": "name: \xdc".encode("latin-1"),
    "number": "7",
    "list": "- a\n- b",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_yaml_is_one_line_as_a_manifest_and_as_a_published_table(
    tmp_path, fails, monkeypatch, kind
):
    monkeypatch.setattr(manifests, "MANIFESTS", tmp_path)
    path = tmp_path / "tnbc.yaml"
    content = HOSTILE[kind]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for read in (lambda: manifests.main(["tnbc"]), lambda: schema.load(path)):
        began = time.process_time()
        message = fails(read, path)
        assert message.isprintable() and len(message) < 2000
        assert time.process_time() - began < 5


def test_a_named_pipe_is_no_file(tmp_path, fails, monkeypatch, originals):
    monkeypatch.setattr(manifests, "MANIFESTS", tmp_path)
    os.mkfifo(tmp_path / "tnbc.yaml")
    fails(lambda: manifests.main(["tnbc"]), "tnbc.yaml", "no such manifest")
    fails(lambda: schema.load(tmp_path / "tnbc.yaml"), "tnbc.yaml", "this is a named pipe")
    monkeypatch.undo()
    # Pipes are no images: where one stands in the place of an image, that is missing.
    expected = {
        "PHANTOM.json": "PHANTOM.json",
        "Slide_01/01_1.png": "found 3",
        "GT_01/01_1.png": "3",
    }
    for name, words in expected.items():
        folder = pathlib.Path(shutil.copytree(originals / "tnbc", tmp_path / name[:2] / "tnbc"))
        (folder / name).unlink()
        os.mkfifo(folder / name)
        root = str(folder.parent)
        fails(lambda: manifests.main(["tnbc", "--data-root", root]), words)  # noqa: B023


def test_a_file_where_the_data_should_be(tmp_path, fails, monkeypatch):
    monkeypatch.setattr(manifests, "DATA", tmp_path / "data")
    (tmp_path / "data").write_text("")
    fails(
        lambda: manifests.main(["tnbc"]), tmp_path / "data", "put the expected file or folder there"
    )


@pytest.mark.parametrize(
    "make", [pathlib.Path.mkdir, lambda path: path.symlink_to(path.name)], ids=["folder", "loop"]
)
def test_a_description_of_phantoms_that_is_no_file(originals, tmp_path, fails, make):
    shutil.copytree(originals / "tnbc", tmp_path / "tnbc")
    path = tmp_path / "tnbc/PHANTOM.json"
    path.unlink()
    make(path)
    fails(lambda: manifests.main(["tnbc", "--data-root", str(tmp_path)]), "tnbc")
