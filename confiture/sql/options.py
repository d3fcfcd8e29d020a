"""Options of statements in parentheses: `VACUUM (FULL)`, `REINDEX (CONCURRENTLY off)`."""

from __future__ import annotations

from typing import Any


def is_on(options: Any, name: str) -> bool:
    """Whether an option of the form `(name)`, `(name true)` or `(name false)` is switched on."""
    for option in options:
        if option.def_elem.defname == name:
            argument = option.def_elem.arg
            written = argument.string.sval or argument.boolean.boolval or argument.integer.ival
            return not argument.ByteSize() or str(written).lower() in ("true", "on", "1", "yes")
    return False
