"""Scores of the detections: COCO's average precision, true and false positives by confidence, and
pixel scores.
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

from common.datasets.manifests import DataSet
from common.imaging.checks import refuse_masked
from common.metrics import dice
from common.training.runs import Run
from reproductions.brain_tumour_mask_rcnn import data
from reproductions.brain_tumour_mask_rcnn.config import MATCH, SCORES, Config
from reproductions.brain_tumour_mask_rcnn.data import Sample
from reproductions.brain_tumour_mask_rcnn.detections import Detections, encode, load

COUNTS = ("tn", "fp", "fn", "tp")
CHOSEN = "_chosen"  # ends the columns at the confidence that was chosen on the validation images


class Curve(NamedTuple):
    """Free-response operating characteristic: a point for every score that a detection has, the
    highest first.

    Attributes:
        scores: float (k,).
        sensitivity: (k,), fraction of all tumours that are found with this score or a higher one;
            NaN where there is no tumour.
        false_positives: (k,), per image, likewise.
    """

    scores: np.ndarray
    sensitivity: np.ndarray
    false_positives: np.ndarray


def match(true: np.ndarray, detections: Detections) -> np.ndarray:
    """Decide which detections have found a tumour, bool (n,): one at most for each tumour, the
    highest scores first.

    A detection takes the tumour, of those still to be found, whose mask it overlaps most, with an
    IoU of `MATCH` or more. `true` is bool (m, H, W).
    """
    hits = np.zeros(len(detections.scores), bool)
    if not len(true):
        return hits
    overlaps = _ious(detections.masks, true)
    for index in np.argsort(-detections.scores, kind="stable"):
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
        One line per image: id, tumours, those found, false positives (`invented`), pixel counts of
        the union of all masks (tn, fp, fn, tp), and the Dice and IoU that follow from these.
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


def scores(runs: Sequence[Run], config: Config, data_set: DataSet) -> pandas.DataFrame:
    """Score the saved detections of a network on its test images, at the given confidence and at
    the one that is chosen on the validation images; the columns of the latter end in "_chosen".
    """
    run = runs[0]
    validation = data.load(data_set.folder, run.split["validation"])
    chosen = best_score(validation, load_detections(run, validation))
    test = data.load(data_set.folder, run.split["test"])
    found = load_detections(run, test)
    given = per_image(test, found, config.min_score).assign(score=config.min_score)
    other = per_image(test, found, chosen).assign(score=chosen).drop(columns="id")
    return pandas.concat([given, other.add_suffix(CHOSEN)], axis=1)


def aggregate(table: pandas.DataFrame, config: Config) -> Dict[str, float]:
    """Summarise the lines of `scores` over the test images.

    What has no value where no image has a tumour, such as sensitivity, is left out.
    """
    values = {}
    for suffix in ("", CHOSEN):
        tumours = table[f"tumours{suffix}"].sum() or np.nan
        values[f"dice{suffix}"] = table[f"dice{suffix}"].mean()
        values[f"iou{suffix}"] = table[f"iou{suffix}"].mean()
        values[f"sensitivity{suffix}"] = table[f"found{suffix}"].sum() / tumours
        values[f"false_positives_per_image{suffix}"] = table[f"invented{suffix}"].mean()
        values[f"score{suffix}"] = table[f"score{suffix}"].iloc[0]
    return {name: value for name, value in values.items() if not np.isnan(value)}


def precision_of_all(runs: Sequence[Run], config: Config, data_set: DataSet) -> Dict[str, float]:
    """Average precision over the test images, which no line per image can tell."""
    test = data.load(data_set.folder, runs[0].split["test"])
    values = average_precision(test, load_detections(runs[0], test))
    return {name: value for name, value in values.items() if not np.isnan(value)}


def load_detections(run: Run, samples: Sequence[Sample]) -> List[Detections]:
    """Read what a finished run has detected in these samples."""
    return [load(run.predictions / f"{sample.id}.json") for sample in samples]


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
