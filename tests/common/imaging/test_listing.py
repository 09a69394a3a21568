from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import InputError
from common.imaging import formats, listing, reading


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(folder / name, format="PNG")


LEFT = ("._01_1.png", ".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX/01_1.png", ".x/a.png")


def test_images_are_found_below_by_suffix_in_any_case_and_dicom_by_content(tmp_path, dicom):
    make(tmp_path, "b.png", "sub/a.TIF", "sub/deep/c.JPeG", *LEFT)
    dicom(np.zeros((4, 4), np.uint8), name="sub/1.2.840.99.7")
    dicom(np.zeros((4, 4), np.uint8), name="sub/DICOMDIR")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "legend.csv").write_text("")
    found = [path.relative_to(tmp_path).as_posix() for path in listing.images(tmp_path)]
    assert found == ["b.png", "sub/1.2.840.99.7", "sub/a.TIF", "sub/deep/c.JPeG"]


def test_a_pattern_chooses_among_them(tmp_path):
    make(tmp_path, "a_1.png", "a_2.PNG", "b.png", "sub/a_3.png")
    names = [path.name for path in listing.images(tmp_path, "a_*.png")]
    assert names == ["a_1.png", "a_2.PNG", "a_3.png"]


def test_folders_behind_links_are_entered_once(tmp_path):
    make(tmp_path, "data/a.png", "elsewhere/b.png")
    (tmp_path / "data/loop").symlink_to(tmp_path / "data")
    (tmp_path / "data/more").symlink_to(tmp_path / "elsewhere")
    names = [path.name for path in listing.images(tmp_path / "data")]
    assert names == ["a.png", "b.png"]


def test_a_folder_that_cannot_be_read_is_named_and_not_passed_over(tmp_path, monkeypatch):
    make(tmp_path, "sub/a.png")

    def refuse(path):
        if "sub" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    real = os.scandir
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"sub: cannot be read: Permission denied"):
        listing.images(tmp_path)


def special(folder: Path) -> None:
    """Put a pipe, a socket and a broken link there."""
    os.mkfifo(folder / "pipe.png")
    (folder / "link.png").symlink_to("gone.png")
    here = os.getcwd()
    os.chdir(folder)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind("socket.png")
    finally:
        os.chdir(here)


def test_pipes_and_sockets_are_never_opened(tmp_path, refused):
    special(tmp_path)
    make(tmp_path, "folder.png/a.png")
    found = listing.images(tmp_path)
    # Listed by their suffixes, and refused when read: nobody waits for a writer.
    kinds = {"pipe.png": "named pipe", "socket.png": "socket", "link.png": "no such file"}
    for name, words in kinds.items():
        assert tmp_path / name in found
        refused(tmp_path / name, words)
    refused(tmp_path / "folder.png", "is a folder")
    if os.path.exists("/dev/zero"):
        refused(Path("/dev/zero"), "is a device")
    os.mkfifo(tmp_path / "1.2.840")
    assert tmp_path / "1.2.840" not in listing.images(tmp_path)
    assert [p.name for p in listing.matching(tmp_path, "*.png")] == ["folder.png", "link.png"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("slide 1.png", "slide 1"),
        ("slide.v2.TIF", "slide.v2"),
        ("1.2.840.99999.7.1", "1.2.840.99999.7.1"),
        ("1.2.840.99999.7.1.dcm", "1.2.840.99999.7.1"),
        ("IM000001", "IM000001"),
    ],
)
def test_results_keep_the_whole_name_but_for_the_suffix_of_an_image(name, expected):
    assert listing.result_name(Path("folder", name)) == expected


def test_names_that_are_no_text_are_shown_in_one_line(tmp_path):
    odd = os.fsdecode(b"x\xfe\n\x1b[31m\xc4\xb0 2.png")
    assert listing.shown(Path(odd)) == "x\\xfe\\n\\x1b[31m\u0130 2.png"
    listing.shown(odd).encode()


def test_a_file_with_such_a_name_is_read_listed_and_named(tmp_path, refused):
    path = tmp_path / os.fsdecode(b"x\xfe.png")
    try:
        make(tmp_path, path.name)
    except OSError:
        pytest.skip("this file system takes no such names")
    assert listing.images(tmp_path) == listing.matching(tmp_path, "*.png") == [path]
    assert reading.read(path).pixels.shape == (4, 4, 1)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"x\\xfe\.png: the file is empty"):
        reading.read(path)


def test_every_suffix_of_the_list_is_found(tmp_path):
    make(tmp_path, *(f"a{suffix}" for suffix in formats.SUFFIXES))
    assert len(listing.images(tmp_path)) == len(formats.SUFFIXES)
