import itertools
import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tensorflow import keras

from common.cli import Request
from common.datasets import manifests
from common.errors import InputError
from common.published import schema
from common.training import fit, predictions
from common.training import settings as given_settings
from common.training.runs import Run
from reproductions.brecahad_slicing import (
    annotation_files,
    data,
    eval,
    experiments,
    matching,
    metrics,
    model,
    slicing,
    train,
)
from reproductions.brecahad_slicing import phantom as brecahad_phantom
from reproductions.brecahad_slicing.config import PROFILES, QUICK_STEPS, Config
from reproductions.brecahad_slicing.slicing import SETS, Tile
from reproductions.brecahad_slicing.train import trainer

TINY = replace(PROFILES["smoke"], tiles="p256_s128_zero")
REAL = Path(os.environ.get("DATA_ROOT", "/nonexistent"))
needs_real = pytest.mark.skipif(
    not (REAL / "brecahad").is_dir(), reason="DATA_ROOT with brecahad/ is not set"
)


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    """Three cases of two overlapping images each; the first of a case is a TIFF, the second a
    JPEG.
    """
    root = tmp_path_factory.mktemp("brecahad")
    brecahad_phantom.write(root / "brecahad", cases=3, images_per_case=2, size=(170, 128))
    return root


@pytest.fixture(scope="module")
def data_set(data_root):
    return trainer.find_data(data_root)


@pytest.fixture
def copy(data_root, tmp_path):
    """A copy of the phantom to break, and a function that reads what is left of it."""
    folder = tmp_path / "brecahad"
    shutil.copytree(data_root / "brecahad", folder)

    def read(name="brecahad"):
        broken = manifests.DataSet(name, "", folder, synthetic=True, fingerprint=str(tmp_path))
        return data.load(broken, TINY)

    return folder, read


