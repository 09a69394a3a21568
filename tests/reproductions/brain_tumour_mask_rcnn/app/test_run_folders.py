from __future__ import annotations

import os
import socket

import pytest

from common import files
from common.errors import InputError
from reproductions.brain_tumour_mask_rcnn.app import run_folders, serve

from .conftest import run_folder


def test_the_facts_are_read_from_the_run_folder(tmp_path):
    run = run_folder(tmp_path / "a", "brain (synthetic)", steps_per_epoch=10)
    network = run_folders.describe(run)
    assert (network.run, network.data, network.profile) == ("a", "brain (synthetic)", "quick")
    assert (network.min_score, network.steps, network.full_steps) == (0.8, 150, 1500)
    assert network.measured is None and network.stamps == ["stamp_synthetic", "stamp_short"]


@pytest.mark.parametrize("name", run_folders.NEEDED)
def test_a_folder_of_something_else_is_one_line(tmp_path, name):
    run = run_folder(tmp_path / "a")
    (run / name).unlink()
    with pytest.raises(InputError, match=f"a: no {name} in it, expected the folder of a finished"):
        run_folders.describe(run)


@pytest.mark.parametrize("config", ['{"encoder": "vgg16"}', "[]", "{"])
def test_a_folder_of_another_paper_is_one_line(tmp_path, config):
    run = run_folder(tmp_path / "a")
    (run / "config.json").write_text(config)
    with pytest.raises(InputError, match="a"):
        run_folders.describe(run)


def test_the_best_profile_comes_before_the_newest_and_real_images_before_both(tmp_path):
    names = {
        "paper": {"profile": "paper"},
        "quick": {},
        "newer": {},
        "smoke": {"profile": "smoke"},
        "demo": {"profile": "paper", "title": "phantoms (synthetic)"},
    }
    for age, (name, config) in enumerate(names.items()):
        os.utime(run_folder(tmp_path / name, **config) / "weights.h5", (age, age))
    files.write_text(tmp_path / "damaged/weights.h5", "")
    files.write_text(tmp_path / "damaged/config.json", "{")
    expected = ["paper", "newer", "quick", "smoke", "demo"]
    for name in expected:
        assert run_folders.best([tmp_path, tmp_path / "absent"]) == tmp_path / name
        (tmp_path / name / "weights.h5").unlink()
    assert run_folders.best([tmp_path]) is None


@pytest.mark.parametrize("version", [(3, 8, 18), (3, 9, 18)])
def test_on_an_older_python_the_page_does_not_start(monkeypatch, version):
    monkeypatch.setattr(serve.sys, "version_info", version)
    with pytest.raises(InputError, match=r"needs Python 3\.10.*SECURITY\.md"):
        serve.check_interpreter()


def test_a_port_in_use_is_an_error_of_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port}: .*--port"):
            serve.bound(port)
    with pytest.raises(InputError, match="port 99999: expected a number"):
        serve.bound(99999)
