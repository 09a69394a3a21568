"""A printed number stands for every number that rounds or truncates to it."""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.published import rounding
from common.published.schema import Row


@given(
    value=st.decimals(-2000, 2000, allow_nan=False, places=9),
    digits=st.integers(0, 6),
    mode=st.sampled_from([ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_DOWN]),
)
def test_the_number_behind_a_printed_one_is_among_those_it_stands_for(value, digits, mode):
    printed = value.quantize(Decimal(1).scaleb(-digits), mode)
    low, high = rounding.interval(f"{printed:f}")
    assert low <= Fraction(value) <= high


@given(st.integers(0, 10**6), st.integers(0, 6))
def test_nothing_else_is_among_them(number, digits):
    unit = Fraction(1, 10**digits)
    printed = f"{Decimal(number).scaleb(-digits):f}"
    low, high = rounding.interval(printed)
    assert (low, high) == (number * unit - unit / 2, number * unit + unit)


def test_counts_stand_for_themselves_and_percentages_become_fractions(column, table):
    metrics = {"size": column("size"), "dice": column("dice", unit="percent")}
    held = table({"unet": {"size": "437", "dice": "83.4"}}, metrics)
    size, dice = rounding.read_all([held])
    assert size.low == size.high == 437
    assert (dice.low, dice.high) == (Fraction("0.8335"), Fraction("0.835"))
    assert dice.show(Fraction("0.8")) == "80.00"


@pytest.mark.parametrize(("quoted", "count"), [(False, 1), (True, 2)])
def test_quoted_rows_are_read_where_asked_for(quoted, count, table):
    held = table({"own": {"dice": "0.8"}, "other": Row("Other", "Somebody", {"dice": "0.7"})})
    assert len(list(rounding.read_all([held], quoted=quoted))) == count
