"""Results of Mask R-CNN on the brain MR images.

`.venv/bin/python -m reproductions.brain_tumour_mask_rcnn.eval --help`
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, List, Optional, Sequence

from common.cli import Request
from common.datasets.manifests import DataSet
from common.results.experiment import Count, Page, Paper, Row
from common.training import weights_files
from reproductions.brain_tumour_mask_rcnn import data, duplicates, metrics, overlays
from reproductions.brain_tumour_mask_rcnn import split as splitting
from reproductions.brain_tumour_mask_rcnn.config import PROFILES, Config
from reproductions.brain_tumour_mask_rcnn.train import trainer

ROW = "mask_rcnn"


def differences(config: Config, data_set: DataSet) -> Sequence[str]:
    """Say what else keeps a run from being held against the source."""
    if config.protocol == "corrected":
        return ("training images that show a validation or test tumour again are left out",)
    return ()


def test_set_is_given(config: Config, data_set: DataSet) -> bool:
    """The data come divided."""
    return True


paper = Paper(
    trainer,
    metrics.scores,
    metrics.aggregate,
    differences,
    test_set_is_given=test_set_is_given,
    whole=metrics.precision_of_all,
)


@paper.table
def table(request: Request) -> List[Row]:
    """Mask R-CNN on brain MR images: train what is missing, evaluate; the source has no scores."""
    weights = request.weights_for(PROFILES[request.profile].encoder)
    layout = weights_layout(weights) if weights else "keras"
    return [Row(ROW, fixed={"weights_layout": layout})]


@paper.leakage
def leakage(request: Request) -> List[Row]:
    """What tumours shared by training and test are worth: both protocols, not paired."""
    return table(request)


@paper.counts()
def splits(request: Request, data_set: Optional[DataSet]) -> Iterator[Count]:
    """Count images and polygons, and the tumours that parts of the split share; no training."""
    from reproductions.brain_tumour_mask_rcnn import model  # Model Garden takes 15 seconds

    assert data_set is not None
    size = model.size(PROFILES["paper"]) / 2**20
    other = ("Model Garden's network has a convolution and BatchNorms that Matterport's has not",)
    for protocol in request.protocols:
        yield from _counts(data_set, protocol)
        yield Count(ROW, "weights_size", size, other, protocol)


@paper.figure(table)
def figure(page: Page) -> None:
    """All test images with the tumours found, and sensitivity by false positives."""
    trained = page.rows[0]
    test = data.load(page.data_set.folder, trained.runs[0].split["test"])
    found = metrics.load_detections(trained.runs[0], test)
    overlays.sheet(page.path, test, found, trained.config.min_score, page.title)
    curve = metrics.curve(test, found)
    name = page.path.name.replace("figure", "froc", 1)
    overlays.free_response(page.path.with_name(name), curve, trained.config.min_score, page.title)


def weights_layout(encoder_weights: str) -> str:
    """Tell a file of Matterport's whole network from one of a Keras backbone, by the pyramid in
    it.
    """
    # No file, or a damaged one, is named where the network is built.
    theirs = encoder_weights == "coco" or weights_files.is_matterport(Path(encoder_weights))
    return "matterport" if theirs else "keras"


def _counts(data_set: DataSet, protocol: str) -> Iterator[Count]:
    """Count what needs no training, for one protocol."""
    left_out = differences(Config(protocol=protocol), data_set)  # type: ignore[arg-type]
    parts = splitting.split(data_set, protocol)
    samples = {part: data.load(data_set.folder, ids) for part, ids in parts.items()}
    everything = [sample for part in samples.values() for sample in part]
    used = {part: parts[part] for part in data.PARTS}
    shared = set()
    for group in duplicates.across(duplicates.find(everything), used):
        shared.update(group)
    for part, members in samples.items():
        row = data.PARTS.get(part, part)
        polygons = sum(len(sample.masks) for sample in members)
        yield Count(row, "images", len(members), tuple(left_out), protocol)
        yield Count(row, "polygons", polygons, tuple(left_out), protocol)
        if part in used:
            common = len(shared & set(parts[part]))
            yield Count(
                row, "images_with_a_tumour_of_another_part", common, tuple(left_out), protocol
            )


if __name__ == "__main__":
    paper.command_line()