def rewrite(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


# Settings, matrix and published numbers


def test_the_profiles_keep_what_the_paper_gives():
    paper = PROFILES["paper"]
    assert (paper.side, paper.test_fraction, paper.learning_rate) == (1024, 0.2, 0.1)
    assert (paper.preprocessing, paper.augmentation) == (True, True)
    shortened = {
        "side": 256,
        "width": 16,
        "epochs": 8,
        "epoch_steps": 100,
        "batch_images": 1,
        "patience": 2,
    }
    assert PROFILES["quick"] == replace(
        paper, profile="quick", norm_momentum=0.9, **shortened
    )  # as the README says


def configurations(table, request, protocol="published", seed=0):
    """The rows of a table with the Config of each."""
    rows = experiments.rows(table, request)
    return [(row.id, eval.paper.configs(row, request, protocol, seed)[0]) for row in rows]


def test_the_matrix_names_the_22_rows_of_the_paper_in_its_order():
    assert [len(rows) for rows in experiments.MATRIX.values()] == [4, 9, 9]
    names = {"train_dice", "train_iou", "test_dice", "test_iou"}
    lines = [("a", "train", 1, 0, 0, 0, 0, 0, 0), ("b", "test", 1, 0, 0, 0, 0, 0, 0)]
    columns = ["id", "part", *metrics.COUNTS, *metrics.NUCLEI]
    scores = metrics.aggregate(pandas.DataFrame(lines, columns=columns), TINY)
    for table, rows in experiments.MATRIX.items():
        assert table in eval.paper.targets
        reference = schema.load(trainer.folder / f"published/{table}.yaml")
        assert list(rows) == list(reference.rows)
        assert set(reference.metrics) == names | ({"size"} if table != "table1" else set())
        assert set(reference.metrics) <= set(scores)
        for profile in ("paper", "quick"):
            wanted = experiments.rows(table, Request(profile=profile))
            assert [row.id for row in wanted] == list(reference.rows)
    labels = [
        row.label for row in schema.load(trainer.folder / "published/table2.yaml").rows.values()
    ]
    assert labels[:5] == ["Original", "1/4", "1/4/zero", "512p/256s", "512p/256s/zero"]


def test_what_stands_in_two_tables_is_trained_once():
    wanted = []
    for table in experiments.MATRIX:
        wanted += configurations(table, Request())
    assert len(wanted) == 22
    assert (
        len({config.run_id for _, config in wanted}) == len({config for _, config in wanted}) == 21
    )
    shared = [row for row, config in wanted if config == replace(Config(), tiles="original")]
    assert shared == ["prep_aug", "original"]


def test_only_resnet50_has_encoder_weights_and_steps_of_its_own():
    request = Request(profile="quick", encoder_weights="none,resnet50=w.h5")
    for table, encoder, weights in (("table2", "plain", "none"), ("table3", "resnet50", "w.h5")):
        for _, config in configurations(table, request):
            assert (config.encoder, config.encoder_weights) == (encoder, weights)
            assert config.epoch_steps == QUICK_STEPS[encoder]
    assert {config.encoder_weights for _, config in configurations("table3", Request())} == {
        "imagenet"
    }


def test_a_row_is_held_against_its_own_settings(data_set):
    row = experiments.rows("table3", Request())[-1]
    config, default, paper = eval.paper.configs(row, Request(), "published", 0)
    complete = replace(data_set, synthetic=False)
    assert (row.id, config.tiles) == ("p128_s64_zero", "p128_s64_zero")
    assert not eval.differences(config, complete)
    assert not given_settings.differences(config, paper)
    partial = replace(complete, name=annotation_files.PARTIAL, title="BreCaHAD, 30 of 162 images")
    corrected = replace(config, protocol="corrected", learning_rate=0.2, epochs=8, width=16)
    assert eval.differences(corrected, partial) == [
        "BreCaHAD, 30 of 162 images instead of all",
        "split by case before slicing",
    ]
    assert given_settings.differences(corrected, paper) == [
        "learning rate 0.2; the paper gives 0.1 (section 6)"
    ]
    # The paper gives neither epochs nor width, so that other values are readings of it.
    assert given_settings.reading(corrected, default) == "epochs=8,width=16"


def test_the_unit_of_the_bootstrap_is_what_is_dealt_out():
    table = pandas.DataFrame({"id": ["Case_1-02_0_0", "Case_1-02_0_64", "Case_10-07_0_0"]})
    assert eval.unit(table, TINY) == list(table["id"])
    by_image = replace(TINY, split_unit="image")
    assert eval.unit(table, by_image) == ["Case_1-02", "Case_1-02", "Case_10-07"]
    by_case = replace(TINY, protocol="corrected")
    assert eval.unit(table, by_case) == ["Case_1", "Case_1", "Case_10"]


# Files


def test_tiff_and_jpeg_images_are_read_alike(copy):
    folder, read = copy
    before = read()
    assert [s.id for s in before] == [
        f"Case_{case}-{number:02d}" for case in (1, 2, 3) for number in (1, 2)
    ]
    assert {(s.image.shape, s.mask.shape, s.image.dtype.name) for s in before} == {
        ((256, 256, 3), (256, 256), "uint8")
    }
    for path in sorted(folder.glob("images/*.jpg")):
        Image.open(path).save(path.with_suffix(".tif"), compression="tiff_lzw")
        path.unlink()
    data._load.cache_clear()
    for old, new in zip(before, read()):
        np.testing.assert_array_equal(old.image, new.image)


def test_162_tiffs_and_the_30_jpegs_are_told_apart(tmp_path, copy):
    folder, _ = copy
    (folder / manifests.PHANTOM).unlink()
    with pytest.raises(
        InputError, match=r"expected BreCaHAD, 162 .* found 3 of 162 images/\*\.tif"
    ):
        trainer.find_data(tmp_path)
    for path in folder.glob("images/*.tif"):
        path.unlink()
    with pytest.raises(
        InputError, match=r"expected BreCaHAD, 30 of 162 images .* found 3 of 30 images/\*\.jpg"
    ):
        trainer.find_data(tmp_path)


def test_only_the_partial_copy_may_have_annotations_without_images(copy):
    folder, read = copy
    (folder / "images/Case_2-01.tif").unlink()
    with pytest.raises(
        InputError,
        match=r"Case_2-01\.json: annotation without image, expected images/Case_2-01\.tif",
    ):
        read()
    assert len(read(annotation_files.PARTIAL)) == 5


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        (
            lambda f: (f / "groundTruth/Case_1-02.json").unlink(),
            r"images/Case_1-02\.jpg: image without annotation",
        ),
        (
            lambda f: shutil.copy(f / "images/Case_1-01.tif", f / "images/Case_1-01.png"),
            "one image of this name",
        ),
        (lambda f: (f / "images/Case_3-02.jpg").write_bytes(b"\xff\xd8\xff"), r"Case_3-02\.jpg: "),
    ],
)
def test_files_that_do_not_fit_are_named(copy, breakage, message):
    folder, read = copy
    breakage(folder)
    with pytest.raises(InputError, match=message) as caught:
        read()
    assert "\n" not in str(caught.value)


