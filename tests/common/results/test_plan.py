"""What a command says before hours of work: from runs that lie there, or are as slow elsewhere."""

import json
import os
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone

import pytest

from common.cli import Request
from common.results import plan
from reproductions.polyp_unet.config import PROFILES

CONFIG = PROFILES["quick"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "_cores", lambda: 2)
    return tmp_path / "runs/polyp_unet"


def finished(folder, name, config, minutes):
    """A complete run that took some minutes."""
    run = folder / name
    run.mkdir(parents=True)
    (run / "config.json").write_text(json.dumps({**asdict(config), "data": "x"}))
    ended = datetime.now(timezone.utc)
    began = (ended - timedelta(minutes=minutes)).isoformat(timespec="seconds")
    session = {"started": began, "device": "a GPU"}
    (run / "environment.json").write_text(json.dumps({"sessions": [session]}))
    (run / "weights.h5").write_bytes(b"0" * 1_000_000)
    (run / "predictions.json").write_text("{}")
    os.utime(run / "predictions.json", (ended.timestamp(),) * 2)


def made(folder, request=None, count=4):
    wanted = {f"run{seed}": replace(CONFIG, seed=seed) for seed in range(count)}
    return plan.make(wanted, folder, request or Request(profile="quick"))


def test_without_earlier_runs_the_committed_minutes_are_scaled_by_cores(folder, monkeypatch):
    found = made(folder)
    assert len(found.missing) == 4 and found.minutes == 4 * 9
    assert found.source == "measured on 2 cores elsewhere"
    monkeypatch.setattr(plan, "_cores", lambda: 8)
    assert made(folder).minutes == 9


def test_earlier_runs_here_say_more(folder):
    finished(folder, "run0", CONFIG, 12)
    (folder / "run1/state").mkdir(parents=True)
    found = made(folder)
    assert (found.complete, found.resumed) == (["run0"], ["run1"])
    assert found.missing == ["run2", "run3"]
    assert (
        found.minutes == pytest.approx(36, abs=0.2) and found.source == "as earlier runs on a GPU"
    )
    assert found.needed == pytest.approx(3e6, rel=0.01)


def test_runs_of_other_settings_say_nothing(folder):
    finished(folder, "other", replace(CONFIG, epochs=CONFIG.epochs + 1), 1000)
    assert made(folder).minutes == 36


def test_workers_share_the_runs_and_none_is_shorter_than_a_run(folder):
    assert made(folder, Request(profile="quick", cluster="2")).minutes == 18
    assert made(folder, Request(profile="quick", cluster="99")).minutes == 9


def test_it_is_told_in_a_few_lines(folder, capsys):
    plan.show(made(folder), folder, terminal=True)
    out = capsys.readouterr().out
    assert out.startswith(f"plan: 4 to train in {folder}\ntime: about 36 minutes (measured on 2")
    assert "disk: about 1.2 GB more" in out and "nohup" not in out
    plan.show(made(folder, count=40), folder, terminal=True)
    assert "time: about 6.0 hours" in (out := capsys.readouterr().out) and "nohup" in out


def test_nothing_to_do_is_one_line(folder, capsys):
    finished(folder, "run0", CONFIG, 12)
    plan.show(made(folder, count=1), folder)
    assert capsys.readouterr().out == f"plan: 1 complete in {folder}\n"


def test_a_plan_neither_downloads_nor_leaves_anything(tmp_path, monkeypatch, capsys):
    from common.datasets import manifests
    from reproductions.polyp_unet.eval import paper

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(manifests, "DATA", tmp_path / "data")
    with pytest.raises(SystemExit) as stopped:
        paper.targets["table"].run(Request(plan=True, seeds=(0,)))
    out = capsys.readouterr().out
    assert stopped.value.code == 0 and "not here yet" in out and "plan: 2 to train" in out
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_too_small_is_told(folder, monkeypatch, capsys):
    plan.show(made(folder), folder, terminal=False)
    assert "too little" not in capsys.readouterr().out
    usage = plan.shutil.disk_usage(folder.parents[1])
    monkeypatch.setattr(plan.shutil, "disk_usage", lambda place: usage._replace(free=1000))
    plan.show(made(folder), folder, terminal=False)
    assert "disk: too little; make room" in capsys.readouterr().out
