"""Splits that price leakage: the same test images, with and without their groups in training.

Of some groups (patients, cases) half of the images are tested on. One network may train on their
other images, one may not; both train on equally many images. The difference between the two on the
same test images is what the leak is worth.
"""

from __future__ import annotations

from typing import Dict, Hashable, List, Mapping, Sequence

import numpy as np

from common.datasets.splits import Split


def leakage_split(
    ids: Sequence[str],
    groups: Mapping[str, Hashable],
    test_fraction: float,
    seed: int,
    leaks: bool,
) -> Split:
    """Divide images into "train" and "test" for one of the two networks.

    Args:
        ids: of all images.
        groups: patient or case of each image.
        test_fraction: of the images; a group more or less brings it as near as can be.
        seed: decides the test images, the same for both networks.
        leaks: whether training has other images of the test images' groups.

    Returns:
        Equally many training images either way. The leaking network gets the rest of the test
        images' groups, filled up with images of the other groups.

    Raises:
        ValueError: no group has two images, or nothing is left to train on.

    Example:
        >>> groups = {f"{patient}{number}": patient for patient in "abcd" for number in range(4)}
        >>> with_leak = leakage_split(sorted(groups), groups, 0.25, seed=0, leaks=True)
        >>> without = leakage_split(sorted(groups), groups, 0.25, seed=0, leaks=False)
        >>> with_leak["test"] == without["test"], len(with_leak["train"]) == len(without["train"])
        (True, True)
        >>> tested = {name[0] for name in without["test"]}
        >>> any(name[0] in tested for name in without["train"])
        False
    """
    rng = np.random.default_rng((seed, 7))
    members: Dict[Hashable, List[str]] = {}
    for sample_id in ids:
        members.setdefault(groups[sample_id], []).append(sample_id)
    wanted = round(test_fraction * len(ids))
    test: List[str] = []
    rest: List[str] = []
    order = sorted((group for group in members if len(members[group]) > 1), key=str)
    for place in rng.permutation(len(order)):
        mine = members[order[place]]
        drawn = [mine[k] for k in rng.permutation(len(mine))]
        half = len(drawn) // 2
        if len(test) >= wanted:
            break
        test += drawn[:half]
        rest += drawn[half:]
    others = [i for i in ids if i not in test and i not in rest]
    if not test or not others:
        raise ValueError("expected several groups, some of them with two images or more")
    if leaks:
        fill = [others[k] for k in rng.permutation(len(others))]
        train = (rest + fill)[: len(others)]
    else:
        train = others
    return {"train": sorted(train), "test": sorted(test)}
