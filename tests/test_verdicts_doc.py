"""docs/verdicts.md: its rates are those that the simulation gives, its picture can be redrawn."""

import doctest

from common.files import PROJECT
from common.published.schema import RESOLUTIONS
from tools import verdict_rates

PAGE = (PROJECT / "docs/verdicts.md").read_text(encoding="utf-8")


def test_the_rates_are_those_measured():
    lines = PAGE.splitlines()
    for row in verdict_rates.rows():
        assert row in lines


def test_the_resolutions_are_those_in_use():
    assert set(map(float, RESOLUTIONS.values())) == {0.05, 0.01}
    assert "0.05 for Dice, F1, IoU, AJI, precision and\nrecall, 0.01 for pixel accuracy" in PAGE


def test_the_image_can_be_redrawn(tmp_path):
    verdict_rates.draw(tmp_path / "first.png")
    verdict_rates.draw(tmp_path / "second.png")
    first = (tmp_path / "first.png").read_bytes()
    assert first.startswith(b"\x89PNG") and first == (tmp_path / "second.png").read_bytes()
    assert doctest.testmod(verdict_rates).failed == 0
