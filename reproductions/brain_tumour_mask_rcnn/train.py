"""Train one Mask R-CNN and keep its detections.

`.venv/bin/python -m reproductions.brain_tumour_mask_rcnn.train --help`
"""

from __future__ import annotations

from pathlib import Path
from typing import List

from common.datasets.manifests import DataSet
from common.errors import InputError
from common.training import settings
from common.training.runs import Run
from common.training.trainer import Split, Trainer
from reproductions.brain_tumour_mask_rcnn import config as configs
from reproductions.brain_tumour_mask_rcnn import data, detections, split
from reproductions.brain_tumour_mask_rcnn.config import DATA_SETS, PROFILES, Config


def check(config: Config) -> None:
    """Raise InputError for settings out of bounds, or that do not fit together."""
    settings.check(config)
    if config.from_scratch and not config.trains_backbone:
        raise InputError(
            "--trained-layers heads: a backbone of random weights has to learn; take all or auto"
        )


def predicted(parts: Split) -> List[str]:
    """Test images, and validation images, on which a confidence is chosen."""
    return [*parts["validation"], *parts["test"]]


def path_of(run: Run, sample_id: str) -> Path:
    """Name the file that keeps the detections in an image."""
    return run.predictions / f"{sample_id}.json"


def train(run: Run, config: Config, data_set: DataSet) -> None:
    """Train on the training images and keep the detections in every validation and test image."""
    parts = split.split(data_set, config.protocol)
    run.save_split(parts)
    training = data.load(data_set.folder, parts["train"])
    others = data.load(data_set.folder, predicted(parts))

    from common.training.fit import fit  # not at the top: Model Garden takes 15 seconds
    from reproductions.brain_tumour_mask_rcnn import model

    network = model.build(config)
    fit(
        network,
        lambda epoch: model.inputs(data.examples(training, config, epoch), config, epoch),
        config.epochs,
        run.folder,
    )
    detector = model.Detector(network.network, config)
    for sample in others:
        found = detector(sample.image, configs.LOWEST_SCORE)
        detections.save(path_of(run, sample.id), found)


trainer = Trainer(train, PROFILES, DATA_SETS, predicted, deterministic_on_gpu=False, checks=check)

if __name__ == "__main__":
    trainer.command_line()
