"""Small charts for the report as inline SVG, in the colours of the page, light and dark.

They take their colours from the classes of style.css. Coordinates are rounded, so that equal
numbers give equal bytes.
"""

from __future__ import annotations

import math
from typing import Mapping, NamedTuple, Sequence, Tuple

from markupsafe import Markup

DOTS = (132, 18)  # width and height in CSS pixels, like the others
STRIP = (320, 46)
CURVE = (232, 132)
_PAD = 6  # left and right of a row of dots
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 6, 8, 22  # around a curve
_LEVELS = 5  # heights among which the dots of a strip are spread


class Dot(NamedTuple):
    """A value of ours and its interval, NaN where there is none; `kind` is its class."""

    kind: str
    value: float
    low: float = math.nan
    high: float = math.nan
    title: str = ""


def scale(values: Sequence[float], step: float) -> Tuple[float, float]:
    """Give the multiples of `step` that enclose the values, one step apart at least."""
    low = math.floor(round(min(values) / step, 6)) * step
    return low, max(math.ceil(round(max(values) / step, 6)) * step, low + step)


def round_scale(values: Sequence[float]) -> Tuple[float, float]:
    """Enclose values between round ends, a tenth to a fifth of their spread apart from each
    other.
    """
    spread = max(values) - min(values) or abs(values[0]) or 1.0
    unit = 10.0 ** max(math.floor(math.log10(spread)), -300)  # smaller ones would become zero
    step = next(step for step in (0.2, 0.5, 1) if spread / unit <= 10 * step) * unit
    return scale(values, step)


def dots(bar: float, ours: Sequence[Dot], low: float, high: float) -> Markup:
    """Draw a value to compare with (a bar) and ours with their intervals on a scale low..high."""
    width, height = DOTS
    axis = _Axis(low, high, width)
    middle = height / 2
    parts = [_line("rule", _PAD, middle, width - _PAD, middle)]
    for dot in ours:
        if math.isfinite(dot.low):
            parts.append(
                _line(f"whisker {dot.kind}", axis(dot.low), middle, axis(dot.high), middle)
            )
    parts += [_circle(dot.kind, axis(dot.value), middle, dot.title) for dot in ours]
    parts.append(_line("printed", axis(bar), 2, axis(bar), height - 2))
    return _svg("dots", DOTS, parts)


def strip(
    printed: float, band: Tuple[float, float], ours: Sequence[Dot], scale: Tuple[float, float]
) -> Markup:
    """Draw many values (dots at several heights) over a band, beside a published one (a bar)."""
    width, height = STRIP
    axis = _Axis(*scale, width)
    bottom = height - 14
    parts = [_line("rule", _PAD, bottom, width - _PAD, bottom)]
    if all(map(math.isfinite, band)):
        start, end = (axis(value) for value in band)
        box = Markup('<rect class="band" x="{}" y="2" width="{}" height="{}"/>')
        parts.append(box.format(_number(start), _number(max(end - start, 1)), _number(bottom - 4)))
    for number, dot in enumerate(ours):
        level = 6 + (number % _LEVELS) * (bottom - 12) / (_LEVELS - 1)
        parts.append(_circle(dot.kind, axis(dot.value), level, dot.title))
    parts.append(_line("printed", axis(printed), 2, axis(printed), bottom))
    parts += [_text("start", _PAD, height - 2, f"{scale[0]:g}")]
    parts += [_text("end", width - _PAD, height - 2, f"{scale[1]:g}")]
    return _svg("strip", STRIP, parts)


def curve(lines: Mapping[str, Sequence[float]], bottom: float, top: float, label: str) -> Markup:
    """Draw values per epoch, a line per name, its class, on a scale bottom..top; values that are
    NaN are left out.

    `label` says in words what is seen.
    """
    width, height = CURVE
    epochs = max(len(values) for values in lines.values())

    def x(epoch: int) -> float:
        fraction = (epoch - 1) / (epochs - 1) if epochs > 1 else 0.5
        return _LEFT + fraction * (width - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return height - _BOTTOM - (value - bottom) / (top - bottom) * (height - _TOP - _BOTTOM)

    parts = []
    for value in (bottom, (bottom + top) / 2, top):
        parts.append(_line("rule", _LEFT, y(value), width - _RIGHT, y(value)))
        parts.append(_text("end", _LEFT - 5, y(value) + 4, f"{value:.3g}"))
    parts.append(_text("middle", x(1), height - 6, "1"))
    if epochs > 1:
        parts.append(_text("end", x(epochs), height - 6, str(epochs)))
        parts.append(_text("middle", (x(1) + x(epochs)) / 2, height - 6, "epoch"))
    for name, values in lines.items():
        points = [(x(n), y(value)) for n, value in enumerate(values, 1) if math.isfinite(value)]
        if len(points) == 1:
            parts.append(_circle(name, *points[0]))
        elif points:
            path = " ".join(f"{_number(px)},{_number(py)}" for px, py in points)
            parts.append(Markup('<polyline class="{}" points="{}"/>').format(name, path))
    return _svg("curve", CURVE, parts, label)


class _Axis:
    """Place of a value on a horizontal scale; what lies outside ends at the edge."""

    def __init__(self, low: float, high: float, width: float):
        self.low, self.high, self.width = low, high, width

    def __call__(self, value: float) -> float:
        place = _PAD + (value - self.low) / (self.high - self.low) * (self.width - 2 * _PAD)
        return min(max(place, 0), self.width)


def _svg(kind: str, size: Tuple[int, int], parts: Sequence[Markup], label: str = "") -> Markup:
    named = Markup('role="img" aria-label="{}"').format(label)
    if not label:
        named = Markup('aria-hidden="true"')
    opening = Markup('<svg class="{0}" width="{1}" height="{2}" viewBox="0 0 {1} {2}" {3}>')
    return opening.format(kind, *size, named) + Markup("").join(parts) + Markup("</svg>")


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    places = [_number(value) for value in (x1, y1, x2, y2)]
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, *places)


def _circle(kind: str, x: float, y: float, title: str = "") -> Markup:
    told = Markup("<title>{}</title>").format(title) if title else ""
    circle = Markup('<circle class="{}" cx="{}" cy="{}" r="3.5">{}</circle>')
    return circle.format(kind, _number(x), _number(y), told)


def _text(anchor: str, x: float, y: float, text: str) -> Markup:
    place = _number(x), _number(y)
    return Markup('<text text-anchor="{}" x="{}" y="{}">{}</text>').format(anchor, *place, text)


def _number(value: float) -> str:
    return f"{value:.1f}".replace(".0", "")
