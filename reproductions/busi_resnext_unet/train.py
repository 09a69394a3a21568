"""Train one U-Net on BUSI and keep its class maps.

`.venv/bin/python -m reproductions.busi_resnext_unet.train --help`
"""

from __future__ import annotations

from typing import Dict, List

from common.datasets.manifests import DataSet
from common.training import predictions
from common.training.runs import Run
from common.training.trainer import Split, Trainer
from reproductions.busi_resnext_unet import data
from reproductions.busi_resnext_unet.config import DATA_SETS, PROFILES, Config
from reproductions.busi_resnext_unet.metrics import BLENDED, MERGED


def predicted(split: Split) -> List[str]:
    """Every test image is predicted twice: patches side by side (the paper's) and blended."""
    return [f"{kind}/{image_id}" for kind in (MERGED, BLENDED) for image_id in split["test"]]


def train(run: Run, config: Config, data_set: DataSet) -> None:
    """Train on the training patches and keep class maps of every test image."""
    from common.training.fit import fit  # not at the top: they import TensorFlow
    from reproductions.busi_resnext_unet import model

    split = data.split(data_set, config)
    run.save_split(split)
    train_patches = data.cut(data.load(data_set.folder, split["train"]), config.input_size)
    validation_patches = data.cut(
        data.load(data_set.folder, split["validation"]), config.input_size
    )
    network = model.build(config)
    validation = data.batches(validation_patches, config, epoch=0)

    def validate(network) -> Dict[str, float]:
        scores = network.evaluate(validation, verbose=0, return_dict=True)
        return {f"val_{name}": value for name, value in scores.items()}

    fit(
        network,
        lambda epoch: data.batches(train_patches, config, epoch),
        config.epochs,
        run.folder,
        validate=validate,
        keep_lowest="val_loss" if config.tested_epoch == "best_validation" else None,
    )
    predict = model.on_patches(network, config)
    for sample in data.load(data_set.folder, split["test"]):
        merged = model.side_by_side(sample.image, predict)
        predictions.require_finite(run, sample.id, merged)
        blended = model.overlapping(sample.image, predict)
        predictions.save_classes(run, f"{MERGED}/{sample.id}", merged.argmax(axis=-1))
        predictions.save_classes(run, f"{BLENDED}/{sample.id}", blended.argmax(axis=-1))


trainer = Trainer(train, PROFILES, DATA_SETS, predicted)

if __name__ == "__main__":
    trainer.command_line()
