import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
import tensorflow as tf
from disjoint import assert_disjoint
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from common.cli import Request
from common.datasets import manifests
from common.errors import InputError
from common.files import PROJECT
from common.published import schema
from common.training import runs
from reproductions.brain_tumour_mask_rcnn import (
    annotation_files,
    config,
    data,
    detections,
    duplicates,
    eval,
    metrics,
    overlays,
    seeded_sampling,
)
from reproductions.brain_tumour_mask_rcnn import phantom as brain_phantom
from reproductions.brain_tumour_mask_rcnn import split as splitting
from reproductions.brain_tumour_mask_rcnn.config import PROFILES, Config
from reproductions.brain_tumour_mask_rcnn.detections import Detections
from reproductions.brain_tumour_mask_rcnn.train import predicted, trainer

TINY = replace(PROFILES["smoke"], encoder_weights="none")
REAL = Path(os.environ.get("DATA_ROOT", "/nonexistent")) / "brain_mri"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="DATA_ROOT with brain_mri/ is not set")


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("brain")
    brain_phantom.write(root / "brain_mri", train=6, val=2, test=3)
    return root


@pytest.fixture(scope="module")
def data_set(data_root):
    return manifests.find("brain_mri", data_root)


@pytest.fixture
def copy(data_set, tmp_path):
    """A data set that a test may damage."""
    return Path(shutil.copytree(data_set.folder, tmp_path / "copy"))


def square(top, left, side, size=40):
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def sample(*masks, sample_id="1"):
    masks = np.array(masks, bool).reshape(-1, 40, 40)
    return data.Sample(sample_id, np.zeros((40, 40, 3), np.uint8), masks)


def found(*scored):
    """Detections from pairs of score and mask."""
    masks = np.array([mask for _, mask in scored], bool).reshape(-1, 40, 40)
    boxes = np.array([data.box(mask) for mask in masks], np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([score for score, _ in scored], np.float32), masks)


# Settings and published numbers


def test_the_profiles_keep_what_the_source_gives():
    paper, quick = PROFILES["paper"], PROFILES["quick"]
    assert (paper.encoder, paper.epochs, paper.steps_per_epoch) == ("resnet101", 15, 100)
    shortened = ("profile", "input_size", "regions", "learning_rate")
    assert replace(quick, **{name: getattr(paper, name) for name in shortened}) == paper
    assert all(profile.input_size % 64 == 0 for profile in PROFILES.values())


def test_what_is_trained_follows_from_the_initial_weights():
    assert not Config().trains_backbone and not Config().from_scratch
    assert TINY.trains_backbone and TINY.from_scratch
    assert Config(trained_layers="all").trains_backbone
    with pytest.raises(InputError, match="has to learn"):
        trainer.complete(replace(TINY, trained_layers="heads"), None, Path("nowhere"))


def test_a_run_folder_is_named_after_everything_that_differs_from_the_profile():
    assert TINY.run_id == "resnet14-none-published-smoke-float32-seed0"
    ours = replace(
        PROFILES["quick"], encoder_weights="/a/coco.h5", weights_layout="matterport", flip=True
    )
    assert (
        ours.run_id
        == "resnet101-file-published-quick-float32-seed0-weights_layout=matterport-flip=True"
    )


def test_the_counts_stand_beside_every_published_number(data_set, monkeypatch):
    from reproductions.brain_tumour_mask_rcnn import model

    monkeypatch.setattr(model, "size", lambda config: 244 * 2**20)
    counted = {}
    for count in eval.splits(Request(), data_set):
        assert bool(count.differences) == (count.protocol == "corrected") or count.row == eval.ROW
        counted[count.protocol, count.row, count.metric] = count.value
    reference = schema.load(trainer.folder / "published/splits.yaml")
    numbers = list(reference.numbers())
    assert len(numbers) == 4 and all(
        ("published", row, metric) in counted for row, metric, _ in numbers
    )
    assert (
        counted["published", "train", "images"] == 6
        and counted["corrected", "train", "images"] == 5
    )
    assert counted["published", "train", "images_with_a_tumour_of_another_part"] == 1
    for part in ("train", "val", "test"):
        assert counted["corrected", part, "images_with_a_tumour_of_another_part"] == 0
    assert counted["corrected", "left_out", "images"] == 1
    assert counted["published", "mask_rcnn", "weights_size"] == 244


# Annotations


def write(path, entries):
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def region(x, y, name="polygon"):
    return {
        "shape_attributes": {"name": name, "all_points_x": x, "all_points_y": y},
        "region_attributes": {},
    }


