"""Predictions on disk: what a byte keeps of a probability, and what is refused."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InputError
from common.training import predictions
from common.training.runs import Run

fractions = st.floats(0, 1, width=32)


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run", {"learning_rate": 0.1})


@given(fractions)
def test_a_byte_keeps_the_side_of_one_half_and_is_near(probability):
    level = predictions.quantise(np.float32([probability]))
    back = predictions.probabilities(level)
    assert level.dtype == np.uint8 and back.dtype == np.float32
    assert (back >= 0.5) == (level >= 128) == (np.float32(probability) >= 0.5)
    assert abs(back[0] - probability) <= 1 / 512
    assert 0 < back[0] < 1


@given(fractions, fractions)
def test_bytes_keep_the_order(one, other):
    low, high = sorted((one, other))
    levels = predictions.quantise(np.float32([low, high]))
    assert levels[0] <= levels[1]


def test_every_byte_comes_back_to_itself():
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(predictions.quantise(predictions.probabilities(levels)), levels)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, -0.1, 1.1, 255])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(ValueError, match="from 0 to 1"):
        predictions.quantise(np.array([0.5, wrong]))


def test_the_last_bits_of_a_softmax_may_leave_the_interval():
    assert predictions.quantise(np.array([-1e-6, 1 + 1e-6])).tolist() == [0, 255]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("image_id", ["01_1", "test/Case_1-02", "merged/benign (1)", "1.5"])
def test_a_map_and_a_stack_come_back(run, exact, image_id):
    stack = np.random.default_rng(0).random((3, 5, 7), np.float32)
    predictions.save_map(run, image_id, stack[0], exact)
    predictions.save_map(run, f"{image_id} stack", stack, exact)
    single = predictions.load_map(run, image_id)
    several = predictions.load_map(run, f"{image_id} stack").reshape(3, 5, 7)
    assert single.shape == (5, 7) and single.dtype == several.dtype == np.float32
    tolerance = 0 if exact else 1 / 512 + 1e-7
    np.testing.assert_allclose(single, stack[0], rtol=0, atol=tolerance)
    np.testing.assert_allclose(several, stack, rtol=0, atol=tolerance)
    run.finish([image_id, f"{image_id} stack"])


def test_classes_come_back(run):
    classes = np.random.default_rng(0).integers(0, 3, (5, 7))
    predictions.save_classes(run, "merged/benign (1)", classes)
    found = predictions.load_classes(run, "merged/benign (1)")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, classes)


def test_maps_of_an_earlier_version_are_read_whatever_folder_is_asked_for(run):
    maps = np.random.default_rng(0).random((2, 5, 7), np.float32)
    softmax = np.random.default_rng(1).random((5, 7, 3), np.float32)
    run.predictions.mkdir()
    np.save(run.predictions / "a.npy", maps)
    np.save(run.predictions / "b.npy", softmax)
    np.testing.assert_array_equal(predictions.load_map(run, "test/a"), maps.reshape(10, 7))
    classes = predictions.load_classes(run, "merged/b")
    np.testing.assert_array_equal(classes, softmax.argmax(axis=-1))


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_network_that_diverged_leaves_no_map(run, exact, wrong):
    map_ = np.full((4, 4), 0.5, np.float32)
    map_[2, 2] = wrong
    with pytest.raises(InputError, match=r"for 01_1 .*diverged; .* lower --learning-rate 0\.1$"):
        predictions.save_map(run, "01_1", map_, exact)
    assert not run.predictions.exists()


@pytest.mark.parametrize(
    "content",
    [
        np.array([{}], object),
        np.float32(0.5),
        np.zeros(4, np.float32),
        np.zeros((0, 4), np.float32),
        np.zeros((2, 2, 2, 2), np.float32),
    ],
    ids=["pickle", "number", "line", "empty", "four axes"],
)
def test_an_array_that_is_no_map_is_named(run, content):
    run.predictions.mkdir()
    np.save(run.predictions / "a.npy", content, allow_pickle=True)
    for load in (predictions.load_map, predictions.load_classes):
        with pytest.raises(InputError, match=r"a\.npy: missing or damaged .* remove .*/run to"):
            load(run, "a")


def test_an_image_that_declares_more_pixels_than_a_map_has_is_refused(run):
    run.predictions.mkdir()
    _, content = cv2.imencode(".png", np.zeros((8, 8), np.uint8))
    header = bytearray(content.tobytes())
    header[16:24] = (60000).to_bytes(4, "big") * 2
    (run.predictions / "1.png").write_bytes(header)
    with pytest.raises(InputError, match=r"1\.png: missing or damaged prediction"):
        predictions.load_map(run, "1")


def test_an_image_that_is_no_map_is_named(run):
    run.predictions.mkdir()
    for name, array in (
        ("colour", np.zeros((4, 4, 3), np.uint8)),
        ("deep", np.zeros((4, 4), "u2")),
    ):
        cv2.imwrite(str(run.predictions / f"{name}.png"), array)
    (run.predictions / "empty.png").write_bytes(b"")
    for name in ("colour", "deep", "empty", "absent"):
        with pytest.raises(InputError, match=rf"{name}\.png: missing or damaged prediction"):
            predictions.load_map(run, name)