def test_a_name_without_a_case_is_refused(copy):
    folder, read = copy
    for path in [*folder.glob("*/Case_1-01.*")]:
        path.rename(path.with_name(f"slide7{path.suffix}"))
    with pytest.raises(InputError, match=r"slide7\.tif: expected a name such as Case_10-07"):
        read()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("tumor"), "expected a list 'tumor' of points"),
        (lambda c: c.pop("non_tumor"), "expected a list 'non_tumor' of points"),
        (lambda c: c.update(tumor={}), "expected a list 'tumor'"),
        (lambda c: c["tumor"][0].pop("y"), r"tumor\[0\]: expected x and y from 0 to 1"),
        (
            lambda c: c["tumor"][1].update(x=1.01),
            r"tumor\[1\]: expected x and y from 0 to 1, got .*1\.01",
        ),
        (lambda c: c["non_tumor"].append({"x": -0.1, "y": 0}), r"non_tumor\[\d+\]: .*-0\.1"),
        (lambda c: c["tumor"][0].update(x=float("nan")), r"tumor\[0\]: .*nan"),
        (lambda c: c["tumor"][0].update(y=float("inf")), r"tumor\[0\]: .*inf"),
        (lambda c: c["tumor"][0].update(y="0.5"), r"tumor\[0\]: .*'0\.5'"),
        (lambda c: c["tumor"][0].update(y=True), r"tumor\[0\]: .*True"),
        (lambda c: c["tumor"].append([0.5, 0.5]), r"tumor\[\d+\]: .*\[0\.5, 0\.5\]"),
    ],
)
def test_a_wrong_annotation_is_named(copy, change, message):
    folder, read = copy
    rewrite(folder / "groundTruth/Case_2-01.json", change)
    with pytest.raises(InputError, match=rf"groundTruth/Case_2-01\.json: {message}") as caught:
        read()
    assert "\n" not in str(caught.value)


# Images and masks


shares = st.floats(0, 1)
strange = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["tumor", "non_tumor", "x", "y", "z"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(["tumor", "non_tumor"]),
        st.lists(st.fixed_dictionaries({"x": shares, "y": shares})),
    )
)
def test_points_survive_the_annotation_and_classes_have_to_be_there(tmp_path_factory, points):
    path = tmp_path_factory.getbasetemp() / "Case_1-01.json"
    path.write_text(json.dumps({**points, "mitosis": [{"x": 7}]}))
    if len(points) < 2:
        with pytest.raises(InputError, match="expected a list"):
            annotation_files.centres(path)
        return
    found = annotation_files.centres(path)
    assert {
        name: [{"x": x, "y": y} for x, y in part.tolist()] for name, part in found.items()
    } == points


@given(strange | st.fixed_dictionaries({"tumor": strange, "non_tumor": st.just([])}))
def test_any_json_is_an_annotation_or_refused_in_one_line(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "Case_1-02.json"
    path.write_text(json.dumps(content))
    try:
        found = annotation_files.centres(path)
    except InputError as error:
        assert "Case_1-02.json" in str(error) and "\n" not in str(error)
    else:
        assert set(found) == {"tumor", "non_tumor"}
        assert all(
            part.shape == (len(content[name]), 2) and (part >= 0).all()
            for name, part in found.items()
        )
        assert all((part <= 1).all() for part in found.values())


def test_centres_keep_their_place_on_the_square(copy):
    folder, read = copy
    points = [{"x": 0.25, "y": 0.5}, {"x": 1.0, "y": 1.0}, {"x": 0, "y": 0}]
    rewrite(
        folder / "groundTruth/Case_1-01.json",
        lambda c: c.update(tumor=points, non_tumor=[{"x": 0.5, "y": 0.1}]),
    )
    sample = read()[0]
    np.testing.assert_allclose(sample.centres, [(64, 128), (256, 256), (0, 0)])
    assert sample.centres.max() < 256  # the last pixel's
    assert sample.mask[128, 64] and sample.mask[255, 255] and sample.mask[0, 0]
    assert not sample.mask[25, 128]  # a nucleus, but none of the tumour
    data._load.cache_clear()
    with_crop = manifests.DataSet("brecahad", "", folder, synthetic=True, fingerprint="")
    cropped = data.load(with_crop, replace(TINY, square="crop"))[0]
    # 170×128 loses 21 columns on either side; what remains is doubled.
    np.testing.assert_allclose(cropped.centres, [((0.25 * 170 - 21) * 2, 128)])
    data._load.cache_clear()


def test_preprocessing_is_the_papers_three_filters():
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (24, 24, 3), np.uint8), (0, 0), 1.5)
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256  # OpenCV's for 5×5 and σ 0
    blurred, sharp = np.zeros((2, 24, 24, 3))
    inner = range(2, 22)
    for r, c in itertools.product(inner, inner):
        blurred[r, c] = np.rint(
            (image[r - 2 : r + 3, c - 2 : c + 3] * kernel[..., None]).sum((0, 1))
        )
    for r, c in itertools.product(range(3, 21), repeat=2):
        around = blurred[r - 1, c] + blurred[r + 1, c] + blurred[r, c - 1] + blurred[r, c + 1]
        sharp[r, c] = np.clip(5 * blurred[r, c] - around, 0, 255)
    expected = [
        np.median(sharp[r - 1 : r + 2, c - 1 : c + 2], (0, 1))
        for r, c in itertools.product(range(4, 20), repeat=2)
    ]
    ours = data.preprocess(image)[4:20, 4:20].reshape(-1, 3)
    assert (
        np.abs(ours - np.array(expected)).max() <= 4
    )  # a blurred value rounded the other way counts up to five times
    np.testing.assert_array_equal(data.preprocess(np.full((9, 9, 3), 77, np.uint8)), 77)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.floats(0, 39.9), st.floats(0, 39.9)), max_size=6), st.floats(1, 6))
