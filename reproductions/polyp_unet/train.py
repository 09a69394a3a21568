"""Train one U-Net on polyps and keep its probability maps: `python -m
reproductions.polyp_unet.train --help`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import List

from common import cli
from common.datasets import manifests
from common.errors import exits_cleanly
from common.training import cuda, fit, runs
from reproductions.polyp_unet import config as configs
from reproductions.polyp_unet import data, metrics, model
from reproductions.polyp_unet.config import Config

PAPER = "polyp_unet"


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


def train(config: Config, data_set: manifests.DataSet, runs_root: Path) -> runs.Run:
    """Bring one run to completion: train or resume, predict the test images, evaluate. A complete
    run is left alone.

    Raises:
        InputError: the data are not usable, or the run folder belongs to something else.
    """
    # Tables name the weights that a network started from; there are none for these.
    recorded = {**runs.as_json(config), "encoder_weights": "none", "data": data_set.fingerprint}
    run = runs.Run(runs_root / PAPER / f"{data_set.name}-{config.run_id}", recorded)
    if run.complete:
        return run
    with run.locked():
        samples = data.load(data_set, config)
        run.save_split({part: [sample.id for sample in samples[part]] for part in samples})
        run.log_session(
            data=data_set.title, fingerprint=data_set.fingerprint, device=cuda.device_name()
        )
        seen, watched = (
            data.inputs(samples[part], config.input_size) for part in ("train", "validation")
        )

        fit.start(config.seed, config.precision)
        network = model.build(config, foreground=seen.masks.mean())
        validation = data.batches(watched, config)
        fit.fit(
            network,
            lambda epoch: data.batches(seen, config, epoch),
            config.epochs,
            run.folder,
            config.run_id,
            validate=lambda network: {"val_loss": network.evaluate(validation, verbose=0)},
            rate=lambda history: learning_rate(config, history),
            keep_lowest="val_loss" if config.protocol == "corrected" else None,
        )
        maps = {
            part: model.predict(network, [sample.image for sample in samples[part]], config)
            for part in ("validation", "test")
        }
        threshold = metrics.best_threshold(samples["validation"], maps["validation"])
        for sample, probabilities in zip(samples["test"], maps["test"]):
            run.save_prediction(sample.id, probabilities)
        run.save_metrics(metrics.per_image(samples["test"], maps["test"], threshold))
    return run


@exits_cleanly
def main() -> None:
    """Train from the command line."""
    options = cli.parse_training(Config, configs.PROFILES, f"python -m reproductions.{PAPER}.train")
    cuda.announce()
    run = train(options.config, data.find(options.data_root), options.runs_root)
    scores = metrics.aggregate(run.load_metrics(), options.config)
    print(f"{run.folder}: complete")
    print(
        "  ".join(
            f"{name} {scores[name]:.4f}"
            for name in ("f1", "iou", "accuracy", "precision", "recall")
        )
    )


if __name__ == "__main__":
    main()