def test_a_polygon_fills_the_pixels_within(tmp_path):
    entries = {
        "a": {"filename": "1.jpg", "size": 1, "regions": [region([2, 6, 6, 2], [1, 1, 4, 4])]}
    }
    polygons = annotation_files.read(write(tmp_path / "a.json", entries))["1.jpg"]
    mask = annotation_files.draw(polygons, (10, 12), "1.jpg")
    assert mask.shape == (1, 10, 12) and mask.dtype == bool
    rows, columns = np.nonzero(mask[0])
    assert (
        (rows.min(), columns.min()) == (1, 2) and rows.max() in (3, 4) and columns.max() in (5, 6)
    )
    assert mask[0, 2, 3] and not mask[0, 3, 1]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 40), st.floats(0, 60)), min_size=3, max_size=12))
def test_a_star_shaped_polygon_has_the_area_of_the_shoelace_formula(points):
    points = np.array(points)
    middle = points.mean(axis=0)
    points = points[np.argsort(np.arctan2(*(points - middle).T))]
    y, x = points.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    perimeter = np.hypot(*(points - np.roll(points, 1, axis=0)).T).sum()
    try:
        filled = annotation_files.draw([points], (41, 61), "x").sum()
    except InputError:
        filled = 0
    assert abs(filled - area) <= perimeter + 4


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([1], "an object of VIA entries"),
        ({"a": {"filename": "1.jpg"}}, "an object of VIA entries"),
        (
            {"a": {"filename": "1.jpg", "regions": [region([1, 2], [1, 2])]}},
            r"1\.jpg, region 0: .*three or more.*got 2",
        ),
        (
            {"a": {"filename": "1.jpg", "regions": [region([1, 2, 3], [1, 2])]}},
            r"1\.jpg, region 0: .*as many numbers",
        ),
        *(
            (
                {"a": {"filename": "1.jpg", "regions": [region([1, wrong, 3], [1, 2, 3])]}},
                r"1\.jpg, region 0: .*as many numbers",
            )
            for wrong in ("x", 10**400)
        ),
        (
            {"a": {"filename": "1.jpg", "regions": [region([1], [1], "circle")]}},
            "region 0: .*got 'circle'",
        ),
        ({"a": {"filename": "1.jpg", "regions": [{}]}}, "region 0"),
    ],
)
def test_broken_annotations_are_named(tmp_path, entries, message):
    with pytest.raises(InputError, match=rf"{tmp_path}/a\.json.*{message}"):
        annotation_files.read(write(tmp_path / "a.json", entries))


numbers = st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False, width=32)
outlines = st.lists(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=5), max_size=3)
strange = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["filename", "regions", "shape_attributes", "name", "all_points_x", "all_points_y"]
            ),
            inner,
        )
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.text(min_size=1, max_size=5), outlines, max_size=3))
def test_polygons_survive_the_annotation(tmp_path_factory, images):
    entries = {
        f"{name}{number}": {
            "filename": name,
            "regions": [region(*map(list, zip(*points))) for points in polygons],
        }
        for number, (name, polygons) in enumerate(images.items())
    }
    found = annotation_files.read(write(tmp_path_factory.getbasetemp() / "a.json", entries))
    assert list(found) == list(images)
    for name, polygons in images.items():
        assert [[(x, y) for y, x in points.tolist()] for points in found[name]] == polygons


@given(
    strange
    | st.fixed_dictionaries({"a": st.fixed_dictionaries({"filename": strange, "regions": strange})})
)
def test_any_json_is_an_annotation_or_refused_in_one_line(tmp_path_factory, content):
    try:
        found = annotation_files.read(write(tmp_path_factory.getbasetemp() / "a.json", content))
    except InputError as error:
        assert "a.json" in str(error) and "\n" not in str(error)
    else:
        assert all(isinstance(name, str) for name in found)
        assert all(
            np.isfinite(points).all() and len(points) > 2
            for part in found.values()
            for points in part
        )


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([(0, 0), (0, 50), (5, 5)], "points inside of the image, 40x30"),
        ([(3, 3), (3, 3), (3, 3)], "an area"),
        ([(3.2, 3.2), (3.4, 3.2), (3.3, 3.4)], "holds no pixel"),
    ],
)
def test_polygons_that_do_not_fit_are_named(points, message):
    with pytest.raises(InputError, match=rf"test/9\.jpg, region 1: .*{message}"):
        annotation_files.draw(
            [np.array([(0, 0), (0, 9), (9, 9)]), np.array(points)], (30, 40), "test/9.jpg"
        )


# Data


def again(folder, image):
    """Give the test images an entry more, for this image."""
    path = folder / "test/annotations.json"
    entries = json.loads(path.read_text())
    path.write_text(
        json.dumps({**entries, "more": {**next(iter(entries.values())), "filename": image}})
    )


