"""Near-duplicates among the images of BUSI: `make busi-duplicates` finds them anew and writes their
list.

BUSI has no patient ids, but many of its images show one scene twice: the same image again, with
callipers or letters, or a frame taken a moment later. Two of them on both sides of a split make the
test easier than it is.
"""

from __future__ import annotations

import json
from typing import List, Mapping, Sequence

import numpy as np

from common import files
from common.datasets import duplicates, manifests
from common.datasets.duplicates import Groups

LIST = manifests.MANIFESTS / "busi_duplicates.json"
# Two thresholds, chosen by looking at all pairs near them. Perceptual hashes of unrelated images
# differ in 32 of 64 bits, give or take 5; the pairs found differ in up to 24, most of them in at
# most 4. SSIM of whole images at 32×32 pixels forgives small shifts, callipers and letters: from
# 0.6 up every pair looked at shows one scene, and just below come the first that do not (malignant
# 72 and 177 at 0.5999, 50 and 177 at 0.588).
HASH_DISTANCE = 24
SIDE = 32
SSIM = 0.6
# What others counted.
PUBLISHED = (
    "149 groups with 330 images, by SSIM (Aumente-Maestro et al., 2024)",
    "235 images, by similarity and by eye (Pawłowska et al., 2023)",
)


def find(images: Mapping[str, np.ndarray]) -> Groups:
    """Group images, uint8 (H, W, 3) by id, that show the same scene; see
    `common.datasets.duplicates.find`.
    """
    return duplicates.find(images, HASH_DISTANCE, SIDE, SSIM)


def across_classes(groups: Groups) -> Groups:
    """Give those groups whose images lie in more than one class."""
    return [group for group in groups if len(set(map(_class_of, group))) > 1]


def group_of(ids: Sequence[str]) -> List[str]:
    """Name the group of each image by its first member; an image without duplicates is its own."""
    first = {member: group[0] for group in read() for member in group}
    return [first.get(image_id, image_id) for image_id in ids]


def read() -> Groups:
    """Read the project's list of groups."""
    return json.loads(files.read_text(LIST))


def write(groups: Groups) -> None:
    """Write the project's list of groups, JSON with a group per line."""
    lines = ",\n".join(json.dumps(group) for group in groups)
    files.write_text(LIST, f"[\n{lines}\n]\n")


def _class_of(image_id: str) -> str:
    return image_id.split()[0]
