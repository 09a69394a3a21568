"""How far test images move a score, against slow and closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from common.errors import InputError
from common.metrics import dice
from common.published import spread
from common.published.spread import Run

KINDS = ("dice", "f1", "iou", "accuracy", "precision", "recall")
MATRICES = hnp.arrays(np.int64, (6, 2, 2), elements=st.integers(0, 20)).filter(
    lambda matrices: (matrices[:, 1, 1] > 0).all()
)


def run_of(matrices, **columns):
    counts = dict(zip(spread.COUNTS, matrices.reshape(-1, 4).T.astype(str)))
    ids = np.array([f"image{number}" for number in range(len(matrices))])
    return Run({"profile": "quick"}, {"id": ids, **counts, **columns})


@given(matrices=MATRICES, kind=st.sampled_from(KINDS), pooled=st.booleans())
def test_pseudo_values_are_those_of_leaving_images_out(matrices, kind, pooled, column, table):
    assumed = "pooled over pixels" if pooled else "mean over images"
    held = table({"unet": {kind: "0.8"}}, {kind: column(kind, assumed=assumed)})
    values = spread.pseudo_values(run_of(matrices), held, kind)
    reduction = "pooled" if pooled else "per_image"
    score = getattr(dice, kind)
    whole = score(matrices, reduction=reduction)
    slow = [
        6 * whole - 5 * score(np.delete(matrices, image, axis=0), reduction=reduction)
        for image in range(6)
    ]
    assert values == pytest.approx(np.array(slow), abs=1e-9)


def test_pseudo_values_of_a_mean_are_the_scores(column, table):
    held = table({"unet": {"iou": "0.8"}})
    scores = np.array([0.5, 0.25, 0.75, 1.0])
    run = Run({}, {"id": np.array(list("abcd")), "iou": scores.astype(str)})
    assert spread.pseudo_values(run, held, "iou") == pytest.approx(scores)


def test_images_without_the_class_are_left_out_by_name(column, table):
    metrics = {"a": column("iou"), "b": column("iou"), "iou": column("iou", mean_of=("a", "b"))}
    held = table({"unet": {"a": "0.8", "b": "0.8", "iou": "0.8"}}, metrics)
    a, b = np.array([0.5, 0.25, 0.75, 1.0]), np.array([0.2, np.nan, 0.4, 0.6])
    texts = {"a": a.astype(str), "b": np.array(["0.2", "", "0.4", "0.6"])}
    run = Run({}, {"id": np.array(list("abcd")), **texts})

    def score(chosen):
        return (np.nanmean(a[chosen]) + np.nanmean(b[chosen])) / 2

    everything = np.arange(4)
    slow = [4 * score(everything) - 3 * score(np.delete(everything, image)) for image in range(4)]
    assert spread.pseudo_values(run, held, "iou") == pytest.approx(np.array(slow))


def test_only_the_part_that_a_score_is_of_counts(column, table):
    metrics = {"train": column("dice", split="train"), "test": column("dice")}
    held = table({"unet": {"train": "0.8", "test": "0.8"}}, metrics)
    rng = np.random.default_rng(0)
    matrices = rng.integers(1, 20, (7, 2, 2))
    parts = np.array(["train"] * 3 + ["test"] * 4)
    run = run_of(matrices, part=parts)
    each = dice.dice(matrices, reduction=None)
    assert spread.pseudo_values(run, held, "train") == pytest.approx(each[:3])
    assert spread.pseudo_values(run, held, "test") == pytest.approx(each[3:])


def test_what_the_columns_do_not_tell_is_not_estimated(column, table):
    held = table({"unet": {"aji": "0.7", "dice": "0.8"}})
    run = Run({}, {"id": np.array(list("abcd")), "dice": np.array(["0.5"] * 4)})
    assert spread.pseudo_values(run, held, "aji") is None
    pooled = table({"unet": {"dice": "0.8"}}, {"dice": column("dice", "pooled over pixels")})
    assert spread.pseudo_values(run, pooled, "dice") is None


def test_a_damaged_file_is_named(tmp_path):
    folder = tmp_path / "provenance/one"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"protocol": "published", "profile": "quick"}')
    (folder / "metrics.csv").write_text("score\n0.5\n")
    with pytest.raises(InputError, match=r"metrics\.csv: expected a CSV of scores per image"):
        spread.Runs(tmp_path).of({})
    (folder / "metrics.csv").write_text("id,tp\na,1\nb,many\n")
    with pytest.raises(InputError, match=r"metrics\.csv: damaged in tp .*'many'"):
        spread.Runs(tmp_path).of({})[0].numbers("tp")
    for content in ("{", "[]", "[" * 100_000):
        (folder / "config.json").write_text(content)
        with pytest.raises(InputError, match=r"config\.json: expected a JSON object"):
            spread.Runs(tmp_path)
