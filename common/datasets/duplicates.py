"""Groups of near-duplicate images: the same image marked or shifted, or the frame beside it."""

from __future__ import annotations

from typing import Callable, List, Mapping, Optional

import cv2
import imagehash
import numpy as np
from PIL import Image

Groups = List[List[str]]


def find(
    images: Mapping[str, np.ndarray],
    hash_distance: int,
    size: int,
    ssim: float,
    confirm: Optional[Callable[[str, str], bool]] = None,
) -> Groups:
    """Group near-duplicates: pairs with near pHash, confirmed by SSIM, then connected components.

    Args:
        images: uint8 (H, W, 3) by id.
        hash_distance: largest number of bits, of 64, in which the perceptual hashes of a pair may
            differ.
        size: height and width in pixels to which both are resized for their structural similarity.
        ssim: lowest structural similarity of a pair.
        confirm: called with the ids of such a pair, in the order of `images`; False rejects it.

    Returns:
        The ids of every group of two or more, in the order of `images`.

    Source: SSIM after Wang et al., IEEE TIP 13:600, 2004, by scikit-image; pHash by imagehash.

    Example:
        >>> noise = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
        >>> images = {"a": noise[0], "b": noise[1], "copy of a": noise[0]}
        >>> find(images, hash_distance=20, size=32, ssim=0.6)
        [['a', 'copy of a']]
    """
    from scipy.sparse import lil_matrix  # not at the top: they take as long as a plan of runs
    from scipy.sparse.csgraph import connected_components
    from skimage.metrics import structural_similarity

    ids = list(images)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images.values()]
    hashes = np.array([imagehash.phash(Image.fromarray(image)).hash.ravel() for image in grey])
    small = [cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in grey]
    graph = lil_matrix((len(ids), len(ids)), dtype=bool)
    for second in range(len(ids)):
        distances = (hashes[:second] != hashes[second]).sum(axis=1)
        for first in np.flatnonzero(distances <= hash_distance):
            alike = structural_similarity(small[second], small[first]) >= ssim
            if alike and (not confirm or confirm(ids[first], ids[second])):
                graph[first, second] = True
    count, labels = connected_components(graph, directed=False)
    groups: Groups = [[] for _ in range(count)]
    for image_id, label in zip(ids, labels):
        groups[label].append(image_id)
    return [group for group in groups if len(group) > 1]
