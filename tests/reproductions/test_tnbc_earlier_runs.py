"""Run folders of earlier versions: their config.json lacks fields, the finished ones hold float
maps.
"""

import json
from dataclasses import fields

import numpy as np
import pandas
import pytest

from common import files
from common.cli import Request
from common.datasets import manifests
from common.errors import InputError
from common.metrics import dice
from common.training import fit, predictions, runs
from reproductions.tnbc_linknet import data, eval
from reproductions.tnbc_linknet.config import PROFILES, Config
from reproductions.tnbc_linknet.train import trainer

# config.json of a smoke run as it was written before `crop_axes`, `input_scaling` and
# `tested_epoch` became settings. Only the fingerprint of the data is filled in.
CONFIG = """\
{
  "encoder": "ENCODER",
  "protocol": "published",
  "profile": "smoke",
  "seed": 0,
  "encoder_weights": "none",
  "precision": "float32",
  "test_fraction": 0.2,
  "clahe_clip_limit": 2.0,
  "clahe_tile_grid": [
    8,
    8
  ],
  "clahe_colour_space": "lab",
  "augmentation": "copies",
  "smallest_crop": 0.5,
  "input_size": 64,
  "epochs": 2,
  "learning_rate": 0.001,
  "batch_size": 4,
  "loss": "bce_dice",
  "data": "FINGERPRINT"
}
"""
SMOKE = {
    encoder: Config(**{**vars(PROFILES["smoke"]), "encoder": encoder, "encoder_weights": "none"})
    for encoder in ("resnext50", "vgg19", "vgg16")
}


@pytest.fixture(scope="module")
def data_set(phantom_root):
    return manifests.find("tnbc", phantom_root)


def begin(runs_root, encoder, data_set):
    """Write the config.json of an earlier version into a run folder."""
    folder = runs_root / "tnbc_linknet" / f"{encoder}-none-published-smoke-float32-seed0"
    text = CONFIG.replace("ENCODER", encoder).replace("FINGERPRINT", data_set.fingerprint)
    files.write_text(folder / "config.json", text)
    return folder


def finish(folder, data_set, seed):
    """Complete a run as earlier versions did: float maps of the test images, then metrics.csv."""
    split = data.split(data_set.folder, SMOKE["vgg19"])
    files.write_json(folder / "split.json", split)
    files.write_json(folder / "environment.json", {"sessions": [{"commit": "ae69f664f97e"}]})
    files.write_text(folder / "history.csv", "epoch,learning_rate,loss\n1,0.001,1\n2,0.001,0.9\n")
    maps = np.random.default_rng(seed).random((len(split["test"]), 64, 64), np.float32)
    (folder / "predictions").mkdir()
    for image_id, probabilities in zip(split["test"], maps):
        np.save(folder / "predictions" / f"{image_id}.npy", probabilities)
    lines = "".join(f"{image_id},0.5\n" for image_id in split["test"])
    files.write_text(folder / "metrics.csv", f"id,dsc\n{lines}")
    return dict(zip(split["test"], maps))


def test_the_fields_that_earlier_versions_lacked_have_the_value_that_they_acted_by(
    tmp_path, data_set
):
    begin(tmp_path, "vgg16", data_set)
    run = trainer.open(SMOKE["vgg16"], data_set, tmp_path)
    assert not run.complete
    later = {one.name for one in fields(Config)} - set(json.loads(CONFIG))
    assert {"crop_axes", "input_scaling", "tested_epoch"} <= later
    assert (Config.crop_axes, Config.input_scaling, Config.tested_epoch) == (
        "same",
        "encoder",
        "last",
    )
    assert runs.load_config(run.folder, Config) == SMOKE["vgg16"]
    changed = Config(**{**vars(SMOKE["vgg16"]), "input_scaling": "unit"})
    defaults = vars(Config())
    with pytest.raises(InputError, match="input_scaling: 'encoder' there, 'unit' asked for"):
        runs.Run(run.folder, {**vars(changed), "data": data_set.fingerprint}, defaults)


def test_finished_runs_of_an_earlier_version_are_scored_from_their_maps(
    tmp_path, phantom_root, data_set, capsys
):
    root = tmp_path / "demo/runs"
    folders = [begin(root, encoder, data_set) for encoder in ("resnext50", "vgg19")]
    maps = [finish(folder, data_set, seed) for seed, folder in enumerate(folders)]
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    request = Request(
        data_root=phantom_root,
        profile="smoke",
        protocol="published",
        encoder_weights="none",
        results_root=tmp_path,
    )
    eval.paper.targets["table1"].run(request)
    table = pandas.read_csv(tmp_path / "demo/tnbc_linknet/table1.csv")
    means = table.set_index(["row", "metric"])["mean"]

    samples = data.load(data_set.folder, list(maps[0]), SMOKE["vgg19"])
    for row, members in (("resnext50", maps[:1]), ("vgg19", maps[1:]), ("ensemble", maps)):
        matrices = []
        for sample in samples:
            vote = sum(member[sample.id].astype(np.float64) for member in members) / len(members)
            matrices.append(dice.confusion(sample.mask, vote >= 0.5))
        assert means[row, "f1"] == pytest.approx(
            dice.f1(np.stack(matrices), reduction="pooled"), abs=1e-6
        )
    # Nothing in the run folders was written anew.
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert after == before


class Stopped(BaseException):
    """What interrupts a training here."""


@pytest.mark.slow
def test_a_run_begun_by_an_earlier_version_is_resumed_and_complete(
    tmp_path, data_set, monkeypatch, capsys
):
    def save_and_stop(*arguments):
        save(*arguments)
        raise Stopped

    save = fit._save
    with monkeypatch.context() as interrupted, pytest.raises(Stopped):
        interrupted.setattr(fit, "_save", save_and_stop)
        trainer.complete(SMOKE["vgg16"], data_set, tmp_path)
    folder = begin(tmp_path, "vgg16", data_set)
    assert [path.name for path in folder.glob("state/*")] == ["epoch_00001"]
    # It was killed while it predicted, once before: what it left must not stand in the way.
    (folder / "predictions").mkdir()
    np.save(folder / "predictions/99_9.npy", np.zeros((64, 64), np.float32))

    before = (folder / "config.json").read_bytes()
    run = trainer.complete(SMOKE["vgg16"], data_set, tmp_path)
    assert "resuming after epoch 1 of 2" in capsys.readouterr().out
    assert run.complete and not run.of_earlier_version
    assert (folder / "config.json").read_bytes() == before
    assert len(pandas.read_csv(folder / "history.csv")) == 2
    run.check_predictions(run.split["test"])
    for image_id in run.split["test"]:
        assert predictions.load_map(run, image_id).shape == (64, 64)
