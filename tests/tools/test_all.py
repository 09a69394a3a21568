"""All tables at once: each run is sent to the cluster once, and one failure stops nothing."""

import pytest

from common.cli import Request
from common.errors import InputError
from common.results.dask_backend import RunsFailed
from common.results.experiment import Target
from reproductions.polyp_unet import phantom
from tools import all as everything


@pytest.fixture
def request_(tmp_path, monkeypatch):
    monkeypatch.setattr(everything.reproductions, "names", lambda: ["polyp_unet"])
    phantom.write_folder(tmp_path / "data/polyp/kvasir_256", images=10, size=32)
    return Request(
        data_root=tmp_path / "data",
        results_root=tmp_path / "results",
        profile="smoke",
        cluster="2",
    )


def test_runs_that_tables_share_are_sent_once(request_, monkeypatch, capsys):
    sent = []
    monkeypatch.setattr(everything.dask_backend, "finish", lambda jobs, where: sent.extend(jobs))
    everything.train_all(request_)
    folders = [job.folder for job in sent]
    assert len(folders) == len(set(folders)) >= 6
    assert f"{len(sent)} runs behind all tables, {len(sent)} of them" in capsys.readouterr().out
    assert not (request_.results_root / "demo/polyp_unet").exists()
    (folders[0]).mkdir(parents=True)
    (folders[0] / "predictions.json").write_text("{}")
    before = len(sent)
    everything.train_all(request_)
    assert len(sent) == 2 * before - 1


def test_what_a_cluster_could_not_train_is_not_tried_here(request_, monkeypatch, capsys):
    def finish(jobs, where):
        raise RunsFailed(f"{len(jobs)} of {len(jobs)} runs failed")

    monkeypatch.setattr(everything.dask_backend, "finish", finish)
    monkeypatch.setattr(everything.html, "main", lambda words: None)
    monkeypatch.setattr(everything, "KINDS", ("table", "counts"))
    words = ["all", "--cluster", "2", "--profile", "smoke", "--data-root", str(request_.data_root)]
    monkeypatch.setattr("sys.argv", [*words, "--results-root", str(request_.results_root)])
    with pytest.raises(SystemExit) as stopped:
        everything.main()
    err = capsys.readouterr().err
    assert stopped.value.code == 2 and "polyp-ablation: 5 of its 5 runs failed: polyp_unet/" in err
    assert err.splitlines()[-1].startswith("error: without polyp-table, polyp-ablation, polyp-mis")
    assert not list(request_.results_root.rglob("predictions.json"))


def test_one_that_fails_is_named_and_the_others_go_on(monkeypatch, capsys):
    made = []

    def run(request):
        made.append(request)
        if len(made) == 1:
            raise InputError("no data")

    monkeypatch.setattr(everything, "targets", lambda: iter([Target("a", run), Target("b", run)]))
    assert everything.each(lambda target: target.run(None)) == ["a"]
    assert len(made) == 2 and "a: no data" in capsys.readouterr().err


def test_a_plan_of_everything_trains_nothing(request_, monkeypatch, capsys):
    words = ["all", "--plan", "--profile", "smoke", "--data-root", str(request_.data_root)]
    monkeypatch.setattr("sys.argv", [*words, "--results-root", str(request_.results_root)])
    everything.main()
    out = capsys.readouterr().out
    assert out.count("plan: ") >= 3 and not request_.results_root.exists()
