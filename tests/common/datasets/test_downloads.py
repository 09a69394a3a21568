"""Downloads from servers on this machine that break off, stall, lie and ask for patience."""

import hashlib
import re
import threading
import time

import pytest
import requests
from web_server import Server, ranged, send

from common.datasets import downloads
from common.datasets.downloads import Failed, Source

WHOLE = bytes(range(256)) * 2000  # half a megabyte
CHECKSUM = f"sha256:{hashlib.sha256(WHOLE).hexdigest()}"
TAG = {"ETag": '"1"', "Accept-Ranges": "bytes"}


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    waits = []
    monkeypatch.setattr(downloads, "BLOCK", 500)
    monkeypatch.setattr(downloads, "PROGRESS", 500)
    monkeypatch.setattr(downloads, "TIMEOUT", (1, 0.3))
    monkeypatch.setattr(downloads.time, "sleep", waits.append)
    return waits


def whole(handler):
    send(handler, WHOLE)


def busy(handler):
    send(handler, status=503)


def half(handler):
    """The beginning of the file, or of what is asked for, and then no more."""
    ranged(handler, WHOLE, part=0.5)


def rest(handler):
    """What is asked for."""
    ranged(handler, WHOLE)


@pytest.fixture
def get(tmp_path):
    """Fetch from a server with these answers; the file's content, and the server."""
    servers = []

    def run(*answers, checksum=CHECKSUM, size=None):
        server = Server(*answers)
        servers.append(server)
        source = Source(server.url, checksum, size)
        path = downloads.fetch(source, tmp_path / "to", tmp_path / "parts")
        assert path == tmp_path / "to/whole.bin"
        return path.read_bytes(), server

    run.servers = servers
    yield run
    for server in servers:
        server.shutdown()


def fails(get, *answers, **options):
    with pytest.raises(Failed) as caught:
        get(*answers, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def left(tmp_path):
    return sorted(path.name for path in tmp_path.rglob("*") if path.is_file())


def test_a_file_is_fetched_once_with_a_name_of_our_own(get, tmp_path):
    content, server = get(whole)
    assert content == WHOLE and left(tmp_path) == ["whole.bin"]
    assert len(server.asked) == 1
    assert server.asked[0]["User-Agent"].startswith("medseg-reproductions/")
    assert not (tmp_path / "parts").exists()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again_with_growing_pauses(get, at_once, status):
    def refuse(handler):
        send(handler, b"", status)

    content, server = get(refuse, refuse, refuse, whole)
    assert content == WHOLE and len(server.asked) == 4
    assert at_once == [1, 2, 4]


def test_a_busy_server_says_when_to_come_back_within_reason(get, at_once):
    get(
        lambda h: send(h, b"", 429, Retry_After="7"),
        lambda h: send(h, b"", 429, Retry_After="86400"),
        lambda h: send(h, b"", 429, Retry_After="tomorrow"),
        whole,
    )
    assert at_once == [7, downloads.LONGEST_DELAY, 4]


def test_a_server_that_stays_busy_is_given_up(get, tmp_path):
    assert fails(get, busy) == "answer 503"
    assert len(get.servers[0].asked) == downloads.TRIES
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda h: send(h, b"", 202), "answer 202, and nothing with it"),
        (lambda h: send(h, b"", 204), "answer 204"),
        (lambda h: send(h, b"", 404), "answer 404"),
        (lambda h: send(h, b"", 302, Location="file:///etc/passwd"), "no address of the web"),
        (lambda h: send(h, b"", 302, Location="/whole.bin"), "TooManyRedirects"),
        (lambda h: send(h, b"<!DOCTYPE html><p>Log in"), "a web page instead of the file: wrong"),
        (lambda h: send(h, WHOLE[:-1]), "wrong checksum, expected sha256:"),
        (lambda h: send(h, WHOLE, length="many"), "an answer of 'many' bytes"),
        (lambda h: send(h, WHOLE, Content_Encoding="gzip"), "ContentDecodingError"),
    ],
    ids=["202", "204", "404", "file://", "circle", "page", "short", "nonsense", "packed"],
)
def test_what_no_second_try_would_mend_is_given_up_at_once(get, tmp_path, answer, reason):
    assert fails(get, answer).startswith(reason)
    assert get.servers[0].asked[0].get("Range") is None
    assert len(get.servers[0].asked) == (11 if reason == "TooManyRedirects" else 1)
    assert left(tmp_path) == []


def test_a_file_of_another_size_is_refused_before_it_is_read(get, tmp_path):
    assert fails(get, whole, size=7) == f"a file of {len(WHOLE)} bytes, expected 7"
    assert left(tmp_path) == []


def test_a_server_that_sends_without_end_is_stopped(get, tmp_path):
    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(WHOLE)

    message = fails(get, endless, checksum=None, size=3 * len(WHOLE))
    assert message == f"more than the expected {3 * len(WHOLE)} bytes"
    assert left(tmp_path) == []


