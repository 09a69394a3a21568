import os
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow import keras

from common.cli import Request
from common.datasets import manifests
from common.errors import InputError
from common.imaging.writing import write_png
from common.metrics import dice
from common.published import schema
from common.training import fit, predictions
from common.training.runs import Run
from reproductions.polyp_unet import data, eval, metrics, model, train
from reproductions.polyp_unet import phantom as polyp_phantom
from reproductions.polyp_unet.config import PROFILES, Config
from reproductions.polyp_unet.train import predicted, trainer

TINY = replace(PROFILES["smoke"], width=2, epochs=2)
CORRECTED = replace(TINY, protocol="corrected")
PLAIN = {"jitter": (0, 0, 0, 0)}
REAL = Path(os.environ.get("DATA_ROOT", "/nonexistent")) / "polyp/kvasir_256"


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    """Phantoms of PolypGen in one data root, and of the stand-in alone in `alone`."""
    root = tmp_path_factory.mktemp("polyp")
    polyp_phantom.write(root / "polypgen", train=10, val=4, test=6, size=32)
    polyp_phantom.write_folder(root / "alone/polyp/kvasir_256", images=20, size=32)
    return root


@pytest.fixture
def packed(data_root, tmp_path):
    """A function that writes the phantom's file again with other arrays and reads it."""
    with np.load(data_root / "polypgen/polypgen_256.npz") as archive:
        arrays = dict(archive)

    def read(**changes):
        kept = {name: array for name, array in {**arrays, **changes}.items() if array is not None}
        np.savez(tmp_path / "polypgen_256.npz", **kept)
        data_set = manifests.DataSet("polypgen", "", tmp_path, synthetic=True, fingerprint="")
        return data.load(data_set, TINY)

    return read


def sample(mask, sample_id="a", centre=data.UNKNOWN):
    mask = np.asarray(mask, bool)
    return data.Sample(sample_id, np.zeros((*mask.shape, 3), np.uint8), mask, centre)


def compare(samples, maps, tuned):
    """Score test images."""
    return metrics.compare("test", samples, maps, tuned)


