"""Images divided among workers: which commands are sent, and what is joined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import InputError
from common.prediction import cluster, command
from reproductions import command as medseg


@pytest.fixture
def sent(monkeypatch, tmp_path):
    """Five images, two a part; gives the jobs that would go to a cluster, which "predicts" them."""
    jobs = []

    def finish(found, where):
        assert where == "2"
        jobs[:] = found
        for job in found:
            job.folder.mkdir(exist_ok=True)
            listed = Path(job.words[4]).read_text().split()
            lines = "".join(f"{Path(one).stem},1\n" for one in listed)
            (job.folder / "images.csv").write_text(f"name,objects\n{lines}")

    monkeypatch.setattr(cluster.dask_backend, "finish", finish)
    monkeypatch.setattr(cluster, "PER_JOB", 2)
    (tmp_path / "in").mkdir()
    for name in "abcde":
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "in" / f"{name}.png")
    return jobs


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


def test_again_goes_on_and_other_images_are_refused(sent, tmp_path):
    run(tmp_path)
    run(tmp_path)
    (tmp_path / "in/f.png").write_bytes((tmp_path / "in/a.png").read_bytes())
    with pytest.raises(InputError, match="parts of other images"):
        run(tmp_path)


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