def test_samples_have_their_images_masks_and_boxes(data_set):
    loaded = data.load(data_set.folder, ["6", "0"])
    assert [s.id for s in loaded] == ["6", "0"]
    entries = json.loads((data_set.folder / "val/annotations.json").read_text())
    regions = next(e["regions"] for e in entries.values() if e["filename"] == "6.jpg")
    assert loaded[0].masks.shape == (len(regions), *loaded[0].image.shape[:2])
    for mask, (y1, x1, y2, x2), shape in zip(loaded[0].masks, loaded[0].boxes.astype(int), regions):
        assert mask[y1:y2, x1:x2].sum() == mask.sum() and mask[y1].any() and mask[:, x2 - 1].any()
        xs = shape["shape_attributes"]["all_points_x"]
        assert abs(x1 - min(xs)) <= 1 and abs(x2 - max(xs)) <= 1


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        (
            lambda f: (f / "test/9.jpg").unlink(),
            r"test/9\.jpg: no such image, .*test/annotations\.json has \d regions",
        ),
        (
            lambda f: shutil.copy(f / "test/9.jpg", f / "test/99.jpg"),
            r"annotations\.json: expected an entry for 99\.jpg",
        ),
        (
            lambda f: shutil.copy(f / "train/0.jpg", f / "test") and again(f, "0.jpg"),
            r"test/0\.jpg: .*another part",
        ),
        (
            lambda f: again(f, "9.jpg"),
            r"annotations\.json: expected one entry for each image, got two for 9",
        ),
        (
            lambda f: (f / "test/9.jpg").write_bytes((f / "test/9.jpg").read_bytes()[:700]),
            r"test/9\.jpg: .*truncated",
        ),
        (
            lambda f: Image.new("RGB", (20, 20)).save(f / "test/9.jpg"),
            r"test/9\.jpg, region 0: .*inside of the image",
        ),
    ],
)
def test_broken_data_are_named(copy, breakage, message):
    breakage(copy)
    with pytest.raises(InputError, match=message):
        data.load(copy, ["9"])


@settings(max_examples=50)
@given(st.integers(1, 30), st.integers(1, 20), st.integers(1, 3))
def test_every_image_is_shown_before_any_comes_again(count, steps, batch):
    settings_ = replace(TINY, steps_per_epoch=steps, batch_size=batch)
    orders = [data.epoch_order(count, settings_, epoch) for epoch in range(3)]
    assert [len(order) for order in orders] == [steps * batch] * 3
    shown = np.concatenate(orders)
    for start in range(0, len(shown), count):
        assert len(set(shown[start : start + count])) == len(shown[start : start + count])
    np.testing.assert_array_equal(orders[2], data.epoch_order(count, settings_, 2))


def test_examples_are_what_model_gardens_decoder_would_give():
    many = [sample(square(4, 8, 10), sample_id="1"), sample(sample_id="2")]
    drawn = list(data.examples(many, replace(TINY, steps_per_epoch=3), 0).as_numpy_iterator())
    assert len(drawn) == len(data.examples(many, replace(TINY, steps_per_epoch=3), 0)) == 3
    for example in drawn:  # the image without a tumour is never shown
        np.testing.assert_allclose(example["groundtruth_boxes"], [[0.1, 0.2, 0.35, 0.45]])
        np.testing.assert_array_equal(example["groundtruth_instance_masks"][0], square(4, 8, 10))
        assert example["groundtruth_classes"].tolist() == [1]


def test_the_given_split_stays_and_the_corrected_one_shares_no_tumour(data_set):
    given_split = splitting.split(data_set, "published")
    assert given_split == {
        "train": list("012345"),
        "validation": ["6", "7"],
        "test": ["8", "9", "10"],
    }
    corrected = splitting.split(data_set, "corrected")
    assert corrected == {**given_split, "train": list("01234"), "left_out": ["5"]}
    samples = data.load(data_set.folder, map(str, range(11)))
    groups = duplicates.find(samples)
    assert groups == [["5", "8"]] == duplicates.across(groups, given_split)
    owners = {**{s.id: s.id for s in samples}, **{i: group[0] for group in groups for i in group}}
    assert_disjoint(
        {part: ids for part, ids in corrected.items() if part != splitting.LEFT_OUT}, owners
    )


def test_heads_that_look_alike_are_no_duplicates_if_the_tumour_is_elsewhere(data_set):
    one = data.load(data_set.folder, ["5"])[0]
    moved = replace(one, id="x", masks=np.roll(one.masks, 40, axis=2))
    assert duplicates.find([one, replace(one, id="y")]) == [["5", "y"]]
    assert duplicates.find([one, moved]) == []


