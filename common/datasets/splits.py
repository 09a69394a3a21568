"""Seeded splits of a data set into named parts, by item or by group."""

from __future__ import annotations

from typing import Dict, Hashable, List, Mapping, Sequence

import numpy as np

from common.errors import InputError

Split = Dict[str, List[str]]


def random_split(ids: Sequence[str], fractions: Mapping[str, float], seed: int) -> Split:
    """Split ids at random into parts whose sizes follow the largest-remainder method.

    Args:
        ids: unique; their order does not matter.
        fractions: fraction of the ids in each part, adding up to 1.
        seed: a seed gives the same split for ever.

    Returns:
        The sorted ids of each part.

    Raises:
        InputError: too few ids for every part with a fraction above 0 to get one.

    Example:
        >>> random_split("abcdefghij", {"train": 0.8, "test": 0.2}, seed=0)["test"]
        ['b', 'i']
    """
    sizes = _sizes(ids, fractions)
    shuffled = np.random.default_rng(seed).permutation(sorted(ids)).tolist()
    ends = np.cumsum(list(sizes.values()))
    return {name: sorted(shuffled[end - sizes[name] : end]) for name, end in zip(sizes, ends)}


def group_split(
    ids: Sequence[str], groups: Mapping[str, Hashable], fractions: Mapping[str, float], seed: int
) -> Split:
    """Split like `random_split`, but keep ids of one group (patient, case, duplicates) together.

    Parts are filled from the smallest to the largest, each with a random set of groups. Its size
    differs from the wanted one by at most a quarter of the mean group size or, where that is
    impossible, as little as possible. The tolerance matters: of the 11 patients of TNBC, two can be
    in no test set of exactly 10 images.

    Args:
        ids: unique; their order does not matter.
        groups: group of each id.
        fractions: fraction of the ids in each part, adding up to 1.
        seed: a seed gives the same split for ever.

    Returns:
        The sorted ids of each part.

    Raises:
        InputError: too few groups for every part with a fraction above 0 to get one.

    Example:
        >>> patients = {"1a": 1, "1b": 1, "2a": 2, "3a": 3}
        >>> group_split(list(patients), patients, {"train": 0.5, "test": 0.5}, seed=0)
        {'train': ['1a', '1b'], 'test': ['2a', '3a']}
    """
    sizes = _sizes(ids, fractions)
    rng = np.random.default_rng(seed)
    members: Dict[Hashable, List[str]] = {}
    for name in sorted(ids):
        members.setdefault(groups[name], []).append(name)
    remaining = list(members)
    split: Split = {part: [] for part in sizes}
    *smaller, largest = sorted(
        (part for part in sizes if sizes[part]), key=lambda part: sizes[part]
    )
    for part in smaller:
        remaining = [remaining[i] for i in rng.permutation(len(remaining))]
        tolerance = len(ids) / len(members) / 4
        group_sizes = [len(members[group]) for group in remaining]
        chosen = _subset_near(sizes[part], tolerance, group_sizes, rng)
        split[part] = sorted(name for i in chosen for name in members[remaining[i]])
        remaining = [group for i, group in enumerate(remaining) if i not in chosen]
    split[largest] = sorted(name for group in remaining for name in members[group])
    if not all(split[part] for part in (*smaller, largest)):
        raise InputError(f"{len(members)} groups are too few to fill the parts {', '.join(sizes)}")
    return split


def _sizes(ids: Sequence[str], fractions: Mapping[str, float]) -> Dict[str, int]:
    if len(set(ids)) != len(ids):
        raise ValueError(f"ids must be unique, got {len(ids) - len(set(ids))} repeated")
    if min(fractions.values()) < 0 or abs(sum(fractions.values()) - 1) > 1e-6:
        raise ValueError(f"fractions must be non-negative and add up to 1, got {dict(fractions)}")
    # Unrounded, the equal remainders of 8.4 and 2.4 would differ in their last bits.
    quotas = {part: round(fraction * len(ids), 6) for part, fraction in fractions.items()}
    sizes = {part: int(quota) for part, quota in quotas.items()}
    by_remainder = sorted(quotas, key=lambda part: sizes[part] - quotas[part])
    for part in by_remainder[: len(ids) - sum(sizes.values())]:
        sizes[part] += 1
    if any(fraction > 0 and not sizes[part] for part, fraction in fractions.items()):
        raise InputError(f"{len(ids)} images are too few to split into {dict(fractions)}")
    return sizes


def _subset_near(
    target: int, tolerance: float, sizes: Sequence[int], rng: np.random.Generator
) -> List[int]:
    """Indices of a random non-empty subset whose sum is within `tolerance` of `target`.

    Where there is none, one with the nearest sum. Subset sum by dynamic programming: the order of
    `sizes` decides between subsets of one sum.
    """
    last = {0: -1}  # reachable sum -> index of the item that first reached it
    for i, size in enumerate(sizes):
        for total in list(last):
            last.setdefault(total + size, i)
    totals = [total for total in last if total]
    if not totals:
        return []
    tolerance = max(tolerance, min(abs(total - target) for total in totals))
    total = int(rng.choice([total for total in totals if abs(total - target) <= tolerance]))
    chosen = []
    while total:
        chosen.append(last[total])
        total -= sizes[last[total]]
    return chosen
