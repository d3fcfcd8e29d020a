"""Whether a column of a new type can hold all that it held."""

from __future__ import annotations

from enum import StrEnum

from confiture.models.catalog import Catalog
from confiture.sql.type_changes import SqlType, precision, taken_apart, unit
from confiture.sql.volatility import domain_of


class Loss(StrEnum):
    """What happens to values that do not fit."""

    FAILS = "fails"
    """The statement ends with an error."""
    CUTS = "cuts"
    """The values are cut or rounded, and nobody is told."""


_INTEGERS = {"smallint": 5, "integer": 10, "bigint": 19}
"""The digits that they hold."""
_DIGITS = {"real": 6, "double precision": 15}
"""The decimal digits that they always keep."""
_NAME = 63
_WRITTEN = {
    "name": _NAME,
    "smallint": 6,
    "integer": 11,
    "bigint": 20,
    "boolean": 5,
    "real": 14,
    "double precision": 24,
    "uuid": 36,
    '"char"': 1,
    "date": 13,
    "time without time zone": 15,
    "time with time zone": 24,
    "timestamp without time zone": 29,
    "timestamp with time zone": 38,
}
"""The characters of the longest value of types that become text."""
_FLOATS = {"real": 1, "double precision": 2}
_TEXTS = frozenset({"text", "character varying", "character", "name"})
_CLOCKS = frozenset({"timestamp without time zone", "timestamp with time zone"})


def loses(old: str, new: str, catalog: Catalog) -> Loss | None:
    """What a change of type does to values that the new type cannot hold; None where it holds all, or nobody knows."""
    one, other = (taken_apart(_underlying(text, catalog)) for text in (old, new))
    if one.is_array or other.is_array or one == other:
        return None
    if other.base in _TEXTS:
        return _of_texts(one, other)
    if one.base in _INTEGERS or one.base == "numeric":
        return _of_exact_numbers(one, other)
    if one.base in _FLOATS:
        return _of_floats(one, other)
    return _of_times(one, other)


def _underlying(text: str, catalog: Catalog) -> str:
    domain = domain_of(text, catalog)
    return _underlying(domain.type, catalog) if domain else text


def _of_texts(old: SqlType, new: SqlType) -> Loss | None:
    length = _NAME if new.base == "name" else new.modifiers[0] if new.modifiers else None
    longest = _longest(old)
    if new.base == "name" and old.base not in _TEXTS:
        return None
    if length is None or (longest is not None and longest <= length):
        return None
    return Loss.CUTS if new.base == "name" else Loss.FAILS


def _longest(type_: SqlType) -> int | None:
    """The characters of the longest value; None where there is no limit, or nobody knows."""
    if type_.base in ("character varying", "character") and type_.modifiers:
        return type_.modifiers[0]
    if type_.base == "numeric" and type_.modifiers:
        return type_.modifiers[0] + (3 if _scale(type_) else 1)  # a sign; a point, and a zero before it
    return _WRITTEN.get(type_.base)


def _of_exact_numbers(old: SqlType, new: SqlType) -> Loss | None:
    scale = _scale(old)
    whole = _INTEGERS.get(old.base) or (old.modifiers[0] - (scale or 0) if old.modifiers else None)
    if new.base in _INTEGERS:
        if scale != 0:
            return Loss.CUTS
        fits = whole is not None and (whole < _INTEGERS[new.base] or old.base == new.base)
        return None if fits else Loss.FAILS
    if new.base in _FLOATS:
        exact = whole is not None and scale is not None and whole + scale <= _DIGITS[new.base]
        return None if exact else Loss.CUTS
    if new.base != "numeric" or not new.modifiers:
        return None
    if scale is None or scale > _given_scale(new):
        return Loss.CUTS
    return None if whole is not None and whole <= new.modifiers[0] - _given_scale(new) else Loss.FAILS


def _of_floats(old: SqlType, new: SqlType) -> Loss | None:
    if new.base in _FLOATS:
        return Loss.CUTS if _FLOATS[new.base] < _FLOATS[old.base] else None
    return Loss.CUTS if new.base in _INTEGERS or new.base == "numeric" else None


def _of_times(old: SqlType, new: SqlType) -> Loss | None:
    clock, interval = old.base in _CLOCKS, old.base == "interval"
    if (clock and new.base.startswith(("date", "time "))) or (interval and new.base.startswith("time ")):
        return Loss.CUTS
    timed = old.base.startswith("time") or interval
    if not timed or not new.base.startswith(("time", "interval")):
        return None
    if new.base == "interval" and unit(new) > unit(old):
        return Loss.CUTS
    return Loss.CUTS if unit(old) == 0 and precision(new) < precision(old) else None


def _scale(type_: SqlType) -> int | None:
    """The digits behind the point; None where any number of them is allowed."""
    if type_.base != "numeric":
        return 0
    return _given_scale(type_) if type_.modifiers else None


def _given_scale(type_: SqlType) -> int:
    return type_.modifiers[1] if len(type_.modifiers) > 1 else 0