# Detections and metrics


@settings(max_examples=30)
@given(st.integers(0, 4), st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**16))
def test_detections_survive_the_file(tmp_path_factory, count, height, width, seed):
    rng = np.random.default_rng(seed)
    kept = Detections(
        rng.random((count, 4), np.float32),
        rng.random(count, np.float32),
        rng.random((count, height, width)) < 0.4,
    )
    path = tmp_path_factory.getbasetemp() / "found.json"
    detections.save(path, kept)
    for one, other in zip(kept, detections.load(path)):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def kept_detections(size="[4, 4]", scores="[1]", boxes="[[0, 0, 4, 4]]", masks='["0`0"]'):
    return f'{{"size": {size}, "scores": {scores}, "boxes": {boxes}, "masks": {masks}}}'


@pytest.mark.parametrize(
    "content",
    [
        *(None, "", "{}", "[" * 99999),
        kept_detections(boxes="[[1, 2]]", masks="[]"),
        kept_detections(scores="[1, 1]"),
        kept_detections(masks="[1]"),
        *(kept_detections(size) for size in ("[100000, 100000]", f"[{1 << 40}, 1]", "[-1, 4]")),
        *(kept_detections(size) for size in ("[4.5, 4]", '["4", 4]', "[4, 4, 4]", "[2, 2]")),
        kept_detections("[20000, 20000]", masks='["0`0", "0`0", "0`0"]'),
    ],
)
def test_damaged_detections_are_named(tmp_path, content):
    if content is not None:
        (tmp_path / "7.json").write_text(content)
    with pytest.raises(InputError, match=r"7\.json: missing or damaged detections"):
        detections.load(tmp_path / "7.json")


def test_a_tumour_is_found_once_and_by_the_higher_score():
    tumour, shifted, elsewhere = square(10, 10, 12), square(10, 12, 12), square(28, 28, 8)
    assert metrics.match(
        np.array([tumour]), found((0.6, tumour), (0.9, shifted), (0.8, elsewhere))
    ).tolist() == [
        False,
        True,
        False,
    ]
    barely, not_quite = square(10, 14, 12), square(10, 15, 12)  # IoU 8/16 and 7/17
    assert metrics.match(np.array([tumour]), found((0.6, barely))).tolist() == [True]
    assert metrics.match(np.array([tumour]), found((0.6, not_quite))).tolist() == [False]
    assert metrics.match(np.zeros((0, 40, 40), bool), found((0.6, tumour))).tolist() == [False]
    assert metrics.match(np.array([tumour]), found()).tolist() == []


