"""How numbers are written in the report: points below each other, thousands apart, a true minus
sign.
"""

from __future__ import annotations

FIGURE_SPACE, POINT_SPACE, THOUSANDS = (
    "\u2007",
    "\u2008",
    "\u202f",
)  # as wide as a digit, as a point; narrow


def places(text: str) -> int:
    """Count the decimals of a number as printed."""
    return len(text.partition(".")[2])


def aligned(text: str, decimals: int) -> str:
    """Pad a number so that, set flush right in figures of one width, its point stands below those
    of others.

    `decimals` is the most that any of them has.
    """
    own = places(text)
    return text + FIGURE_SPACE * (decimals - own) + (POINT_SPACE if decimals and not own else "")


def grouped(text: str) -> str:
    """Set the thousands of a number of five digits or more apart."""
    whole, point, rest = text.partition(".")
    return (
        f"{int(whole):,}".replace(",", THOUSANDS) + point + rest
        if len(whole.lstrip("-")) > 4
        else text
    )


def minus(text: str) -> str:
    """Write the minus sign of a number, which is as wide as a plus, for the hyphen."""
    return text.replace("-", "−")


def signed(value: float, decimals: int) -> str:
    """Write a difference with its sign, and nothing as plain zero."""
    text = f"{value:.{decimals}f}"
    return minus(text) if float(text) < 0 else f"+{text}" if float(text) > 0 else text.lstrip("-")


def letter(number: int) -> str:
    """Name a note: a, b, …, z, aa, ab, … from 0 on."""
    return chr(ord("a") + number) if number < 26 else letter(number // 26 - 1) + letter(number % 26)
