from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tifffile

from common.errors import InputError
from common.files import PROJECT
from common.imaging import isolation
from common.imaging.reading import read

GREY = np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8)


@pytest.fixture
def tiff(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="minisblack", compression="lzw")
    return tmp_path / "a.tif"


@pytest.fixture
def sabotage(tmp_path, monkeypatch):
    """Let the processes that decode run some code first, until the test ends."""

    def change(code):
        start, call = isolation._SERVE.split("; ")
        monkeypatch.setattr(isolation, "_SERVE", f"{start}\n{textwrap.dedent(code)}\n{call}")
        monkeypatch.setattr(isolation, "_pool", isolation._Pool())

    yield change
    isolation._pool.end()


READER = """
from common.imaging import isolation, readers, tiff

def read(*request):
    if request[2] == "bad":
        misbehave()
    return tiff.read(*request[1:])

def misbehave():
{}

readers.read = read
"""


def misbehaving(code):
    return READER.format(textwrap.indent(textwrap.dedent(code), "    "))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"brought .* down \(SIGSEGV\)"),
        ("import os; os._exit(3)", r"could not be run \(exit code 3\)"),
        ("while True: pass", "far longer"),
        ("import time; time.sleep(60)", "far longer"),
    ],
    ids=["crash", "exit", "busy", "asleep"],
)
def test_a_file_that_brings_its_decoder_down_is_named_and_the_next_is_read(
    tiff, sabotage, code, words
):
    limits = "from common.imaging import limits; limits.SECONDS = 0.2; isolation.WAITING = 3"
    sabotage(misbehaving(code) + limits)
    with pytest.raises(InputError, match=rf"bad: .*{words}"):
        read(tiff.read_bytes(), name="bad")
    np.testing.assert_array_equal(read(tiff).pixels[..., 0], GREY)


def test_a_file_that_fills_memory_is_one_line(tiff, sabotage):
    sabotage(
        misbehaving(
            """
            from common.imaging.decoding import names_damage
            with names_damage("bad"):
                bytearray(5 << 30)
            """
        )
    )
    with pytest.raises(InputError, match="bad: not enough memory"):
        read(tiff.read_bytes(), name="bad")


def test_what_libraries_print_reaches_nobody(tiff, sabotage, capfd):
    sabotage(misbehaving(r"import os; os.write(1, b'printed\n'); os.write(2, b'warned\n')"))
    np.testing.assert_array_equal(read(tiff.read_bytes(), name="bad").pixels[..., 0], GREY)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_damaged_files_print_nothing(tmp_path, encoded):
    """Of a program of its own, since pytest has warnings go elsewhere."""
    tifffile.imwrite(tmp_path / "lzw.tif", GREY, photometric="minisblack", compression="lzw")
    content = bytearray((tmp_path / "lzw.tif").read_bytes())
    content[300:400] = bytes(100)
    (tmp_path / "lzw.tif").write_bytes(content)
    fax = bytearray(encoded(GREY > 99, "TIFF", compression="group4"))
    fax[20:60] = bytes(40)
    (tmp_path / "fax.tif").write_bytes(fax)
    (tmp_path / "exif.png").write_bytes(encoded(GREY, "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff"))
    code = """
        import sys
        from common.errors import InputError
        from common.imaging.reading import read
        for path in sys.argv[1:]:
            try:
                read(path)
            except InputError:
                print("refused")
            else:
                print("read")
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *sorted(map(str, tmp_path.iterdir()))],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(result.stdout.split()) == 3 and "refused" in result.stdout
    assert result.stderr == ""


def test_one_process_reads_many_files_and_ends_with_the_one_that_asks(tiff):
    code = f"""
        import os, threading
        from common.imaging import isolation
        from common.imaging.reading import read
        for _ in range(5):
            read({str(tiff)!r})
        (worker,) = isolation._pool._idle
        assert os.getsid(worker.process.pid) != os.getsid(0)  # Ctrl-C is not for it
        threads = [threading.Thread(target=read, args=({str(tiff)!r},)) for _ in range(20)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(*(worker.process.pid for worker in isolation._pool._idle))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    pids = [int(pid) for pid in result.stdout.split()]
    assert 1 <= len(pids) <= (os.cpu_count() or 1)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_process_without_work_ends_and_the_next_file_gets_another(tiff, sabotage):
    sabotage("isolation.IDLE = 0.2")
    read(tiff)
    (worker,) = isolation._pool._idle
    assert worker.process.wait(20) == 0
    np.testing.assert_array_equal(read(tiff).pixels[..., 0], GREY)


def test_a_process_that_ends_just_then_is_replaced(tiff, sabotage, monkeypatch):
    sabotage("isolation.IDLE = 0.2")
    read(tiff)
    (worker,) = isolation._pool._idle
    worker.process.wait(20)
    with monkeypatch.context() as patched:
        patched.setattr(worker.process, "poll", lambda: None)  # as if it were still there
        np.testing.assert_array_equal(read(tiff).pixels[..., 0], GREY)


def test_after_a_fork_both_read_on(tiff):
    read(tiff)
    child = os.fork()
    if not child:
        status = 1
        try:
            status = int((read(tiff).pixels[..., 0] != GREY).any())
            isolation._pool.end()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(read(tiff).pixels[..., 0], GREY)


def test_an_interruption_does_not_give_the_next_file_the_wrong_image(tiff, tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "b.tif", 255 - GREY, photometric="minisblack")

    def interrupt(self, *arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(isolation.json, "loads", interrupt)
        with pytest.raises(KeyboardInterrupt):
            read(tiff)
    np.testing.assert_array_equal(read(tmp_path / "b.tif").pixels[..., 0], 255 - GREY)
