"""Scores of the detections: COCO's average precision, tumours found and invented by confidence, and
pixels.
"""

from __future__ import annotations

import contextlib
import io
from typing import Dict, List, NamedTuple, Sequence

import numpy as np
import pandas
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from common.imaging.checks import refuse_masked
from common.metrics import dice
from reproductions.brain_tumour_mask_rcnn.config import MATCH, SCORES
from reproductions.brain_tumour_mask_rcnn.data import Sample
from reproductions.brain_tumour_mask_rcnn.detections import Detections, encode

COUNTS = ("tn", "fp", "fn", "tp")


class Curve(NamedTuple):
    """Free-response operating characteristic: a point for every score that a detection has, the
    highest first.
    """

    scores: np.ndarray  # (k,)
    sensitivity: np.ndarray  # (k,): part of all tumours found with this score or a higher one; NaN
    # where there is no tumour
    false_positives: np.ndarray  # (k,): invented tumours per image, likewise


def match(true: np.ndarray, found: Detections) -> np.ndarray:
    """Decide which detections have found a tumour, bool (n,): one at most for each tumour, the
    highest scores first.

    A detection takes the tumour, of those still to be found, whose mask it overlaps most, with an
    IoU of `MATCH` or more. `true` is bool (m, H, W).
    """
    hits = np.zeros(len(found.scores), bool)
    if not len(true):
        return hits
    overlaps = _ious(found.masks, true)
    for index in np.argsort(-found.scores, kind="stable"):
        best = overlaps[index].argmax()
        if overlaps[index, best] >= MATCH:
            hits[index] = True
            overlaps[:, best] = 0
    return hits


def curve(samples: Sequence[Sample], found: Sequence[Detections]) -> Curve:
    """Follow sensitivity and false positives as the confidence falls, over all samples together.

    Raises:
        ValueError: detections that do not belong to the samples, as for `average_precision`.
    """
    _check(samples, found)
    scores = np.concatenate([detections.scores for detections in found])
    hits = np.concatenate(
        [match(sample.masks, detections) for sample, detections in zip(samples, found)]
    )
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], hits[order]
    last = (
        np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
        if len(scores)
        else np.array([], int)
    )
    tumours = sum(len(sample.masks) for sample in samples) or np.nan
    return Curve(scores[last], hits.cumsum()[last] / tumours, (~hits).cumsum()[last] / len(samples))


def per_image(
    samples: Sequence[Sample], found: Sequence[Detections], min_score: float
) -> pandas.DataFrame:
    """Score every image at one confidence.

    Returns:
        One line per image: id, tumours, tumours found, tumours invented, pixel counts of the union
        of all masks (tn, fp, fn, tp), and the Dice and IoU that follow from these.
    """
    rows = []
    for sample, detections in zip(samples, found):
        reported = detections.above(min_score)
        hits = match(sample.masks, reported)
        matrix = dice.confusion(sample.union, reported.union)
        rows.append(
            {
                "id": sample.id,
                "tumours": len(sample.masks),
                "found": hits.sum(),
                "invented": (~hits).sum(),
                **dict(zip(COUNTS, matrix.ravel())),
                "dice": float(dice.dice(matrix)),
                "iou": float(dice.iou(matrix)),
            }
        )
    return pandas.DataFrame(rows)


def best_score(samples: Sequence[Sample], found: Sequence[Detections]) -> float:
    """Choose, of `SCORES`, the confidence with the highest mean Dice on the validation images, the
    lowest of equals.
    """
    return max(SCORES, key=lambda score: (per_image(samples, found, score)["dice"].mean(), -score))


