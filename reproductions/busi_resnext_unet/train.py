"""Train one U-Net on BUSI and keep its probability maps: `python -m
reproductions.busi_resnext_unet.train --help`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict

import numpy as np

from common import cli
from common.datasets import manifests
from common.errors import exits_cleanly
from common.training import cuda, encoders, fit, runs
from reproductions.busi_resnext_unet import config as configs
from reproductions.busi_resnext_unet import data, metrics, model
from reproductions.busi_resnext_unet.config import Config

PAPER = "busi_resnext_unet"


def train(config: Config, data_set: manifests.DataSet, runs_root: Path) -> runs.Run:
    """Bring one run to completion: train or resume, predict the test images, evaluate. A complete
    run is left alone.

    Raises:
        InputError: the data or the encoder weights are not usable, or the run folder belongs to
        something else.
    """
    recorded = {
        **runs.as_json(config),
        "encoder_weights": encoders.describe_weights(config.encoder_weights),
    }
    run = runs.Run(runs_root / PAPER / config.run_id, {**recorded, "data": data_set.fingerprint})
    if run.complete:
        return run
    with run.locked():
        split = data.split(data_set, config)
        run.save_split(split)
        run.log_session(
            data=data_set.title, fingerprint=data_set.fingerprint, device=cuda.device_name()
        )
        seen, watched = (
            data.cut(data.load(data_set.folder, split[part]), config.input_size)
            for part in ("train", "validation")
        )

        fit.start(config.seed, config.precision)
        network = model.build(config)
        validation = data.batches(watched, config, epoch=0)

        def validate(network) -> Dict[str, float]:
            scores = network.evaluate(validation, verbose=0, return_dict=True)
            return {f"val_{name}": value for name, value in scores.items()}

        fit.fit(
            network,
            lambda epoch: data.batches(seen, config, epoch),
            config.epochs,
            run.folder,
            config.run_id,
            validate,
        )
        samples = data.load(data_set.folder, split["test"])
        predict = model.on_patches(network, config)
        merged, blended = [], []
        for sample in samples:
            probabilities = model.side_by_side(sample.image, predict)
            run.save_prediction(sample.id, probabilities)
            merged.append(probabilities.argmax(axis=-1).astype(np.uint8))
            blended.append(
                model.overlapping(sample.image, predict).argmax(axis=-1).astype(np.uint8)
            )
        run.save_metrics(metrics.per_image(samples, merged, blended))
    return run


@exits_cleanly
def main() -> None:
    """Train from the command line."""
    options = cli.parse_training(Config, configs.PROFILES, f"python -m reproductions.{PAPER}.train")
    cuda.announce()
    run = train(options.config, manifests.find("busi", options.data_root), options.runs_root)
    scores = metrics.aggregate(run.load_metrics())
    print(f"{run.folder}: complete")
    print(
        "  ".join(
            f"{name} {scores[name]:.2f}"
            for name in ("accuracy", "iou_mean", "dice", "iou_mean_pooled")
        )
    )


if __name__ == "__main__":
    main()
