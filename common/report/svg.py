"""Small drawings for the report as inline SVG: crisp at any size, in the colours of the page,
without a script.

They take their colours from the classes of style.css. Coordinates are rounded, so that equal
numbers give equal bytes.
"""

from __future__ import annotations

import math
from typing import Mapping, NamedTuple, Sequence, Tuple

from markupsafe import Markup

DOTS = (150, 18)  # width and height in CSS pixels, like the others
CURVE = (232, 132)
_PAD = 5  # left and right of a row of dots
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 6, 8, 20  # round a curve


class Dot(NamedTuple):
    """A regenerated value and its interval, NaN where there is none."""

    value: float
    low: float
    high: float


def scale(values: Sequence[float], step: float) -> Tuple[float, float]:
    """Give the multiples of `step` that enclose the values, one step apart at least."""
    low = math.floor(round(min(values) / step, 6)) * step
    return low, max(math.ceil(round(max(values) / step, 6)) * step, low + step)


def dots(printed: float, ours: Mapping[str, Dot], low: float, high: float) -> Markup:
    """Draw a published value (bar) and the regenerated ones (a dot per name, its class) on a scale
    low..high.
    """
    width, height = DOTS
    middle = height / 2

    def x(value: float) -> float:
        return _PAD + (value - low) / (high - low) * (width - 2 * _PAD)

    parts = [_line("rule", _PAD, middle, width - _PAD, middle)]
    if len(ours) > 1:
        ends = [x(dot.value) for dot in ours.values()]
        parts.append(_line("gap", min(ends), middle, max(ends), middle))
    for name, dot in ours.items():
        if math.isfinite(dot.low):
            # An interval may run over the end of the scale, which would stretch all others if it
            # were to fit.
            ends = [min(max(x(end), 0), width) for end in (dot.low, dot.high)]
            parts.append(_line(f"whisker {name}", ends[0], middle, ends[1], middle))
    parts += [_circle(name, x(dot.value), middle) for name, dot in ours.items()]
    parts.append(_line("printed", x(printed), 2, x(printed), height - 2))
    return _svg("dots", width, height, parts)


def ends(low: str, high: str) -> Markup:
    """Draw the scale of `dots`, its ends labelled."""
    width, height = DOTS[0], 14
    parts = [_text("start", 0, 10, low), _text("end", width, 10, high)]
    return _svg("ends", width, height, parts)


def shares(counts: Mapping[str, int]) -> Markup:
    """Draw how a total divides: a segment per name, its class (with hyphens for spaces), in the
    given order.
    """
    width, height, total = 160, 8, sum(counts.values())
    parts, x = [], 0.0
    for name, count in counts.items():
        part = width * count / total
        box = Markup('<rect class="{}" x="{}" y="0" width="{}" height="{}"/>')
        parts.append(
            box.format(name.replace(" ", "-"), _number(x), _number(max(part - 1, 1)), height)
        )
        x += part
    return _svg("shares", width, height, parts)


def curve(lines: Mapping[str, Sequence[float]], bottom: float, top: float, label: str) -> Markup:
    """Draw values per epoch, a line per name, its class, on a scale bottom..top; values that are
    NaN are left out.

    `label` says in words what is seen.
    """
    width, height = CURVE
    epochs = max(len(values) for values in lines.values())

    def x(epoch: int) -> float:
        share = (epoch - 1) / (epochs - 1) if epochs > 1 else 0.5
        return _LEFT + share * (width - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return height - _BOTTOM - (value - bottom) / (top - bottom) * (height - _TOP - _BOTTOM)

    parts = []
    for value in (bottom, (bottom + top) / 2, top):
        parts.append(_line("rule", _LEFT, y(value), width - _RIGHT, y(value)))
        parts.append(_text("end", _LEFT - 5, y(value) + 3.5, f"{value:.3g}"))
    parts.append(_text("middle", x(1), height - 6, "1"))
    if epochs > 1:
        parts.append(_text("end", x(epochs), height - 6, str(epochs)))
    parts.append(
        _text(
            "middle",
            _LEFT + (width - _LEFT - _RIGHT) / 2,
            height - 6,
            "epoch" if epochs > 1 else "",
        )
    )
    for name, values in lines.items():
        points = [
            (x(epoch), y(value)) for epoch, value in enumerate(values, 1) if math.isfinite(value)
        ]
        if len(points) == 1:
            parts.append(_circle(name, *points[0]))
        elif points:
            path = " ".join(f"{_number(px)},{_number(py)}" for px, py in points)
            parts.append(Markup('<polyline class="{}" points="{}"/>').format(name, path))
    return _svg("curve", width, height, parts, label)


def _svg(
    kind: str, width: float, height: float, parts: Sequence[Markup], label: str = ""
) -> Markup:
    named = (
        Markup('role="img" aria-label="{}"').format(label)
        if label
        else Markup('aria-hidden="true"')
    )
    opening = Markup('<svg class="{}" width="{}" height="{}" viewBox="0 0 {} {}" {}>')
    return (
        opening.format(kind, width, height, width, height, named)
        + Markup("").join(parts)
        + Markup("</svg>")
    )


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    places = [_number(value) for value in (x1, y1, x2, y2)]
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, *places)


def _circle(kind: str, x: float, y: float) -> Markup:
    return Markup('<circle class="{}" cx="{}" cy="{}" r="3.5"/>').format(
        kind, _number(x), _number(y)
    )


def _text(anchor: str, x: float, y: float, text: str) -> Markup:
    return Markup('<text text-anchor="{}" x="{}" y="{}">{}</text>').format(
        anchor, _number(x), _number(y), text
    )


def _number(value: float) -> str:
    return f"{value:.1f}".replace(".0", "")
