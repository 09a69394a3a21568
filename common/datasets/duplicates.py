"""Groups of images that show one scene: the same picture again, marked or shifted, or one taken
beside it.
"""

from __future__ import annotations

from typing import Callable, List, Mapping, Optional

import cv2
import imagehash
import numpy as np
from PIL import Image
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from skimage.metrics import structural_similarity

Groups = List[List[str]]


def find(
    images: Mapping[str, np.ndarray],
    hash_distance: int,
    side: int,
    ssim: float,
    confirm: Optional[Callable[[str, str], bool]] = None,
) -> Groups:
    """Group near-duplicates: pairs with near pHash, confirmed by SSIM, then connected components.

    Args:
        images: uint8 (H, W, 3) by id.
        hash_distance: most bits, of 64, in which the perceptual hashes of a pair may differ.
        side: pixels to which both are shrunk before their structural similarity is measured.
        ssim: lowest structural similarity of a pair.
        confirm: called with the ids of a pair that is alike; it can say no.

    Returns:
        The ids of every group of two or more, in the order of `images`.

    Source: SSIM after Wang et al., IEEE TIP 13:600, 2004; both measures as their libraries have
    them.
    """
    ids = list(images)
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images.values()]
    hashes = np.array([imagehash.phash(Image.fromarray(grey)).hash.ravel() for grey in greys])
    small = [cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA) for grey in greys]
    pairs = [
        (one, other)
        for one, bits in enumerate(hashes)
        for other in np.flatnonzero((hashes[:one] != bits).sum(axis=1) <= hash_distance)
        if structural_similarity(small[one], small[other]) >= ssim
        and (not confirm or confirm(ids[other], ids[one]))
    ]
    rows, columns = np.array(pairs, int).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(pairs)), (rows, columns)), shape=(len(ids), len(ids)))
    count, labels = connected_components(graph, directed=False)
    groups: Groups = [[] for _ in range(count)]
    for image_id, label in zip(ids, labels):
        groups[label].append(image_id)
    return [group for group in groups if len(group) > 1]
