"""Train one network on one set of tiles and keep its probability maps.

`.venv/bin/python -m reproductions.brecahad_slicing.train --help`
"""

from __future__ import annotations

import itertools
import math
from typing import List

import numpy as np

from common.datasets.manifests import DataSet
from common.training import predictions
from common.training.runs import Run
from common.training.trainer import Split, Trainer
from reproductions.brecahad_slicing import config as configs
from reproductions.brecahad_slicing import data
from reproductions.brecahad_slicing.config import DATA_SETS, PROFILES, Config


def learning_rate(config: Config, history: List[dict]) -> float:
    """Give the learning rate of the next epoch from the lines of history so far, as Keras' plateau
    callback does.

    Under `published` it follows the test loss, as in the paper; under `corrected` the training
    loss, so that the test tiles decide nothing.
    """
    followed = "val_loss" if config.protocol == "published" else "loss"
    rate, lowest, waited = config.learning_rate, math.inf, 0
    for line in history:
        if line[followed] < lowest - configs.MIN_DELTA:
            lowest, waited = line[followed], 0
        else:
            waited += 1
        if waited >= config.patience:
            rate, waited = rate * configs.RATE_FACTOR, 0
    return rate


def image_of(tile_id: str) -> str:
    """The image that a tile is cut from: "Case_10-07" of "Case_10-07_256_128"."""
    return tile_id.rsplit("_", 2)[0]


def predicted(split: Split) -> List[str]:
    """A stack of maps for each image's tiles of each part, training tiles included: the paper
    prints scores on both.
    """
    stacks = {f"{part}/{image_of(tile)}": None for part in split for tile in split[part]}
    return list(stacks)


def train(run: Run, config: Config, data_set: DataSet) -> None:
    """Train on the training tiles and keep the maps of all tiles, stacked by part and image in the
    order of the split.
    """
    from common.training.fit import fit  # not at the top: they import TensorFlow
    from reproductions.brecahad_slicing import model

    samples = data.load(data_set, config)
    split = data.split(samples, config)
    run.save_split(data.tile_ids(split))
    network = model.build(config)
    weights = data.class_weights(split["train"], config)
    validate = None
    if config.protocol == "published":
        test_tiles = data.batches(samples, split["test"], weights, config)

        def validate(network):
            return {"val_loss": network.evaluate(test_tiles, verbose=0)}

    fit(
        network,
        lambda epoch: data.batches(samples, split["train"], weights, config, epoch),
        config.epochs,
        run.folder,
        validate=validate,
        rate=lambda history: learning_rate(config, history),
    )
    for part, tiles in split.items():
        maps = model.predict(network, samples, tiles, config)
        for number, pairs in itertools.groupby(maps, lambda pair: pair[0].number):
            stack = np.stack([probabilities for _, probabilities in pairs])
            predictions.save_map(run, f"{part}/{samples[number].id}", stack)


trainer = Trainer(train, PROFILES, DATA_SETS, predicted)

if __name__ == "__main__":
    trainer.command_line()
