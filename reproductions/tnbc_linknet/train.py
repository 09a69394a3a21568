"""Train one LinkNet on TNBC and keep its probability maps: `python -m
reproductions.tnbc_linknet.train --help`.
"""

from __future__ import annotations

from pathlib import Path

from common import cli
from common.datasets import manifests
from common.errors import exits_cleanly
from common.training import cuda, encoders, fit, runs
from reproductions.tnbc_linknet import config as configs
from reproductions.tnbc_linknet import data, metrics, model
from reproductions.tnbc_linknet.config import Config

PAPER = "tnbc_linknet"


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
        split = data.split(data_set.folder, config)
        run.save_split(split)
        run.log_session(
            data=data_set.title, fingerprint=data_set.fingerprint, device=cuda.device_name()
        )
        train_samples, test_samples = (
            data.load(data_set.folder, split[part], config) for part in ("train", "test")
        )

        fit.start(config.seed, config.precision)
        network = model.build(config)
        fit.fit(
            network,
            lambda epoch: data.batches(train_samples, config, epoch),
            config.epochs,
            run.folder,
            config.run_id,
        )
        maps = [model.predict(network, sample.image, config) for sample in test_samples]
        for sample, probabilities in zip(test_samples, maps):
            run.save_prediction(sample.id, probabilities)
        run.save_metrics(metrics.per_image(test_samples, maps))
    return run


@exits_cleanly
def main() -> None:
    """Train from the command line."""
    options = cli.parse_training(Config, configs.PROFILES, f"python -m reproductions.{PAPER}.train")
    cuda.announce()
    run = train(options.config, manifests.find("tnbc", options.data_root), options.runs_root)
    scores = metrics.aggregate(run.load_metrics())
    print(f"{run.folder}: complete")
    print("  ".join(f"{name} {scores[name]:.4f}" for name in ("accuracy", "dsc", "f1", "aji")))


if __name__ == "__main__":
    main()
