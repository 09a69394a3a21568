"""Grey values of more than 8 bits as bytes: which value becomes black, and which white.

By default that is the full range of the type: 0 and 65535 for 16 bits, 0 and 4095 for 12. A
`GreyRange` asks for others. Values between them are mapped linearly and rounded down, values beyond
them are black or white. Whoever reads an image gets the mapping in words, to be kept with results.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Optional, Tuple

import numpy as np

from common.errors import InputError

DARK = 8  # times brighter than its brightest value could an image be
NEARLY_BLACK = "nearly black; consider"
_BAND = 1 << 22  # values counted at once


@dataclass(frozen=True)
class GreyRange:
    """The grey values, or percentiles of an image's values, that become black and white."""

    low: float
    high: float
    percentiles: bool = False

    def __post_init__(self) -> None:
        bounded = not self.percentiles or (self.low >= 0 and self.high <= 100)
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            bounded = False
        if not bounded:
            raise InputError(
                f"--range {self}: expected the grey values of black and white, such as 0,4095, or "
                "percentiles, such as 1%,99%, the lower one first"
            )

    def __str__(self) -> str:
        sign = "%" if self.percentiles else ""
        return f"{self.low:g}{sign},{self.high:g}{sign}"

    @staticmethod
    def parse(text: str) -> Optional[GreyRange]:
        """Read what --range is given: "full" (None), "0,4095", or "1%,99%" for percentiles.

        Raises:
            InputError: it is none of these.

        >>> GreyRange.parse("1%,99.5%")
        GreyRange(low=1.0, high=99.5, percentiles=True)
        """
        if text.strip().lower() == "full":
            return None
        parts = [part.strip() for part in text.split(",")]
        percentiles = all(part.endswith("%") for part in parts)
        try:
            low, high = (float(part[:-1] if percentiles else part) for part in parts)
        except ValueError:
            raise InputError(
                f"--range {text}: expected full, two grey values such as 0,4095, or two "
                "percentiles such as 1%,99%"
            ) from None
        return GreyRange(low, high, percentiles)


def to_bytes(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map `low` to 0 and `high` to 255, linearly and rounded down: uint8 of the same shape.

    Where there is no range, as in an image of one value, all is 0.

    >>> to_bytes(np.array([-5, 0, 2048, 4095, 9999]), 0, 4095)
    array([  0,   0, 127, 255, 255], dtype=uint8)
    """
    if not high > low:
        return np.zeros(values.shape, np.uint8)
    scaled = (values.astype(np.float64) - low) * (255 / (high - low))
    # What is added is less than any two values differ by, and more than they are computed wrongly.
    return np.floor(np.clip(scaled, 0, 255) + 1e-6).astype(np.uint8)


def mapped(pixels: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Apply a function of single values, by a table where the values are integers of 16 bits or
    fewer.
    """
    if pixels.dtype.kind not in "iu" or pixels.itemsize > 2:
        return function(pixels)
    return function(domain(pixels.dtype))[_unsigned(pixels)]


def domain(dtype: np.dtype) -> np.ndarray:
    """All values of an integer type of 16 bits or fewer, in the order of their bits."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    return np.arange(1 << 8 * dtype.itemsize, dtype=unsigned).view(dtype.newbyteorder("="))


def counts(pixels: np.ndarray) -> np.ndarray:
    """How often each value of `domain` occurs, int64; a memory map is read in bands."""
    total = np.zeros(1 << 8 * pixels.itemsize, np.int64)
    rows = max(_BAND // max(pixels[0].size, 1), 1)
    for start in range(0, len(pixels), rows):
        band = _unsigned(pixels[start : start + rows])
        total += np.bincount(band.ravel(), minlength=len(total))
    return total


def percentiles(pixels: np.ndarray, wanted: GreyRange) -> Tuple[float, float]:
    """The two percentiles of an image's values, of any type, as an image has them."""
    if pixels.dtype.kind not in "iu" or pixels.itemsize > 2:
        low, high = np.percentile(pixels, [wanted.low, wanted.high])
        return float(low), float(high)
    values, occurs = domain(pixels.dtype), counts(pixels)
    order = np.argsort(values)
    reached = np.cumsum(occurs[order])
    ranks = [max(part / 100 * reached[-1], 1) for part in (wanted.low, wanted.high)]
    low, high = values[order][np.searchsorted(reached, ranks)]
    return float(low), float(high)


def choose(
    pixels: np.ndarray, bits: int, wanted: Optional[GreyRange], name: str
) -> Tuple[float, float, str]:
    """Decide which values of a TIFF, PNG or other plain image become black and white.

    Args:
        pixels: of any type but uint8.
        bits: that a value has, 9 to 16 for a full range.
        wanted: None for the full range.
        name: for messages.

    Returns:
        The two values, and in words what has been done.

    Raises:
        InputError: nothing is wanted, but the type has no full range that images would use.
    """
    if wanted is None:
        if pixels.dtype.kind != "u" or bits > 16:
            kinds = {"i": "signed values", "f": "floating-point values", "u": "values"}
            kind = kinds.get(pixels.dtype.kind, "values")
            raise InputError(
                f"{name}: {kind} of {bits} bits have no black and white of their own; give them, "
                "with --range low,high or percentiles with --range 1%,99%"
            )
        top, lowest, highest = (1 << bits) - 1, pixels.min(), pixels.max()
        told = f"full range of {bits} bits, 0 to {top} (the image has {lowest} to {highest}"
        if 0 < highest < top / DARK:  # such as 12 bits in 16, of which nothing can be seen
            told += f", which is {NEARLY_BLACK} --range 0,{highest}"
        return 0, top, f"{told})"
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise InputError(f"{name}: expected finite values, got NaN or infinity among them")
    if wanted.percentiles:
        low, high = percentiles(pixels, wanted)
        return low, high, f"percentiles {wanted} of the image, {low:g} to {high:g}"
    return wanted.low, wanted.high, f"range {wanted.low:g} to {wanted.high:g} as asked for"


def _unsigned(pixels: np.ndarray) -> np.ndarray:
    native = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    return native.view(np.dtype(f"u{pixels.itemsize}"))
