"""Find tumours in images, for one who calls this module:
`.venv/bin/python -m reproductions.brain_tumour_mask_rcnn.predict IMAGE… --run RUN --out DIR`.

Beside each mask (0, or 255 on a tumour) there is an overlay: the image with boxes and tinted
tumours; both are PNG. An image that cannot be read is named, and the others are predicted all the
same. For research and teaching, not for clinical use.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Tuple

import tyro

from common.errors import InputError, exits_cleanly
from common.imaging import limits, reading, writing
from common.imaging.listing import result_name, shown
from common.training import cuda, runs
from reproductions.brain_tumour_mask_rcnn import overlays
from reproductions.brain_tumour_mask_rcnn.app import run_folders, wording
from reproductions.brain_tumour_mask_rcnn.app.views import Views
from reproductions.brain_tumour_mask_rcnn.detections import Detections
from reproductions.brain_tumour_mask_rcnn.train import trainer

if TYPE_CHECKING:
    from reproductions.brain_tumour_mask_rcnn.model import Detector


@dataclass(frozen=True)
class Options:
    """Find and outline tumours in brain MR images."""

    images: tyro.conf.Positional[Tuple[Path, ...]]
    """Files of the formats in common/imaging/formats.py."""
    run: Path
    """Folder of a finished training, runs/brain_tumour_mask_rcnn/…"""
    out: Path
    """Folder for NAME_mask.png and NAME_overlay.png; made if need be."""
    min_score: Optional[float] = None
    """Confidence from which a tumour is reported, from 0 to 1; by default that of the run."""


def load(run_folder: Path) -> Detector:
    """Load a trained network: a function from an image, uint8 (H, W, 3), and a lowest score to
    `Detections`.

    Raises:
        InputError: the folder holds no finished training of this paper.
    """
    if not runs.is_complete(run_folder):
        raise InputError(f"{run_folder}: expected the folder of a finished training")
    from reproductions.brain_tumour_mask_rcnn import (
        model,
    )  # not at the top: Model Garden takes 15 seconds

    return model.load(run_folder)


def predict(
    path: Path, detector: Detector, out: Path, min_score: Optional[float] = None
) -> Detections:
    """Write mask and overlay of one image into the existing folder `out`, and give what was found.

    Raises:
        InputError: the image is not readable, or too large or long to be a slice.
    """
    image = reading.to_rgb(reading.read_any(path))
    if image.shape[0] * image.shape[1] > limits.LARGE:
        raise InputError(
            f"{shown(path)}: expected at most {limits.LARGE} pixels, got "
            f"{image.shape[1]}x{image.shape[0]}"
        )
    try:
        found = detector(image, min_score)
    except InputError as error:
        raise InputError(f"{shown(path)}: {error}") from None
    writing.write_png(out / f"{result_name(path)}_mask.png", found.union)
    writing.write_png(out / f"{result_name(path)}_overlay.png", overlays.overlay(image, found))
    return found


@exits_cleanly
def main() -> None:
    """Predict from the command line."""
    options = tyro.cli(Options, prog=f".venv/bin/python -m reproductions.{trainer.paper}.predict")
    if options.min_score is not None and not 0 <= options.min_score <= 1:
        raise InputError(
            f"--min-score {options.min_score}: expected a confidence from 0 to 1, such as 0.7"
        )
    by_name = {result_name(path): path for path in options.images}
    for path in options.images:
        other = by_name[result_name(path)]
        if other != path:
            raise InputError(
                f"{shown(path)} and {shown(other)} would have results of one name; predict them "
                "apart"
            )
        if path.resolve().parent == options.out.resolve():
            raise InputError(
                f"--out {options.out}: {shown(path)} lies there, perhaps with its true mask; take "
                "another folder"
            )
    network = run_folders.describe(options.run)
    cuda.announce()
    detector = load(options.run)
    options.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for path in options.images:
        try:
            found = predict(path, detector, options.out, options.min_score)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
            continue
        listed = ", ".join(
            f"{mask.sum()} pixels ({wording.score(float(score), 'en')})"
            for mask, score in zip(found.masks, found.scores)
        )
        print(f"{shown(path)}: {listed or 'no tumour found'}")
    print(f"written: {options.out}/*_mask.png and *_overlay.png")
    views = Views("en", network)
    threshold = network.min_score if options.min_score is None else options.min_score
    for sentence in (*views.stamps(), *views.measured_sentences(threshold)):
        print(sentence)
    if failed:
        raise InputError(f"{failed} of {len(options.images)} images could not be predicted")


if __name__ == "__main__":
    main()
