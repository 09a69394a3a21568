import numpy as np
import pytest
from PIL import Image

from common import figures


def test_agreement_colours_every_case_once():
    true = np.array([[True, True], [False, False]])
    pred = np.array([[True, False], [True, False]])
    picture = figures.agreement(true, pred)
    assert picture[0, 0].tolist() == [255, 255, 255]
    assert picture[0, 1].tolist() == list(figures.AGREEMENT["missed"])
    assert picture[1, 0].tolist() == list(figures.AGREEMENT["invented"])
    assert picture[1, 1].tolist() == [0, 0, 0]


@pytest.mark.parametrize("count", [1, 3])
def test_panels_show_every_picture(tmp_path, count):
    colour = np.zeros((8, 8, 3), np.uint8)
    colour[...] = (10, 200, 30)
    rows = [[colour, np.ones((8, 8), bool)]] * count
    figures.panels(tmp_path / "a.png", rows, ["input", "truth"], [["one", ""]] * count, "title")
    pixels = np.array(Image.open(tmp_path / "a.png").convert("RGB")).reshape(-1, 3)
    share = (pixels == (10, 200, 30)).all(axis=1).sum()
    assert share == pytest.approx(count * (1.7 * 150) ** 2, rel=0.2)  # each about 1.7 inches at 150 pixels an inch
