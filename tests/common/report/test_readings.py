import dataclasses
import re

import pandas
import pytest

from common.report import collect, readings


@pytest.fixture
def alpha(project, write_readings, write_leakage):
    write_readings(project / "results/alpha/readings.csv")
    write_leakage(project / "results/alpha/leakage.csv")
    return collect.gather(project / "results", project)[0]


def test_the_sentence_names_the_choice_that_moves_most_and_what_is_reached(alpha):
    (told,) = readings.sentences(alpha)
    assert told.startswith("Profile quick, protocol published: of 3 readings")
    assert "1 of 2 numbers are reached by some reading" in told
    assert "loss=bce (Dice by 0.19)" in told


def test_each_published_number_has_a_strip_of_its_readings(alpha):
    (strips,) = readings.strips(alpha).values()
    assert [strip.label for strip in strips] == ["U-Net, Dice", "U-Net, IoU"]
    told = "published 0.80, ours 0.60 to 0.79; 1 of 3 readings reaches it"
    assert strips[0].told == told
    assert strips[1].told.endswith("none of 3 readings reaches it")
    chart = strips[0].chart
    assert chart.count("<circle") == 3
    assert 'class="printed"' in chart
    assert "loss=bce: 0.79" in chart
    assert 'class="band"' in chart  # where one further run of the judged reading may land
    kinds = re.findall(r'<circle class="(\w+)"', chart)
    assert kinds[-1] == "default"  # drawn last, so on top


def test_the_price_of_leakage_is_shown_for_the_papers_scores(alpha):
    (price,) = readings.leakage(alpha)
    assert (price.label, price.metric, price.value) == ("U-Net", "Dice", "+0.030")
    assert (price.interval, price.n, price.paired) == ("0.010–0.050", "5", True)


def test_without_it_the_protocols_are_compared_unpaired_if_both_have_several_seeds(alpha):
    without = dataclasses.replace(alpha, leakage=alpha.leakage[:0])
    dice, iou = readings.leakage(without)
    assert (dice.value, dice.n, dice.paired) == ("+0.100", "3 and 3", False)
    # Welch: t(0.975, 4) times 0.01 times √(2/3), for sd 0.01 and three seeds each.
    assert dice.interval == "0.077–0.123"
    (judged,) = without.overview.judged
    one = judged.results["seeds"].str.len() == 1
    few = dataclasses.replace(judged, results=judged.results[one])
    overview = dataclasses.replace(without.overview, judged=(few,))
    assert readings.leakage(dataclasses.replace(without, overview=overview)) == []


def test_no_readings_are_no_problem(project):
    beta = collect.gather(project / "results", project)[1]
    assert isinstance(beta.readings, pandas.DataFrame)
    assert (readings.sentences(beta), readings.strips(beta), readings.leakage(beta)) == ([], {}, [])
