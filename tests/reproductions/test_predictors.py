"""Every paper's network through `medseg predict`: as its tables have it, on images of any size."""

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import reproductions
from common import files
from common.datasets import manifests
from common.errors import InputError
from common.imaging.reading import read_rgb
from common.imaging.writing import write_png
from common.prediction.predictor import Way
from common.training import predictions
from reproductions import command
from reproductions.brecahad_slicing import eval as brecahad
from reproductions.polyp_unet import data as polyp_data
from reproductions.tnbc_linknet import predictor as tnbc

# What is trained for a moment, on phantoms.
SETTINGS = {
    "brain_tumour_mask_rcnn": {"encoder_weights": "none", "epochs": 1, "steps_per_epoch": 1},
    "brecahad_slicing": {"tiles": "p256_s128", "epochs": 1},
    "busi_resnext_unet": {"encoder": "vgg16", "encoder_weights": "none", "epochs": 1},
    "polyp_unet": {"epochs": 1},
    "tnbc_linknet": {"encoder": "vgg19", "encoder_weights": "none", "epochs": 1},
}
PAPERS = sorted(SETTINGS)


def untrained(trainer, config, data_set, runs_root):
    """A finished run whose weights are those that a training would have begun with."""
    from reproductions.brain_tumour_mask_rcnn import model, split

    run = trainer.open(config, data_set, runs_root)
    run.log_session(data=data_set.title)
    run.save_split(split.split(data_set, config.protocol))
    model.build(config).save_weights(str(run.folder / "weights.h5"))
    files.write_json(run.folder / "predictions.json", {"sha256": {}})
    return run


