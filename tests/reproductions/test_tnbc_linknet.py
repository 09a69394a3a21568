import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
import tensorflow as tf
from PIL import Image

from common.cli import Request
from common.datasets import manifests
from common.errors import InputError
from common.metrics import aji, dice
from common.published import schema
from common.training import predictions
from common.training.runs import Run
from reproductions.tnbc_linknet import data, eval, metrics, model
from reproductions.tnbc_linknet.config import PROFILES, Config
from reproductions.tnbc_linknet.train import trainer

TINY = replace(PROFILES["smoke"], input_size=32, epochs=1, encoder_weights="none")
REAL = Path(os.environ.get("DATA_ROOT", "/nonexistent")) / "tnbc"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="DATA_ROOT with tnbc/ is not set")


@pytest.fixture
def folder(phantom_root):
    return phantom_root / "tnbc"


def sample(seed=0, size=64):
    rng = np.random.default_rng(seed)
    return data.Sample(
        "01_1", rng.integers(0, 256, (size, size, 3), np.uint8), rng.random((size, size)) > 0.5
    )


def test_the_profiles_keep_what_the_paper_gives():
    paper = PROFILES["paper"]
    given = (
        paper.epochs,
        paper.learning_rate,
        paper.input_size,
        paper.test_fraction,
        paper.augmentation,
    )
    assert given == (20, 1e-4, 512, 0.2, "copies")
    quick = PROFILES["quick"]
    assert (
        replace(quick, profile="paper", input_size=512) == paper
    )  # what the README says it shortens, and no more


def test_a_run_folder_is_named_after_everything_that_differs_from_the_profile():
    assert Config().run_id == "resnext50-imagenet-published-paper-float32-seed0"
    ours = replace(PROFILES["quick"], encoder_weights="/somewhere/w.h5", epochs=5, seed=2)
    assert ours.run_id == "resnext50-file-published-quick-float32-seed2-epochs=5"


def test_every_published_number_has_code_that_regenerates_it():
    names = {"accuracy", "dsc", "f1", "aji"}
    table = metrics.compare([sample()], [np.zeros((64, 64), np.float32)])
    assert names <= set(metrics.aggregate(table, TINY))
    for target, rows, count in (
        ("table1", {"resnext50", "vgg19", "ensemble"}, 12),
        ("table2", {"ensemble"}, 4),
    ):
        assert target in eval.paper.targets
        reference = schema.load(trainer.folder / "published" / f"{target}.yaml")
        numbers = list(reference.numbers())
        assert {row for row, _, _ in numbers} == rows <= set(eval.LABELS)
        assert {metric for _, metric, _ in numbers} == names
        assert len(numbers) == count


def test_rgba_and_rgb_files_give_the_same_sample(folder):
    names = {"01_1": "RGBA", "01_3": "RGB"}
    for name, mode in names.items():
        assert Image.open(folder / "Slide_01" / f"{name}.png").mode == mode
    samples = data.load(folder, list(names), TINY)
    assert [s.image.shape for s in samples] == [(64, 64, 3)] * 2
    assert [s.mask.dtype for s in samples] == [bool] * 2


@pytest.mark.parametrize("seed", range(5))
def test_corrected_keeps_patients_together_and_published_does_not_care(folder, seed):
    owners = data.patients(folder)
    corrected = data.split(folder, replace(TINY, protocol="corrected", seed=seed))
    sides = [{owners[i] for i in corrected[part]} for part in ("train", "test")]
    assert not sides[0] & sides[1]
    assert sorted(corrected["train"] + corrected["test"]) == sorted(owners)
    published_split = data.split(folder, replace(TINY, seed=seed))
    assert [len(published_split[part]) for part in ("train", "test")] == [7, 2]


def test_variants_are_exact_and_move_image_and_mask_together():
    s = sample()
    config = replace(TINY, input_size=64)
    expected = {
        "as is": lambda a: a,
        "flip x": lambda a: a[:, ::-1],
        "flip y": lambda a: a[::-1],
        "flip x and y": lambda a: a[::-1, ::-1],
    }
    for name, change in expected.items():
        image, mask = data.augment(s.image, s.mask, data.VARIANTS.index(name), 5, config)
        np.testing.assert_array_equal(image, change(s.image))
        np.testing.assert_array_equal(mask, change(s.mask))