def test_a_line_that_breaks_off_is_continued_where_it_broke(get, tmp_path):
    content, server = get(half, half, rest)
    assert content == WHOLE
    starts = [headers.get("Range") for headers in server.asked]
    quarter = len(WHOLE) // 4
    assert starts == [None, f"bytes={2 * quarter}-", f"bytes={3 * quarter}-"]
    assert server.asked[1]["If-Range"] == '"1"'
    assert left(tmp_path) == ["whole.bin"]


def test_a_server_without_range_support_begins_anew(get):
    def broken(handler):
        send(handler, WHOLE[:1000], length=len(WHOLE))

    content, server = get(broken, whole)
    assert content == WHOLE and "Range" not in server.asked[1]
    # It promises Range support, and then sends all of it.
    content, server = get(half, whole)
    assert content == WHOLE and "Range" in server.asked[1]


def test_a_line_that_breaks_off_again_and_again_gets_there(get):
    content, server = get(*[half] * 9, rest)
    assert content == WHOLE and len(server.asked) == 10 > downloads.TRIES


def test_an_interrupted_call_is_continued_by_the_next(get, tmp_path):
    server = Server(half)
    source = Source(server.url, CHECKSUM)
    with pytest.raises(Failed, match="ChunkedEncodingError|ConnectionError|broke off"):
        downloads.fetch(source, tmp_path / "to", tmp_path / "parts")
    assert not (tmp_path / "to").exists()
    assert len(left(tmp_path)) == 2  # the part, and what the server said of the whole
    server.answers, server.asked = (rest,), []
    path = downloads.fetch(source, tmp_path / "to", tmp_path / "parts")
    assert path.read_bytes() == WHOLE and server.asked[0]["Range"].startswith("bytes=")
    assert left(tmp_path) == ["whole.bin"]
    server.shutdown()


def test_a_file_that_was_replaced_meanwhile_begins_anew(get):
    other = WHOLE[::-1]
    checksum = f"sha256:{hashlib.sha256(other).hexdigest()}"

    def replaced(handler):
        ranged(handler, other, tag='"2"')

    content, _ = get(half, replaced, checksum=checksum)
    assert content == other


def test_a_continued_file_that_is_wrong_begins_anew(get):
    def lies(handler):  # the tag stays, the content does not
        ranged(handler, WHOLE[::-1]) if "Range" in handler.headers else whole(handler)

    content, server = get(half, lies)
    assert content == WHOLE and len(server.asked) == 3


@pytest.mark.parametrize(
    "content_range", ["bytes 0-9/10", "bytes 17-20/21", "nonsense", None], ids=str
)
def test_another_part_than_the_one_asked_for_begins_anew(get, content_range):
    def wrong(handler):
        headers = {"Content_Range": content_range} if content_range else {}
        send(handler, WHOLE[:10], 206, **headers)

    content, server = get(half, wrong, whole)
    assert content == WHOLE and "Range" not in server.asked[2]


def test_parts_whose_note_is_damaged_are_thrown_away(get, tmp_path):
    server = Server(half)
    source = Source(server.url, CHECKSUM)
    with pytest.raises(Failed):
        downloads.fetch(source, tmp_path / "to", tmp_path / "parts")
    next(tmp_path.glob("parts/*.json")).write_text("{")
    server.answers, server.asked = (whole,), []
    downloads.fetch(source, tmp_path / "to", tmp_path / "parts")
    assert "Range" not in server.asked[0] and left(tmp_path) == ["whole.bin"]
    server.shutdown()


def test_a_server_that_stalls_or_trickles_is_given_up(get, tmp_path, monkeypatch):
    def stalls(handler):
        send(handler, WHOLE[:100], length=len(WHOLE))
        handler.wfile.flush()
        threading.Event().wait(1)

    began = time.monotonic()
    assert re.match("ConnectionError|ReadTimeout|ChunkedEncodingError", fails(get, stalls))
    assert time.monotonic() - began < 10

    def trickles(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            threading.Event().wait(0.01)

    monkeypatch.setattr(downloads, "WINDOW", 0.1)
    monkeypatch.setattr(downloads, "SLOWEST", 1000)
    monkeypatch.setattr(downloads, "BLOCK", 1)
    assert fails(get, trickles) == "less than 1000 bytes a second"
    assert left(tmp_path) == []


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(get, tmp_path, monkeypatch):
    usage = downloads.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="No space left on device, 512 kB are needed|0.512 MB"):
        get(whole)
    assert left(tmp_path) == []


def test_an_encrypted_address_is_not_left_for_a_plain_one(tmp_path):
    response = requests.Response()
    response.status_code, response.url = 200, "http://127.0.0.1/whole.bin"
    source = Source("https://127.0.0.1/whole.bin", CHECKSUM)
    with pytest.raises(Failed, match="without encryption"):
        downloads._check_answer(source, downloads._Part(source, tmp_path), response)
