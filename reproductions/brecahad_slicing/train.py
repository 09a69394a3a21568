"""Train one network on one set of tiles and score it: `python -m
reproductions.brecahad_slicing.train --help`.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import List

import numpy as np
import pandas

from common import cli
from common.datasets import manifests
from common.errors import exits_cleanly
from common.training import cuda, encoders, fit, runs
from reproductions.brecahad_slicing import config as configs
from reproductions.brecahad_slicing import data, metrics, model
from reproductions.brecahad_slicing.config import Config

PAPER = "brecahad_slicing"


def learning_rate(config: Config, history: List[dict]) -> float:
    """Give the learning rate of the next epoch from the lines of history so far, as Keras' plateau
    callback does.

    Under `published` the test loss is watched, as in the paper; under `corrected` the training loss
    is, so that the test tiles decide nothing.
    """
    watched = "val_loss" if config.protocol == "published" else "loss"
    rate, lowest, waited = config.learning_rate, math.inf, 0
    for line in history:
        if line[watched] < lowest - configs.MIN_DELTA:
            lowest, waited = line[watched], 0
        else:
            waited += 1
        if waited >= config.patience:
            rate, waited = rate * configs.RATE_FACTOR, 0
    return rate


def train(config: Config, data_set: manifests.DataSet, runs_root: Path) -> runs.Run:
    """Bring one run to completion: train or resume, predict all tiles, evaluate. A complete run is
    left alone.

    The probability maps of an image's test tiles are kept together, float32 (tiles, size, size), in
    the split's order.

    Raises:
        InputError: the data or the encoder weights are not usable, or the run folder belongs to
        something else.
    """
    recorded = {
        **runs.as_json(config),
        "encoder_weights": encoders.describe_weights(config.encoder_weights),
    }
    recorded["data"] = data_set.fingerprint
    run = runs.Run(runs_root / PAPER / f"{data_set.name}-{config.run_id}", recorded)
    if run.complete:
        return run
    with run.locked():
        samples = data.load(data_set, config)
        split = data.split(samples, config)
        run.save_split({part: [tile.id for tile in tiles] for part, tiles in split.items()})
        run.log_session(
            data=data_set.title, fingerprint=data_set.fingerprint, device=cuda.device_name()
        )

        fit.start(config.seed, config.precision)
        network = model.build(config)
        weights = data.class_weights(split["train"], config)
        validate = None
        if config.protocol == "published":
            watched = data.batches(samples, split["test"], weights, config)
            validate = lambda network: {"val_loss": network.evaluate(watched, verbose=0)}  # noqa: E731
        fit.fit(
            network,
            lambda epoch: data.batches(samples, split["train"], weights, config, epoch),
            config.epochs,
            run.folder,
            config.run_id,
            validate,
            rate=lambda history: learning_rate(config, history),
        )
        predicted = model.predict(network, samples, [*split["train"], *split["test"]], config)
        scores = [
            metrics.per_tile(
                "train", samples, itertools.islice(predicted, len(split["train"])), config
            )
        ]
        for number, pairs in itertools.groupby(predicted, lambda pair: pair[0].number):
            pairs = list(pairs)
            run.save_prediction(
                samples[number].id, np.stack([probability for _, probability in pairs])
            )
            scores.append(metrics.per_tile("test", samples, pairs, config))
        run.save_metrics(pandas.concat(scores))
    return run


@exits_cleanly
def main() -> None:
    """Train from the command line."""
    options = cli.parse_training(Config, configs.PROFILES, f"python -m reproductions.{PAPER}.train")
    cuda.announce()
    run = train(options.config, data.find(options.data_root), options.runs_root)
    scores = metrics.aggregate(run.load_metrics())
    print(f"{run.folder}: complete")
    print(
        "  ".join(
            f"{name} {scores[name]:.4f}"
            for name in ("train_dice", "test_dice", "test_iou", "nuclei_f1")
        )
    )


if __name__ == "__main__":
    main()