def test_discs_and_border_weights_are_those_of_equation_2(points, radius):
    points = np.array(points, np.float64).reshape(-1, 2)
    mask, border = data.discs(points, 40, radius, sigma=5)
    y, x = np.mgrid[:40, :40] + 0.5
    # Within float32 of a disc's edge either answer is right; without points all is far away.
    gaps = np.sort(
        [np.hypot(y - py, x - px) - radius for px, py in points] + [np.full((40, 40), np.inf)] * 2,
        axis=0,
    )
    clear = np.abs(gaps[0]) > 1e-4
    np.testing.assert_array_equal(mask[clear], (gaps[0] <= 0)[clear])
    expected = np.where(gaps[0] <= 0, 0, 10 * np.exp(-((gaps[0] + gaps[1]) ** 2) / 50))
    assert np.abs(border - expected)[clear].max() < 0.01


# Sets of tiles


@pytest.mark.parametrize("side", [256, 1024])
def test_an_image_gives_1_4_9_49_and_225_tiles_and_zero_never_more(side):
    rng = np.random.default_rng(0)
    masks = [
        data.discs(rng.uniform(0, side, (count, 2)), side, side / 85, 1)[0] for count in (0, 3, 40)
    ]
    found = {
        name: slicing.tiles(["a", "b", "c"], masks, replace(Config(), tiles=name, side=side))
        for name in SETS
    }
    counts = {"original": 1, "quarter": 4, "p512_s256": 9, "p256_s128": 49, "p128_s64": 225}
    for name, count in counts.items():
        assert len(found[name]) == 3 * count
        assert len({tile.id for tile in found[name]}) == 3 * count
        if name != "original":
            kept = [tile for tile in found[name] if tile.marked]
            assert found[f"{name}_zero"] == kept
            assert 0 < len(kept) < 3 * count


@settings(max_examples=50)
@given(st.integers(0, 2**31), st.sampled_from([256, 1024]), st.integers(0, 60))
def test_slicing_without_overlap_conserves_the_nuclei_and_their_pixels(seed, side, count):
    centres = np.random.default_rng(seed).uniform(0, side, (count, 2))
    mask, border = data.discs(centres, side, 3, 1)
    sample = data.Sample("a", "Case_1", np.zeros((side, side, 3), np.uint8), centres, mask, border)
    config = replace(Config(), tiles="quarter", side=side)
    tiles = slicing.tiles(["a"], [mask], config)
    size = slicing.tile_size(config)
    inside = [metrics.compare(sample, tile, data.cut(mask, tile, size), config) for tile in tiles]
    assert sum(len(found.found) for found in inside) == count
    assert sum(tile.marked for tile in tiles) == mask.sum()


@pytest.mark.parametrize("name", SETS)
def test_corrected_keeps_cases_together_and_published_leaks(data_set, name):
    for seed in range(3):
        config = replace(TINY, tiles=name, seed=seed)
        samples = data.load(data_set, config)
        whole = slicing.tiles([s.id for s in samples], [s.mask for s in samples], config)
        sides = {}
        for protocol in ("published", "corrected"):
            parts = data.split(samples, replace(config, protocol=protocol))
            assert sorted(itertools.chain(*parts.values())) == sorted(whole)
            sides[protocol] = [
                {samples[tile.number].case for tile in parts[part]} for part in ("train", "test")
            ]
            if protocol == "published":
                assert abs(len(parts["test"]) - len(whole) / 5) < 1
        assert not sides["corrected"][0] & sides["corrected"][1] and all(sides["corrected"])
        assert sides["published"][0] & sides["published"][1]