class Trained:
    """A paper's tiny network: its run, its data and its predictor."""

    def __init__(self, paper, root):
        trainer = importlib.import_module(f"reproductions.{paper}.train").trainer
        phantom = importlib.import_module(f"reproductions.{paper}.phantom")
        phantom.write(root / "data" / trainer.data_sets[0])
        self.config = replace(trainer.profiles["smoke"], **SETTINGS[paper])
        self.data_set = manifests.find_first(trainer.data_sets, root / "data")
        self.runs_root = root / "runs"
        if paper == "brain_tumour_mask_rcnn":  # whose training step takes a minute to trace
            self.run = untrained(trainer, self.config, self.data_set, self.runs_root)
        else:
            self.run = trainer.complete(self.config, self.data_set, self.runs_root)
        self.module = importlib.import_module(f"reproductions.{paper}.predictor")
        self.predictor = self.module.load(self.module.partners(self.run.folder))

    def classes(self, image, way=Way()):  # noqa: B008  frozen
        shape = image.shape[:2]
        ticks = []
        prediction = self.predictor.predict(image, way, lambda count=1: ticks.append(count))
        labels = np.full(shape, 255, np.uint8)
        for band in prediction.bands:
            labels[band.top : band.top + len(band.labels)] = band.labels
            count = len(self.predictor.classes)
            assert band.probabilities.shape == (*band.labels.shape, count)
            assert band.probabilities.dtype == np.float32
        assert sum(ticks) == self.predictor.steps(shape, way)
        assert labels.max() <= len(self.predictor.classes)
        return labels


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Gives the tiny network of a paper, trained where a test first asks for it."""
    kept = {}

    def get(paper):
        if paper not in kept:
            kept[paper] = Trained(paper, tmp_path_factory.mktemp(paper))
        return kept[paper]

    return get


def test_every_paper_has_a_predictor():
    assert reproductions.names() == PAPERS


@pytest.mark.parametrize("paper", PAPERS)
def test_images_of_any_size_are_predicted_and_the_network_is_traced_once(
    paper, trained, monkeypatch
):
    one = trained(paper)
    if paper == "tnbc_linknet":
        monkeypatch.setattr(one.module, "TILE", 64)
    if paper == "brecahad_slicing":
        monkeypatch.setattr(one.module, "WINDOW", (96, 128))
    rng = np.random.default_rng(0)
    for shape in ((40, 30, 3), (150, 140, 1), (1, 60, 4)):
        one.classes(rng.integers(0, 256, shape, np.uint8))
        one.classes(rng.integers(0, 256, shape, np.uint8), Way(as_paper=True))
    member = one.predictor.members[0].network
    if paper == "brain_tumour_mask_rcnn":
        assert member._outputs.experimental_get_tracing_count() == 1
    else:
        assert member.traces == 1


def test_tnbc_predicts_an_image_as_its_run_did(trained):
    one = trained("tnbc_linknet")
    name = one.run.split["test"][0]
    image = read_rgb(one.data_set.folder / f"Slide_{name.partition('_')[0]}" / f"{name}.png")
    expected = predictions.load_map(one.run, name)
    bands = list(one.predictor.predict(image, Way(), lambda count=1: None).bands)
    np.testing.assert_allclose(bands[0].probabilities[..., 0], expected, atol=1e-5)
    near = np.abs(expected - 0.5) < 1e-5
    assert ((one.classes(image) == (expected >= 0.5)) | near).all()


@pytest.mark.parametrize("as_paper, kept", [(True, "merged"), (False, "blended")])
def test_busi_predicts_an_image_as_its_run_did(trained, as_paper, kept):
    one = trained("busi_resnext_unet")
    name = one.run.split["test"][0]
    image = read_rgb(one.data_set.folder / name.partition(" ")[0] / f"{name}.png")
    expected = predictions.load_classes(one.run, f"{kept}/{name}")
    assert (one.classes(image, Way(as_paper=as_paper)) == expected).mean() > 0.999


def test_polyp_predicts_an_image_as_its_run_did(trained, monkeypatch):
    one = trained("polyp_unet")
    sample = polyp_data.load(one.data_set, one.config)["test"][0]
    expected = predictions.load_map(one.run, sample.id) >= 0.5
    assert (one.classes(sample.image) == expected).mean() > 0.999
    monkeypatch.setattr(one.module, "LARGEST_WHOLE", 10)
    assert (one.classes(sample.image) == expected).mean() > 0.999


def test_brecahad_predicts_an_image_as_its_run_did(trained):
    one = trained("brecahad_slicing")
    samples = brecahad.data.load(one.data_set, one.config)
    tested_tiles = brecahad.data.split(samples, one.config)["test"]
    number = tested_tiles[0].number
    sample = samples[number]
    probability, tested = brecahad.merged(one.run, samples, number, one.config)
    image = read_rgb(next((one.data_set.folder / "images").glob(f"{sample.id}.*")))
    square, _ = brecahad.data.squared(image, one.config.side, "resize", one.config.preprocessing)
    size = brecahad.slicing.tile_size(one.config)
    tile = tested_tiles[0]
    kept = predictions.load_map(one.run, f"test/{sample.id}").reshape(-1, size, size)[0]
    ours = one.predictor.members[0].network.predict_on_batch(
        brecahad.data.scaled(brecahad.data.cut(square, tile, size)[None])
    )
    np.testing.assert_allclose(ours[0, ..., 0], kept, atol=1 / 256)
    merged = one.predictor._merged(square)
    assert merged.shape == probability.shape and tested.any()
    labels = one.classes(image, Way(as_paper=True))
    assert labels.shape == image.shape[:2]


def test_brecahads_windows_have_the_size_of_its_images(trained):
    one = trained("brecahad_slicing")
    image = np.random.default_rng(0).integers(0, 256, (1024, 1360, 3), np.uint8)
    np.testing.assert_array_equal(one.classes(image), one.classes(image, Way(as_paper=True)))


def test_brain_tumours_come_as_the_detector_finds_them(trained, monkeypatch):
    one = trained("brain_tumour_mask_rcnn")
    name = one.run.split["test"][0]
    image = read_rgb(next(one.data_set.folder.rglob(f"{name}.jpg")))
    way = Way(threshold=0.05)
    found = one.predictor.predict(image, way, lambda: None).found
    detector = one.predictor.members[0].network
    expected = detector(image, 0.05)
    assert len(found) == sum(mask.any() for mask in expected.masks)
    np.testing.assert_array_equal(one.classes(image, way).astype(bool), expected.union)
    monkeypatch.setattr(one.module, "LARGEST_WHOLE", 500)
    shrunk = one.classes(image, way)
    assert shrunk.shape == image.shape[:2]
    with pytest.raises(InputError, match="ratio"):
        one.classes(np.zeros((8, 1600, 3), np.uint8))


def test_the_members_of_tnbcs_ensemble_find_each_other_and_vote(tmp_path):
    folders = [tmp_path / f"{name}-none-published-quick-float32-seed0" for name in tnbc.ENSEMBLE]
    for folder in folders:
        folder.mkdir()
        (folder / "predictions.json").write_text("{}")
    assert tnbc.partners(folders[0]) == (folders[0],)  # the other has no weights yet
    for folder in folders:
        (folder / "weights.h5").touch()
    assert tnbc.partners(folders[0]) == tnbc.partners(folders[1]) == tuple(folders)
    other = tmp_path / "vgg16-none-published-quick-float32-seed0"
    assert tnbc.partners(other) == (other,)

    class Constant:
        def __init__(self, value):
            self.value = value

        def predict_on_batch(self, images):
            return np.full((*images.shape[:3], 1), self.value, np.float32)

    config = tnbc.Config(encoder="vgg19")
    members = [tnbc.Member(folders[0], config, Constant(value)) for value in (0.2, 0.9)]
    predictor = tnbc.NucleiPredictor(members)
    image = np.random.default_rng(0).integers(0, 256, (600, 700, 3), np.uint8)
    for way in (Way(), Way(as_paper=True)):
        for band in predictor.predict(image, way, lambda: None).bands:
            np.testing.assert_allclose(band.probabilities, 0.55, atol=1e-5)
            assert band.labels.all()
    band = next(predictor.predict(image, Way(threshold=0.6), lambda: None).bands)
    assert not band.labels.any()


def medseg(monkeypatch, *words):
    """Run the command; gives its exit code."""
    monkeypatch.setattr(sys, "argv", ["medseg"])
    try:
        command.main([*map(str, words)])
    except SystemExit as exit_:
        return exit_.code
    return 0


@pytest.mark.parametrize("paper", PAPERS)
def test_one_command_predicts_and_another_scores(paper, trained, tmp_path, monkeypatch, capsys):
    one = trained(paper)
    folder = tmp_path / "images"
    rng = np.random.default_rng(0)
    for name in "ab":
        write_png(folder / f"{name}.png", rng.integers(0, 256, (70, 90, 3), np.uint8))
    (folder / "bad.png").write_bytes(b"")
    words = ["predict", paper, folder, "--out", tmp_path / "out", "--runs-root", one.runs_root]
    assert medseg(monkeypatch, *words) == 1
    printed = capsys.readouterr()
    assert "SMOKE TRAINING" in printed.out and "bad.png" in printed.err
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["paper"] == paper and record["images"]["predicted"] == 2
    mask = np.array(Image.open(tmp_path / "out/a_mask.png"))
    assert mask.shape == (70, 90)

    truth = tmp_path / "truth"
    for name in "ab":
        labels = np.array(Image.open(tmp_path / f"out/{name}_mask.png"))
        write_png(truth / f"{name}.png", labels)
    assert medseg(monkeypatch, "evaluate", paper, tmp_path / "out", truth) == 0
    assert (tmp_path / "out/scores.csv").read_text().count("\n") == 3
    summary = (tmp_path / "out/scores_summary.csv").read_text()
    values = dict(line.split(",") for line in summary.splitlines()[1:])
    best = {"busi_resnext_unet": "iou_mean", "brecahad_slicing": "test_dice"}.get(paper)
    best = best or {"tnbc_linknet": "dsc", "polyp_unet": "f1"}.get(paper, "dice")
    assert float(values[best]) == (100 if paper == "busi_resnext_unet" else 1)


def test_onnx_gives_what_keras_gives(trained, tmp_path, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    one = trained("polyp_unet")
    assert medseg(monkeypatch, "export", one.run.folder, "--out", tmp_path) == 0
    path = next(tmp_path.glob("*.onnx"))
    about = json.loads(path.with_suffix(".json").read_text())
    assert about["preprocessing"][-1]["step"] == "scale" and "SMOKE" in about["warning"]
    assert "Limits" in path.with_suffix(".md").read_text()
    onnxruntime.set_default_logger_severity(3)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).random((2, 64, 32, 3), np.float32)
    ours = session.run(None, {about["input"]["name"]: images})[0]
    expected = one.predictor.members[0].network.predict_on_batch(images)
    np.testing.assert_allclose(ours, expected, atol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_a_grouped_convolution_becomes_one_node_of_float32(tmp_path, precision):
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    import tensorflow as tf
    from tensorflow import keras

    from common.prediction import export
    from common.prediction.network import Network
    from common.prediction.predictor import Member
    from common.training.encoders import GroupedConv2D

    inputs = keras.Input((None, None, 64))
    layer = GroupedConv2D(64, (3, 3), dtype=precision)
    network = Network(keras.Model(inputs, layer(inputs)))
    export.write_onnx(Member(Path(), None, network), tmp_path / "a.onnx")
    nodes = onnx.load(str(tmp_path / "a.onnx")).graph.node
    groups = [
        attribute.i
        for node in nodes
        for attribute in node.attribute
        if node.op_type == "Conv" and attribute.name == "group"
    ]
    assert groups == [32]
    images = np.random.default_rng(0).random((1, 8, 8, 64), np.float32)
    ours = onnxruntime.InferenceSession(str(tmp_path / "a.onnx")).run(None, {"images": images})[0]
    expected = tf.nn.conv2d(images, layer.get_weights()[0], 1, "VALID")
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_masks_of_polyps_are_scored_with_the_file_of_medsegbench(tmp_path, monkeypatch):
    from reproductions.polyp_unet import phantom

    phantom.write(tmp_path / "data", train=2, val=1, test=2)
    with np.load(tmp_path / "data/polypgen_256.npz") as archive:
        masks = archive["test_label"]
    for number, mask in enumerate(masks):
        write_png(tmp_path / f"masks/test_{number:04d}.png", mask)
    words = ["evaluate", "polyp_unet", tmp_path / "masks", tmp_path / "data"]
    assert medseg(monkeypatch, *words) == 0
    assert (tmp_path / "masks/scores.csv").read_text().count("\n") == 3
    assert "\nf1,1\n" in (tmp_path / "masks/scores_summary.csv").read_text()
