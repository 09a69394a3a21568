"""Servers on this machine that close, stall and lie, and manifests that cannot be read."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.server
import os
import pathlib
import shutil
import threading
import time

import pooch
import pytest
import yaml
from pooch import downloaders

from common.datasets import manifests
from common.files import PROJECT


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
    raw = yaml.safe_load((PROJECT / "data_manifests/tnbc.yaml").read_text(encoding="utf-8"))
    whole = archive.read_bytes()
    stack = contextlib.ExitStack()

    def run(answer, checksum=True):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                with contextlib.suppress(ConnectionError):  # the one who asks may have gone
                    answer(self, whole)

            def log_message(self, *_):
                pass

        server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        stack.callback(server.shutdown)
        entry = {"url": f"http://127.0.0.1:{server.server_port}/TNBC.zip"}
        if checksum:
            entry["checksum"] = f"sha256:{hashlib.sha256(whole).hexdigest()}"
        (tmp_path / "data_manifests").mkdir()
        text = yaml.safe_dump({**raw, "archives": [entry]})
        (tmp_path / "data_manifests/tnbc.yaml").write_text(text, encoding="utf-8")
        return manifests.main(["tnbc"])

    with stack:
        yield run


def answer(handler, body=b"", status=200, **headers):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def stall(handler, whole):
    answer(handler, whole[:100], Content_Length=str(len(whole)))
    handler.wfile.flush()
    time.sleep(3)


SERVERS = {
    "hangs up at once": lambda h, whole: h.connection.close(),
    "closes half-way": lambda h, whole: answer(
        h, whole[: len(whole) // 2], Content_Length=str(len(whole))
    ),
    "stalls": stall,
    "promises too much": lambda h, whole: answer(h, whole, Content_Length=str(2 * len(whole))),
    "promises too little": lambda h, whole: answer(h, whole, Content_Length=str(len(whole) // 2)),
    "promises nonsense": lambda h, whole: answer(h, whole, Content_Length="many"),
    "sends a page instead": lambda h, whole: answer(h, b"<html>log in first</html>"),
    "sends nothing": lambda h, whole: answer(h, Content_Length="0"),
    "says it is packed": lambda h, whole: answer(h, whole, Content_Encoding="gzip"),
    "sends in a circle": lambda h, whole: answer(h, status=302, Location="/TNBC.zip"),
    "refuses": lambda h, whole: answer(h, status=403),
    "is overloaded": lambda h, whole: answer(h, status=503),
}


@pytest.mark.parametrize("kind", SERVERS)
def test_a_bad_server_leaves_nothing_and_the_line_says_what_to_do(
    download, fails, tmp_path, monkeypatch, kind
):
    monkeypatch.setattr(downloaders, "DEFAULT_TIMEOUT", 0.5)
    message = fails(
        lambda: download(SERVERS[kind]), "/TNBC.zip", "by hand", "DATA_ROOT", "make demo"
    )
    assert ("wrong checksum" in message) == (
        kind in {"promises too little", "sends a page instead", "sends nothing"}
    )
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".tnbc.lock"]


def test_without_a_checksum_a_short_answer_is_a_damaged_archive(download, fails, tmp_path):
    half = lambda h, whole: answer(h, whole[: len(whole) // 2])  # noqa: E731
    fails(
        lambda: download(half, checksum=False),
        "TNBC.zip is not the expected archive",
        "by hand",
        "DATA_ROOT",
    )
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".tnbc.lock"]


def test_a_disk_that_fills_during_a_download(download, fails, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pooch, "retrieve", full)
    fails(lambda: download(SERVERS["sends nothing"]), "No space left on device", "make room")
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