def test_sets_as_large_as_printed_are_drawn_from_all_tiles():
    masks = [np.ones((256, 256), bool)] * 5
    for encoder, count in (("plain", 225 * 5 * 17 // 100), ("resnet50", 225 * 5 * 14 // 100)):
        config = replace(TINY, encoder=encoder, tiles="p128_s64", used_tiles="as_printed")
        drawn = slicing.tiles("abcde", masks, config)
        assert len(drawn) == count
        assert drawn == sorted(drawn, key=lambda tile: (tile.number, tile.row, tile.column))
        assert drawn != slicing.tiles("abcde", masks, replace(config, seed=1))
    whole = replace(TINY, tiles="original", used_tiles="as_printed")
    assert len(slicing.tiles("abcde", masks, whole)) == 5


def test_a_zero_set_by_centres_keeps_the_tiles_that_hold_one():
    centres = [np.array([[127.5, 10.0]])]  # its disc reaches into the tile on the right
    mask, _ = data.discs(centres[0], 256, 3, 1)
    config = replace(TINY, tiles="quarter_zero")
    by_pixel = slicing.tiles(["a"], [mask], config, centres)
    by_centre = slicing.tiles(["a"], [mask], replace(config, empty_tiles="centre"), centres)
    assert [tile.id for tile in by_pixel] == ["a_0_0", "a_0_128"]
    assert [tile.id for tile in by_centre] == ["a_0_0"]


def test_the_published_split_by_image_keeps_the_tiles_of_an_image_together(data_set):
    config = replace(TINY, tiles="quarter", split_unit="image")
    samples = data.load(data_set, config)
    parts = data.split(samples, config)
    sides = [{tile.number for tile in parts[part]} for part in ("train", "test")]
    assert not sides[0] & sides[1] and len(sides[0] | sides[1]) == len(samples)


# Batches


def test_an_epoch_is_a_function_of_seed_and_epoch_and_steps_show_all_tiles_equally_often():
    config = replace(TINY, tiles="quarter", epoch_steps=3)  # of four tiles each
    assert data.batch_size(config) == 4
    shown = np.concatenate([data.epoch_plan(9, config, epoch)[:, 0] for epoch in range(6)])
    assert set(Counter(shown).values()) == {8}
    assert sorted(shown[:9]) == list(range(9))
    plan = data.epoch_plan(9, config, 3)
    np.testing.assert_array_equal(plan, data.epoch_plan(9, config, 3))
    assert (plan != data.epoch_plan(9, replace(config, seed=1), 3)).any()
    whole = data.epoch_plan(300, replace(config, epoch_steps="one pass"), 2)
    assert sorted(whole[:, 0]) == list(range(300))
    assert set(whole[:, 1]) == set(range(8))
    assert set(data.epoch_plan(300, replace(config, augmentation=False), 2)[:, 1]) == {0}


def test_the_eight_orientations_are_all_turns_and_mirror_images():
    square = np.arange(9).reshape(3, 3)
    turned = {data.orient(square, k).tobytes() for k in range(8)}
    assert len(turned) == 8
    assert {
        square[::-1].tobytes(),
        square[:, ::-1].tobytes(),
        square.T.tobytes(),
        np.rot90(square).tobytes(),
    } <= turned


def test_batches_are_cut_from_the_images_with_their_weights(data_set):
    config = replace(TINY, tiles="p512_s256")
    samples = data.load(data_set, config)
    tiles = data.split(samples, config)["train"]
    weights = data.class_weights(tiles, config)
    total = sum((tile.marked * np.array([-1, 1]) + (128 * 128, 0) for tile in tiles), np.zeros(2))
    assert weights[0] * total[0] == pytest.approx(
        weights[1] * total[1]
    )  # both classes count alike,
    assert weights[0] * total[0] + weights[1] * total[1] == pytest.approx(
        total.sum()
    )  # and a pixel 1 on average

    plain = data.batches(samples, tiles, weights, config)
    specs = {
        str(data.batches(samples, tiles, weights, config, epoch).element_spec)
        for epoch in (0, 1, None)
    }
    square = (None, 128, 128)
    assert specs == {
        str(tuple(tf.TensorSpec(s, tf.float32) for s in ((*square, 3), (*square, 1), square)))
    }
    images, masks, pixels = (np.concatenate(part) for part in zip(*plain))
    tile, sample = tiles[5], samples[tiles[5].number]
    window = np.s_[tile.row : tile.row + 128, tile.column : tile.column + 128]
    np.testing.assert_allclose(images[5], sample.image[window] / 255, atol=1e-6)
    np.testing.assert_array_equal(masks[5, ..., 0], sample.mask[window])
    expected = np.where(sample.mask, weights[1], weights[0]) + sample.border
    np.testing.assert_allclose(pixels[5], expected[window], rtol=1e-5)

    moved = [
        np.concatenate(part) for part in zip(*data.batches(samples, tiles, weights, config, 1))
    ]
    for place, (index, orientation) in enumerate(
        data.epoch_plan(len(tiles), config, 1)[: len(moved[0])]
    ):
        for after, before in zip(moved, (images, masks, pixels)):
            np.testing.assert_array_equal(after[place], data.orient(before[index], orientation))


# Networks and training


def test_the_plain_network_is_the_u_net_that_the_paper_describes():
    fit.start(0)
    network = model.build(Config())
    names = Counter(layer.__class__.__name__ for layer in network.layers)
    assert (
        names["Conv2D"],
        names["MaxPooling2D"],
        names["Conv2DTranspose"],
        names["Concatenate"],
    ) == (19, 4, 4, 4)
    assert not names["BatchNormalization"]
    assert network.count_params() == 31_031_745  # 3 channels in, 1 out, biases everywhere


@pytest.mark.parametrize("encoder", ["plain", "resnet50"])
def test_probabilities_are_float32_tiles_in_order(data_set, encoder):
    config = replace(TINY, encoder=encoder, tiles="p128_s64", precision="mixed_bfloat16")
    samples = data.load(data_set, config)
    tiles = slicing.tiles(["a"], [samples[0].mask], config)[:70]
    fit.start(0, config.precision)
    network = model.build(config)
    fit.start(0)  # leaves no policy behind
    norms = {
        layer.momentum
        for layer in network.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    assert norms == ({0.9} if encoder == "resnet50" else set())
    found = list(model.predict(network, samples, tiles, config))
    assert [tile for tile, _ in found] == tiles
    assert {(p.shape, p.dtype.name) for _, p in found} == {((32, 32), "float32")}
    alone = network(data.scaled(data.cut(samples[0].image, tiles[66], 32))[None], training=False)[
        0, ..., 0
    ]
    np.testing.assert_allclose(found[66][1], alone, atol=0.02)


def test_the_learning_rate_falls_when_the_watched_loss_stops_falling():
    def rate(losses, protocol):
        other = {"published": "loss", "corrected": "val_loss"}[protocol]
        watched = {"published": "val_loss", "corrected": "loss"}[protocol]
        history = [{watched: loss, other: 1 / (k + 1)} for k, loss in enumerate(losses)]
        return train.learning_rate(replace(Config(), protocol=protocol, patience=3), history)

    for protocol in ("published", "corrected"):
        falling = [1, 0.9, 0.8]
        assert rate([], protocol) == rate(falling, protocol) == 0.1
        assert rate([*falling, 0.8, 0.79999], protocol) == 0.1  # a fall by less than 1e-4 is none
        assert rate([*falling, 0.8, 0.79999, 0.9], protocol) == pytest.approx(0.01)
        assert rate([*falling, 0.8, 0.9, 0.7, 0.8, 0.8], protocol) == 0.1
        assert rate([*falling, *[0.9] * 6], protocol) == pytest.approx(0.001)
        assert rate([*[float("nan")] * 3], protocol) == pytest.approx(0.01)


# Scores


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.integers(0, 4), st.integers(0, 4))
def test_matching_is_the_best_of_all_matchings(seed, n_true, n_pred):
    rng = np.random.default_rng(seed)
    true, pred = rng.uniform(0, 20, (n_true, 2)), rng.uniform(0, 20, (n_pred, 2))
    result = matching.match(true, pred, 6, 20)
    best = (0, 0.0)
    for size in range(1, min(n_true, n_pred) + 1):
        for rows in itertools.combinations(range(n_true), size):
            for columns in itertools.permutations(range(n_pred), size):
                away = np.hypot(*(true[list(rows)] - pred[list(columns)]).T)
                if away.max() <= 6:
                    best = max(best, (size, -away.sum()))
    assert result.found.sum() == result.right.sum() == best[0]
    inner = ((true >= 6) & (true <= 14)).all(axis=1)
    np.testing.assert_array_equal(result.missed, ~result.found & inner)
    inner = ((pred >= 6) & (pred <= 14)).all(axis=1)
    np.testing.assert_array_equal(result.invented, ~result.right & inner)


def test_of_two_matchings_the_nearer_one_counts():
    true, pred = np.array([[50, 50], [58, 50.0]]), np.array([[57, 50.0], [91, 50]])
    result = matching.match(true, pred, 10, 100)
    assert (result.found.tolist(), result.missed.tolist()) == ([False, True], [True, False])
    assert (result.right.tolist(), result.invented.tolist()) == (
        [True, False],
        [False, False],
    )  # at the border


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.sampled_from([name for name in SETS if name != "original"]))
def test_a_perfect_mask_finds_all_nuclei_of_every_tile_and_invents_none(seed, name):
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(16, 256, 12), np.arange(16, 256, 12)), -1).reshape(-1, 2)
    centres = (grid + rng.uniform(-1.5, 1.5, grid.shape))[rng.random(len(grid)) < 0.4]
    mask, border = data.discs(centres, 256, 3, 1)
    sample = data.Sample("a", "Case_1", np.zeros((256, 256, 3), np.uint8), centres, mask, border)
    config = replace(TINY, tiles=name)
    size = slicing.tile_size(config)
    perfect = [(tile, data.cut(mask, tile, size)) for tile in slicing.tiles("a", [mask], config)]
    table = metrics.per_tile("test", [sample], perfect, config)
    assert table[["fp", "fn", "nuclei_missed", "nuclei_invented"]].to_numpy().sum() == 0
    assert table["nuclei_found"].sum() >= len(centres)  # without overlap exactly, with overlap more