def test_the_curve_counts_tumours_and_inventions_by_score():
    one, two, three = square(0, 0, 10), square(20, 0, 10), square(0, 20, 10)
    samples = [sample(one, two), sample(three), sample()]
    given_found = [
        found((0.9, one), (0.5, three)),
        found((0.7, three), (0.7, one)),
        found((0.3, two)),
    ]
    curve = metrics.curve(samples, given_found)
    np.testing.assert_allclose(curve.scores, [0.9, 0.7, 0.5, 0.3], rtol=1e-6)
    np.testing.assert_allclose(curve.sensitivity, [1 / 3, 2 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(curve.false_positives, [0, 1 / 3, 2 / 3, 1])
    assert [len(part) for part in metrics.curve(samples, [found()] * 3)] == [0, 0, 0]


@settings(max_examples=25)
@given(st.integers(0, 2**16))
def test_the_curve_agrees_with_counting_at_every_score(seed):
    rng = np.random.default_rng(seed)

    def squares(count):
        return [square(*rng.integers(0, 4, 2) * 8, 8) for _ in range(count)]

    samples = [sample(*squares(rng.integers(0, 3))) for _ in range(4)]
    given_found = [
        found(*((rng.integers(1, 9) / 10, m) for m in squares(rng.integers(0, 5))))
        for _ in range(4)
    ]
    if not sum(len(s.masks) for s in samples):
        return
    for score, sensitivity, false_positives in zip(*metrics.curve(samples, given_found)):
        table = metrics.per_image(samples, given_found, score)
        assert sensitivity == pytest.approx(table["found"].sum() / table["tumours"].sum())
        assert false_positives == pytest.approx(table["invented"].mean())


def test_pixels_are_scored_on_the_union_at_the_asked_confidence():
    samples = [sample(square(0, 0, 10), square(20, 20, 10)), sample(square(5, 5, 10))]
    given_found = [found((0.9, square(0, 0, 10)), (0.2, square(20, 20, 10))), found()]
    table = metrics.per_image(samples, given_found, 0.7)
    np.testing.assert_allclose(table["dice"], [2 / 3, 0])
    np.testing.assert_allclose(table["iou"], [1 / 2, 0])
    assert table[["tumours", "found", "invented"]].to_numpy().tolist() == [[2, 1, 0], [1, 0, 0]]
    assert metrics.best_score(samples, given_found) == 0.05
    given_table = table.assign(score=0.7)
    chosen = metrics.per_image(samples, given_found, 0.2).assign(score=0.2).drop(columns="id")
    both = pandas.concat([given_table, chosen.add_suffix(metrics.CHOSEN)], axis=1)
    scores = metrics.aggregate(both, TINY)
    assert (scores["sensitivity"], scores["sensitivity_chosen"]) == (
        pytest.approx(1 / 3),
        pytest.approx(2 / 3),
    )
    assert (scores["dice"], scores["dice_chosen"]) == (pytest.approx(1 / 3), pytest.approx(1 / 2))
    assert (scores["score"], scores["score_chosen"]) == (0.7, 0.2)


def test_saved_detections_are_scored_at_both_confidences(data_set, tmp_path):
    run = runs.Run(tmp_path, {})
    run.save_split(splitting.split(data_set, "published"))
    for one in data.load(data_set.folder, predicted(run.split)):
        perfect = Detections(one.boxes, np.full(len(one.masks), 0.3, np.float32), one.masks)
        detections.save(run.predictions / f"{one.id}.json", perfect)
    table = metrics.scores([run], TINY, data_set)
    assert table["id"].tolist() == run.split["test"]
    assert set(table["score_chosen"]) == {0.05} and set(table["score"]) == {TINY.min_score}
    values = metrics.aggregate(table, TINY)
    assert values["sensitivity"] == 0 and values["sensitivity_chosen"] == 1
    assert values["dice_chosen"] == 1
    precision = metrics.precision_of_all([run], TINY, data_set)
    assert list(precision.values()) == pytest.approx([1] * 4)


def test_average_precision_in_closed_form():
    one, two = square(0, 0, 12), square(20, 20, 12)
    samples = [sample(one), sample(two)]
    assert metrics.average_precision(samples, [found(), found()]) == dict.fromkeys(
        ("box_ap", "box_ap50", "mask_ap", "mask_ap50"), 0.0
    )
    perfect = metrics.average_precision(samples, [found((0.9, one)), found((0.8, two))])
    assert list(perfect.values()) == pytest.approx([1] * 4)
    # Shifted by 2 of 12: IoU 10/14 = 0.714, which passes five of the ten thresholds.
    shifted = metrics.average_precision(
        samples, [found((0.9, square(0, 2, 12))), found((0.8, square(20, 22, 12)))]
    )
    assert shifted["box_ap"] == shifted["mask_ap"] == pytest.approx(0.5)
    assert shifted["box_ap50"] == shifted["mask_ap50"] == pytest.approx(1)
    # One of two found: precision is 1 up to a recall of 0.5, the first 51 of COCO's 101 places.
    half = metrics.average_precision(samples, [found((0.9, one)), found()])
    assert half["mask_ap50"] == pytest.approx(51 / 101)
    # A mask may be right in a box that is not, and the other way round.
    ell = one & ~square(0, 0, 9)
    wrong = Detections(np.float32([[0, 0, 12, 12]]), np.float32([0.9]), ell[None])
    scores = metrics.average_precision([sample(one)], [wrong])
    assert scores["box_ap50"] == pytest.approx(1) and scores["mask_ap50"] == 0


def test_without_a_tumour_there_is_no_precision_and_no_sensitivity():
    one = square(0, 0, 12)
    for one_found in (found((0.9, one)), found()):
        scores = metrics.average_precision([sample()], [one_found])
        assert len(scores) == 4 and np.isnan([*scores.values()]).all()
    curve = metrics.curve([sample()], [found((0.9, one))])
    assert np.isnan(curve.sensitivity).all() and curve.false_positives.tolist() == [1]
    given = metrics.per_image([sample()], [found((0.9, one))], 0.5).assign(score=0.5)
    chosen = given.drop(columns="id").add_suffix(metrics.CHOSEN)
    scores = metrics.aggregate(pandas.concat([given, chosen], axis=1), Config())
    assert "dice" in scores and "sensitivity" not in scores


def test_detections_of_something_else_are_refused():
    one = square(0, 0, 12)
    good = found((0.9, one))
    wrong = [
        good._replace(scores=np.float32([np.nan])),
        good._replace(scores=np.float32([np.inf])),
        good._replace(scores=np.float32([0.9, 0.8])),
        good._replace(masks=good.masks[:, :30]),
        good._replace(masks=good.masks.astype(float)),
        good._replace(masks=np.ma.masked_equal(good.masks, 0)),
    ]
    for function in (metrics.curve, metrics.average_precision):
        for one_found in wrong:
            with pytest.raises(ValueError, match=r"must be|are needed"):
                function([sample(one)], [one_found])
        with pytest.raises(ValueError, match="one set of detections per sample"):
            function([sample(one)], [good, good])


# Figures and files


def test_an_overlay_marks_what_was_found_and_leaves_the_rest():
    image = np.full((40, 40, 3), 100, np.uint8)
    assert (overlays.overlay(image, found()) == image).all()
    picture = overlays.overlay(image, found((0.9, square(10, 10, 12))), [square(25, 25, 8)])
    assert (
        tuple(picture[10, 10]) == config.COLOURS["predicted"]
        and tuple(picture[25, 25]) == config.COLOURS["truth"]
    )
    np.testing.assert_array_equal(
        picture[15, 15], np.rint(100 * 0.65 + 0.35 * np.array(config.COLOURS["predicted"]))
    )
    assert (picture[:8] == 100).all()


def test_nothing_but_the_model_imports_model_garden():
    code = (
        "import sys; from reproductions.brain_tumour_mask_rcnn import eval, predictor, train; "
        "sys.exit('official' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT).returncode == 0


# The network itself: Model Garden is imported from here on.


@pytest.fixture(scope="module")
def finished(data_root, tmp_path_factory):
    """The smoke profile from phantoms to the end, by the command that makes the figure."""
    results = tmp_path_factory.mktemp("results")
    request = Request(
        data_root=data_root,
        profile="smoke",
        encoder_weights="none",
        protocol="corrected",
        results_root=results,
    )
    eval.paper.targets["figure"].run(request)
    return request, results / "demo"


@pytest.mark.slow
def test_a_training_leaves_all_that_tables_and_figures_need(finished, data_set, capsys):
    request, demo = finished
    folder = next((demo / "runs/brain_tumour_mask_rcnn").iterdir())
    assert folder.name == "resnet14-none-corrected-smoke-float32-seed0"
    history = pandas.read_csv(folder / "history.csv")
    assert history["epoch"].tolist() == [1, 2] and np.isfinite(history.to_numpy()).all()
    assert {
        "loss",
        "rpn_score_loss",
        "rpn_box_loss",
        "frcnn_cls_loss",
        "frcnn_box_loss",
        "mask_loss",
    } < set(history)
    split = runs.read_json(folder / "split.json")
    assert sorted(path.stem for path in (folder / "predictions").iterdir()) == sorted(
        split["validation"] + split["test"]
    )
    drawn = demo / "brain_tumour_mask_rcnn"
    assert {path.name for path in drawn.glob("*.png")} == {
        f"{n}-corrected-smoke-seed0.png" for n in ("figure", "froc")
    }
    before = (folder / "weights.h5").stat().st_mtime_ns
    eval.paper.targets["table"].run(request)  # complete: nothing is trained again
    assert (folder / "weights.h5").stat().st_mtime_ns == before
    table = pandas.read_csv(drawn / "table.csv").set_index("metric")
    assert {"box_ap", "mask_ap50", "dice", "sensitivity_chosen"} < set(table.index)
    assert (
        table["differences"].str.contains("synthetic").all()
        and (table["reading"] == "encoder_weights=none").all()
    )
    assert "written" in capsys.readouterr().out


@pytest.fixture(scope="module")
def detector(finished):
    from reproductions.brain_tumour_mask_rcnn import model

    return model.load(next((finished[1] / "runs/brain_tumour_mask_rcnn").iterdir()))


@pytest.mark.slow
def test_a_finished_training_detects_in_files_what_it_detected_in_its_test_images(
    finished, detector, data_set
):
    assert detector.config == replace(TINY, protocol="corrected")
    kept = detections.load(next((finished[1] / "runs").rglob("predictions/8.json")))
    again = detector(data.load(data_set.folder, ["8"])[0].image, config.LOWEST_SCORE)
    assert len(again.scores) == len(kept.scores)
    np.testing.assert_allclose(again.scores, kept.scores, atol=1e-4)
    np.testing.assert_allclose(again.boxes, kept.boxes, atol=0.1)
    for shape in ((1, 1), (300, 7), (130, 128)):  # of any size; boxes within the image
        boxes, scores, masks = detector(
            np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8), 0.0
        )
        assert (
            masks.shape == (len(scores), *shape)
            and masks.dtype == bool
            and boxes.dtype == np.float32
        )
        assert (
            (boxes >= 0).all()
            and (boxes <= [*shape, *shape]).all()
            and (boxes[:, 2:] > boxes[:, :2]).all()
        )


@pytest.mark.slow
def test_the_network_has_the_layer_shapes_of_matterports(detector):
    def convolution(side, inputs, outputs):
        return side * side * inputs * outputs + outputs

    norm = 4 * 256
    pyramid = sum(convolution(1, c, 256) for c in (256, 512, 1024, 2048)) + 5 * (
        convolution(3, 256, 256) + norm
    )
    proposals = (
        convolution(3, 256, 512) + 5 * 4 * 512 + convolution(1, 512, 3) + convolution(1, 512, 12)
    )
    dense = convolution(7, 256, 1024) + convolution(1, 1024, 1024) + 2 * 4 * 1024
    outputs = convolution(1, 1024, 2) + convolution(1, 1024, 8)
    masks = (
        4 * (convolution(3, 256, 256) + norm)
        + convolution(2, 256, 256)
        + norm
        + convolution(1, 256, 2)
    )
    network = detector.network
    rest = (
        sum(weight.shape.num_elements() for weight in network.weights)
        - network.backbone.count_params()
    )
    assert rest == pyramid + proposals + dense + outputs + masks
    assert rest + 42_658_176 == 64_338_331  # with Keras' ResNet-101 without top


@pytest.mark.slow
def test_boxes_and_masks_come_back_to_the_pixels_of_the_image():
    import tensorflow as tf

    from reproductions.brain_tumour_mask_rcnn import model

    def network(images, image_shape, training):
        assert images.shape == (1, 64, 64, 3) and training is False
        half = np.zeros((28, 28), np.float32)
        half[14:] = 1  # the lower half of the box
        return {
            "detection_boxes": tf.constant(
                [[[8.0, 16.0, 24.0, 56.0], [10.0, 10.0, 60.0, 20.0], [0.0] * 4]]
            ),
            "detection_scores": tf.constant([[0.9, 0.4, 0.0]]),
            "detection_masks": tf.constant(np.stack([half, half * 0 + 1, half])[None]),
        }

    find = model.Detector(network, TINY)
    image = np.zeros((80, 128, 3), np.uint8)  # shrunk by two, padded at the bottom
    boxes, scores, masks = find(image)
    np.testing.assert_allclose(boxes, [[16, 32, 48, 112]])
    rows, columns = np.nonzero(masks[0])
    assert masks.shape == (1, 80, 128)
    np.testing.assert_allclose(
        [rows.min(), columns.min(), rows.max(), columns.max()], [32, 32, 47, 111], atol=2
    )
    boxes, scores, masks = find(image, 0.0)
    np.testing.assert_allclose(scores, [0.9, 0.4])  # places without a detection are none, even at 0
    np.testing.assert_allclose(boxes[1], [20, 20, 80, 40])  # cut at the image's edge
    assert masks[1, 79, 30] and masks[1].sum() == pytest.approx(60 * 20, rel=0.15)


def test_draws_depend_on_seed_purpose_number_and_order_alone():
    def drawn(seed, purpose, number):
        @tf.function(autograph=False)
        def draw(number):
            with seeded_sampling.seeded(seed, purpose, number):
                return (
                    tf.random.shuffle(tf.range(1000)),
                    tf.random.shuffle(tf.range(1000)),
                    tf.random.uniform([9]),
                )

        first, second, third = draw(tf.constant(number))
        assert sorted(first.numpy()) == sorted(second.numpy()) == list(range(1000))
        assert (third.numpy() >= 0).all() and (third.numpy() < 1).all()
        return first.numpy().tolist(), second.numpy().tolist(), third.numpy().tolist()

    before = tf.random.shuffle, tf.random.uniform
    one = drawn(0, seeded_sampling.ANCHORS, 5)
    assert one == drawn(0, seeded_sampling.ANCHORS, 5) and one[0] != one[1]
    for other in [
        (1, seeded_sampling.ANCHORS, 5),
        (0, seeded_sampling.REGIONS, 5),
        (0, seeded_sampling.ANCHORS, 6),
    ]:
        assert all(ours != theirs for ours, theirs in zip(one, drawn(*other)))
    assert (tf.random.shuffle, tf.random.uniform) == before


def test_a_seeded_shuffle_favours_no_place():
    def first(number):
        with seeded_sampling.seeded(0, seeded_sampling.REGIONS, number):
            return tf.random.shuffle(tf.range(4))[0]

    counts = np.bincount(
        tf.function(lambda: tf.map_fn(first, tf.range(4000)))().numpy(), minlength=4
    )
    assert (np.abs(counts - 1000) < 150).all()  # five standard deviations


@pytest.mark.slow
def test_targets_of_an_epoch_are_the_same_whenever_they_are_drawn(finished, data_set):
    from reproductions.brain_tumour_mask_rcnn import model

    settings_ = replace(TINY, steps_per_epoch=4, flip=True)
    samples = data.load(data_set.folder, ["2", "3"])

    def epoch(number):
        tf.random.set_seed(time.time_ns())  # which decided all draws before they were seeded
        batches = model.inputs(
            data.examples(samples, settings_, number), settings_, number
        ).as_numpy_iterator()
        found = [(images, *labels["rpn_score_targets"].values()) for images, labels in batches]
        return [[array.tobytes() for array in arrays] for arrays in found]

    assert epoch(1) == epoch(1)
    assert all(one != other for one, other in zip(epoch(1), epoch(2)))


@pytest.mark.slow
def test_targets_lie_where_the_tumours_are(finished, data_set):
    from reproductions.brain_tumour_mask_rcnn import model

    sample_ = data.load(data_set.folder, ["2"])[0]  # not square: 128 wide, 112 high
    side = 64
    one_step = replace(TINY, steps_per_epoch=1)
    images, labels = next(iter(model.inputs(data.examples([sample_], one_step, 0), TINY, 0)))
    assert images.shape == (1, side, side, 3)
    boxes = labels["gt_boxes"][0, : len(sample_.masks)].numpy()
    np.testing.assert_allclose(boxes, sample_.boxes * side / 128, atol=0.02)
    assert not images[0, 56:].numpy().any() and images[0, :56].numpy().any()  # padded at the bottom
    for (top, left, bottom, right), mask, crop in zip(
        sample_.boxes.astype(int), sample_.masks, labels["gt_masks"][0]
    ):
        filled = crop.numpy() > 0.5
        assert filled.mean() == pytest.approx(mask[top:bottom, left:right].mean(), abs=0.05)
    # Anchors that are to say "tumour" overlap one.
    for level, targets in labels["rpn_score_targets"].items():
        anchors = labels["anchor_boxes"][level].numpy().reshape(-1, 4)[targets.numpy().ravel() == 1]
        for y1, x1, y2, x2 in anchors:
            height = np.minimum(y2, boxes[:, 2]) - np.maximum(y1, boxes[:, 0])
            width = np.minimum(x2, boxes[:, 3]) - np.maximum(x1, boxes[:, 1])
            assert (np.minimum(height, width) > 0).any()
    assert any((targets == 1).numpy().any() for targets in labels["rpn_score_targets"].values())


@pytest.mark.slow
def test_a_backbone_from_a_file_is_loaded_and_then_left_alone(detector, tmp_path):
    from reproductions.brain_tumour_mask_rcnn import model

    path = tmp_path / "backbone.h5"
    path.write_bytes(b"no weights")
    with pytest.raises(
        InputError, match=r"backbone\.h5: not Keras weights of resnet14 without top"
    ):
        model.build(replace(TINY, encoder_weights=str(path)))
    detector.network.backbone.save_weights(str(path))
    whole = model.build(replace(TINY, encoder_weights=str(path)))
    network = whole.network
    for ours, theirs in zip(
        network.backbone.get_weights(), detector.network.backbone.get_weights()
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert not network.backbone.trainable_weights
    # A run's weights come back although frozen layers are kept in another order than learning ones.
    whole.save_weights(str(tmp_path / "weights.h5"))
    again = model.build(replace(TINY, encoder_weights="gone.h5"), initialise=False)
    again.load_weights(str(tmp_path / "weights.h5"))
    for ours, theirs in zip(again.network.get_weights(), whole.network.get_weights()):
        np.testing.assert_array_equal(ours, theirs)
    learning = {weight.name.split("/")[-1] for weight in network.trainable_weights}
    assert learning == {"kernel:0", "bias:0"}  # no BatchNorm


# The real images


@needs_real
def test_the_real_images_are_what_the_source_counts():
    real = manifests.find("brain_mri", REAL.parent)
    split = splitting.split(real, "published")
    assert {part: len(ids) for part, ids in split.items()} == {
        "train": 202,
        "validation": 61,
        "test": 39,
    }
    polygons = {
        part: sum(map(len, images.values())) for part, images in data.find(real.folder).items()
    }
    assert polygons == {"train": 219, "validation": 62, "test": 41}


@needs_real
def test_the_real_parts_share_tumours_which_the_corrected_split_does_not():
    real = manifests.find("brain_mri", REAL.parent)
    corrected = splitting.split(real, "corrected")
    assert [len(corrected[part]) for part in ("train", "validation", "test")] == [197, 58, 39]
    assert corrected["left_out"] == ["220", "221", "229", "278", "291", "335", "357", "360"]