def average_precision(samples: Sequence[Sample], found: Sequence[Detections]) -> Dict[str, float]:
    """Average precision of boxes and masks by pycocotools: over IoU from 0.5 to 0.95, and at 0.5
    (…50).

    0 where no tumour is found. NaN, all four, where no sample has a tumour, whether anything is
    detected or not: pycocotools gives -1 there, which is no precision, and a table leaves it out.

    Raises:
        ValueError: not one set of detections per sample, masks that are not bool or of another
            size than the sample's image, or scores that are not finite.
    """
    _check(samples, found)
    images = [
        {"id": number, "height": s.image.shape[0], "width": s.image.shape[1]}
        for number, s in enumerate(samples, 1)
    ]
    truths: List[dict] = []
    results: Dict[str, List[dict]] = {"bbox": [], "segm": []}
    for number, (sample, detections) in enumerate(zip(samples, found), 1):
        common = {"image_id": number, "category_id": 1}
        for mask, box in zip(sample.masks, sample.boxes):
            shape = {"bbox": _xywh(box), "segmentation": encode(mask), "area": int(mask.sum())}
            truths.append({"id": len(truths) + 1, "iscrowd": 0, **common, **shape})
        for mask, box, score in zip(detections.masks, detections.boxes, detections.scores):
            results["bbox"].append({**common, "score": float(score), "bbox": _xywh(box)})
            results["segm"].append({**common, "score": float(score), "segmentation": encode(mask)})
    names = [f"{kind}_ap{suffix}" for kind in ("box", "mask") for suffix in ("", "50")]
    if not truths:
        return dict.fromkeys(names, np.nan)
    if not results["bbox"]:
        return dict.fromkeys(names, 0.0)
    values: List[float] = []
    with contextlib.redirect_stdout(io.StringIO()):  # it tells what it does
        truth = COCO()
        truth.dataset = {"images": images, "annotations": truths, "categories": [{"id": 1}]}
        truth.createIndex()
        for kind, entries in results.items():
            evaluation = COCOeval(truth, truth.loadRes(entries), kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            values += evaluation.stats[:2].tolist()
    return dict(zip(names, values))


def aggregate(
    samples: Sequence[Sample], found: Sequence[Detections], min_score: float, chosen_score: float
) -> Dict[str, float]:
    """Summarise the test images: average precision, and the scores at the given confidence.

    Those at the confidence that was chosen on the validation images end in "_chosen". What has no
    value where no image has a tumour, precision and sensitivity, is left out.
    """
    scores = average_precision(samples, found)
    for suffix, score in (("", min_score), ("_chosen", chosen_score)):
        table = per_image(samples, found, score)
        scores.update(
            {
                f"dice{suffix}": table["dice"].mean(),
                f"iou{suffix}": table["iou"].mean(),
                f"sensitivity{suffix}": table["found"].sum() / (table["tumours"].sum() or np.nan),
                f"false_positives_per_image{suffix}": table["invented"].mean(),
                f"score{suffix}": score,
            }
        )
    return {name: value for name, value in scores.items() if not np.isnan(value)}


def _check(samples: Sequence[Sample], found: Sequence[Detections]) -> None:
    """Refuse detections that cannot be those of the samples: what follows would score something."""
    if len(samples) != len(found) or not samples:
        raise ValueError(
            f"one set of detections per sample is needed, got {len(found)} for {len(samples)}"
        )
    for sample, detections in zip(samples, found):
        for name, part in detections._asdict().items():
            refuse_masked(part, f"the {name} detected in {sample.id}")
        boxes, scores, masks = detections
        if not len(boxes) == len(scores) == len(masks):
            raise ValueError(
                f"{sample.id}: as many boxes, scores and masks are needed, got {len(boxes)}, "
                f"{len(scores)} and {len(masks)}"
            )
        if not np.isfinite(scores).all():
            raise ValueError(f"{sample.id}: scores must be finite, got {scores}")
        size = sample.image.shape[:2]
        if len(masks) and (masks.shape[1:] != size or masks.dtype != bool):
            raise ValueError(
                f"{sample.id}: masks must be bool and {size}, got {masks.dtype} {masks.shape[1:]}"
            )


def _xywh(box: np.ndarray) -> List[float]:
    y1, x1, y2, x2 = (float(side) for side in box)
    return [x1, y1, x2 - x1, y2 - y1]


def _ious(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU of every mask with every other, float64 (n, m)."""
    if not len(some):
        return np.zeros((0, len(others)))
    return np.asarray(
        coco_mask.iou(
            [encode(mask) for mask in some], [encode(mask) for mask in others], [0] * len(others)
        )
    )