def test_a_crop_enlarges_the_same_window_of_image_and_mask():
    mask = np.zeros((64, 64), bool)
    mask[20:44, 24:40] = True
    image = np.repeat(mask[..., None] * np.uint8(200), 3, axis=2)
    config = replace(TINY, input_size=64)
    for seed in range(20):
        cropped, cropped_mask = data.augment(image, mask, data.VARIANTS.index("crop"), seed, config)
        assert cropped.shape == (64, 64, 3)
        # Bilinear image and nearest mask may differ by a pixel along the border of the rectangle.
        assert ((cropped[..., 0] > 100) != cropped_mask).mean() < 0.04
        assert cropped_mask.sum() >= mask.sum() * 0.4
    again, _ = data.augment(image, mask, data.VARIANTS.index("crop"), 19, config)
    np.testing.assert_array_equal(again, cropped)


def test_a_smaller_input_is_a_window_of_the_variant():
    s = sample()
    image, mask = data.augment(s.image, s.mask, 0, 11, replace(TINY, input_size=32))
    found = [
        (top, left)
        for top in range(33)
        for left in range(33)
        if np.array_equal(s.image[top : top + 32, left : left + 32], image)
    ]
    assert len(found) == 1
    top, left = found[0]
    np.testing.assert_array_equal(s.mask[top : top + 32, left : left + 32], mask)


def test_copies_show_every_image_five_times_and_on_the_fly_once():
    plan = data.epoch_plan(8, TINY, epoch=3)
    assert sorted(map(tuple, plan[:, :2])) == [(i, v) for i in range(8) for v in range(5)]
    np.testing.assert_array_equal(plan, data.epoch_plan(8, TINY, epoch=3))
    assert (plan != data.epoch_plan(8, TINY, epoch=4)).any()
    assert (plan != data.epoch_plan(8, replace(TINY, seed=1), epoch=3)).any()
    single = data.epoch_plan(8, replace(TINY, augmentation="on_the_fly"), epoch=3)
    assert sorted(single[:, 0]) == list(range(8))


@pytest.mark.parametrize("encoder", ["resnext50", "vgg19", "vgg16"])
def test_training_and_prediction_prepare_the_image_for_their_encoder(encoder):
    config = replace(TINY, encoder=encoder, batch_size=5, input_size=64)
    s = sample()
    prepared = s.image.astype(np.float32)
    if encoder.startswith("vgg"):
        prepared = prepared[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32)
    images, masks = next(iter(data.batches([s], config, 0)))
    order = data.epoch_plan(1, config, 0)[:, 1].tolist()
    np.testing.assert_allclose(images[order.index(0)], prepared, atol=1e-3)
    np.testing.assert_array_equal(masks[order.index(0), ..., 0], s.mask)
    assert images.shape == (5, 64, 64, 3)

    class Echo:
        def predict_on_batch(self, batch):
            self.batch = batch
            return batch[..., :1]

    network = Echo()
    odd = s.image[:50, :40]
    result = model.predict(network, odd, config)
    assert network.batch.shape == (1, 64, 64, 3)
    np.testing.assert_allclose(network.batch[0, :50, :40], prepared[:50, :40], atol=1e-3)
    np.testing.assert_array_equal(result, network.batch[0, :50, :40, 0])


def test_augmentation_never_touches_the_test_images(folder):
    ids = data.split(folder, TINY)["test"]
    for s in data.load(folder, ids, TINY):
        plain = data.load(folder, [s.id], replace(TINY, augmentation="on_the_fly", seed=9))[0]
        np.testing.assert_array_equal(s.image, plain.image)


def test_soft_vote_is_the_papers_sum_against_half_the_number_of_models(tmp_path):
    maps = np.random.default_rng(0).random((3, 9, 9), np.float32)
    members = [Run(tmp_path / str(number), {}) for number in range(3)]
    for member, probabilities in zip(members, maps):
        predictions.save_map(member, "01_1", probabilities, exact=True)
    vote = metrics.soft_vote(members, "01_1")
    np.testing.assert_array_equal(vote >= 0.5, maps.astype(np.float64).sum(axis=0) >= 1.5)


def test_packed_maps_give_the_masks_of_each_network_and_of_their_vote(tmp_path):
    maps = np.random.default_rng(0).random((2, 9, 9), np.float32)
    maps[:, 0, 0] = 0.5, 0.5  # on the threshold
    maps[:, 0, 1] = np.nextafter(np.float32(0.5), np.float32(0)), 0.5  # just below, in the mean
    members = [Run(tmp_path / str(number), {}) for number in range(2)]
    for member, probabilities in zip(members, maps):
        member.save_split({"test": ["01_1"]})
        predictions.save_map(member, "01_1", probabilities, exact=True)
    for name, behind in (("one", members[:1]), ("both", members)):
        packed = Run(tmp_path / name, {})
        metrics.pack(behind, packed)
        expected = metrics.soft_vote(behind, "01_1") >= 0.5
        np.testing.assert_array_equal(predictions.load_map(packed, "01_1") >= 0.5, expected)