def pattern(seed, size=48):
    """A ragged mask, bool (size, size), without any symmetry."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(size, size)), (0, 0), 3)
    return noise > 0.02


# Settings and published numbers


def test_the_profiles_keep_what_the_source_gives():
    paper = PROFILES["paper"]
    assert (paper.input_size, paper.epochs, paper.learning_rate, paper.rate_step) == (
        256,
        150,
        1e-3,
        30,
    )
    assert (paper.batch_size, paper.width, paper.dropout) == (16, 64, 0.3)
    assert (paper.optimiser, paper.loss) == ("adam_step", "dice")
    assert (paper.rotation, paper.affine_rotation, paper.affine_scale) == (30, 20, (0.8, 1.2))
    assert (
        replace(
            PROFILES["quick"], profile="paper", input_size=256, width=64, epochs=150, rate_step=30
        )
        == paper
    )
    assert Config(seed=2, loss="focal").run_id == "unet-published-paper-float32-seed2-loss=focal"
    assert (
        Config(architecture="attention_unet").run_id
        == "attention_unet-published-paper-float32-seed0"
    )


def test_every_published_number_has_code_that_regenerates_it():
    reference = schema.load(trainer.folder / "published/table.yaml")
    table = compare([sample([[0, 1]])], [np.zeros((1, 2))], 0.5)
    scores = metrics.aggregate(table, Config())
    assert {(row, metric) for row, metric, _ in reference.numbers()} <= {
        ("unet", metric) for metric in scores
    }
    assert len(list(reference.numbers())) == 5
    assert reference.batch_size == PROFILES["paper"].batch_size
    assert set(eval.IMPROVEMENTS) >= set(reference.rows)


# Data


def test_a_medsegbench_file_comes_divided_with_its_centres(data_root):
    data_set = trainer.find_data(data_root)
    parts = data.load(data_set, TINY)
    assert {part: len(samples) for part, samples in parts.items()} == {
        "train": 10,
        "validation": 4,
        "test": 6,
    }
    assert [s.id for s in parts["test"]][:2] == ["test_0000", "test_0001"]
    assert [s.centre for s in parts["test"]] == ["C1", "C2"] * 3
    with np.load(data_set.folder / "polypgen_256.npz") as archive:
        np.testing.assert_array_equal(parts["validation"][2].image, archive["val_images"][2])
        np.testing.assert_array_equal(parts["validation"][2].mask, archive["val_label"][2] == 1)


def test_without_centres_in_the_file_none_is_known(packed):
    without = {f"test_images_{centre}": None for centre in data.CENTRES}
    assert {s.centre for s in packed(**without)["test"]} == {data.UNKNOWN}
    images = np.full((2, 32, 32, 3), 7, np.uint8)
    found = packed(test_images=images, test_label=np.zeros((2, 32, 32, 1), np.uint8))[
        "test"
    ]  # masks may have an axis
    assert [(s.centre, s.mask.shape) for s in found] == [(data.UNKNOWN, (32, 32))] * 2


IMAGES, MASKS = np.zeros((4, 32, 32, 3), np.uint8), np.zeros((4, 32, 32), np.uint8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_label": None}, r"expected the arrays train_images, .*; val_label missing"),
        (
            {"val_images": IMAGES[..., 0]},
            r"val_images: expected uint8 \(n, H, W, 3\), got uint8 \(4, 32, 32\)",
        ),
        ({"val_images": IMAGES.astype(np.float32)}, r"val_images: expected uint8 .*, got float32"),
        ({"val_images": IMAGES[:0]}, r"val_images: expected uint8"),
        (
            {"val_label": MASKS[:3]},
            r"val_label: expected the shape \(4, 32, 32\), got \(3, 32, 32\)",
        ),
        ({"val_label": MASKS[:, 1:]}, r"val_label: expected the shape"),
        (
            {"test_label": np.full((6, 32, 32), 255, np.uint8)},
            r"test_label: .* the values 0 and 1, got 255",
        ),
        ({"val_label": MASKS + 0.5}, r"val_label: .* the values 0 and 1, got 0\.5"),
        (
            {"val_label": np.array([None] * 4)},
            r"expected an npz file of plain arrays \(Object arrays cannot",
        ),
    ],
)
def test_a_wrong_array_is_named(packed, changes, message):
    with pytest.raises(InputError, match=rf"polypgen_256\.npz: {message}") as caught:
        packed(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("breakage", ["truncated", "text", "single", "bits"])
def test_a_damaged_file_is_one_line(data_root, tmp_path, breakage):
    path = tmp_path / "polypgen_256.npz"
    content = bytearray((data_root / "polypgen/polypgen_256.npz").read_bytes())
    if breakage == "single":
        with path.open("wb") as stream:
            np.save(stream, MASKS)
    else:
        content[len(content) // 10] ^= 255 * (breakage == "bits")
        path.write_bytes({"truncated": content[:-99], "text": b"<html>", "bits": content}[breakage])
    data_set = manifests.DataSet("polypgen", "", tmp_path, synthetic=True, fingerprint="")
    with pytest.raises(
        InputError, match=r"polypgen_256\.npz: expected an npz file of plain arrays \(\S"
    ):
        data.load(data_set, TINY)


def test_a_small_file_of_large_arrays_is_not_unpacked(tmp_path):
    path = tmp_path / "polypgen_256.npz"
    data_set = manifests.DataSet("polypgen", "", tmp_path, synthetic=True, fingerprint="")
    names = {f"{part}_{kind}" for part in ("train", "val", "test") for kind in ("images", "label")}
    arrays = dict.fromkeys(names, np.zeros((400, 100, 100, 3), np.uint8))
    np.savez_compressed(path, **arrays)
    with pytest.raises(InputError, match=r"polypgen_256\.npz: refused to unpack more than"):
        data.load(data_set, TINY)


def test_a_file_with_another_checksum_is_refused(data_root, tmp_path):
    (tmp_path / "polypgen").mkdir()
    shutil.copy(data_root / "polypgen/polypgen_256.npz", tmp_path / "polypgen")
    checksum = "md5:325423a8bfaa582ffa283c95acce6992"
    expected = rf"polypgen_256\.npz: \d+ bytes with another checksum than expected, {checksum}"
    with pytest.raises(InputError, match=expected):
        trainer.find_data(tmp_path)


def test_a_folder_is_divided_by_the_seed(data_root, capsys):
    data_set = trainer.find_data(data_root / "alone")
    assert "data: kvasir_standin phantoms (synthetic)" in capsys.readouterr().out
    parts = data.load(data_set, TINY)
    assert {part: len(samples) for part, samples in parts.items()} == {
        "train": 16,
        "validation": 2,
        "test": 2,
    }
    ids = [s.id for samples in parts.values() for s in samples]
    assert len(set(ids)) == 20
    again, other = (data.load(data_set, replace(TINY, seed=seed)) for seed in (0, 1))
    assert (
        [s.id for s in again["test"]]
        == [s.id for s in parts["test"]]
        != [s.id for s in other["test"]]
    )
    assert {s.centre for s in parts["test"]} == {data.UNKNOWN}


def test_a_broken_folder_is_named(data_root, tmp_path):
    folder = tmp_path / "polyp/kvasir_256"
    shutil.copytree(data_root / "alone/polyp/kvasir_256", folder)
    data_set = trainer.find_data(tmp_path)
    write_png(folder / "masks/0003.png", np.full((32, 32), 99, np.uint8))
    with pytest.raises(
        InputError, match=r"0003\.png: expected a mask with the values 0/255 or 0/1, got 99"
    ):
        data.load(data_set, TINY)
    (folder / "masks/0003.png").unlink()
    with pytest.raises(InputError, match=r"0003\.png: no such file, expected the mask of"):
        data.load(data_set, TINY)
    with pytest.raises(InputError, match=r"19 of 20 masks/\*\.png"):
        trainer.find_data(tmp_path)


# Augmentation


@settings(max_examples=50)
@given(st.integers(0, 2**31))
def test_the_mask_moves_with_the_image_exactly_under_corrected_and_not_at_all_under_published(seed):
    mask = pattern(seed % 7)
    image = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)
    moved, moved_mask = data.augment(image, mask, seed, replace(CORRECTED, **PLAIN))
    np.testing.assert_array_equal(moved_mask, moved[..., 0] > 127)
    same, left = data.augment(image, mask, seed, replace(TINY, **PLAIN))
    np.testing.assert_array_equal(same, moved)
    np.testing.assert_array_equal(left, mask)


def test_what_is_drawn_moves_the_mask():
    mask = pattern(3)
    image = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)
    moved = [data.augment(image, mask, seed, replace(CORRECTED, **PLAIN))[1] for seed in range(20)]
    assert (
        np.median([(one != mask).mean() for one in moved]) > 0.02
    )  # a draw may come close to none


def test_flips_are_exact_and_each_is_as_likely():
    still = replace(CORRECTED, rotation=0, affine_rotation=0, affine_scale=(1, 1), **PLAIN)
    rng = np.random.default_rng(0)
    image, mask = rng.integers(0, 256, (24, 24, 3), np.uint8), pattern(1, 24)
    axes = [(), (0,), (1,), (0, 1)]
    seen = []
    for seed in range(200):
        moved, moved_mask = data.augment(image, mask, seed, still)
        found = [axis for axis in axes if np.array_equal(moved, np.flip(image, axis))]
        assert len(found) == 1
        np.testing.assert_array_equal(moved_mask, np.flip(mask, found[0]))
        seen += found
    assert min(seen.count(axis) for axis in axes) > 30


def test_rotation_and_scale_are_about_the_centre_and_within_their_ranges():
    y, x = np.mgrid[:65, :65] - 32.0
    mask = (abs(y) < 14) & (abs(x) < 6) & (x + y < 100)
    image = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)
    angles, scales = [], []
    for seed in range(150):
        _, moved = data.augment(image, mask, seed, replace(CORRECTED, **PLAIN))
        rows, columns = np.nonzero(moved)
        assert abs(rows.mean() - 32) < 0.3 and abs(columns.mean() - 32) < 0.3
        angles.append(
            np.degrees(
                0.5 * np.arctan2(2 * np.cov(rows, columns)[0, 1], np.var(rows) - np.var(columns))
            )
        )
        scales.append(np.sqrt(moved.sum() / mask.sum()))
    assert 35 < max(np.abs(angles)) < 51
    assert 0.78 < min(scales) < 0.85 and 1.15 < max(scales) < 1.22
    assert abs(np.mean(angles)) < 6


def test_jitter_changes_colours_and_nothing_else():
    image = np.zeros((16, 16, 3), np.uint8)
    image[4:12, 4:12] = 180, 90, 60
    config = replace(CORRECTED, rotation=0, affine_rotation=0, affine_scale=(1, 1))
    colours = set()
    for seed in range(20):
        moved, mask = data.augment(image, image[..., 0] > 0, seed, config)
        inside = moved[4:12, 4:12].reshape(-1, 3)
        assert (inside == inside[0]).all()  # the square is its own mirror image
        assert mask.sum() == 64
        colours.add(tuple(inside[0]))
    assert len(colours) == 20
    np.testing.assert_allclose(np.mean(list(colours), axis=0), (180, 90, 60), atol=25)


def test_an_epoch_is_a_function_of_seed_and_epoch():
    plan = data.epoch_plan(9, TINY, epoch=3)
    assert sorted(plan[:, 0]) == list(range(9))
    np.testing.assert_array_equal(plan, data.epoch_plan(9, TINY, epoch=3))
    assert (plan != data.epoch_plan(9, TINY, epoch=4)).any()
    assert (plan != data.epoch_plan(9, replace(TINY, seed=1), epoch=3)).any()


def test_batches_are_augmented_for_training_and_plain_for_validation(data_root):
    samples = data.load(trainer.find_data(data_root), CORRECTED)["train"]
    material = data.inputs(samples, 32)
    spec = (
        tf.TensorSpec((None, 32, 32, 3), tf.float32),
        tf.TensorSpec((None, 32, 32, 1), tf.float32),
    )
    assert {
        str(data.batches(material, CORRECTED, epoch).element_spec) for epoch in (0, 1, None)
    } == {str(spec)}
    images, masks = (np.concatenate(part) for part in zip(*data.batches(material, CORRECTED)))
    np.testing.assert_allclose(images, [s.image / 255 for s in samples], atol=1e-6)
    np.testing.assert_array_equal(masks[..., 0], [s.mask for s in samples])
    first, again, other = (
        np.concatenate([images for images, _ in data.batches(material, CORRECTED, epoch)])
        for epoch in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    index, seed = data.epoch_plan(10, CORRECTED, 0)[7]
    shown, _ = data.augment(samples[index].image, samples[index].mask, seed, CORRECTED)
    np.testing.assert_allclose(first[7], shown / 255, atol=1e-6)
    smaller = data.inputs(samples, 16)
    assert smaller.images.shape == (10, 16, 16, 3) and smaller.masks.dtype == bool
    assert abs(smaller.masks.mean() - material.masks.mean()) < 0.02


# Network, losses, learning rate


def test_the_network_is_the_one_that_the_source_describes():
    fit.start(0)
    network = model.build(Config())
    names = [layer.__class__.__name__ for layer in network.layers]
    counts = {
        name: names.count(name)
        for name in ("Conv2D", "BatchNormalization", "SpatialDropout2D", "MaxPooling2D")
    }
    assert counts == {
        "Conv2D": 19,
        "BatchNormalization": 18,
        "SpatialDropout2D": 9,
        "MaxPooling2D": 4,
    }
    filters = [
        layer.filters for layer in network.layers if isinstance(layer, keras.layers.Conv2DTranspose)
    ]
    assert filters == [512, 256, 128, 64]
    trainable = sum(keras.backend.count_params(weight) for weight in network.trainable_weights)
    assert (
        trainable == 31_043_521
    )  # 3 channels in, 1 out, biases in every convolution, BatchNorm after those of 3×3
    seeds = [layer.seed for layer in network.layers if isinstance(layer, fit.SpatialDropout2D)]
    assert len(set(seeds)) == 9


@pytest.mark.parametrize("architecture", ["unet", "attention_unet"])
def test_probabilities_are_float32_of_the_size_of_the_image(architecture):
    config = replace(TINY, architecture=architecture, precision="mixed_bfloat16")
    fit.start(0, config.precision)
    network = model.build(config)
    fit.start(0)  # leaves no policy behind
    rng = np.random.default_rng(0)
    images = [
        rng.integers(0, 256, (*size, 3), np.uint8)
        for size in ((32, 32), (32, 32), (50, 40), (9, 9), (64, 64))
    ]
    maps = model.predict(network, images, config)
    assert [m.shape for m in maps] == [image.shape[:2] for image in images]
    assert {m.dtype for m in maps} == {np.dtype(np.float32)}
    for m in maps:
        assert 0 < m.min() < m.max() < 1
    np.testing.assert_array_equal(
        maps[1], network.predict_on_batch(images[1][None] / np.float32(255))[0, ..., 0]
    )


def test_losses_have_their_closed_form_values():
    true = np.zeros((2, 2, 2, 1), np.float32)
    true[0, 0] = 1  # one image with two polyp pixels, one without any
    pred = np.full_like(true, 0.25)
    values = {
        name: float(loss(true, tf.constant(pred)))
        for name, loss in model.losses(foreground=0.25).items()
    }
    bce = -(2 * np.log(0.25) + 6 * np.log(0.75)) / 8
    assert values["dice"] == pytest.approx(
        1 - 2 * 0.5 / (2 + 2), abs=1e-5
    )  # over the batch, not per image
    assert values["bce_dice"] == pytest.approx(values["dice"] + bce, abs=1e-5)
    focal = -(2 * 0.25 * 0.75**2 * np.log(0.25) + 6 * 0.75 * 0.25**2 * np.log(0.75)) / 8
    assert values["focal"] == pytest.approx(focal, abs=1e-5)
    weighted = -(2 * 2 * np.log(0.25) + 6 * 2 / 3 * np.log(0.75)) / 8
    assert values["weighted_bce"] == pytest.approx(weighted, abs=1e-5)
    nothing = model.losses(0.25)["dice"](true * 0, tf.constant(true * 0))
    assert float(nothing) == pytest.approx(0, abs=1e-6)


def test_adamw_takes_the_decay_off_beside_adams_step():
    start, gradient = np.array([2.0, -3.0], np.float32), tf.constant([0.5, -0.1])
    plain, decayed = tf.Variable(start), tf.Variable(start)
    adam, adamw = keras.optimizers.Adam(0.1), model.AdamW(0.1, weight_decay=0.2)
    for _ in range(3):
        before = decayed.numpy()
        step = -plain.numpy()
        adam.apply_gradients([(gradient, plain)])
        adamw.apply_gradients([(gradient, decayed)])
        step += plain.numpy()
        np.testing.assert_allclose(decayed.numpy(), before * (1 - 0.1 * 0.2) + step, rtol=1e-5)


def test_the_learning_rate_follows_the_history():
    step = Config()
    rates = [train.learning_rate(step, [{}] * epochs) for epochs in (0, 29, 30, 59, 60, 149)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-7])
    plateau = replace(step, optimiser="adamw_plateau")
    losses = [1.0] + [0.5] + [0.49999] * 10  # a fall of less than 1e-4 of it is none
    history = [{"val_loss": loss} for loss in losses]
    assert train.learning_rate(plateau, []) == train.learning_rate(plateau, history) == 1e-3
    history.append({"val_loss": 0.6})
    assert train.learning_rate(plateau, history) == 5e-4
    assert train.learning_rate(plateau, history + [{"val_loss": 0.6}] * 10) == 5e-4
    assert train.learning_rate(plateau, history + [{"val_loss": 0.6}] * 11) == 2.5e-4
    assert (
        train.learning_rate(plateau, history + [{"val_loss": 0.4}] + [{"val_loss": 0.6}] * 10)
        == 5e-4
    )


# Metrics


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.integers(1, 4))
def test_the_two_divisors_differ_by_exactly_the_batch_size_for_full_batches(seed, count):
    rng = np.random.default_rng(seed)
    config = replace(TINY, batch_size=4)
    samples = [sample(rng.random((6, 6)) > 0.6, str(k)) for k in range(4 * count)]
    table = compare(samples, [rng.random((6, 6)) for _ in samples], 0.3)
    wrong, right = (
        metrics.aggregate(table, replace(config, protocol=p)) for p in ("published", "corrected")
    )
    for name in ("accuracy", "precision", "recall"):
        assert right[name] == pytest.approx(4 * wrong[name], rel=1e-12)
        assert right[name] == wrong[f"{name}_mean_of_batches"]
    same = ["f1", "iou", "f1_pooled", "precision_pooled", "f1_tuned", "threshold_tuned"]
    assert [wrong[name] for name in same] == [right[name] for name in same]


def test_scores_by_hand():
    full, half, none = np.ones((2, 4), bool), np.tile([True, False], (2, 2)), np.zeros((2, 4), bool)
    samples = [sample(full, "a", "C1"), sample(half, "b", "C2"), sample(none, "c", "C2")]
    maps = [half * 0.9, full * 0.6, none * 0.0]
    table = compare(samples, maps, tuned=0.7)
    assert table["f1"].tolist() == pytest.approx([2 / 3, 2 / 3, 1])
    assert table[["tp", "tuned_tp"]].to_numpy().tolist() == [[4, 4], [4, 0], [0, 0]]
    scores = metrics.aggregate(table, replace(TINY, batch_size=2))
    # The first batch has 8 of 12 polyp pixels found and 4 invented, the second neither polyps nor
    # inventions.
    assert scores["precision"] == pytest.approx((8 / 12 + 1) / 3)
    assert scores["precision_mean_of_batches"] == pytest.approx((8 / 12 + 1) / 2)
    assert scores["recall_pooled"] == pytest.approx(8 / 12)
    assert scores["accuracy"] == pytest.approx((8 / 16 + 1) / 3)
    assert scores["f1_tuned"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    by_centre = metrics.by_centre(table)
    assert by_centre["C1"] == pytest.approx(
        {"images": 1, "f1": 2 / 3, "iou": 1 / 2, "accuracy": 1 / 2, "precision": 1, "recall": 1 / 2}
    )
    assert by_centre["C2"]["f1"] == pytest.approx(5 / 6)
    assert by_centre["C2"]["precision"] == pytest.approx(1 / 2)


def test_the_threshold_is_the_one_with_the_best_validation_f1():
    truth = pattern(3)
    maps = [np.where(truth, 0.72, 0.68), np.where(truth, 0.9, 0.1)]
    assert metrics.best_threshold([sample(truth)] * 2, maps) == 0.7
    assert (
        metrics.best_threshold([sample(truth)], maps[1:]) == 0.5
    )  # of equals the one in the middle


def test_validation_images_have_scores_of_their_own_and_no_say_in_the_others():
    rng = np.random.default_rng(0)
    samples = [sample(rng.random((6, 6)) > 0.6, str(k)) for k in range(4)]
    maps = [rng.random((6, 6)) for _ in samples]
    both = [metrics.compare(part, samples, maps, 0.3) for part in ("validation", "test")]
    scores = metrics.aggregate(pandas.concat(both), TINY)
    alone = metrics.aggregate(both[1], TINY)
    assert scores["validation_f1"] == scores["f1"] and scores["validation_iou"] == scores["iou"]
    assert {name: scores[name] for name in alone} == alone


def test_the_threshold_is_chosen_on_the_saved_maps_of_the_validation_images(data_root, tmp_path):
    data_set = trainer.find_data(data_root)
    samples = data.load(data_set, TINY)
    run = Run(tmp_path, {"learning_rate": 0.1})
    run.save_split({part: [s.id for s in members] for part, members in samples.items()})
    for s in (*samples["validation"], *samples["test"]):
        predictions.save_map(run, s.id, np.where(s.mask, 0.33, 0.28))
    table = metrics.per_image([run], TINY, data_set)
    assert set(table["tuned_threshold"]) == {0.3}
    assert table["id"].tolist() == predicted(run.split)
    scores = metrics.aggregate(table, TINY)
    assert scores["f1_tuned"] == 1 and scores["threshold_tuned"] == 0.3
    assert scores["f1"] == 0  # at 0.5 none is found


def test_settings_of_the_protocol_can_be_switched_alone():
    published, corrected = Config(), Config(protocol="corrected")
    assert (published.transforms_mask, published.tests_best_epoch) == (False, False)
    assert (corrected.transforms_mask, corrected.tests_best_epoch) == (True, True)
    assert replace(published, mask_moves="yes").transforms_mask
    assert not replace(corrected, mask_moves="no").transforms_mask
    assert replace(published, tested_epoch="best_validation").tests_best_epoch
    assert not replace(corrected, tested_epoch="last").tests_best_epoch


# From phantoms to tables


def test_the_source_and_the_protocol_are_told_apart(data_root):
    standin = replace(
        trainer.find_data(data_root / "alone"), synthetic=False, title="Kvasir-SEG stand-in (…)"
    )
    paper, whole = PROFILES["paper"], replace(standin, name="polypgen")
    assert eval.differences(paper, standin) == ["Kvasir-SEG stand-in (…) instead of PolypGen"]
    assert eval.differences(paper, whole) == []
    corrected = replace(paper, protocol="corrected")
    assert eval.differences(corrected, whole) == ["the source's mistakes corrected"]
    assert eval.test_set_is_given(paper, whole) and not eval.test_set_is_given(paper, standin)


@pytest.mark.slow
def test_tables_end_to_end(data_root, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(PROFILES, "smoke", TINY)
    request = Request(data_root=data_root, profile="smoke", results_root=tmp_path)
    targets = eval.paper.targets
    targets["table"].run(request)
    assert capsys.readouterr().out.count("5 published: 5 not comparable") == 2
    results = tmp_path / "demo/polyp_unet"  # synthetic data never reach the real results
    lines = pandas.read_csv(results / "table.csv").fillna({"differences": ""})
    table = lines.set_index(["protocol", "metric"])["mean"]
    by_protocol = lines.groupby("protocol")["differences"].unique()
    assert all("synthetic images" in each for each in by_protocol.explode())
    assert "the source's mistakes corrected" in by_protocol["corrected"][0]
    assert "mistakes" not in by_protocol["published"][0]

    # An independent recount from the saved probability maps; and 6 test images in batches of 4 are
    # two batches.
    folder = next((tmp_path / "demo/runs/polyp_unet").glob("polypgen-unet-published-*"))
    tests = data.load(trainer.find_data(data_root), TINY)["test"]
    matrices = []
    for s in tests:
        levels = cv2.imread(str(folder / f"predictions/{s.id}.png"), cv2.IMREAD_UNCHANGED)
        matrices.append(dice.confusion(s.mask, levels >= 128))
    assert table["published", "f1"] == pytest.approx(dice.f1(np.stack(matrices)), abs=1e-6)
    batches = [dice.recall(sum(matrices[:4])), dice.recall(sum(matrices[4:]))]
    assert table["published", "recall"] == pytest.approx(sum(batches) / 6, abs=1e-6)
    targets["centres"].run(request)
    assert sorted(set(pandas.read_csv(results / "centres.csv")["row"])) == ["C1", "C2"]
    targets["curves"].run(request)
    assert (results / "curves-published-smoke-seed0.png").stat().st_size > 10_000

    # What the two protocols trained on differs, and so does what they ended with.
    histories = {
        p.parent.name.split("-")[2]: pandas.read_csv(p) for p in results.rglob("history.csv")
    }
    assert set(histories) == {"published", "corrected"}
    assert histories["published"]["learning_rate"].tolist() == pytest.approx([1e-3, 1e-4])
    assert (histories["published"]["loss"] != histories["corrected"]["loss"]).all()

    monkeypatch.setattr(
        eval, "IMPROVEMENTS", {name: eval.IMPROVEMENTS[name] for name in ("unet", "attention_unet")}
    )
    trained = sorted(tmp_path.rglob("weights.h5"))
    times = [path.stat().st_mtime_ns for path in trained]
    targets["ablation"].run(request)
    assert [
        path.stat().st_mtime_ns for path in trained
    ] == times  # the table's network is not trained again
    ablation = pandas.read_csv(results / "ablation.csv").set_index(["row", "metric"])["mean"]
    assert ablation["unet", "f1"] == table["corrected", "f1"]
    assert {row for row, _ in ablation.index} == {"unet", "attention_unet"}

    capsys.readouterr()
    targets["centres"].run(replace(request, data_root=data_root / "alone", protocol="corrected"))
    assert "kvasir_standin phantoms (synthetic) do not tell the parts apart" in (
        capsys.readouterr().out
    )


# The real stand-in


@pytest.mark.skipif(not REAL.is_dir(), reason="DATA_ROOT with polyp/kvasir_256 is not set")
def test_the_real_stand_in(capsys):
    data_set = trainer.find_data(REAL.parents[1])
    assert "data: Kvasir-SEG stand-in" in capsys.readouterr().out
    parts = data.load(data_set, PROFILES["paper"])
    assert {part: len(samples) for part, samples in parts.items()} == {
        "train": 400,
        "validation": 50,
        "test": 50,
    }
    samples = [s for part in parts.values() for s in part]
    assert {s.image.shape for s in samples} == {(256, 256, 3)}
    assert np.mean([s.mask.mean() for s in samples]) == pytest.approx(0.152, abs=1e-3)
