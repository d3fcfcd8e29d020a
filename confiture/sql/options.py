"""Parenthesized statement options, such as `VACUUM (FULL)` or `REINDEX (CONCURRENTLY off)`."""

from __future__ import annotations

from typing import Any

from confiture.sql.parse_tree import strings


def is_option_enabled(options: Any, name: str) -> bool:
    """Whether an option of the form `(name)`, `(name true)` or `(name false)` is enabled."""
    return next((is_true(one.def_elem) for one in options if one.def_elem.defname == name), False)


def is_true(option: Any) -> bool:
    """Whether the value of a DefElem is true. A missing value counts as true."""
    kind = option.arg.WhichOneof("node") if option.HasField("arg") else None
    if kind is None:
        return True
    if kind == "integer":
        return bool(option.arg.integer.ival)
    if kind == "boolean":
        return bool(option.arg.boolean.boolval)
    value = getattr(option.arg, kind)
    text = getattr(value, "sval", "") or ".".join(strings(getattr(value, "names", ())))
    return text.lower() in ("true", "on", "yes", "1")
