"""Images divided among workers: which commands are sent, and what is joined."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import InputError
from common.prediction import cluster, command, source
from common.results.dask_backend import RunsFailed
from reproductions import command as medseg


@pytest.fixture
def sent(monkeypatch, tmp_path):
    """Five images, two a part; gives the jobs that would go to a cluster, which "predicts" them.

    An image whose name has a "!" in it fails.
    """
    jobs = []

    def finish(found, where):
        assert where == "2"
        jobs[:] = found
        for job in found:
            job.folder.mkdir(exist_ok=True)
            names = [item.name for item in source.find([Path(job.words[4])], "*", tmp_path)]
            done = [name for name in names if "!" not in name]
            lines = "".join(f"{name},1\n" for name in done)
            (job.folder / "images.csv").write_text(f"name,objects\n{lines}")
            failed = [name for name in names if name not in done]
            record = {"left": 0, "failed": failed}
            (job.folder / "run.json").write_text(json.dumps(record))
            if failed:
                raise RunsFailed("1 of 3 runs failed")

    monkeypatch.setattr(cluster.dask_backend, "finish", finish)
    monkeypatch.setattr(cluster, "part_size", lambda images, workers: workers)
    (tmp_path / "in").mkdir()
    for name in "abcde":
        draw(tmp_path / f"in/{name}.png")
    return jobs


def draw(path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)


def run(tmp_path, *words):
    words = [str(tmp_path / "in"), "--out", str(tmp_path / "out"), *words]
    options = command.parse("polyp_unet", words)
    cluster.run("polyp_unet", options, [tmp_path / "runs/x"], "2")


def test_each_part_is_a_command_with_the_same_options_and_the_tables_are_joined(sent, tmp_path):
    run(tmp_path, "--threshold", "0.3", "--paper-way", "--range", "0,99", "--cluster", "2")
    assert [job.name for job in sent] == ["part-00001", "part-00002", "part-00003"]
    parsed = [command.parse("polyp_unet", job.words[4:]) for job in sent]
    for job, options in zip(sent, parsed):
        assert job.words[:4] == ["-m", "reproductions.command", "predict", "polyp_unet"]
        assert (options.threshold, options.paper_way, options.grey_range) == (0.3, True, "0,99")
        assert options.skip_existing and options.cluster is None
        assert options.run == tmp_path / "runs/x" and options.out == job.folder
    lines = (tmp_path / "out/images.csv").read_text().splitlines()
    assert lines == ["name,objects", "a,1", "b,1", "c,1", "d,1", "e,1"]


def test_results_are_named_as_without_a_cluster(sent, tmp_path):
    for case in ("case1", "case2"):
        (tmp_path / "in" / case).mkdir()
        draw(tmp_path / "in" / case / "line\nbreak \udcff.png")
    folder = [tmp_path / "in"]
    expected = [item.name for item in source.find(folder, "*", tmp_path / "out")]
    run(tmp_path)
    lists = [Path(job.words[4]) for job in sent]
    found = [item for one in lists for item in source.find([one], "*", tmp_path)]
    assert [item.name for item in found] == expected and len(set(expected)) == 7
    assert all(item.path.is_file() for item in found)


def test_two_results_of_one_name_are_refused(sent, tmp_path):
    (tmp_path / "in/x").mkdir()
    draw(tmp_path / "in/x/y.png")
    draw(tmp_path / "in/x_y.png")
    with pytest.raises(InputError, match="x_y.png: its results would have the name of .*x/y.png's"):
        run(tmp_path)


def test_an_image_that_fails_does_not_keep_the_tables_from_being_joined(sent, tmp_path, capsys):
    draw(tmp_path / "in/f!.png")
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path)
    assert stopped.value.code == 1 and "1 of the images failed" in capsys.readouterr().out
    assert len((tmp_path / "out/images.csv").read_text().splitlines()) == 1 + 5
    with pytest.raises(SystemExit):
        run(tmp_path)
    assert [job.name for job in sent] == ["part-00003"]  # the others need not be tried again


def test_a_part_that_did_not_end_is_a_failure(sent, tmp_path, monkeypatch):
    finish = cluster.dask_backend.finish

    def crash(jobs, where):
        finish(jobs, where)
        (jobs[0].folder / "run.json").write_text('{"left": 1, "failed": []}')
        raise RunsFailed("1 of 3 runs failed")

    monkeypatch.setattr(cluster.dask_backend, "finish", crash)
    with pytest.raises(RunsFailed):
        run(tmp_path)
    monkeypatch.setattr(cluster.dask_backend, "finish", finish)
    run(tmp_path)
    assert [job.name for job in sent] == ["part-00001"]


def test_again_goes_on_and_other_images_or_options_are_refused(sent, tmp_path):
    run(tmp_path)
    sent.clear()
    run(tmp_path, "--device", "cpu")
    assert sent == []
    with pytest.raises(InputError, match="parts of other images or options"):
        run(tmp_path, "--threshold", "0.3")
    draw(tmp_path / "in/f.png")
    with pytest.raises(InputError, match="parts of other images or options"):
        run(tmp_path)


@pytest.mark.parametrize("images", [1, 19, 21, 999, 1001, 4321, 1_000_000])
@pytest.mark.parametrize("workers", [1, 2, 7, 100])
def test_parts_keep_all_workers_busy(images, workers):
    size = cluster.part_size(images, workers)
    parts = -(-images // size)
    assert cluster.SMALLEST <= size <= cluster.LARGEST
    turns = -(-parts // workers)  # of the busiest worker
    assert turns * size <= max(cluster.SMALLEST, images / workers + turns)


def test_a_folder_of_something_else_is_refused(sent, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.png").touch()
    with pytest.raises(InputError, match="take an empty folder"):
        run(tmp_path)
    assert sent == []


@pytest.mark.parametrize("field", command.Options.__dataclass_fields__)
def test_every_option_reaches_the_workers(field):
    others = {"inputs", "cluster", "skip_existing", "pattern", "out", "run", "runs_root", "device"}
    changed = {"paper_way", "overlap", "threshold", "frame", "grey_range", "save_probabilities"}
    assert field in others | changed  # a new one needs a look at cluster._words


def test_the_command_line_takes_a_cluster(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(cluster, "run", lambda *words: asked.append(words))
    from common.prediction import finished_runs

    monkeypatch.setattr(finished_runs, "choose", lambda *words: (tmp_path / "runs/x",))
    words = ["predict", "polyp_unet", str(tmp_path / "a.png"), "--out", str(tmp_path / "o")]
    medseg.main([*words, "--cluster", "3"])
    assert asked[0][0] == "polyp_unet" and asked[0][3] == "3"
