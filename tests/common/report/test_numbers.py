import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.report import numbers
from common.report.numbers import FIGURE_SPACE, POINT_SPACE, THOUSANDS

PRINTED = st.builds(
    lambda value, places: f"{value:.{places}f}", st.floats(-1e9, 1e9), st.integers(0, 6)
)


@given(st.lists(PRINTED, min_size=1, max_size=8))
def test_points_stand_below_each_other(column):
    most = max(map(numbers.places, column))
    shown = [numbers.aligned(text, most) for text in column]
    assert {
        len(text) - len(text.partition(".")[0].rstrip(FIGURE_SPACE + POINT_SPACE)) for text in shown
    } == {most + bool(most)}
    assert [text.rstrip(FIGURE_SPACE + POINT_SPACE) for text in shown] == column


@given(PRINTED)
def test_grouping_changes_no_digit(text):
    assert numbers.grouped(text).replace(THOUSANDS, "") == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("9999", "9999"),
        ("10000", "10 000"),
        ("-12345.6789", "-12 345.6789"),
        ("0.123456", "0.123456"),
    ],
)
def test_thousands_are_set_apart_from_five_digits_on(text, shown):
    assert numbers.grouped(text) == shown.replace(" ", THOUSANDS)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0449, "+0.04"), (-0.0449, "−0.04"), (-0.004, "0.00"), (0.004, "0.00"), (0, "0.00")],
)
def test_a_difference_has_a_sign_unless_nothing_of_it_is_seen(value, shown):
    assert numbers.signed(value, 2) == shown


def test_notes_go_on_after_z():
    names = [numbers.letter(number) for number in range(26 * 27 + 1)]
    assert names[:2] + names[25:28] + names[-2:] == ["a", "b", "z", "aa", "ab", "zz", "aaa"]
    assert len(set(names)) == len(names)
