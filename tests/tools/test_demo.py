"""The demonstration keeps what is there, and one at a time works in its folder."""

import pytest

from common import files
from reproductions.polyp_unet.config import DATA_SETS
from tools import demo


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the demonstration of a project without papers works."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo.cuda, "announce", lambda: None)
    monkeypatch.setattr(demo.reproductions, "names", list)
    monkeypatch.setattr(demo.html, "main", lambda words: None)
    return tmp_path / demo.FOLDER


def test_networks_of_an_earlier_call_stay(folder, capsys):
    weights = folder / "runs/brain_tumour_mask_rcnn/x/weights.h5"
    weights.parent.mkdir(parents=True)
    weights.touch()
    demo.main()
    assert weights.exists() and "done: " in capsys.readouterr().out


def test_a_second_demonstration_is_refused_and_harms_nothing(folder, capsys):
    folder.mkdir(parents=True)
    with files.locked(folder / ".lock"), pytest.raises(SystemExit) as stopped:
        demo.main()
    assert stopped.value.code == 2 and "in use by another process" in capsys.readouterr().err


def test_synthetic_data_are_written_once(folder, monkeypatch):
    monkeypatch.setattr(demo.reproductions, "names", lambda: ["polyp_unet"])
    demo.write_phantoms(folder / "data")
    written = folder / "data" / DATA_SETS[0] / "PHANTOM.json"
    before = written.stat().st_mtime_ns
    demo.write_phantoms(folder / "data")
    assert written.stat().st_mtime_ns == before
    written.write_text("half")
    demo.write_phantoms(folder / "data")
    assert written.read_text() != "half"
