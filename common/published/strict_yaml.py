"""Strict reading of the YAML files that hold published numbers and claims.

Every value is a quoted text, so that a number keeps the decimals that the paper printed. Unknown,
missing and repeated keys are errors, each of one line.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import AbstractSet, Any, Iterable, Iterator, Mapping

from common import files
from common.errors import InputError

EXPECTED: Mapping[type, str] = {
    str: "text (quote it)",
    dict: "a mapping of ids (quote them)",
    list: "a list of texts",
}


@contextlib.contextmanager
def reading(path: Path | str, what: str) -> Iterator[None]:
    """Turn whatever is wrong with a file into one InputError that names it; `what` was expected."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: expected {what}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error


def content(path: Path | str) -> Any:
    """Parse a YAML file; `files.read_yaml` refuses keys given twice, and what costs much."""
    return files.read_yaml(path)


def fields(
    entry: Any, kinds: Mapping[str, type], optional: AbstractSet[str], key: str = "top level"
) -> dict:
    """Give the fields of one mapping, each checked against its kind; optional ones that are absent
    are None.
    """
    strangers = (
        [name for name in entry if name not in kinds] if isinstance(entry, dict) else [entry]
    )
    if strangers:
        raise ValueError(
            f"{key}: expected a mapping with only the keys {', '.join(kinds)}, got {strangers[0]!r}"
        )
    for name, kind in kinds.items():
        value: Any = entry.get(name)
        # Iterating gives a text's letters, a mapping's ids or a list's items: all have to be texts.
        parts = value if isinstance(value, (str, dict, list)) else ()
        texts = isinstance(value, kind) and parts and all(isinstance(one, str) for one in parts)
        absent = name in optional and name not in entry
        if not texts and not absent:
            raise ValueError(f"{key}: {name}: expected {EXPECTED[kind]}, got {value!r}")
    return {name: entry.get(name) for name in kinds}


def printed(value: Any, key: str) -> str:
    """Check that a value is a quoted number such as "0.820"."""
    # An unquoted 0.820 reaches us as the float 0.82: how many decimals the paper printed is lost.
    if not (isinstance(value, str) and re.fullmatch(r"-?\d{1,12}(\.\d{1,12})?", value, re.ASCII)):
        raise ValueError(
            f'{key}: expected a quoted number as printed, such as "0.820", got {value!r:.80}'
        )
    return value


def whole(value: str, key: str) -> int:
    """Turn a text such as "16" into the whole number that it is, 1 or more."""
    if not (isinstance(value, str) and re.fullmatch(r"[1-9]\d{0,11}", value, re.ASCII)):
        raise ValueError(f'{key}: expected a whole number such as "16", got {value!r:.80}')
    return int(value)


def known(names: Iterable[str], allowed: Iterable[str], key: str) -> None:
    """Check that every name is one of those allowed."""
    allowed = list(allowed)
    for name in names:
        if name not in allowed:
            raise ValueError(f"{key}: expected one of {', '.join(allowed)}, got {name!r}")
