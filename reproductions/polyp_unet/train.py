"""Train one U-Net on polyps and keep its probability maps.

`.venv/bin/python -m reproductions.polyp_unet.train --help`
"""

from __future__ import annotations

import math
from typing import List

import numpy as np

from common.datasets.manifests import DataSet
from common.metrics import dice
from common.training import predictions
from common.training.runs import Run
from common.training.trainer import Split, Trainer
from reproductions.polyp_unet import config as configs
from reproductions.polyp_unet import data
from reproductions.polyp_unet.config import DATA_SETS, PROFILES, Config


def learning_rate(config: Config, history: List[dict]) -> float:
    """Give the learning rate of the next epoch from the lines of history so far.

    The rules are those of PyTorch's StepLR and, with its default threshold of 1e-4,
    ReduceLROnPlateau.
    """
    rate = config.learning_rate
    if config.optimiser == "adam_step":
        return rate * 0.1 ** (len(history) // config.rate_step)
    lowest, waited = math.inf, 0
    for line in history:
        if line["val_loss"] < lowest * (1 - 1e-4):
            lowest, waited = line["val_loss"], 0
        else:
            waited += 1
        if waited > configs.PATIENCE:
            rate, waited = rate * configs.PLATEAU_FACTOR, 0
    return rate


def predicted(split: Split) -> List[str]:
    """Test images, and validation images, on which the source reports good scores and on which a
    threshold is chosen.
    """
    return [*split["validation"], *split["test"]]


def train(run: Run, config: Config, data_set: DataSet) -> None:
    """Train on the training images and keep a map of every validation and test image."""
    from common.training.fit import fit  # not at the top: they import TensorFlow
    from reproductions.polyp_unet import model

    samples = data.load(data_set, config)
    run.save_split(data.ids_of(samples))
    training = data.inputs(samples["train"], config.input_size)
    validation = data.batches(data.inputs(samples["validation"], config.input_size), config)
    network = model.build(config, foreground=training.masks.mean())
    truth = data.inputs(samples["validation"], config.input_size).masks

    def validate(network):
        pred = network.predict(validation, verbose=0)[..., 0] >= configs.THRESHOLD
        matrices = np.stack([dice.confusion(*pair) for pair in zip(truth, pred)])
        scores = {"val_f1": float(dice.f1(matrices)), "val_iou": float(dice.iou(matrices))}
        return {"val_loss": network.evaluate(validation, verbose=0), **scores}

    fit(
        network,
        lambda epoch: data.batches(training, config, epoch),
        config.epochs,
        run.folder,
        validate=validate,
        rate=lambda history: learning_rate(config, history),
        keep_lowest="val_loss" if config.tests_best_epoch else None,
    )
    for sample in [*samples["validation"], *samples["test"]]:
        probabilities = model.predict(network, [sample.image], config)[0]
        predictions.save_map(run, sample.id, probabilities)


trainer = Trainer(train, PROFILES, DATA_SETS, predicted)

if __name__ == "__main__":
    trainer.command_line()
