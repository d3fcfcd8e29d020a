"""Store Confiture's own text in databases whose encoding lacks some of the characters."""

from __future__ import annotations

import json
from typing import Any

import psycopg
from psycopg.types.json import set_json_dumps

_UTF8 = "UTF8"
_ELLIPSIS = "…"
_WITH_ELLIPSIS = frozenset({_UTF8, "WIN1250", "WIN1251", "WIN1252", "WIN1253", "WIN1254", "WIN1257", "WIN1258"})
"""Encodings with the character that shortens the names of steps."""


def adapt_json_to_encoding(connection: psycopg.Connection[Any]) -> None:
    """Send JSON without `\\u` escapes if the database is not in UTF-8: PostgreSQL rejects those that it cannot convert.

    The ellipsis of shortened step names becomes three dots if the encoding lacks it. All other text is sent unchanged,
    so PostgreSQL reports a character that it cannot store.
    """
    encoding = _server_encoding(connection)
    if encoding != _UTF8:
        set_json_dumps(_dump_json if encoding in _WITH_ELLIPSIS else _dump_json_without_ellipsis, connection)


def storable_name(connection: psycopg.Connection[Any], name: str) -> str:
    """Return the name of a step with three dots instead of an ellipsis, if the encoding of the database lacks it."""
    return name if _server_encoding(connection) in _WITH_ELLIPSIS else name.replace(_ELLIPSIS, "...")


def storable_text(connection: psycopg.Connection[Any], text: str) -> str:
    """Return text about a run, with escapes such as `\\u2603` if the database is not in UTF-8.

    Such text must never make a migration fail.
    """
    if _server_encoding(connection) == _UTF8:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text.encode("ascii", "backslashreplace").decode("ascii")


def _server_encoding(connection: psycopg.Connection[Any]) -> str:
    return connection.info.parameter_status("server_encoding") or _UTF8


def _dump_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _dump_json_without_ellipsis(value: Any) -> str:
    return _dump_json(value).replace(_ELLIPSIS, "...")
