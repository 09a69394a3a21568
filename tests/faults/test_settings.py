"""Settings that cannot be, and files of encoder weights that are none."""

import pathlib

import h5py
import numpy as np
import pytest

from common import cli
from common.training import encoders, settings, weights_files
from reproductions.brain_tumour_mask_rcnn import config as brain
from reproductions.brain_tumour_mask_rcnn import eval as brain_eval
from reproductions.brecahad_slicing import config as brecahad
from reproductions.busi_resnext_unet import config as busi
from reproductions.polyp_unet import config as polyp
from reproductions.tnbc_linknet import config as tnbc

CONFIGS = {"tnbc": tnbc, "busi": busi, "brecahad": brecahad, "polyp": polyp, "brain": brain}


def parse(paper):
    """Parse the command line of a paper's train.py, and check what it says."""
    options = cli.parse_training(CONFIGS[paper].PROFILES, paper)
    settings.check(options.config)
    return options


@pytest.mark.parametrize("paper", CONFIGS)
@pytest.mark.parametrize(
    "arguments",
    [
        ["--epochs", "0"],
        ["--epochs", "-3"],
        ["--learning-rate", "0"],
        ["--learning-rate", "nan"],
        ["--learning-rate", "inf"],
        ["--learning-rate", "1e+39"],
        ["--seed", "-1"],
        ["--seed", "4294967296"],
    ],
    ids=" ".join,
)
def test_a_number_that_cannot_be_is_refused_before_anything_is_read(
    fails, monkeypatch, paper, arguments
):
    monkeypatch.setattr("sys.argv", ["train", *arguments])
    expected = "a finite number" if arguments[1] in ("nan", "inf", "1e+39") else "a number"
    fails(lambda: parse(paper), f"{arguments[0]} {arguments[1]}", f"expected {expected}")


@pytest.mark.parametrize(
    ("paper", "arguments", "words"),
    [
        ("tnbc", ["--batch-size", "0"], "above 0"),
        ("tnbc", ["--test-fraction", "1.5"], "above 0 and below 1"),
        ("tnbc", ["--smallest-crop", "2"], "above 0 and up to 1"),
        ("tnbc", ["--input-size", "50"], "above 0 and divisible by 32"),
        ("tnbc", ["--clahe-tile-grid", "8", "0"], "above 0"),
        ("busi", ["--epoch-share", "0"], "above 0 and up to 1"),
        ("brecahad", ["--side", "1000"], "divisible by 32"),
        ("brecahad", ["--epoch-steps", "0"], "above 0"),
        ("polyp", ["--dropout", "1"], "from 0 and below 1"),
        (
            "polyp",
            ["--validation-fraction", "0.6", "--test-fraction", "0.4"],
            "less than 1 together",
        ),
        ("busi", ["--validation-fraction", "0.9"], "less than 1 together"),
        ("polyp", ["--jitter", "0.2", "0.2", "-0.2", "0"], "from 0 and up to 1"),
        ("polyp", ["--affine-scale", "0.0", "1"], "above 0"),
        ("brain", ["--min-score", "-0.1"], "from 0 and up to 1"),
    ],
)
def test_a_share_or_a_side_that_cannot_be_is_refused(fails, monkeypatch, paper, arguments, words):
    monkeypatch.setattr("sys.argv", ["train", *arguments])
    fails(lambda: parse(paper), " ".join(arguments), words)


@pytest.mark.parametrize("paper", CONFIGS)
def test_what_may_be_is_taken(monkeypatch, paper):
    monkeypatch.setattr(
        "sys.argv", ["train", "--epochs", "1", "--learning-rate", "1e-9", "--seed", "0"]
    )
    assert parse(paper).config.epochs == 1
    for profile in CONFIGS[paper].PROFILES.values():
        settings.check(profile)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--epochs", "many"],
        ["--epoch", "3"],
        ["--protocol", "fair"],
        ["--profile", "fast"],
        ["stray"],
    ],
    ids=" ".join,
)
def test_words_that_make_no_sense_are_shown_with_the_help(monkeypatch, capsys, arguments):
    monkeypatch.setattr("sys.argv", ["train", *arguments])
    with pytest.raises(SystemExit) as caught:
        parse("tnbc")
    shown = capsys.readouterr()
    assert (
        caught.value.code == 2
        and arguments[-1] in shown.out + shown.err
        and "Traceback" not in shown.err
    )


@pytest.mark.parametrize("seeds", [["-1"], ["0", "-2"], ["0", "1", "1"]])
def test_a_seed_below_zero_or_given_twice_is_refused(fails, monkeypatch, seeds):
    monkeypatch.setattr("sys.argv", ["eval", "table", "--seeds", *seeds])
    fails(
        lambda: cli.run_targets({"table": print, "other": print}, "eval"),
        "--seeds",
        "whole numbers from 0",
    )


def without_names(path):
    with h5py.File(path, "w") as file:
        file["kernel"] = np.zeros(3)


def truncated(path):
    without_names(path)
    path.write_bytes(path.read_bytes()[:700])


@pytest.mark.parametrize(
    "make",
    [
        lambda path: None,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("<html>log in first</html>"),
        pathlib.Path.mkdir,
        lambda path: path.symlink_to(path.name),
        truncated,
        without_names,
    ],
    ids=[
        "missing",
        "empty",
        "text",
        "folder",
        "symlink loop",
        "truncated",
        "something else in HDF5",
    ],
)
def test_a_file_of_encoder_weights_that_is_none_is_named_with_the_remedy(tmp_path, fails, make):
    path = tmp_path / "ağırlık 1.h5"
    make(path)
    fails(
        lambda: encoders.load_encoder_weights(None, "vgg16", path),
        path,
        "give ENCODER_WEIGHTS=none",
    )
    assert (
        brain_eval.weights_layout(str(path)) == "keras"
    )  # so that loading it there fails in this way as well
    if not path.is_file():
        fails(lambda: weights_files.describe(str(path)), path, "no such encoder weights")