def test_scores_are_aggregated_both_ways():
    big, small = np.zeros((2, 20, 20), bool)
    big[2:18, 2:18] = True
    small[2:4, 2:4] = True
    samples = [data.Sample(name, None, mask) for name, mask in (("a", big), ("b", small))]
    maps = [
        big.astype(np.float32),
        np.zeros((20, 20), np.float32),
    ]  # one perfect, one missed altogether
    table = metrics.compare(samples, maps)
    scores = metrics.aggregate(table, TINY)
    assert scores["dsc"] == scores["f1_per_image"] == 0.5
    assert scores["f1"] == pytest.approx(2 * 256 / (2 * 256 + 4))
    assert scores["dsc_pooled"] == scores["f1"]
    assert scores["aji"] == 0.5
    assert scores["aji_pooled"] == pytest.approx(256 / 260)
    assert scores["accuracy"] == pytest.approx(1 - 4 / 800)
    assert table[["nuclei_matched", "nuclei_missed", "nuclei_invented"]].to_numpy().tolist() == [
        [1, 0, 0],
        [0, 1, 0],
    ]
    for _, line in table.iterrows():
        assert line.aji <= line.iou <= line.dsc


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        (
            lambda f: shutil.rmtree(f / "GT_01"),
            r"GT_01/01_1\.png: no such file, expected the mask of",
        ),
        (lambda f: (f / "GT_01/01_1.png").unlink(), r"GT_01/01_1\.png: no such file"),
        (
            lambda f: shutil.copy(f / "GT_02/02_1.png", f / "Slide_03/02_1.png"),
            "another patient has an image of this",
        ),
        (
            lambda f: (f / "Slide_01/01_1.png").write_bytes(
                (f / "Slide_01/01_1.png").read_bytes()[:900]
            ),
            "truncated",
        ),
    ],
)
def test_broken_data_are_named(folder, tmp_path, breakage, message):
    copy = tmp_path / "tnbc"
    shutil.copytree(folder, copy)
    breakage(copy)
    with pytest.raises(InputError, match=message):
        data.load(copy, ["01_1"], TINY)


def test_a_file_as_weights_is_recorded_without_its_place(tmp_path, folder):
    weights = tmp_path / "w.h5"
    weights.write_bytes(b"abc")
    data_set = manifests.find("tnbc", folder.parent)
    with pytest.raises(InputError, match="not a Keras"):
        trainer.complete(replace(TINY, encoder_weights=str(weights)), data_set, tmp_path / "runs")
    written = next((tmp_path / "runs").rglob("config.json")).read_text()
    assert "w.h5 (sha256 ba7816bf8f01cfea)" in written
    assert str(tmp_path) not in written


