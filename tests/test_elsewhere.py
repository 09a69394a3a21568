"""Colab, containers and Slurm, as far as a machine without them can tell."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nbclient
import nbformat
import pytest

from common.files import PROJECT
from reproductions.tnbc_linknet import phantom
from tools import slurm

NOTEBOOK = PROJECT / "docs/colab.ipynb"
# The set-up has been done: that of here stands in for it, and is not to be touched.
STAND_IN = f"""
made = Path(".venv")
made.mkdir()
for path in Path({str(PROJECT / ".venv")!r}).iterdir():
    if not path.name.startswith(".ready"):
        (made / path.name).symlink_to(path)
for stamp in (".ready", ".ready-gpu"):
    (made / stamp).touch()
"""


@pytest.mark.slow
def test_the_notebook_runs_from_a_clone_to_the_table(tmp_path, monkeypatch):
    """Every cell, that of the clone twice, as after an interruption. The table is one without
    training, but with EXPLORE=1.
    """
    phantom.write(tmp_path / "data/tnbc", patients=6, images_per_patient=1, size=64)
    options = f"PROFILE=smoke PROTOCOL=published ENCODER_WEIGHTS=none DATA_ROOT={tmp_path}/data"
    monkeypatch.setenv("MEDSEG_OPTIONS", options)
    trained = bool(os.environ.get("EXPLORE"))
    monkeypatch.setenv("MEDSEG_TABLE", "tnbc-table1" if trained else "tnbc-dataset")
    monkeypatch.setenv("MEDSEG_REPOSITORY", str(PROJECT))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    stamp_of = (PROJECT / ".venv/bin/medseg").stat().st_mtime
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    clones = next(n for n, cell in enumerate(notebook.cells) if "git clone" in cell.source)
    stand_in = nbformat.v4.new_code_cell(f"from pathlib import Path\n{STAND_IN}")
    again = nbformat.v4.new_code_cell(notebook.cells[clones].source)
    notebook.cells[clones + 1 : clones + 1] = [stand_in, again]
    nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert (PROJECT / ".venv/bin/medseg").stat().st_mtime == stamp_of
    shown = notebook.cells[-1].outputs[-1].data["text/plain"]
    assert ("resnext50" if trained else "nuclei") in shown and "not comparable" in shown
    assert not (tmp_path / "medseg/medseg").exists()


def test_the_notebook_is_kept_without_outputs():
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert '"outputs": []' in text and '"execution_count": null' in text
    assert 'execution_count": 1' not in text


def test_the_container_is_made_by_the_set_up_and_of_what_is_tracked():
    text = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    assert "FROM python:3.10-slim" in text and "RUN make setup GPU=$GPU" in text
    copied = re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE)
    for name in " ".join(copied).split():
        assert (PROJECT / name).exists()
    left_out = (PROJECT / ".dockerignore").read_text().split()
    ignored = [line.strip("/") for line in (PROJECT / ".gitignore").read_text().split()]
    for name in ("data", "runs", ".venv", "bundle", "deposit", "results/demo"):
        assert name in left_out and name in ignored


def test_the_first_layer_of_the_container_needs_no_more_than_it_copies(tmp_path):
    (tmp_path / "Makefile").write_bytes((PROJECT / "Makefile").read_bytes())
    (tmp_path / "requirements").symlink_to(PROJECT / "requirements")
    words = ["make", "--dry-run", "setup", "GPU=0"]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0 and "requirements/setup.sh" in ended.stdout


class Cluster:
    """What dask-jobqueue would be asked for."""

    scheduler_address = "tcp://10.0.0.1:8786"

    def __init__(self, **settings):
        Cluster.settings = settings

    def adapt(self, **limits):
        Cluster.settings.update(limits)


def run(monkeypatch, *words):
    module = ModuleType("dask_jobqueue")
    module.SLURMCluster = Cluster
    monkeypatch.setitem(sys.modules, "dask_jobqueue", module)
    monkeypatch.setattr(sys, "argv", ["slurm", *words])

    def stop(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(slurm.time, "sleep", stop)
    with pytest.raises(SystemExit) as stopped:
        slurm.main()
    return stopped.value.code


def test_slurm_gets_one_gpu_a_worker_and_the_address_is_printed(monkeypatch, capsys):
    assert run(monkeypatch, "--queue", "gpu", "--account", "ward", "--hours", "6") == 130
    assert capsys.readouterr().out == "CLUSTER=tcp://10.0.0.1:8786\n"
    asked = Cluster.settings
    assert (asked["queue"], asked["account"], asked["walltime"]) == ("gpu", "ward", "06:00:00")
    assert asked["job_extra_directives"] == ["--gres=gpu:1"] and asked["maximum_jobs"] == 18
    assert asked["worker_extra_args"][:2] == ["--resources", "GPU=1"]
    assert "5h" in asked["worker_extra_args"]
    assert Path(asked["python"]) == Path(os.path.abspath(".venv/bin/python"))


def test_slurm_without_gpus_asks_for_none(monkeypatch):
    run(monkeypatch, "--queue", "cpu", "--gpus", "0")
    assert Cluster.settings["job_extra_directives"] == []
    assert "GPU=1" not in Cluster.settings["worker_extra_args"]


def test_slurm_without_its_package_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    monkeypatch.setattr(sys, "argv", ["slurm", "--queue", "gpu"])
    with pytest.raises(SystemExit) as stopped:
        slurm.main()
    assert stopped.value.code == 2 and "pip install" in capsys.readouterr().err
