"""Hiding the values of rows in output (`--redact`), for logs that more people read than may see the data."""

from __future__ import annotations

import re
from collections.abc import Mapping

REDACTED = "***"
_is_on = False

# the values that PostgreSQL quotes in the details of errors about rows
_KEY = re.compile(r"(\bKey \([^\n]*?\)=)\([^\n]*?\)(?= (?:already|is |conflicts|=|with|\W|$)|[.,]|$)")
_ROW = re.compile(r"(\b[Ff]ailing row contains )\([^\n]*\)")
_COPY = re.compile(r"(\bCOPY \S+, line \d+(?:, column \S+)?: )\"[^\n]*\"")
_INPUT = re.compile(r"(\b(?:invalid input (?:syntax|value) for [^:\n]+|value|[a-z ]*out of range): )\"[^\n]*\"")


def redact_rows(is_on: bool) -> None:
    """Hide the values of rows in all later output, or stop hiding them."""
    global _is_on
    _is_on = is_on


def row_value(value: str | None) -> str | None:
    """Return a value of a row as it may be shown. NULL stays visible."""
    return REDACTED if _is_on and value is not None else value


def row_values(values: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the values of a row by column as they may be shown."""
    return {name: row_value(value) for name, value in values.items()}


def redact_message(text: str) -> str:
    """Return a text without the row values that PostgreSQL's error messages contain."""
    if not _is_on:
        return text
    text = _KEY.sub(rf"\1({REDACTED})", text)
    text = _ROW.sub(rf"\1({REDACTED})", text)
    text = _COPY.sub(rf'\1"{REDACTED}"', text)
    return _INPUT.sub(rf'\1"{REDACTED}"', text)
