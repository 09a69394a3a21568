"""Numbers as the page writes them, in the language chosen.

A score is rounded down, so that what is shown never claims more than what was found: with a
threshold of 0.70 a score of 0.697 reads 0.69.
"""

from __future__ import annotations

import math


def number(value: float, decimals: int, language: str) -> str:
    """Write a number, rounded, with the marks of the language.

    >>> number(1234567.5, 1, "tr"), number(1234567.5, 1, "en")
    ('1.234.567,5', '1,234,567.5')
    """
    written = f"{value:,.{decimals}f}"
    return written.translate(str.maketrans(",.", ".,")) if language == "tr" else written


def rounded_down(score: float) -> float:
    """Give the largest hundredth that a score reaches, as the threshold compares them.

    >>> rounded_down(0.697), rounded_down(0.7), rounded_down(0.29)
    (0.69, 0.7, 0.29)
    """
    hundredths = math.floor(score * 100)
    while (hundredths + 1) / 100 <= score:
        hundredths += 1
    while hundredths / 100 > score:
        hundredths -= 1
    return hundredths / 100


def rounded_up(value: float) -> float:
    """Give the smallest hundredth that is no less than a value.

    >>> rounded_up(0.171), rounded_up(0.17)
    (0.18, 0.17)
    """
    return -rounded_down(-value)


def score(value: float, language: str) -> str:
    """Write a score with two decimals, rounded down.

    >>> score(0.697, "en")
    '0.69'
    """
    return number(rounded_down(value), 2, language)


def percent(fraction: float, language: str) -> str:
    """Write a fraction as a percentage without decimals, rounded down.

    >>> percent(0.6585, "en"), percent(0.6585, "tr")
    ('65 %', '%65')
    """
    whole = f"{math.floor(rounded_down(fraction) * 100 + 1e-9)}"
    return f"%{whole}" if language == "tr" else f"{whole} %"
