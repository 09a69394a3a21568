"""Near-duplicates among the images of BUSI: `make busi-duplicates` finds them anew and writes their list.

BUSI has no patient ids, but many of its images show one scene twice: the same picture again, with callipers or letters,
or a frame taken a moment later. Two of them on both sides of a split make the test easier than it is.
"""

from __future__ import annotations

import json
from typing import List, Mapping

import cv2
import imagehash
import numpy as np
from PIL import Image
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from skimage.metrics import structural_similarity

from common import files, manifests

Groups = List[List[str]]
LIST = manifests.MANIFESTS / "busi_duplicates.json"
# Two thresholds, chosen by looking at all pairs near them. Perceptual hashes of unrelated images differ in 32 of 64
# bits, give or take 5; the pairs found differ in up to 24, most of them in at most 4. SSIM of whole images at 32×32
# pixels forgives small shifts, callipers and letters: from 0.6 up every pair looked at shows one scene, and just below
# come the first that do not (malignant 72 and 177 at 0.5999, 50 and 177 at 0.588).
HASH_DISTANCE = 24
SIDE = 32
SSIM = 0.6
# What others counted.
PUBLISHED = (
    "149 groups with 330 images, by SSIM (Aumente-Maestro et al., 2024)",
    "235 images, by similarity and by eye (Pawłowska et al., 2023)",
)


def find(images: Mapping[str, np.ndarray]) -> Groups:
    """Group images that show the same scene: pairs with near pHash, confirmed by SSIM, then connected components.

    Args:
        images: uint8 (H, W, 3) by id.

    Returns:
        The ids of every group of two or more, in the order of `images`.

    Source: SSIM after Wang et al., IEEE TIP 13:600, 2004; both measures as their libraries have them.
    """
    ids = list(images)
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images.values()]
    hashes = np.array([imagehash.phash(Image.fromarray(grey)).hash.ravel() for grey in greys])
    small = [cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for grey in greys]
    pairs = [
        (one, other)
        for one, bits in enumerate(hashes)
        for other in np.flatnonzero((hashes[:one] != bits).sum(axis=1) <= HASH_DISTANCE)
        if structural_similarity(small[one], small[other]) >= SSIM
    ]
    rows, columns = np.array(pairs, int).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(pairs)), (rows, columns)), shape=(len(ids), len(ids)))
    count, labels = connected_components(graph, directed=False)
    groups: Groups = [[] for _ in range(count)]
    for image_id, label in zip(ids, labels):
        groups[label].append(image_id)
    return [group for group in groups if len(group) > 1]


def across_classes(groups: Groups) -> Groups:
    """Give those groups whose images lie in more than one class."""
    return [group for group in groups if len({image_id.split()[0] for image_id in group}) > 1]


def read() -> Groups:
    """Read the project's list of groups."""
    return json.loads(LIST.read_text(encoding="utf-8"))


def write(groups: Groups) -> None:
    """Write the project's list of groups, JSON with a group per line."""
    lines = ",\n".join(json.dumps(group) for group in groups)
    files.write_text(LIST, f"[\n{lines}\n]\n")
