"""Values that no output shows: passwords, and what variables put into string literals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

HIDDEN = "***"
_SHORTEST = 4
"""Shorter values are too common to be replaced wherever they appear."""
_DISTINCT = 8
"""From this length on a value is replaced inside words as well."""

# PASSWORD '...' in SQL, whoever wrote it: other sessions' queries hold secrets that we do not know
_PASSWORD_LITERAL = re.compile(r"(\bpassword\s+)(E?'(?:[^'\\]|\\.|'')*'?)", re.IGNORECASE)

# names of variables whose values are secret however they are used
_TELLING_NAME = re.compile(
    r"passw(or)?d|passphrase|(^|_)(pass|pwd?)(_|$)|(^|_)(secret|token|credentials?|(api|private|access|secret)_?key)$",
    re.IGNORECASE,
)

_certain: set[str] = set()
_secret: set[str] = set()
_public: set[str] = set()


def add_secret(value: str, *, is_certain: bool = False) -> None:
    """Hides a value in all output from here on. Where it is also public, it is hidden only if it `is_certain`."""
    if len(value) >= _SHORTEST:
        (_certain if is_certain else _secret).add(value)


def add_public(value: str) -> None:
    """Shows a value that is a name in the catalog, where everyone can see it."""
    _public.add(value)


def names_a_secret(name: str) -> bool:
    """Whether the name of a variable says that its value is secret."""
    return _TELLING_NAME.search(name) is not None


def forget_secrets() -> None:
    """Forgets all values: a command begins with none."""
    _certain.clear()
    _secret.clear()
    _public.clear()


def hide_secrets(text: str) -> str:
    """The text with `***` for each secret in it, in any form in which SQL and URLs write it."""
    if "'" in text:
        text = _PASSWORD_LITERAL.sub(rf"\1'{HIDDEN}'", text)
    secrets = _certain | (_secret - _public)
    return _pattern(frozenset(secrets)).sub(HIDDEN, text) if secrets else text


def hide_in_document(value: Any) -> Any:
    """The same of all text in a value as JSON can hold it."""
    match value:
        case str():
            return hide_secrets(value)
        case Mapping():
            return {hide_in_document(key): hide_in_document(item) for key, item in value.items()}
        case list() | tuple():
            return [hide_in_document(item) for item in value]
    return value


@lru_cache(maxsize=4)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str]:
    forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
    return re.compile("|".join(map(_bounded, forms)))


def _forms(secret: str) -> Iterable[str]:
    from urllib.parse import quote, quote_plus

    yield secret
    yield secret.replace("'", "''")
    yield secret.replace("\\", "\\\\")
    yield secret.replace("\\", "\\\\").replace("'", "''")
    yield secret.replace("\\", "\\\\").replace("'", "\\'")
    yield repr(secret)[1:-1]
    yield " ".join(secret.split())
    yield quote(secret, safe="")
    yield quote_plus(secret)
    # the server and we quote a line of a text
    yield from (line.strip() for line in secret.splitlines() if len(line.strip()) >= _DISTINCT)


def _bounded(form: str) -> str:
    before = r"(?<!\w)" if form[:1].isalnum() and len(form) < _DISTINCT else ""
    behind = r"(?!\w)" if form[-1:].isalnum() and len(form) < _DISTINCT else ""
    return before + re.escape(form) + behind
