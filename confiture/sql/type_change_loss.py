"""Whether a column with a new type can hold all values of the old type."""

from __future__ import annotations

from enum import StrEnum

from confiture.models.catalog import Catalog
from confiture.sql.type_changes import SqlType, interval_unit, parse_type, time_precision
from confiture.sql.volatility import find_domain_of_type


class ValueLoss(StrEnum):
    """The effect on values that do not fit."""

    FAILS = "fails"
    """The statement fails with an error."""
    TRUNCATES = "cuts"
    """The values are truncated or rounded without an error."""


_INTEGERS = {"smallint": 5, "integer": 10, "bigint": 19}
"""The number of digits of each type."""
_DIGITS = {"real": 6, "double precision": 15}
"""The number of decimal digits that a type always preserves."""
_NAME_LENGTH = 63
_TEXT_LENGTHS = {
    "name": _NAME_LENGTH,
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
"""The length, in characters, of the longest value of each type when converted to text."""
_FLOATS = {"real": 1, "double precision": 2}
_TEXTS = frozenset({"text", "character varying", "character", "name"})
_TIMESTAMP_TYPES = frozenset({"timestamp without time zone", "timestamp with time zone"})


def value_loss(old: str, new: str, catalog: Catalog) -> ValueLoss | None:
    """Return the effect of a type change on values that do not fit the new type; None if all fit, or if unknown."""
    one, other = (parse_type(_base_type(text, catalog)) for text in (old, new))
    if one.is_array or other.is_array or one == other:
        return None
    if other.base in _TEXTS:
        return _text_loss(one, other)
    if one.base in _INTEGERS or one.base == "numeric":
        return _exact_number_loss(one, other)
    if one.base in _FLOATS:
        return _float_loss(one, other)
    return _time_loss(one, other)


def _base_type(text: str, catalog: Catalog) -> str:
    domain = find_domain_of_type(text, catalog)
    return _base_type(domain.type, catalog) if domain else text


def _text_loss(old: SqlType, new: SqlType) -> ValueLoss | None:
    length = _NAME_LENGTH if new.base == "name" else new.modifiers[0] if new.modifiers else None
    longest = _max_length(old)
    if new.base == "name" and old.base not in _TEXTS:
        return None
    if length is None or (longest is not None and longest <= length):
        return None
    return ValueLoss.TRUNCATES if new.base == "name" else ValueLoss.FAILS


def _max_length(type_: SqlType) -> int | None:
    """Return the length, in characters, of the longest value; None if there is no limit, or if unknown."""
    if type_.base in ("character varying", "character") and type_.modifiers:
        return type_.modifiers[0]
    if type_.base == "numeric" and type_.modifiers:
        return type_.modifiers[0] + (3 if _fraction_digits(type_) else 1)  # a sign; a point, and a zero before it
    return _TEXT_LENGTHS.get(type_.base)


def _exact_number_loss(old: SqlType, new: SqlType) -> ValueLoss | None:
    scale = _fraction_digits(old)
    whole = _INTEGERS.get(old.base) or (old.modifiers[0] - (scale or 0) if old.modifiers else None)
    if new.base in _INTEGERS:
        if scale != 0:
            return ValueLoss.TRUNCATES
        fits = whole is not None and (whole < _INTEGERS[new.base] or old.base == new.base)
        return None if fits else ValueLoss.FAILS
    if new.base in _FLOATS:
        exact = whole is not None and scale is not None and whole + scale <= _DIGITS[new.base]
        return None if exact else ValueLoss.TRUNCATES
    if new.base != "numeric" or not new.modifiers:
        return None
    if scale is None or scale > _given_scale(new):
        return ValueLoss.TRUNCATES
    return None if whole is not None and whole <= new.modifiers[0] - _given_scale(new) else ValueLoss.FAILS


def _float_loss(old: SqlType, new: SqlType) -> ValueLoss | None:
    if new.base in _FLOATS:
        return ValueLoss.TRUNCATES if _FLOATS[new.base] < _FLOATS[old.base] else None
    return ValueLoss.TRUNCATES if new.base in _INTEGERS or new.base == "numeric" else None


def _time_loss(old: SqlType, new: SqlType) -> ValueLoss | None:
    clock, interval = old.base in _TIMESTAMP_TYPES, old.base == "interval"
    if (clock and new.base.startswith(("date", "time "))) or (interval and new.base.startswith("time ")):
        return ValueLoss.TRUNCATES
    timed = old.base.startswith("time") or interval
    if not timed or not new.base.startswith(("time", "interval")):
        return None
    if new.base == "interval" and interval_unit(new) > interval_unit(old):
        return ValueLoss.TRUNCATES
    return ValueLoss.TRUNCATES if interval_unit(old) == 0 and time_precision(new) < time_precision(old) else None


def _fraction_digits(type_: SqlType) -> int | None:
    """Return the number of fraction digits; None if unlimited."""
    if type_.base != "numeric":
        return 0
    return _given_scale(type_) if type_.modifiers else None


def _given_scale(type_: SqlType) -> int:
    return type_.modifiers[1] if len(type_.modifiers) > 1 else 0
