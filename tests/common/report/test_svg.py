import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.report import svg
from common.report.svg import Dot

VALUES = st.floats(-1e3, 1e3)
NAN = math.nan


def elements(drawing, kind):
    return [part.attrib for part in ElementTree.fromstring(str(drawing)).iter(kind)]


@given(st.lists(VALUES, min_size=1), st.sampled_from([0.05, 0.1, 10.0]))
def test_a_scale_encloses_its_values_between_multiples_of_its_step(values, step):
    low, high = svg.scale(values, step)
    assert low - 1e-6 * step <= min(values)
    assert max(values) <= high + 1e-6 * step
    assert high - low >= step * (1 - 1e-9)
    assert low / step == pytest.approx(round(low / step), abs=1e-6)


def test_a_value_on_the_end_of_a_scale_does_not_lengthen_it():
    assert svg.scale([0.3, 0.7], 0.1) == (pytest.approx(0.3), pytest.approx(0.7))


NUMBERS = st.floats(-1e6, 1e6).map(lambda number: round(number, 9))  # scores have six decimals


@given(st.lists(NUMBERS, min_size=1))
@example([5e-324])
def test_a_round_scale_encloses_its_values_and_fits_them(values):
    low, high = svg.round_scale(values)
    spread = max(values) - min(values)
    step = (spread or abs(values[0]) or 1.0) / 5
    assert low <= min(values) + 1e-5 * step
    assert max(values) <= high + 1e-5 * step
    assert high > low
    assert high - low <= spread + 2.1 * step + 1e-9


def test_dots_lie_where_their_values_are():
    width, height = svg.DOTS
    ours = [Dot("published", 0), Dot("corrected", -1, -9, -0.5, title="a <title>")]
    drawing = svg.dots(1, ours, -1, 1)
    places = {circle["class"]: float(circle["cx"]) for circle in elements(drawing, "circle")}
    assert places == {"published": width / 2, "corrected": 6}
    lines = {
        line["class"]: (float(line["x1"]), float(line["x2"])) for line in elements(drawing, "line")
    }
    assert lines["printed"] == (width - 6, width - 6)
    assert lines["whisker corrected"] == (0, 6 + (width - 12) / 4)  # cut off at the edge
    assert "whisker published" not in lines
    titles = [part.text for part in ElementTree.fromstring(str(drawing)).iter("title")]
    assert titles == ["a <title>"]


def test_a_strip_has_a_dot_for_each_value_over_the_band():
    width, _ = svg.STRIP
    ours = [Dot("evaluation", value / 10) for value in range(11)]
    drawing = svg.strip(0.5, (0.25, 0.75), ours, (0, 1))
    circles = elements(drawing, "circle")
    assert len(circles) == 11
    assert [float(circles[place]["cx"]) for place in (0, 5, 10)] == [6, width / 2, width - 6]
    assert len({circle["cy"] for circle in circles}) > 1  # close ones do not hide each other
    (band,) = elements(drawing, "rect")
    assert float(band["width"]) == pytest.approx((width - 12) / 2)
    assert not elements(svg.strip(0.5, (NAN, NAN), ours, (0, 1)), "rect")


def test_a_curve_runs_from_the_first_to_the_last_epoch_and_leaves_gaps_out():
    drawing = svg.curve(
        {"training": [1, 0.5, 0], "validation": [NAN, 0.5, NAN]}, 0, 1, "loss <fell>"
    )
    points = [
        tuple(map(float, pair.split(",")))
        for pair in elements(drawing, "polyline")[0]["points"].split()
    ]
    (x1, top), (x2, middle), (x3, bottom) = points
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.11)
    assert middle - top == pytest.approx(bottom - middle, abs=0.11)
    assert [circle["class"] for circle in elements(drawing, "circle")] == ["validation"]
    root = ElementTree.fromstring(str(drawing))
    assert root.attrib["aria-label"] == "loss <fell>"
    assert [text.text for text in root.iter("text")] == ["0", "0.5", "1", "1", "3", "epoch"]


def test_one_epoch_is_a_point():
    drawing = svg.curve({"training": [0.7]}, 0, 1, "loss")
    assert len(elements(drawing, "circle")) == 1
    assert not elements(drawing, "polyline")


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_no_coordinate_has_more_than_one_decimal(values):
    assert not re.search(
        r"\d\.\d\d", re.sub(r"<text.*?</text>", "", str(svg.curve({"training": values}, 0, 1, "")))
    )
