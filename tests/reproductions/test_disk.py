"""`medseg runs --prune` removes what no command needs, and nothing of a run in use."""

import json

import pytest

from common import files
from reproductions import disk


@pytest.fixture
def root(tmp_path):
    for name, profile, names in (
        ("done", "quick", ["predictions.json", "state/epoch_1/checkpoint", ".partial-a.json"]),
        ("half", "quick", ["state/epoch_1/checkpoint"]),
        ("smoke", "smoke", ["predictions.json"]),
    ):
        folder = tmp_path / "runs/polyp_unet" / name
        for one in names:
            (folder / one).parent.mkdir(parents=True, exist_ok=True)
            (folder / one).write_bytes(b"0" * 1000)
        (folder / "config.json").write_text(json.dumps({"profile": profile}))
    (tmp_path / "runs/.downloads").mkdir()
    (tmp_path / "runs/.downloads/a.part").write_bytes(b"0" * 1000)
    return tmp_path / "runs"


def left(root):
    paths = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return sorted(path for path in paths if not path.endswith((".lock", "config.json")))


def test_what_no_command_needs_is_removed(root, capsys):
    disk.main(["--prune", "--runs-root", str(root)])
    assert left(root) == [
        "polyp_unet/done/predictions.json",
        "polyp_unet/half/state/epoch_1/checkpoint",
    ]
    out = capsys.readouterr().out
    assert out.startswith("freed: 4") and "to resume" in out and "complete" in out


def test_a_run_in_use_is_left_alone(root):
    with files.locked(root / "polyp_unet/smoke/.lock"):
        disk.prune(root)
    assert "polyp_unet/smoke/predictions.json" in left(root)


def test_listing_changes_nothing(root, capsys):
    before = left(root)
    disk.main(["--runs-root", str(root)])
    assert left(root) == before and "all of" in capsys.readouterr().out
