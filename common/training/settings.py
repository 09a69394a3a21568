"""What a paper says of each setting, read from the annotations of its Config.

A field is `Given` (the paper states its value, and where) or `Assumed` (the paper is silent; why
this value, and which others are defensible). Bounds stand beside it, as annotated-types:

    batch_size: Annotated[int, Gt(0), Assumed("fits a card of 8 GB", readings=(4, 8))] = 2

From that follow the differences that keep a row from being held against the paper, the readings
that name a row, the check of the command line and docs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import typing
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import annotated_types
import typing_extensions

from common.errors import InputError

# Fields that say which run this is. They are no settings of the paper's method.
IDENTITY = ("protocol", "profile", "seed", "leakage")
LARGEST = 3.4e38  # of a number of 32 bits, which training is done with


@dataclass(frozen=True)
class Given:
    """The paper states the value, at `where`. With `only`, for runs whose other fields have one of
    these values; for the rest it is assumed.
    """

    where: str
    only: Tuple[Tuple[str, Tuple[Any, ...]], ...] = ()


@dataclass(frozen=True)
class Assumed:
    """The paper is silent. `readings` are other defensible values, each a reading of the paper."""

    why: str
    readings: Tuple[Any, ...] = ()


@dataclass(frozen=True)
class Setting:
    """One field of a Config with what its annotation says."""

    name: str
    type: Any
    given: Optional[Given]
    assumed: Optional[Assumed]
    bounds: Tuple[Any, ...]

    def is_given(self, config: Any) -> bool:
        """Whether the paper states this setting for the network that `config` describes."""
        if self.given is None:
            return False
        return all(getattr(config, name) in values for name, values in self.given.only)


@functools.lru_cache(maxsize=None)
def _hints(config_type: type) -> Dict[str, Any]:
    return typing_extensions.get_type_hints(config_type, include_extras=True)


def describe(config_type: type) -> Dict[str, Setting]:
    """Give every setting of a Config by its name, in the order of the fields."""
    hints = _hints(config_type)
    settings = {}
    for one in dataclasses.fields(config_type):
        hint = hints[one.name]
        marks: Tuple[Any, ...] = getattr(hint, "__metadata__", ())
        plain = hint.__origin__ if marks else hint
        given = next((mark for mark in marks if isinstance(mark, Given)), None)
        assumed = next((mark for mark in marks if isinstance(mark, Assumed)), None)
        bounds = tuple(bound for mark in marks for bound in _bounds(mark))
        settings[one.name] = Setting(one.name, plain, given, assumed, bounds)
    return settings


def check(config: Any) -> None:
    """Hold a Config against the bounds of its fields.

    Raises:
        InputError: a number lies outside, or the parts of the data leave none for training.
    """
    for name, setting in describe(type(config)).items():
        value = getattr(config, name)
        values = value if isinstance(value, (tuple, list)) else (value,)
        numbers = [one for one in values if isinstance(one, (int, float))]
        option = f"--{name.replace('_', '-')} {' '.join(map(str, values))}"
        if not all(abs(number) <= LARGEST for number in numbers):  # which no NaN is
            raise InputError(f"{option}: expected a finite number")
        bounds = [_LIMITS[type(bound)](bound) for bound in setting.bounds]
        if not all(holds(number) for _, holds in bounds for number in numbers):
            expected = " and ".join(words for words, _ in bounds)
            raise InputError(f"{option}: expected a number {expected}")
    parts = [name for name in ("validation_fraction", "test_fraction") if hasattr(config, name)]
    if sum(getattr(config, name) for name in parts) >= 1:
        options = [f"--{name.replace('_', '-')} {getattr(config, name)}" for name in parts]
        raise InputError(
            f"{' '.join(options)}: expected fractions that leave images for training, so less "
            "than 1 together"
        )


def _bounds(mark: Any) -> Iterator[annotated_types.BaseMetadata]:
    """Give the bounds that an annotation holds: itself, those of an Interval, or none."""
    if isinstance(mark, annotated_types.BaseMetadata):
        yield mark
    elif isinstance(mark, annotated_types.GroupedMetadata):
        for part in mark:
            yield from _bounds(part)


# What a bound asks of a number: in words, and as a test of the number.
_LIMITS: Dict[type, Callable[[Any], Tuple[str, Callable[[float], bool]]]] = {
    annotated_types.Gt: lambda bound: (f"above {bound.gt}", lambda x: x > bound.gt),
    annotated_types.Ge: lambda bound: (f"from {bound.ge}", lambda x: x >= bound.ge),
    annotated_types.Lt: lambda bound: (f"below {bound.lt}", lambda x: x < bound.lt),
    annotated_types.Le: lambda bound: (f"up to {bound.le}", lambda x: x <= bound.le),
    annotated_types.MultipleOf: lambda bound: (
        f"divisible by {bound.multiple_of}",
        lambda x: x % bound.multiple_of == 0,
    ),
}


def differences(config: Any, paper: Any) -> List[str]:
    """Say which settings that the paper gives a run departs from, in the paper's terms.

    Args:
        config: the run's Config.
        paper: the Config that the paper is taken to have used for the same row.
    """
    found = []
    for name, setting in describe(type(config)).items():
        ours, theirs = getattr(config, name), getattr(paper, name)
        if name in IDENTITY or ours == theirs or not setting.is_given(config):
            continue
        words = name.replace("_", " ")
        assert setting.given is not None
        found.append(f"{words} {ours}; the paper gives {theirs} ({setting.given.where})")
    return found


def reading(config: Any, default: Any) -> str:
    """Name the reading of the paper that a run follows: its assumed settings off the default.

    Returns:
        `name=value` of each, sorted and separated by commas; "" for the default reading.
    """
    changed = []
    for name, setting in describe(type(config)).items():
        ours = getattr(config, name)
        if name in IDENTITY or setting.is_given(config) or ours == getattr(default, name):
            continue
        changed.append(pair(name, ours))
    return ",".join(sorted(changed))


def pair(name: str, value: Any) -> str:
    """Write one choice of a reading.

    Example:
        >>> pair("clahe_tile_grid", (4, 4))
        'clahe_tile_grid=4x4'
    """
    return f"{name}={_text(value)}"


def parse_reading(text: str, config_type: type) -> Dict[str, Any]:
    """Read `name=value` pairs, separated by commas, as values of a Config's fields.

    Raises:
        InputError: a setting is unknown or given by the paper, or the value is none of its kind.
    """
    settings = describe(config_type)
    allowed = [name for name, setting in settings.items() if setting.assumed is not None]
    values: Dict[str, Any] = {}
    for pair in filter(None, text.split(",")):
        name, equals, value = pair.partition("=")
        if not equals or name not in allowed or name in values:
            raise InputError(
                f"reading {pair!r}: expected NAME=VALUE, each name once, of the settings that the "
                f"paper leaves open: {', '.join(allowed)}"
            )
        values[name] = _value(name, value, settings[name].type)
    return values


def _value(name: str, text: str, kind: Any) -> Any:
    is_union = typing_extensions.get_origin(kind) is typing.Union
    members = typing_extensions.get_args(kind) if is_union else (kind,)
    for member in members:
        with contextlib.suppress(KeyError, ValueError):
            return _parse(text, member)
    expected = " or ".join(map(_expected, members))
    raise InputError(f"reading {name}={text}: expected {expected}")


def _parse(text: str, kind: Any) -> Any:
    """Read what `_text` wrote of a value of this kind. Raises KeyError or ValueError for others."""
    arguments = typing_extensions.get_args(kind)
    if typing_extensions.get_origin(kind) is typing.Literal:
        return {_text(option): option for option in arguments}[text]
    if typing_extensions.get_origin(kind) is tuple:
        parts = text.split("x")
        if len(parts) != len(arguments):
            raise ValueError(text)
        return tuple(map(_parse, parts, arguments))
    if kind in (bool, type(None)):
        return {"True": True, "False": False, "null": None}[text]
    return kind(text)


def _expected(kind: Any) -> str:
    """Say what a text has to be, in order to be read as this kind."""
    arguments = typing_extensions.get_args(kind)
    if typing_extensions.get_origin(kind) is typing.Literal:
        return ", ".join(map(_text, arguments))
    if typing_extensions.get_origin(kind) is tuple:
        return f"{len(arguments)} numbers joined by x"
    names = {bool: "True or False", int: "a whole number", float: "a number", type(None): "null"}
    return names.get(kind, "a text")


def _text(value: Any) -> str:
    """Write a value so that `parse_reading` reads it back; a tuple as 8x8, a file by its name."""
    if isinstance(value, (tuple, list)):
        return "x".join(map(_text, value))
    if isinstance(value, str) and value.endswith(".h5"):
        return value.rpartition("/")[2]
    return value if isinstance(value, str) else json.dumps(value) if value is None else str(value)