@pytest.mark.slow
def test_table1_end_to_end_twice_gives_the_same_bytes(phantom_root, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(PROFILES, "smoke", TINY)
    request = Request(
        data_root=phantom_root,
        profile="smoke",
        encoder_weights="none",
        protocol="corrected",
        results_root=tmp_path / "one",
    )
    table1 = eval.paper.targets["table1"]
    table1.run(request)
    assert "12 published: 12 not comparable" in capsys.readouterr().out
    results = tmp_path / "one/demo/tnbc_linknet"  # synthetic data never reach the real results
    comparison = pandas.read_csv(results / "table1_vs_published.csv")
    assert len(comparison) == 12
    assert comparison["reason"].str.contains("synthetic images").all()
    assert comparison["regenerated"].notna().all()

    # The files hold what the saved probability maps give: an independent recount of the ensemble's
    # pooled F1.
    split = pandas.read_json(next((tmp_path / "one/demo/runs").rglob("split.json")), typ="series")
    stored = [
        sorted((tmp_path / "one/demo/runs").glob(f"*/{name}*/predictions"))
        for name in ("resnext50", "vgg19")
    ]
    matrix = 0
    for s in data.load(phantom_root / "tnbc", split["test"], TINY):
        total = sum(np.load(folders[0] / f"{s.id}.npy") for folders in stored)
        matrix = matrix + dice.confusion(s.mask, total >= 1)
    table = pandas.read_csv(results / "table1.csv").set_index(["row", "metric"])["mean"]
    assert table["ensemble", "f1"] == pytest.approx(dice.f1(matrix), abs=1e-6)

    trained = sorted((tmp_path / "one/demo/runs").rglob("weights.h5"))
    assert len(trained) == 2
    times = [path.stat().st_mtime_ns for path in trained]
    table1.run(request)  # complete: nothing is trained again
    assert [path.stat().st_mtime_ns for path in trained] == times
    eval.paper.targets["figure2"].run(request)
    assert (results / "figure2-corrected-smoke-seed0.png").stat().st_size > 10_000
    eval.paper.targets["curves"].run(request)
    assert (results / "curves-corrected-smoke-seed0.png").stat().st_size > 10_000

    table1.run(replace(request, results_root=tmp_path / "two"))
    for path in sorted((tmp_path / "one").rglob("*.csv")):
        assert (
            tmp_path / "two" / path.relative_to(tmp_path / "one")
        ).read_bytes() == path.read_bytes(), path


@needs_real
def test_real_images_split_and_load():
    config = PROFILES["paper"]
    split = data.split(REAL, config)
    assert {part: len(ids) for part, ids in split.items()} == {"train": 40, "test": 10}
    owners = data.patients(REAL)
    assert len(set(owners.values())) == 11
    mixed = {owners[i] for i in split["train"]} & {owners[i] for i in split["test"]}
    assert mixed  # the leak that the corrected protocol closes
    rgba_and_rgb = data.load(REAL, ["09_1", "09_2"], config)
    assert [s.image.shape for s in rgba_and_rgb] == [(512, 512, 3)] * 2


@needs_real
def test_real_masks_hold_the_nuclei_that_the_specification_counts():
    masks = [s.mask for s in data.load(REAL, list(data.patients(REAL)), PROFILES["paper"])]
    assert sum(aji.instances(mask, 8).max() for mask in masks) == 4028
    assert sum(aji.instances(mask, 4).max() for mask in masks) == 4056


def test_batches_do_not_retrace_the_training_step():
    specs = {
        str(data.batches([sample(), sample(1)], TINY, epoch).element_spec) for epoch in range(3)
    }
    assert specs == {
        str(
            (
                tf.TensorSpec((None, 32, 32, 3), tf.float32),
                tf.TensorSpec((None, 32, 32, 1), tf.float32),
            )
        )
    }


def test_the_control_is_trained_only_where_the_members_lack_weights():
    asked = []
    for weights in ("imagenet", "none", "none,vgg16=w.h5"):
        request = Request(protocol="published", encoder_weights=weights)
        networks = {}
        for row in eval.table1(request):
            for network in row.networks:
                config, _, _ = eval.paper.configs(network, request, "published", 0)
                networks[config.encoder, config.encoder_weights] = None
        asked += networks
    members = [("resnext50", "none"), ("vgg19", "none")]
    imagenet = [("resnext50", "imagenet"), ("vgg19", "imagenet")]
    assert asked == imagenet + members + members + [("vgg16", "w.h5"), ("vgg16", "none")]


def test_the_unit_of_the_bootstrap_is_what_the_protocol_splits_by():
    table = pandas.DataFrame({"id": ["01_1", "01_2", "02_1"]})
    assert eval.patient(table, TINY) == ["01_1", "01_2", "02_1"]
    assert eval.patient(table, replace(TINY, protocol="corrected")) == ["01", "01", "02"]


def test_unit_scaling_divides_by_255_whatever_the_encoder():
    image = sample().image
    for encoder in ("resnext50", "vgg19"):
        scaled = data.network_input(image, replace(TINY, encoder=encoder, input_scaling="unit"))
        np.testing.assert_allclose(scaled, image / 255, atol=1e-6)
        assert scaled.dtype == np.float32


def test_an_independent_crop_has_a_scale_for_each_axis():
    y, x = np.mgrid[:64, :64].astype(np.uint8)
    image = np.stack([y, x, 0 * x], axis=-1)  # each pixel tells where it was
    crop = data.VARIANTS.index("crop")
    for axes in ("same", "independent"):
        config = replace(TINY, input_size=64, crop_axes=axes)
        ratios = []
        for seed in range(10):
            cropped, _ = data.augment(image, y > 0, crop, seed, config)
            height, width = (np.ptp(cropped[..., axis].astype(int)) for axis in (0, 1))
            ratios.append(height / width)
        assert (np.abs(np.subtract(ratios, 1)) < 0.05).all() == (axes == "same")


def test_whole_images_are_padded_with_zeros():
    large = sample()
    odd = data.Sample("01_2", large.image[:50, :40], large.mask[:50, :40])
    ((image, mask),) = data.whole([odd], replace(TINY, input_scaling="unit")).as_numpy_iterator()
    assert image.shape == (1, 64, 64, 3) and mask.shape == (1, 64, 64, 1)
    np.testing.assert_allclose(image[0, :50, :40], odd.image / 255, atol=1e-6)
    np.testing.assert_array_equal(mask[0, :50, :40, 0], odd.mask)
    assert not image[0, 50:].any() and not image[0, :, 40:].any() and not mask[0, 50:].any()
