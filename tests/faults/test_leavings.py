"""What systems leave in folders of data, given to the check and to the loader of every paper."""

import os

import pytest

from common.datasets import manifests
from common.errors import InputError

PAPERS = ("tnbc", "busi", "brecahad", "polyp", "brain")
LEAVINGS = (".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX")


def leave_behind(path):
    """Put beside a file what macOS and Windows put there, also for that file."""
    for name in (*LEAVINGS, f"._{path.name}"):
        (path.parent / name).write_bytes(b"\0\5\x16\7Mac OS X")


def check(folder):
    """Check a data set as `make data-…` does, from the phantom's own list of what it holds."""
    name = {"polyp": "kvasir_standin", "brain": "brain_mri"}.get(folder.name, folder.name)
    return manifests.verify(manifests.load_manifest(name), folder)


@pytest.mark.parametrize("paper", PAPERS)
def test_leavings_are_no_data_for_the_check_and_for_the_loader(broken, originals, paper):
    path, read = broken(paper, leave_behind)
    folder = next(parent for parent in path.parents if parent.name == paper)
    assert check(folder).fingerprint == check(originals / paper).fingerprint
    assert read()


@pytest.mark.parametrize("paper", PAPERS[:4])  # the fifth knows its images by their whole names
def test_a_suffix_in_capitals_is_that_of_an_image(broken, paper):
    path, read = broken(paper, lambda path: path.rename(path.with_suffix(path.suffix.upper())))
    assert check(next(parent for parent in path.parents if parent.name == paper))
    assert read()


@pytest.mark.parametrize("paper", PAPERS[:3])
def test_masks_and_annotations_in_capitals_are_found(broken, paper):
    def change(path):
        pattern = {"tnbc": "GT_*/*.png", "busi": "*/*_mask*.png", "brecahad": "groundTruth/*.json"}
        folder = path.parent.parent
        for mask in list(folder.glob(pattern[paper])):
            mask.rename(mask.with_suffix(mask.suffix.upper()))

    _, read = broken(paper, change)
    assert read()


@pytest.mark.parametrize("paper", PAPERS)
def test_a_pipe_is_no_image_and_nobody_waits_for_it(broken, paper):
    def change(path):
        path.unlink()
        os.mkfifo(path)

    path, read = broken(paper, change)
    folder = next(parent for parent in path.parents if parent.name == paper)
    with pytest.raises(InputError, match=r"found \d+ of \d+"):
        check(folder)
    try:
        read()
    except InputError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("paper", ["brecahad", "brain"])
def test_annotations_with_a_byte_order_mark_are_read(broken, paper):
    def change(path):
        pattern = {"brecahad": "groundTruth/*.json", "brain": "*/annotations.json"}[paper]
        for file in path.parent.parent.glob(pattern):
            file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())

    _, read = broken(paper, change)
    assert read()
