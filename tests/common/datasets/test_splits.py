import itertools
import json

import pytest
from disjoint import assert_disjoint
from hypothesis import given
from hypothesis import strategies as st

from common.datasets.splits import group_split, random_split
from common.errors import InputError
from common.files import PROJECT

# Images per patient in TNBC.
TNBC = {
    f"{p:02d}_{n}": p
    for p, count in enumerate((7, 3, 5, 8, 4, 3, 3, 4, 6, 4, 3), 1)
    for n in range(1, count + 1)
}
HALVES = {"train": 0.8, "test": 0.2}


def names(count):
    return [f"{i:03d}" for i in range(count)]


def sizes(split):
    return {part: len(ids) for part, ids in split.items()}


@pytest.mark.parametrize(
    "count, fractions, expected",
    [
        (50, HALVES, {"train": 40, "test": 10}),
        (780, {"train": 0.7, "val": 0.2, "test": 0.1}, {"train": 546, "val": 156, "test": 78}),
        (162, HALVES, {"train": 130, "test": 32}),
        (12, {"train": 0.7, "val": 0.2, "test": 0.1}, {"train": 9, "val": 2, "test": 1}),
        (10, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, {"a": 4, "b": 3, "c": 3}),
        (7, {"train": 0.75, "val": 0, "test": 0.25}, {"train": 5, "val": 0, "test": 2}),
    ],
)
def test_sizes_follow_the_largest_remainder(count, fractions, expected):
    assert sizes(random_split(names(count), fractions, seed=3)) == expected


def test_a_seed_means_the_same_split_for_ever():
    assert random_split(list("abcdefghij"), HALVES, seed=0) == {
        "train": list("acdefghj"),
        "test": list("bi"),
    }


# Those that follow from ids alone: not the groups of BUSI and BreCaHAD, which stand in the data.
COMMITTED = [
    path
    for pattern in ("tnbc*/*/*", "busi*/*/*-published-*", "brecahad*/*/*-published-*", "polyp*/*/*")
    for path in sorted((PROJECT / "results").glob(f"{pattern}/split.json"))
]


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_the_splits_of_committed_results_are_made_again(path):
    split = json.loads(path.read_text())
    config = json.loads(path.with_name("config.json").read_text())
    ids = [name for part in split.values() for name in part]
    fractions = {part: config.get(f"{part}_fraction", 0) for part in split}
    fractions["train"] = 1 - sum(fractions.values())
    if "tnbc_linknet" in path.parts and config["protocol"] == "corrected":
        patients = {name: name.partition("_")[0] for name in ids}
        made = group_split(ids, patients, fractions, config["seed"])
    else:
        made = random_split(ids, fractions, config["seed"])
    assert made == {part: sorted(names) for part, names in split.items()}


@given(st.integers(8, 60), st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_random_split_is_a_partition_whatever_the_order(count, seed, random):
    fractions = {"train": 0.5, "val": 0.25, "test": 0.25}
    ids = names(count)
    split = random_split(ids, fractions, seed)
    assert_disjoint(split)
    assert sorted(sum(split.values(), [])) == ids
    assert all(part == sorted(part) for part in split.values())
    assert all(abs(len(split[part]) - fractions[part] * count) < 1 for part in fractions)
    random.shuffle(ids)
    assert random_split(ids, fractions, seed) == split


def test_every_id_gets_its_turn_in_every_part():
    tested = [random_split(names(10), HALVES, seed)["test"] for seed in range(300)]
    counts = [sum(name in test for test in tested) for name in names(10)]
    assert min(counts) > 30  # 60 expected
    assert max(counts) < 90


@given(
    st.lists(st.integers(1, 9), min_size=3, max_size=9),
    st.integers(0, 1000),
    st.randoms(use_true_random=False),
)
def test_group_split_is_as_near_as_can_be(group_sizes, seed, random):
    groups = {f"{g}-{n}": g for g, size in enumerate(group_sizes) for n in range(size)}
    ids = list(groups)
    split = group_split(ids, groups, HALVES, seed)
    assert_disjoint(split, groups)
    assert sorted(sum(split.values(), [])) == sorted(ids)
    target = len(random_split(ids, HALVES, seed)["test"])
    subsets = itertools.chain.from_iterable(
        itertools.combinations(group_sizes, n) for n in range(1, len(group_sizes))
    )
    nearest = min(abs(sum(subset) - target) for subset in subsets)
    tolerance = len(ids) / len(group_sizes) / 4
    assert abs(len(split["test"]) - target) <= max(nearest, tolerance)
    random.shuffle(ids)
    assert group_split(ids, groups, HALVES, seed) == split


def test_groups_of_one_give_the_exact_sizes():
    ids = names(780)
    split = group_split(
        ids, {name: name for name in ids}, {"train": 0.7, "val": 0.2, "test": 0.1}, seed=1
    )
    assert sizes(split) == {"train": 546, "val": 156, "test": 78}


def test_every_patient_of_tnbc_is_tested_under_some_seed():
    splits = [group_split(list(TNBC), TNBC, HALVES, seed) for seed in range(100)]
    assert {len(split["test"]) for split in splits} <= {9, 10, 11}
    assert len({tuple(split["test"]) for split in splits}) > 30
    assert {TNBC[name] for split in splits for name in split["test"]} == set(range(1, 12))


def test_too_few_for_every_part():
    with pytest.raises(InputError, match="2 images"):
        random_split(names(2), HALVES, seed=0)
    with pytest.raises(InputError, match="1 groups"):
        group_split(names(10), dict.fromkeys(names(10), "same"), HALVES, seed=0)
    with pytest.raises(InputError):
        random_split([], HALVES, seed=0)


@pytest.mark.parametrize(
    "ids, fractions", [("aa", HALVES), ("abc", {"a": 0.5}), ("abc", {"a": 1.5, "b": -0.5})]
)
def test_wrong_arguments(ids, fractions):
    with pytest.raises(ValueError, match="got"):
        random_split(list(ids), fractions, seed=0)
