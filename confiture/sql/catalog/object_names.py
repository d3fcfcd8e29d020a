"""The names that PostgreSQL generates for constraints, indexes and sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count

MAX_NAME_BYTES = 63
"""PostgreSQL's maximum name length, in bytes."""


def truncate_identifier(name: str, length: int = MAX_NAME_BYTES) -> str:
    """Truncate a name to a number of bytes without splitting a character."""
    if len(name) * 4 <= length or len(name.encode()) <= length:
        return name
    return name.encode()[:length].decode(errors="ignore")


def make_object_name(first: str, second: str | None, label: str) -> str:
    """Return `first_second_label`, with the longer of the first two parts shortened until the name fits."""
    plain = f"{first}_{second}_{label}" if second else f"{first}_{label}"
    if (len(plain) if plain.isascii() else len(plain.encode())) <= MAX_NAME_BYTES:
        return plain
    available = MAX_NAME_BYTES - len(label.encode()) - 1 - (1 if second else 0)
    one, other = len(first.encode()), len(second.encode()) if second else 0
    while one + other > available:
        if one > other:
            one -= 1
        else:
            other -= 1
    first = truncate_identifier(first, one)
    return f"{first}_{truncate_identifier(second, other)}_{label}" if second else f"{first}_{label}"


def choose_relation_name(first: str, second: str | None, label: str, is_taken: Callable[[str], bool]) -> str:
    """Return the first free name among `first_second_label`, `..._label1`, `..._label2`, and so on."""
    name = make_object_name(first, second, label)
    if not is_taken(name):
        return name
    numbered = (make_object_name(first, second, f"{label}{number}") for number in count(1))
    return next(other for other in numbered if not is_taken(other))


def index_name_columns(columns: Iterable[str]) -> str:
    """Return the part of a name that lists columns.

    PostgreSQL stops at the column that would make the name too long.
    """
    text = ""
    for column in columns:
        text = f"{text}_{column}" if text else column
        if len(text.encode()) > MAX_NAME_BYTES:
            break
    return text


def dedupe_column_names(columns: Iterable[str]) -> tuple[str, ...]:
    """Return unique names for an index's columns: `expr`, `expr1`, `expr2` for equal names."""
    names: list[str] = []
    for column in columns:
        name = column
        numbers = count(1)
        while name in names:
            number = str(next(numbers))
            name = truncate_identifier(column, MAX_NAME_BYTES - len(number)) + number
        names.append(name)
    return tuple(names)
