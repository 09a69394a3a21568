"""The scores beside the findings are those of `make brain-table`, of a network just trained too."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common import files
from common.datasets import manifests
from common.errors import InputError
from common.files import PROJECT
from common.training import runs
from reproductions.brain_tumour_mask_rcnn import data, eval, phantom, train
from reproductions.brain_tumour_mask_rcnn.app import facts, page_server, scores, serve
from reproductions.brain_tumour_mask_rcnn.config import PROFILES
from reproductions.brain_tumour_mask_rcnn.detections import Detections

from .conftest import NETWORK, run_folder, stub_command

MODEL = "reproductions.brain_tumour_mask_rcnn.model"
CONFIG = replace(PROFILES["smoke"], encoder_weights="none")


@pytest.mark.parametrize(
    "folder, roots", [("/x/runs/brain/run", ["/x/data"]), ("/runs/run", []), ("/run", [])]
)
def test_a_run_folder_may_lie_anywhere(folder, roots):
    with scores.begin(Path(folder), None) as scoring:
        scoring.kill()
    assert scoring.args[3:] == [folder, *roots, str(PROJECT / "data")]


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    root = tmp_path_factory.mktemp("brain")
    phantom.write(root / "brain_mri", train=2, val=2, test=4, size=64)
    return manifests.find("brain_mri", root)


@pytest.fixture(scope="module")
def samples(data_set):
    parts = data.find(data_set.folder)
    ids = [path.split("/")[1][: -len(".jpg")] for paths in parts.values() for path in paths]
    return data.load(data_set.folder, ids)


@pytest.fixture(scope="module")
def run(data_set, samples, tmp_path_factory):
    """What a training leaves behind. Its network knows every tumour, is not sure enough of those in
    the first test image, and invents one in the second.
    """
    known = {sample.image.tobytes(): sample for sample in samples}
    unsure, inventive = (sample.id for sample in samples[4:6])

    def detect(image, lowest_score):
        sample = known[image.tobytes()]
        masks = sample.masks
        if sample.id == inventive:
            corner = np.zeros((1, *image.shape[:2]), bool)
            corner[0, :2, :2] = True
            masks = np.concatenate([masks, corner])
        boxes = np.array([data.box(mask) for mask in masks], np.float32)
        sure = np.full(len(masks), 0.5 if sample.id == unsure else 0.9, np.float32)
        return Detections(boxes, sure, masks)

    network = types.SimpleNamespace(network=None)
    model = types.SimpleNamespace(build=lambda config: network, Detector=lambda *_: detect)
    root = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, MODEL, model)
        patch.setattr("reproductions.brain_tumour_mask_rcnn.model", model, raising=False)
        patch.setattr("common.training.fit.fit", lambda network, inputs, epochs, folder: None)
        trained = train.trainer.complete(CONFIG, data_set, root / "runs")
    files.write_text(trained.folder / "weights.h5", "")
    return trained


@pytest.fixture(scope="module")
def expected(samples):
    test = samples[4:]
    tumours = [len(sample.masks) for sample in test]
    area = test[1].union.sum()
    dice = (0 + 2 * area / (2 * area + 4) + 1 + 1) / 4
    sensitivity = sum(tumours[1:]) / sum(tumours)
    return facts.Measured(pytest.approx(sensitivity), 0.25, pytest.approx(dice), 4)


def test_a_network_just_trained_has_the_scores_of_its_saved_detections(data_set, run, expected):
    assert not (run.folder / "metrics.csv").exists()
    root = data_set.folder.parent
    assert scores.result(scores.begin(run.folder, root)) == (expected, "")


def test_without_the_data_the_lines_of_its_table_count_or_the_reason_is_given(
    tmp_path, run, data_set, expected
):
    folder = tmp_path / "runs" / eval.paper.name / run.folder.name
    shutil.copytree(run.folder, folder)
    with pytest.raises(InputError, match="none/brain_mri: no such folder"):
        scores.measure(folder, [tmp_path / "none"])
    config = runs.load_config(folder, type(CONFIG))
    lines = eval.paper.per_image([run], config, data_set)
    kept = tmp_path / eval.paper.name / "provenance" / folder.name
    shutil.copytree(folder, kept)
    runs.write_csv(kept / "metrics.csv", lines)
    assert scores.measure(folder, [tmp_path / "none"]) == expected
    # Folders of an earlier version hold such lines themselves.
    shutil.rmtree(kept)
    (folder / "predictions.json").unlink()
    runs.write_csv(folder / "metrics.csv", lines)
    assert scores.measure(folder, []) == expected


def test_other_data_and_damage_are_told_and_give_no_scores(tmp_path, run):
    phantom.write(tmp_path / "brain_mri", train=2, val=2, test=4, size=64, seed=1)
    with pytest.raises(InputError, match="brain_mri: not the data that this network was"):
        scores.measure(run.folder, [tmp_path])
    broken = subprocess.Popen([sys.executable, "-c", "exit(3)"], stdout=subprocess.PIPE)
    assert scores.result(broken) == (None, "their computation has failed (exit code 3)")


def test_tabs_get_the_scores_that_were_computed_while_the_network_was_loaded(
    tmp_path, monkeypatch, capsys
):
    measured, served = NETWORK.measured, []
    monkeypatch.setattr(page_server, "quieten", lambda: None)
    monkeypatch.setattr(
        page_server, "serve", lambda *_: served.append(facts.from_json(os.environ[facts.VARIABLE]))
    )
    for answer in (measured._asdict(), {"reason": "no data"}):
        monkeypatch.setattr(os, "environ", dict(os.environ))
        command = [sys.executable, "-c", f"print({json.dumps(json.dumps(answer))})"]
        scoring = subprocess.Popen(command, stdout=subprocess.PIPE)
        run = run_folder(tmp_path / "run")
        options = serve.Options(port=0)
        serve.serve(NETWORK._replace(measured=None), run, options, stub_command(run), scoring)
    assert [network.measured for network in served] == [measured, None]
    assert capsys.readouterr().out == "scores: not known: no data\n"
