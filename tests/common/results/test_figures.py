import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from common.results import figures


def test_agreement_colours_every_case_once():
    true = np.array([[True, True], [False, False]])
    pred = np.array([[True, False], [True, False]])
    image = figures.agreement(true, pred)
    assert image[0, 0].tolist() == [255, 255, 255]
    assert image[0, 1].tolist() == list(figures.AGREEMENT["false negative"])
    assert image[1, 0].tolist() == list(figures.AGREEMENT["false positive"])
    assert image[1, 1].tolist() == [0, 0, 0]


@pytest.mark.parametrize("count", [1, 3])
def test_panels_show_every_image(tmp_path, count):
    colour = np.zeros((8, 8, 3), np.uint8)
    colour[...] = (10, 200, 30)
    rows = [[colour, np.ones((8, 8), bool)]] * count
    figures.panels(
        tmp_path / "a.png", rows, ["input", "ground truth"], [["one", ""]] * count, "title"
    )
    pixels = np.array(Image.open(tmp_path / "a.png").convert("RGB")).reshape(-1, 3)
    coloured = (pixels == (10, 200, 30)).all(axis=1).sum()
    one = (1.7 * figures.DPI) ** 2  # an image of 1.7 by 1.7 inches
    assert coloured == pytest.approx(count * one, rel=0.2)


def test_overlay_tints_every_class_but_background():
    image = np.full((1, 3, 3), 100, np.uint8)
    tinted = figures.overlay(
        image, np.array([[0, 1, 2]]), {"one": (200, 0, 0), "two": (0, 100, 255)}, opacity=0.25
    )
    assert tinted.dtype == np.uint8
    assert tinted.tolist() == [[[100, 100, 100], [125, 75, 75], [75, 100, 139]]]
    assert (image == 100).all()


def ink(path, colour):
    """How many pixels of a drawing have one of matplotlib's colours."""
    rgb = (np.array(to_rgb(colour)) * 255).round()
    return (np.array(Image.open(path).convert("RGB")) == rgb).all(axis=-1).sum()


def test_curves_draw_every_line_of_every_chart(tmp_path):
    lines = [figures.Line("a", [0.1, 0.9], 0), figures.Line("b", [0.2, 0.5], 1, dashed=True)]
    figures.curves(tmp_path / "two.png", {"IoU": lines, "loss": lines}, "title")
    figures.curves(tmp_path / "one.png", {"IoU": lines[:1]}, "title")
    assert ink(tmp_path / "two.png", "C0") > 1.5 * ink(tmp_path / "one.png", "C0") > 300
    assert ink(tmp_path / "two.png", "C1") > 100 > ink(tmp_path / "one.png", "C1") == 0


def test_bars_are_as_high_as_their_values(tmp_path):
    figures.bars(
        tmp_path / "a.png",
        {"a": [90.0, 80.0], "b": [45.0, 40.0]},
        ["one", "two"],
        "percent",
        "title",
    )
    assert ink(tmp_path / "a.png", "C0") == pytest.approx(
        2 * ink(tmp_path / "a.png", "C1"), rel=0.05
    )


def test_a_long_title_is_broken_to_fit(tmp_path):
    row = [np.ones((8, 8), bool)] * 2
    heights = []
    for title in ("short", "a title of many words " * 6):
        figures.panels(tmp_path / "a.png", [row], ["one", "two"], [["", ""]], title)
        dark = np.array(Image.open(tmp_path / "a.png").convert("L")) < 100
        heights.append(np.flatnonzero(dark[:80].any(axis=1)).size)
        assert not dark[:, :3].any() and not dark[:, -3:].any()
    assert heights[1] > heights[0]


def test_steps_draw_the_curve_and_its_marks(tmp_path):
    for name, marks in (("none", {}), ("two", {"0.9": (0.0, 0.5), "0.1": (2.0, 1.0)})):
        figures.steps(
            tmp_path / f"{name}.png", [0, 1, 2], [0.2, 0.5, 1.0], marks, ("x", "y"), "title"
        )
    assert ink(tmp_path / "none.png", "C0") > 300
    assert ink(tmp_path / "two.png", "C1") > 20 > ink(tmp_path / "none.png", "C1") == 0


def test_a_short_row_of_panels_leaves_no_frame(tmp_path):
    image = np.ones((8, 8), bool)
    inks = []
    for last in ([image], [image, ~image]):
        figures.panels(
            tmp_path / "a.png", [[image, image], last], ["", ""], [["", ""], [""] * 2], "t"
        )
        inks.append((np.array(Image.open(tmp_path / "a.png").convert("L")) < 100).sum())
    assert inks[0] < inks[1] / 4


def test_a_figure_of_many_details_is_drawn_smaller(tmp_path):
    noise = np.random.default_rng(0).integers(256, size=(6, 5, 256, 256, 3), dtype=np.uint8)
    figures.panels(tmp_path / "a.png", list(noise), [""] * 5, [[""] * 5] * 6, "title")
    size = (tmp_path / "a.png").stat().st_size
    assert 0.5 * figures.MOST_BYTES < size <= figures.MOST_BYTES
