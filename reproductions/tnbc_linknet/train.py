"""Train one LinkNet on TNBC and keep its probability maps.

`.venv/bin/python -m reproductions.tnbc_linknet.train --help`
"""

from __future__ import annotations

from common.datasets.manifests import DataSet
from common.training import predictions
from common.training.runs import Run
from common.training.trainer import Trainer
from reproductions.tnbc_linknet import data
from reproductions.tnbc_linknet.config import DATA_SETS, PROFILES, Config


def train(run: Run, config: Config, data_set: DataSet) -> None:
    """Train on the augmented training images and keep a map of every test image."""
    from common.training.fit import fit  # not at the top: they import TensorFlow
    from reproductions.tnbc_linknet import model

    split = data.split(data_set.folder, config)
    run.save_split(split)
    train_samples = data.load(data_set.folder, split["train"], config)
    test_samples = data.load(data_set.folder, split["test"], config)
    network = model.build(config)
    best_test = config.tested_epoch == "best_test"

    def test_loss(network):
        return {"test_loss": network.evaluate(data.whole(test_samples, config), verbose=0)}

    fit(
        network,
        lambda epoch: data.batches(train_samples, config, epoch),
        config.epochs,
        run.folder,
        validate=test_loss if best_test else None,
        keep_lowest="test_loss" if best_test else None,
    )
    for sample in test_samples:
        probabilities = model.predict(network, sample.image, config)
        predictions.save_map(run, sample.id, probabilities, exact=True)  # for the ensemble


trainer = Trainer(train, PROFILES, DATA_SETS)

if __name__ == "__main__":
    trainer.command_line()
