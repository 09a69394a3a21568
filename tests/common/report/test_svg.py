import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
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


def test_dots_lie_where_their_values_are():
    width, height = svg.DOTS
    ours = {"published": Dot(0, NAN, NAN), "corrected": Dot(-1, -9, -0.5)}
    drawing = svg.dots(1, ours, -1, 1)
    places = {circle["class"]: float(circle["cx"]) for circle in elements(drawing, "circle")}
    assert places == {"published": width / 2, "corrected": 5}
    lines = {
        line["class"]: (float(line["x1"]), float(line["x2"])) for line in elements(drawing, "line")
    }
    assert lines["printed"] == (width - 5, width - 5)
    assert lines["gap"] == (5, width / 2)
    assert lines["whisker corrected"] == (0, 5 + (width - 10) / 4)  # cut off at the edge
    assert "whisker published" not in lines


def test_shares_fill_the_width_in_proportion():
    boxes = elements(svg.shares({"match": 1, "not run": 3}), "rect")
    assert [(box["class"], float(box["x"])) for box in boxes] == [("match", 0), ("not-run", 40)]
    assert float(boxes[1]["width"]) == pytest.approx(3 * (float(boxes[0]["width"]) + 1) - 1)


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