def test_touching_predictions_are_one_nucleus_at_their_middle():
    mask = np.zeros((10, 10), bool)
    mask[2:4, 2:4] = mask[4:6, 4:6] = True  # touch at a corner
    np.testing.assert_allclose(matching.points(mask), [(4, 4)])
    assert matching.points(np.zeros((4, 4), bool)).shape == (0, 2)
    mask[9, 0] = True
    np.testing.assert_allclose(sorted(matching.points(mask).tolist()), [(0.5, 9.5), (4, 4)])


def test_scores_by_hand():
    half = np.zeros((32, 32), bool)
    half[:16] = True
    empty = np.zeros_like(half)
    none = np.zeros((0, 2))
    image = np.zeros((32, 32, 3), np.uint8)
    samples = [
        data.Sample(str(k), "", image, none, mask, None)
        for k, mask in enumerate((half, empty, empty))
    ]
    predicted_tiles = [
        (Tile(f"{k}_0_0", k, 0, 0, 0), p)
        for k, p in enumerate((~empty * 0.6, empty * 0.4, empty + 0.0))
    ]
    predicted_tiles[2][1][5, 5] = 0.5  # at the threshold is predicted
    table = pandas.concat(
        [metrics.per_tile(part, samples, predicted_tiles, TINY) for part in ("train", "test")]
    )
    scores = metrics.aggregate(table, TINY)
    assert scores["size"] == 6
    for part in ("train", "test"):
        assert scores[f"{part}_dice"] == pytest.approx((2 / 3 + 1 + 0) / 3)
        assert scores[f"{part}_iou"] == pytest.approx((1 / 2 + 1 + 0) / 3)
        assert scores[f"{part}_dice_without_empty"] == pytest.approx((2 / 3 + 0) / 2)
        assert scores[f"{part}_iou_pooled"] == pytest.approx(512 / 1025)
    assert scores["share_of_nuclei"] == pytest.approx(1 / 6)
    assert scores["share_predicted"] == pytest.approx(1025 / 3072)
    assert (scores["nuclei_precision"], scores["nuclei_recall"], scores["nuclei_f1"]) == (0, 0, 0)
    nuclei = (("a", "test", 6, 2, 3), ("b", "test", 3, 1, 0), ("c", "train", 9, 9, 9))
    lines = [(tile_id, part, 1, 0, 0, 0, *counts, 0.0, 0.0) for tile_id, part, *counts in nuclei]
    scores = metrics.aggregate(pandas.DataFrame(lines, columns=table.columns), TINY)
    assert scores["nuclei_precision"] == pytest.approx(9 / 12)
    assert scores["nuclei_recall"] == pytest.approx(9 / 12)
    assert scores["nuclei_f1"] == pytest.approx(9 / 12)


