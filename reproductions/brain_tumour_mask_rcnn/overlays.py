"""Figures of detections: overlays, the sheet of all test images, and the free-response curve."""

from __future__ import annotations

from pathlib import Path
from typing import List, Sequence

import cv2
import numpy as np

from common.results import figures
from reproductions.brain_tumour_mask_rcnn.config import COLOURS, MATCH
from reproductions.brain_tumour_mask_rcnn.data import Sample
from reproductions.brain_tumour_mask_rcnn.detections import Detections
from reproductions.brain_tumour_mask_rcnn.metrics import Curve

COLUMNS = 7
LISTED = 2  # scores in a caption


def overlay(
    image: np.ndarray, detections: Detections, true: Sequence[np.ndarray] | np.ndarray = ()
) -> np.ndarray:
    """Tint what was found, with a box around each detection, and draw the outlines of the ground
    truth.

    Args:
        image: uint8 (H, W, 3).
        found: detections in it.
        true: masks of the ground truth, bool (H, W) each.

    Returns:
        A new uint8 (H, W, 3).
    """
    colour = {"predicted": COLOURS["predicted"]}
    drawn = figures.overlay(image, detections.union.astype(int), colour, opacity=0.35)
    width = max(round(max(image.shape) / 250), 1)
    for y1, x1, y2, x2 in np.rint(detections.boxes).astype(int).tolist():
        cv2.rectangle(drawn, (x1, y1), (x2 - 1, y2 - 1), COLOURS["predicted"], width)
    for mask in true:
        outlines, _ = cv2.findContours(
            mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(drawn, outlines, -1, COLOURS["truth"], width)
    return drawn


def sheet(
    path: Path, samples: List[Sample], found: List[Detections], min_score: float, title: str
) -> None:
    """Draw all samples with ground truth and detections, the best scores below each, into a PNG
    file.
    """
    drawn, captions = [], []
    for sample, detections in zip(samples, found):
        reported = detections.above(min_score)
        drawn.append(overlay(sample.image, reported, sample.masks))
        listed = ", ".join(f"{score:.2f}" for score in reported.scores[:LISTED]) or "nothing found"
        if len(reported.scores) > LISTED:
            listed += f" and {len(reported.scores) - LISTED} more"
        captions.append(f"{sample.id}: {listed}")
    rows = range(0, len(drawn), COLUMNS)
    figures.panels(
        path,
        [drawn[row : row + COLUMNS] for row in rows],
        [""] * COLUMNS,
        [captions[row : row + COLUMNS] for row in rows],
        f"{title} · confidence {min_score} and more",
        legend={"found": COLOURS["predicted"], "outlined by the annotator": COLOURS["truth"]},
    )


def free_response(path: Path, curve: Curve, min_score: float, title: str) -> None:
    """Draw sensitivity by false positives per image, with marks at some confidences, into a PNG
    file.
    """
    marks = {}
    for score in (0.9, min_score, 0.5, 0.3, 0.1):
        reached = np.flatnonzero(curve.scores >= score)
        if len(reached):
            marks[f"{score:g}"] = (
                curve.false_positives[reached[-1]],
                curve.sensitivity[reached[-1]],
            )
    figures.steps(
        path,
        np.append(0, curve.false_positives),
        np.append(0, curve.sensitivity),
        marks,
        ("false positives per image", f"sensitivity (tumours found, IoU of masks ≥ {MATCH:g})"),
        title,
    )
