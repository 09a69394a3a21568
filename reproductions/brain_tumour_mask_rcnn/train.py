"""Train one Mask R-CNN and keep what it finds: `python -m
reproductions.brain_tumour_mask_rcnn.train --help`.
"""

from __future__ import annotations

from pathlib import Path
from typing import List

from common import cli
from common.datasets import manifests
from common.errors import InputError, exits_cleanly
from common.training import cuda, encoders, fit, runs
from reproductions.brain_tumour_mask_rcnn import config as configs
from reproductions.brain_tumour_mask_rcnn import data, detections, metrics, parts
from reproductions.brain_tumour_mask_rcnn.config import Config
from reproductions.brain_tumour_mask_rcnn.detections import Detections

PAPER = "brain_tumour_mask_rcnn"


def train(config: Config, data_set: manifests.DataSet, runs_root: Path) -> runs.Run:
    """Bring one run to completion: train or resume, detect, evaluate. A complete run is left alone.

    Raises:
        InputError: the data or the weights are not usable, or the run folder belongs to something
        else.
    """
    if config.from_scratch and not config.trains_backbone:
        raise InputError(
            "--trained-layers heads: a backbone of random weights has to learn; take all or auto"
        )
    if config.input_size % 64:
        raise InputError(
            f"--input-size {config.input_size}: expected a multiple of 64, for six halvings"
        )
    recorded = {
        **runs.as_json(config),
        "encoder_weights": encoders.describe_weights(config.encoder_weights),
    }
    run = runs.Run(runs_root / PAPER / config.run_id, {**recorded, "data": data_set.fingerprint})
    if run.complete:
        return run
    with run.locked():
        split = parts.split(data_set, config.protocol)
        run.save_split(split)
        run.log_session(
            data=data_set.title, fingerprint=data_set.fingerprint, device=cuda.device_name()
        )
        seen, watched, tested = (data.load(data_set.folder, split[part]) for part in data.PARTS)

        from reproductions.brain_tumour_mask_rcnn import (
            model,
        )  # not at the top: Model Garden takes 15 seconds

        fit.start(config.seed, config.precision, deterministic_on_gpu=False)
        network = model.build(config)
        fit.fit(
            network,
            lambda epoch: model.inputs(data.examples(seen, config, epoch), config, epoch),
            config.epochs,
            run.folder,
            config.run_id,
        )
        detector = model.Detector(network.network, config)
        for sample in [*watched, *tested]:
            detections.save(path_of(run, sample.id), detector(sample.image, configs.LOWEST_SCORE))
        run.save_metrics(metrics.per_image(tested, found(run, tested), config.min_score))
    return run


def path_of(run: runs.Run, sample_id: str) -> Path:
    """Name the file that keeps the detections in an image."""
    return run.folder / "predictions" / f"{sample_id}.json"


def found(run: runs.Run, samples: List[data.Sample]) -> List[Detections]:
    """Read what a finished run has detected in these samples."""
    return [detections.load(path_of(run, sample.id)) for sample in samples]


def scores(run: runs.Run, data_set: manifests.DataSet, config: Config) -> dict:
    """Summarise a finished run over its test images."""
    watched, tested = (
        data.load(data_set.folder, run.split[part]) for part in ("validation", "test")
    )
    chosen = metrics.best_score(watched, found(run, watched))
    return metrics.aggregate(tested, found(run, tested), config.min_score, chosen)


@exits_cleanly
def main() -> None:
    """Train from the command line."""
    options = cli.parse_training(Config, configs.PROFILES, f"python -m reproductions.{PAPER}.train")
    cuda.announce()
    data_set = manifests.find("brain_mri", options.data_root)
    run = train(options.config, data_set, options.runs_root)
    values = scores(run, data_set, options.config)
    print(f"{run.folder}: complete")
    print(
        "  ".join(
            f"{name} {values[name]:.4f}"
            for name in ("box_ap50", "mask_ap50", "dice", "sensitivity")
        )
    )


if __name__ == "__main__":
    main()
