import numpy as np
import pytest

from common.datasets import duplicates


@pytest.fixture(scope="module")
def scenes():
    """Six smooth images that have nothing in common, uint8 (96, 120, 3)."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 6, 8, 3), np.uint8)
    return [np.kron(scene, np.ones((16, 15, 1), np.uint8)) for scene in coarse]


def find(images, **changes):
    return duplicates.find(images, **{"hash_distance": 20, "size": 32, "ssim": 0.6, **changes})


def test_images_that_were_marked_or_shifted_are_found_and_no_others(scenes):
    marked = scenes[0].copy()
    marked[:8, :20] = 255
    images = {"a": scenes[0], **{str(n): scene for n, scene in enumerate(scenes[1:])}, "b": marked}
    images["c"] = np.roll(scenes[0], 2, axis=1)
    assert find(images) == [["a", "b", "c"]]
    assert find({"one": scenes[0]}) == []


def test_a_chain_is_one_group_in_the_order_of_the_images(scenes):
    half = scenes[0].copy()
    half[:, 60:] = scenes[1][:, 60:]
    images = {"z": scenes[0], "y": half, "x": scenes[1]}
    # Each end is like the middle, and not like the other end.
    loose = {"hash_distance": 64, "ssim": 0.2}
    assert find({"z": scenes[0], "x": scenes[1]}, **loose) == []
    assert find(images, **loose) == [["z", "y", "x"]]


def test_both_thresholds_and_the_last_word_count(scenes):
    images = {"a": scenes[0], "b": scenes[0], "c": scenes[1]}
    assert find(images) == find(images, hash_distance=0, ssim=1.0) == [["a", "b"]]
    assert find(images, ssim=1.01) == []
    asked = []
    assert find(images, confirm=lambda *pair: asked.append(pair)) == []
    assert asked == [("a", "b")]