# From phantoms to tables


@pytest.mark.slow
def test_tables_and_figures_end_to_end(data_root, data_set, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(experiments.SMOKE_ROWS, "table1", ("prep_aug", "n_prep"))
    request = Request(
        data_root=data_root,
        profile="smoke",
        encoder_weights="none",
        protocol="corrected",
        results_root=tmp_path,
    )
    targets = eval.paper.targets
    targets["table1"].run(request)
    assert "16 published: 8 not comparable, 8 not run" in capsys.readouterr().out
    runs = tmp_path / "demo/runs/brecahad_slicing"
    times = {path: path.stat().st_mtime_ns for path in runs.rglob("weights.h5")}
    assert len(times) == 2
    targets["table2"].run(request)
    trained = {path: path.stat().st_mtime_ns for path in runs.rglob("weights.h5")}
    assert (
        len(trained) == 3 and times.items() <= trained.items()
    )  # Original is the network prep_aug of table 1
    results = tmp_path / "demo/brecahad_slicing"  # synthetic data never reach the real results
    first, table = (
        pandas.read_csv(results / f"{name}.csv").set_index(["row", "metric"])["mean"]
        for name in ("table1", "table2")
    )
    assert first["prep_aug", "test_dice"] == table["original", "test_dice"]
    assert table["original", "size"] == 6

    # An independent recount from the saved probability maps, tile by tile.
    config = replace(TINY, protocol="corrected")
    folder = next(runs.glob("*corrected*p256_s128_zero"))
    samples = data.load(data_set, config)
    tiles = data.split(samples, config)["test"]
    tested = {samples[tile.number].id for tile in tiles}
    stored = {}
    for image_id in tested:
        path = str(folder / f"predictions/test/{image_id}.png")
        stack = cv2.imread(path, cv2.IMREAD_UNCHANGED)
        stored[image_id] = iter(stack.reshape(-1, 64, 64))
    dice = []
    for tile in tiles:
        pred = next(stored[samples[tile.number].id]) >= 128
        true = samples[tile.number].mask[tile.row : tile.row + 64, tile.column : tile.column + 64]
        dice.append(2 * (true & pred).sum() / (true.sum() + pred.sum()))
    assert not [left for maps in stored.values() for left in maps]
    assert table["p256_s128_zero", "test_dice"] == pytest.approx(np.mean(dice), abs=1e-6)

    targets["figure5"].run(request)
    picture = np.asarray(Image.open(results / "figure5-corrected-smoke-seed0.png").convert("RGB"))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1000
    monkeypatch.setitem(experiments.SMOKE_ROWS, "table3", ())  # table 2's network is enough here
    targets["curves"].run(request)
    assert (results / "curves-corrected-smoke-seed0.png").stat().st_size > 10_000


def test_merged_maps_are_the_mean_of_the_tiles_where_there_are_some(data_set, tmp_path):
    config = replace(TINY, tiles="p256_s128", protocol="published")
    samples = data.load(data_set, config)
    tiles = [tile for tile in data.split(samples, config)["test"] if tile.number == 2]
    run = Run(tmp_path, {})
    levels = [0.9 * k / len(tiles) for k in range(len(tiles))]
    stack = np.stack([np.full((64, 64), level) for level in levels])
    predictions.save_map(run, f"test/{samples[2].id}", stack)
    merged, tested = eval.merged(run, samples, 2, config)
    values = {(r, c): [] for r in (10, 100, 200) for c in (10, 100, 200)}
    for (row, column), seen in values.items():
        for k, tile in enumerate(tiles):
            if tile.row <= row < tile.row + 64 and tile.column <= column < tile.column + 64:
                seen.append(levels[k])
        assert tested[row, column] == bool(seen)
        expected = np.mean(seen) if seen else 0
        assert merged[row, column] == pytest.approx(expected, abs=1 / 512 + 1e-6)


# The real images


@needs_real
def test_the_real_images(capsys):
    data_set = trainer.find_data(REAL)
    config = replace(PROFILES["quick"], protocol="corrected")
    samples = data.load(data_set, config)
    if data_set.name == annotation_files.PARTIAL:
        assert "data: BreCaHAD, 30 of 162 images" in capsys.readouterr().out
        assert len(samples) == 30
        assert sum(len(sample.centres) for sample in samples) == 3319
    for name in SETS:
        for seed in range(3):
            parts = data.split(samples, replace(config, tiles=name, seed=seed))
            train_ids, test_ids = (
                {samples[tile.number].id for tile in parts[part]} for part in ("train", "test")
            )
            assert not {i.split("-")[0] for i in train_ids} & {i.split("-")[0] for i in test_ids}
            assert len({"Case_10-07", "Case_10-08"} & test_ids) in (0, 2)  # two views that overlap
            assert 0.1 < len(test_ids) / len(samples) < 0.3
