"""Slices that show the same tumour of the same head: found by looking alike, with outlines in the
same place.

The images carry no patient's name, but many are neighbouring slices of one examination, and the
given split cuts through some of these.
"""

from __future__ import annotations

from typing import Dict, List

import cv2
import numpy as np

from common.datasets import duplicates
from common.datasets.duplicates import Groups
from reproductions.brain_tumour_mask_rcnn.data import Sample

# Chosen by looking at the pairs near them. All heads look alike: hashes alone, even within 6 bits,
# pair slices of different ones. With the three together, the pairs of different parts and the 40
# least alike of one part each show one head. Neighbours that differ more are not found: this is a
# lower bound of what the parts share.
HASH_DISTANCE = 6  # of 64 bits
SIDE = 64
SSIM = 0.6
OUTLINE_IOU = 0.3


def find(samples: List[Sample]) -> Groups:
    """Group the ids of samples that show the same tumour of the same head."""
    outlines = {sample.id: _shrunk(sample.union) for sample in samples}

    def same_place(one: str, other: str) -> bool:
        both = (outlines[one] & outlines[other]).sum()
        return both >= OUTLINE_IOU * max((outlines[one] | outlines[other]).sum(), 1)

    return duplicates.find({s.id: s.image for s in samples}, HASH_DISTANCE, SIDE, SSIM, same_place)


def across(groups: Groups, parts: Dict[str, List[str]]) -> Groups:
    """Give those groups whose images lie in more than one of these parts."""
    part_of = {sample_id: part for part, ids in parts.items() for sample_id in ids}

    def is_across(group: List[str]) -> bool:
        return len({part_of[sample_id] for sample_id in group if sample_id in part_of}) > 1

    return list(filter(is_across, groups))


def _shrunk(mask: np.ndarray) -> np.ndarray:
    shrunk = cv2.resize(mask * np.uint8(255), (128, 128), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk) > 127
