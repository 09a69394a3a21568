"""The training, validation and test images: as given, or without those that show a tumour of a
later part.
"""

from __future__ import annotations

from pathlib import Path
from typing import Set

from common.datasets.manifests import DataSet
from common.datasets.splits import Split
from reproductions.brain_tumour_mask_rcnn import data, duplicates

LEFT_OUT = "left_out"  # images that the corrected protocol does without


def split(data_set: DataSet, protocol: str) -> Split:
    """Give the ids of "train", "validation" and "test".

    published: as the folders have them.
    corrected: a training or validation image that shows a tumour of a later part again moves to
        "left_out", so that the test images stay the same 39.
    """
    parts: Split = {}
    for part, paths in data.find(data_set.folder).items():
        parts[part] = [Path(path).stem for path in paths]
    if protocol == "published":
        return parts
    place = {sample_id: number for number, ids in enumerate(parts.values()) for sample_id in ids}
    left_out: Set[str] = set()
    for group in duplicates.find(data.load(data_set.folder, place)):
        last = max(place[sample_id] for sample_id in group)
        left_out.update(sample_id for sample_id in group if place[sample_id] < last)
    for part, ids in parts.items():
        parts[part] = [sample_id for sample_id in ids if sample_id not in left_out]
    return {**parts, LEFT_OUT: sorted(left_out, key=int)}
