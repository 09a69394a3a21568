import shutil

import h5py
import pytest

from common.datasets import manifests
from common.errors import InputError
from common.files import sha256
from tools import bundle


def files(folder):
    return {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "ağırlık notop.h5"
    with h5py.File(path, "w") as file:
        file["kernel"] = [0.5] * 1000
    return path


def test_what_is_at_hand_is_copied_and_the_rest_is_named(
    phantom_root, weights, tmp_path, monkeypatch, capsys
):
    cache = tmp_path / "cache"
    cache.mkdir()
    shutil.copy(weights, cache / "vgg16_notop.h5")
    (cache / "resnet_no_top.h5").write_bytes(weights.read_bytes()[:-100])
    (cache / "whole_classifier.h5").touch()
    monkeypatch.setattr(bundle, "CACHE", cache)
    folder = tmp_path / "bundle"
    bundle.main(
        [
            str(folder),
            "--data-root",
            str(phantom_root),
            "--encoder-weights",
            f"none,vgg19={weights}",
        ]
    )
    copied = files(folder)
    assert {path.partition("/")[0] for path in copied} == {"data", "keras", "weights"}
    assert files(folder / "data") == files(phantom_root)
    assert files(folder / "keras") == {"models/vgg16_notop.h5": sha256(weights)}
    assert files(folder / "weights") == {weights.name: sha256(weights)}
    lines = capsys.readouterr().out.splitlines()
    assert [
        line for line in lines if f"left out {cache}/resnet_no_top.h5: expected a complete" in line
    ]
    assert [line for line in lines if line.startswith("bundle: without busi: ")]


def test_a_second_time_changes_nothing_and_what_was_cut_off_is_done_again(phantom_root, tmp_path):
    root = tmp_path / "data"
    data = manifests.find("tnbc", phantom_root)
    (root / ".partial-tnbc/Slide_01").mkdir(parents=True)
    (root / ".partial-tnbc/Slide_01/half.png").touch()
    first = bundle.copy_data(data, root)
    before = {path: path.stat().st_ino for path in first.rglob("*")}
    bundle.copy_data(data, root)
    assert {path: path.stat().st_ino for path in first.rglob("*")} == before
    next(first.glob("GT_*/*.png")).unlink()
    bundle.copy_data(data, root)
    assert files(root / "tnbc") == files(phantom_root / "tnbc") and not list(root.glob(".*"))


def test_a_copy_that_is_not_the_data_set_is_refused(phantom_root, tmp_path):
    linked = tmp_path / "linked/tnbc"
    shutil.copytree(phantom_root / "tnbc", linked)
    slide = next(linked.glob("Slide_*"))
    slide.rename(tmp_path / "elsewhere")
    slide.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="expected"):
        bundle.copy_data(manifests.find("tnbc", linked.parent), tmp_path / "data")
    assert not (tmp_path / "data/tnbc").exists()


def test_weights_asked_for_by_name_must_be_there(phantom_root, tmp_path, capsys):
    with pytest.raises(SystemExit):
        bundle.main(
            [str(tmp_path), "--data-root", str(phantom_root), "--encoder-weights", "missing.h5"]
        )
    assert capsys.readouterr().err.startswith(
        "error: missing.h5: expected a complete Keras .h5 file ("
    )
