"""Every kind of bad annotation file; what is wrong with single entries stands in the tests of the
two papers.
"""

import errno
import os
import pathlib

import pytest

from common import files
from reproductions.brain_tumour_mask_rcnn import annotation_files as via
from reproductions.brecahad_slicing import annotation_files as brecahad

READERS = {"via": via.read, "brecahad": brecahad.centres}
WHOLE = '{"tumor": [{"x": 0.5, "y": 0.25}], "non_tumor": []}'


def loop(path):
    path.symlink_to(path.name)


KINDS = {
    "truncated": lambda path: path.write_text(WHOLE[:-9]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("<html>log in first</html>"),
    "latin-1": lambda path: path.write_bytes('{"Ayşe Öz": 1}'.encode("iso-8859-9")),
    "list": lambda path: path.write_text("[1, 2]"),
    "number": lambda path: path.write_text("7"),
    "without the keys": lambda path: path.write_text('{"a": {"b": 1}}'),
    "nested too deeply": lambda path: path.write_text("[" * 100_000),
    "number of 5000 digits": lambda path: path.write_text("{" + f'"tumor": {"9" * 5000}' + "}"),
    "folder": pathlib.Path.mkdir,
    "pipe": os.mkfifo,
    "missing": lambda path: None,
    "symlink loop": loop,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_a_bad_annotation_is_named_in_one_line(tmp_path, fails, reader, kind):
    path = tmp_path / "Ayşe Öz 1.json"
    KINDS[kind](path)
    fails(lambda: READERS[reader](path), path)


@pytest.mark.parametrize("reader", READERS)
def test_an_annotation_that_may_not_be_read_is_named(tmp_path, fails, monkeypatch, reader):
    def refuse(path, *arguments, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(files.os, "open", refuse)
    fails(lambda: READERS[reader](tmp_path / "a.json"), "a.json", "Permission denied")
