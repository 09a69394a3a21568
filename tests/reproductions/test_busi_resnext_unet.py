import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
from disjoint import assert_disjoint
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tensorflow import keras

from common.cli import Request
from common.datasets import manifests
from common.errors import InputError
from common.imaging.masks import read_mask
from common.imaging.reading import read_rgb
from common.imaging.writing import write_png
from common.published import schema
from common.training import fit
from reproductions.busi_resnext_unet import data, duplicates, eval, metrics, model, predictor
from reproductions.busi_resnext_unet import phantom as busi_phantom
from reproductions.busi_resnext_unet.config import (
    CLASSES,
    ENCODERS,
    PATCH,
    PROFILES,
    Config,
)
from reproductions.busi_resnext_unet.train import predicted, trainer

TINY = replace(PROFILES["smoke"], encoder="vgg16", encoder_weights="none", epochs=1)
REAL = Path(os.environ.get("DATA_ROOT", "/nonexistent")) / "busi"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="DATA_ROOT with busi/ is not set")


PUBLISHED = trainer.folder / "published"


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("busi")
    busi_phantom.write(root / "busi", benign=6, malignant=4, normal=3)
    return root


@pytest.fixture(scope="module")
def folder(data_root):
    return data_root / "busi"


@pytest.fixture
def copy(folder, tmp_path):
    """A data set that a test may damage."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def grey(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def sample(mask, sample_id="benign (1)"):
    mask = np.asarray(mask, np.uint8)
    return data.Sample(sample_id, np.zeros((*mask.shape, 3), np.uint8), mask)


# Settings and published numbers


def test_the_profiles_keep_what_the_paper_gives():
    paper = PROFILES["paper"]
    given = (
        paper.epochs,
        paper.learning_rate,
        paper.batch_size,
        paper.input_size,
        paper.epoch_share,
    )
    assert given == (100, 1e-4, 16, PATCH, 1.0)
    quick = PROFILES["quick"]
    shortened = ("profile", "input_size", "epoch_share", "epochs", "learning_rate")
    assert replace(quick, **{name: getattr(paper, name) for name in shortened}) == paper
    assert (
        Config(seed=2, loss="dice_focal").run_id
        == "resnext50-imagenet-published-paper-float32-seed2-loss=dice_focal"
    )


def test_every_published_number_has_code_that_regenerates_it():
    whole = np.array([[0, 1, 2]])
    names = set(metrics.aggregate(metrics.compare([sample(whole)], [whole], [whole]), TINY))
    for table, rows, count in (("table3", ENCODERS, 12), ("table4", ["resnext50"], 2)):
        numbers = list(schema.load(PUBLISHED / f"{table}.yaml").numbers())
        assert len(numbers) == count
        assert {row for row, _, _ in numbers} == set(rows) <= set(eval.LABELS)
        assert {metric for _, metric, _ in numbers} <= names
    for table, rows in (("table1", (*data.VALUES, "total")), ("params", ENCODERS)):
        assert {row for row, _, _ in schema.load(PUBLISHED / f"{table}.yaml").numbers()} == set(
            rows
        )


def test_the_three_parameter_counts_are_the_published_ones(tmp_path):
    eval.paper.targets["params"].run(Request(results_root=tmp_path))
    verdicts = pandas.read_csv(tmp_path / "busi_resnext_unet/params_vs_published.csv")
    assert verdicts["regenerated"].tolist() == [23_748_531, 31_993_270, 51_142_070]
    assert (verdicts["verdict"] == "match").all()


# Data


def test_masks_of_an_image_are_merged_and_take_the_value_of_their_class(folder):
    [benign, malignant, normal] = data.load(folder, ["benign (1)", "malignant (2)", "normal (1)"])
    parts = [read_mask(folder / f"benign/benign (1)_mask{k}.png") for k in ("", "_1")]
    assert all(part.any() for part in parts) and not (parts[0] & parts[1]).any()
    np.testing.assert_array_equal(benign.mask, parts[0] | parts[1])
    assert set(np.unique(malignant.mask)) == {0, 2}
    assert not normal.mask.any()
    assert benign.image.shape == (*benign.mask.shape, 3) and benign.mask.dtype == np.uint8


@pytest.mark.parametrize(
    "damage, words",
    [
        (
            lambda f: (f / "benign/benign (2)_mask.png").unlink(),
            r"benign \(2\)\.png: an image without a mask",
        ),
        (
            lambda f: (f / "benign/benign (2).png").unlink(),
            r"benign \(2\)_mask\.png: a mask without its image",
        ),
        (
            lambda f: write_png(f / "benign/benign (1)_mask_1.png", np.zeros((5, 4), bool)),
            r"_mask_1\.png.*is 4x5",
        ),
        (
            lambda f: (f / "normal/normal (1).png").write_bytes(b""),
            r"normal \(1\)\.png: the file is empty",
        ),
        (lambda f: [shutil.rmtree(f / name) for name in data.VALUES], "no benign/benign"),
    ],
)
def test_files_that_do_not_fit_are_named(copy, damage, words):
    damage(copy)
    with pytest.raises(InputError, match=words):
        data.load(copy, data.find(copy))


def test_a_lesion_in_a_normal_image_is_refused_and_not_dropped(copy):
    mask = read_mask(copy / "normal/normal (1)_mask.png")
    mask[3, 3] = True
    write_png(copy / "normal/normal (1)_mask.png", mask)
    with pytest.raises(InputError, match=r"normal \(1\)_mask\.png: expected an empty mask"):
        data.load(copy, ["normal (1)"])


def test_the_published_split_is_70_20_10_by_image(monkeypatch):
    ids = {f"benign ({n})": None for n in range(780)}
    monkeypatch.setattr(data, "find", lambda folder: ids)
    data_set = manifests.DataSet("busi", "BUSI", Path("."), synthetic=False, fingerprint="")
    split = data.split(data_set, Config())
    assert {part: len(members) for part, members in split.items()} == {
        "train": 546,
        "validation": 156,
        "test": 78,
    }
    assert list(split) == ["train", "validation", "test"]
    assert split == data.split(data_set, Config()) != data.split(data_set, Config(seed=1))


def test_the_corrected_split_keeps_near_duplicates_together(data_root):
    data_set = manifests.find("busi", data_root)
    samples = data.load(data_set.folder, data.find(data_set.folder))
    groups = duplicates.find({s.id: s.image for s in samples})
    assert groups == [
        ["benign (1)", "benign (6)"],
        ["malignant (1)", "malignant (4)"],
        ["normal (1)", "normal (3)"],
    ]
    owners = {**{s.id: s.id for s in samples}, **{i: group[0] for group in groups for i in group}}
    for seed in range(8):
        assert_disjoint(data.split(data_set, Config(protocol="corrected", seed=seed)), owners)


def test_the_committed_groups_are_used_for_the_real_images(monkeypatch):
    groups = duplicates.read()
    members = [image_id for group in groups for image_id in group]
    assert len(set(members)) == len(members) and all(len(group) > 1 for group in groups)
    assert (len(groups), len(members), len(duplicates.across_classes(groups))) == (148, 341, 8)
    singles = [f"single ({n})" for n in range(780 - len(members))]
    monkeypatch.setattr(data, "find", lambda folder: dict.fromkeys(members + singles))
    data_set = manifests.DataSet("busi", "BUSI", Path("."), synthetic=False, fingerprint="")
    split = data.split(data_set, Config(protocol="corrected"))
    assert_disjoint(
        split, {**{i: i for i in singles}, **{i: group[0] for group in groups for i in group}}
    )
    assert [len(part) for part in split.values()] == [546, 156, 78]


def test_duplicates_are_found_past_shifts_and_marks_but_no_others_are(folder):
    image = read_rgb(folder / "malignant/malignant (2).png")
    marked = image.copy()
    marked[10:20, 10:40] = 255
    shifted = np.roll(image, (3, -4), axis=(0, 1))
    others = {str(n): read_rgb(folder / f"benign/benign ({n}).png") for n in (2, 3, 4, 5)}
    chain = {"benign (9)": image, **others, "malignant (9)": marked, "normal (9)": shifted}
    groups = duplicates.find(chain)
    assert (
        groups
        == [["benign (9)", "malignant (9)", "normal (9)"]]
        == duplicates.across_classes(groups)
    )
    assert duplicates.find({"one": image}) == []


def test_the_list_of_groups_is_plain_json_and_survives_a_round_trip(tmp_path, monkeypatch):
    monkeypatch.setattr(duplicates, "LIST", tmp_path / "list.json")
    groups = [["benign (1)", "benign (2)"], ["normal (3)", "benign (4)", "benign (5)"]]
    duplicates.write(groups)
    assert duplicates.read() == groups
    assert len((tmp_path / "list.json").read_text().splitlines()) == 2 + len(groups)


def test_patches_are_cut_in_reading_order_and_padded_with_zeros():
    mask = np.ones((PATCH + 3, 2 * PATCH), np.uint8)
    mask[:PATCH, PATCH:] = 2
    patches = data.cut([sample(mask), sample(np.ones((4, 5)))], PATCH)
    assert patches.images.shape == (5, PATCH, PATCH, 3) and patches.masks.shape == (5, PATCH, PATCH)
    assert [int(patch.max()) for patch in patches.masks] == [1, 2, 1, 1, 1]
    assert patches.masks[2].sum() == 3 * PATCH and patches.masks[4].sum() == 20
    small = data.cut([sample(mask)], 32)
    assert small.masks.shape == (4, 32, 32) and set(np.unique(small.masks)) <= {0, 1, 2}


def test_an_epoch_depends_on_seed_and_number_alone_and_shows_its_share():
    config = replace(TINY, epoch_share=0.25)
    first = data.epoch_order(40, config, 0)
    assert len(first) == 10 == len(set(first))
    np.testing.assert_array_equal(first, data.epoch_order(40, config, 0))
    assert not np.array_equal(first, data.epoch_order(40, config, 1))
    assert not np.array_equal(first, data.epoch_order(40, replace(config, seed=1), 0))
    assert sorted(data.epoch_order(40, TINY, 3)) == list(range(40))
    assert len(data.epoch_order(3, replace(config, epoch_share=1e-6), 0)) == 1


def test_batches_hold_prepared_images_and_one_hot_masks():
    rng = np.random.default_rng(0)
    patches = data.Patches(
        rng.integers(0, 256, (5, 32, 32, 3), np.uint8), rng.integers(0, 3, (5, 32, 32), np.uint8)
    )
    seen = list(
        data.batches(
            patches, replace(TINY, encoder="resnext50", batch_size=2), epoch=4
        ).as_numpy_iterator()
    )
    assert [len(x) for x, _ in seen] == [2, 2, 1]
    order = data.epoch_order(5, replace(TINY, encoder="resnext50"), 4)
    np.testing.assert_array_equal(
        np.concatenate([x for x, _ in seen]), patches.images[order]
    )  # raw RGB for ResNeXt
    np.testing.assert_array_equal(
        np.concatenate([y for _, y in seen]).argmax(-1), patches.masks[order]
    )
    assert all((y.sum(-1) == 1).all() for _, y in seen)


# Metrics


def test_scores_of_two_images_in_closed_form():
    table = metrics.compare(
        [sample([[0, 0, 1, 1]], "benign (1)"), sample([[0, 0, 0, 0]], "normal (1)")],
        [np.array([[0, 1, 1, 1]]), np.array([[0, 0, 0, 0]])],
        [np.array([[0, 0, 1, 1]]), np.array([[0, 0, 0, 0]])],
    )
    scores = metrics.aggregate(table, TINY)
    # Per image: background 1/2 and 1, benign 2/3 in the first and no say in the second, malignant
    # nowhere.
    assert scores["iou_background"] == pytest.approx(75)
    assert scores["iou_benign"] == pytest.approx(200 / 3)
    assert scores["iou_mean"] == pytest.approx((75 + 200 / 3) / 2)
    assert scores["accuracy"] == pytest.approx(87.5)
    assert scores["iou_background_pooled"] == pytest.approx(100 * 5 / 6)
    assert scores["dice_benign_pooled"] == scores["dice_benign"] == pytest.approx(80)
    assert "iou_malignant" not in scores and "iou_malignant_pooled" not in scores
    assert scores["iou_mean_blended"] == scores["dice_blended"] == 100
    assert np.isnan(table["iou_malignant"]).all() and np.isnan(table["iou_benign"][1])


def test_a_lesion_invented_in_a_normal_image_counts_against_its_class():
    truth, nothing, invented = (
        np.zeros((2, 2), int),
        np.zeros((2, 2), int),
        np.array([[2, 0], [0, 0]]),
    )
    right = metrics.aggregate(metrics.compare([sample(truth)], [nothing], [nothing]), TINY)
    wrong = metrics.aggregate(metrics.compare([sample(truth)], [invented], [invented]), TINY)
    assert right == dict.fromkeys(right, 100) and "iou_malignant" not in right
    assert wrong["iou_malignant"] == 0 and wrong["iou_background"] == 75


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_scores_agree_with_sets_of_pixels(seed):
    rng = np.random.default_rng(seed)
    truths = [rng.integers(0, 3, rng.integers(1, 5, 2), np.uint8) for _ in range(3)]
    maps = [rng.integers(0, 3, truth.shape, np.uint8) for truth in truths]
    table = metrics.compare([sample(truth) for truth in truths], maps, maps)
    scores = metrics.aggregate(table, TINY)
    for value, name in enumerate(CLASSES):
        by_image = []
        for truth, labels in zip(truths, maps):
            one, other = (set(zip(*np.nonzero(m == value))) for m in (truth, labels))
            by_image += [len(one & other) / len(one | other)] if one | other else []
        assert scores.get(f"iou_{name}", None) == (
            pytest.approx(100 * np.mean(by_image)) if by_image else None
        )
    assert scores["iou_mean"] == pytest.approx(
        np.mean([scores[f"iou_{c}"] for c in CLASSES if f"iou_{c}" in scores])
    )


def test_scores_survive_the_file(tmp_path):
    truth = np.array([[0, 1], [1, 0]], np.uint8)
    table = metrics.compare([sample(truth), sample(truth * 0)], [truth, truth], [truth * 0] * 2)
    table.to_csv(tmp_path / "metrics.csv", index=False)
    kept = pandas.read_csv(tmp_path / "metrics.csv")
    assert metrics.aggregate(kept, TINY) == metrics.aggregate(table, TINY)


def test_without_blended_maps_their_scores_are_left_out():
    truth = np.array([[0, 1], [1, 0]], np.uint8)
    alone = metrics.aggregate(metrics.compare([sample(truth)], [truth]), TINY)
    both = metrics.aggregate(metrics.compare([sample(truth)], [truth], [truth * 0]), TINY)
    assert set(both) - set(alone) == {"iou_mean_blended", "dice_blended"}
    assert alone == {name: both[name] for name in alone}


def test_the_unit_of_the_bootstrap_is_what_the_protocol_splits_by():
    (first, second, *_), *_ = duplicates.read()
    table = pandas.DataFrame({"id": [first, "benign (0)", second]})
    assert eval.duplicate_group(table, TINY) == [first, "benign (0)", second]
    corrected = replace(TINY, protocol="corrected")
    assert eval.duplicate_group(table, corrected) == [first, "benign (0)", first]


# Model


def test_losses_are_0_for_a_perfect_prediction_and_equation_2_has_squares():
    true = np.eye(3, dtype=np.float32)[np.random.default_rng(0).integers(0, 3, (2, 8, 8))]
    for loss in model.LOSSES.values():
        assert float(loss(true, true)) == pytest.approx(0, abs=1e-4)
    pred = np.full_like(true, 1 / 3)
    count = true.sum((0, 1, 2))
    expected = 1 - np.mean(2 * count / 3 / (count + true[..., 0].size / 9))
    assert float(model.dice_loss_as_printed(true, pred)) == pytest.approx(expected, abs=1e-5)
    assert float(model.LOSSES["dice"](true, pred)) == pytest.approx(
        1 - np.mean(2 * count / 3 / (count + true[..., 0].size / 3)), abs=1e-5
    )


@settings(max_examples=25)
@given(st.integers(1, 600), st.integers(1, 600), st.sampled_from([(), (1,), (3,)]))
def test_side_by_side_prediction_gives_every_pixel_back(height, width, channels):
    image = np.random.default_rng(height * 601 + width).integers(
        0, 256, (height, width, *channels), np.uint8
    )
    np.testing.assert_array_equal(model.side_by_side(image, lambda patches: patches), image)


def test_patches_are_predicted_in_the_order_of_their_numbers_and_few_at_a_time():
    image = np.zeros((2 * PATCH + 1, 9 * PATCH, 3), np.uint8)
    calls = []

    def numbered(patches):
        calls.append(len(patches))
        start = sum(calls[:-1])
        return np.broadcast_to(
            np.arange(start, start + len(patches))[:, None, None], patches.shape[:3]
        )

    out = model.side_by_side(image, numbered)
    assert calls == [8, 1] * 3
    assert out[::PATCH, ::PATCH].ravel().tolist() == list(range(27))


@pytest.mark.parametrize("shape", [(1, 1), (100, 700), (513, 300)])
def test_overlapping_prediction_blends_without_seams(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    blended = model.overlapping(image, lambda patches: patches.astype(np.float32))
    np.testing.assert_allclose(blended, image, atol=1e-3)


def test_history_gains_the_validation_and_stays_the_same_when_interrupted(tmp_path):
    def run(folder, interrupt_after=None):
        fit.start(0)
        network = keras.Sequential(
            [keras.layers.Conv2D(3, 1, activation="softmax", input_shape=(32, 32, 3))]
        )
        iou = keras.metrics.OneHotMeanIoU(3, name="iou")
        network.compile(keras.optimizers.Adam(0.1), model.LOSSES["dice"], metrics=[iou])
        patches = data.Patches(grey(6, 32, 32, 3), grey(6, 32, 32) % 3)
        watched = data.batches(patches, TINY, 0)
        calls = []

        def validate(network):
            calls.append(1)
            if len(calls) == interrupt_after:
                raise KeyboardInterrupt
            scores = network.evaluate(watched, verbose=0, return_dict=True)
            return {f"val_{name}": value for name, value in scores.items()}

        return fit.fit(
            network, lambda e: data.batches(patches, TINY, e), 2, folder, validate=validate
        )

    whole = run(tmp_path / "whole")
    assert whole.columns.tolist() == [
        "epoch",
        "learning_rate",
        "loss",
        "iou",
        "val_loss",
        "val_iou",
    ]
    assert whole["val_loss"].nunique() == 2
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", interrupt_after=2)
    pandas.testing.assert_frame_equal(run(tmp_path / "cut"), whole)


@pytest.fixture(scope="module")
def finished(data_root, tmp_path_factory):
    data_set = manifests.find("busi", data_root)
    return trainer.complete(TINY, data_set, tmp_path_factory.mktemp("runs"))


def test_a_training_leaves_all_that_the_tables_and_figures_need(finished, data_root):
    history = pandas.read_csv(finished.folder / "history.csv")
    assert history.columns.tolist() == [
        "epoch",
        "learning_rate",
        "loss",
        "iou",
        "val_loss",
        "val_iou",
    ]
    finished.check_predictions(predicted(finished.split))
    scores = metrics.per_image([finished], TINY, manifests.find("busi", data_root))
    assert scores["id"].tolist() == finished.split["test"]
    assert {"iou_mean", "dice", "accuracy", "iou_mean_blended"} <= set(
        metrics.aggregate(scores, TINY)
    )


@pytest.mark.parametrize("content", [None, "{}", "no json"])
def test_a_folder_that_is_no_finished_training_is_refused(tmp_path, content):
    if content:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=str(tmp_path)):
        predictor.load([tmp_path])


# The real images


@needs_real
def test_the_real_folder_holds_what_the_paper_counts():
    folder = manifests.find("busi", REAL.parent).folder
    files = data.find(folder)
    counts = pandas.Series([f.image.parent.name for f in files.values()]).value_counts()
    assert counts.to_dict() == {"benign": 437, "malignant": 210, "normal": 133}
    several = {image_id: f for image_id, f in files.items() if len(f.masks) > 1}
    assert (
        len(several) == 17 and sum(len(f.masks) for f in several.values()) == 17 + 18
    )  # one image has three
    grown = 0
    for loaded, (image_id, f) in zip(data.load(folder, several), several.items()):
        parts = [np.array(Image.open(path).convert("L")) > 0 for path in f.masks]
        np.testing.assert_array_equal(
            loaded.mask, np.any(parts, axis=0) * data.VALUES[image_id.split()[0]]
        )
        grown += (loaded.mask > 0).sum() > parts[0].sum()
    assert grown == 16  # the second mask of benign (58) lies within the first


@needs_real
def test_the_committed_groups_are_found_among_the_real_images():
    folder = manifests.find("busi", REAL.parent).folder
    groups = duplicates.across_classes(duplicates.read()) + [["benign (140)", "benign (62)"]]
    grouped = {image_id for group in duplicates.read() for image_id in group}
    singles = [image_id for image_id in data.find(folder) if image_id not in grouped][::25]
    loaded = data.load(folder, [image_id for group in groups for image_id in group] + singles)
    assert duplicates.find({s.id: s.image for s in loaded}) == groups


def test_the_committed_list_is_sorted_json():
    groups = json.loads(duplicates.LIST.read_text(encoding="utf-8"))
    assert groups == sorted(groups) and all(group == sorted(group) for group in groups)
