"""Merging template variables, and classifying the values that output must hide."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from confiture.errors import Diagnostic
from confiture.files.variables import environment_names, substitute_environment
from confiture.models.settings import Settings
from confiture.models.source import RenderedSql
from confiture.models.variables import EnvironmentText, Variables
from confiture.secrets import add_public_value, add_secret, is_secret_name
from confiture.sql.parser import pb, postgast, scan_tokens

_LITERALS = frozenset({pb.Token.SCONST, pb.Token.USCONST, pb.Token.XCONST, pb.Token.BCONST})
_BODY = re.compile(r"(\$\w*\$)(?P<code>.*)\1", re.DOTALL)
_COMMENTS = frozenset({pb.Token.SQL_COMMENT, pb.Token.C_COMMENT})


def merge_variables(settings: Settings, own: Mapping[str, Any], overrides: Mapping[str, Any]) -> Variables:
    """Return a migration's variables, merged in order of increasing precedence: settings, `own`, `overrides`."""
    values: dict[str, Any] = {}
    private: set[str] = set()
    private_names: set[str] = set()
    unset: dict[str, Diagnostic] = {}
    for name, raw in {**settings.variables, **own, **overrides}.items():
        try:
            values[name] = _resolve_value(raw, settings, private)
        except _UnsetVariable as error:
            unset[name] = error.diagnostic
            continue
        texts = set(_iter_texts(values[name]))
        if name in overrides:
            private |= texts
        if is_secret_name(name):
            _hide_texts(texts)
        if is_secret_name(name) or texts & private:
            private_names.add(name)
    return Variables(
        values=values, private=frozenset(private - {""}), private_names=frozenset(private_names), unset=unset
    )


def classify_private_values(rendered: RenderedSql, private: Iterable[str], *, is_broken: bool) -> None:
    """Register the private values in rendered SQL as secret or public for output.

    A value in a literal is secret; a name or a number is public. In SQL that does not parse, all values are secret.
    """
    if rendered.text == rendered.source.text:
        return
    values = [
        value
        for value in {*private, *rendered.private_values}
        if any(form in rendered.text for form in _quoted_forms(value))
    ]
    if values and is_broken:
        for value in values:
            _hide_parts(value)
        return
    for token, text in _tokens(rendered.text) if values else ():
        if token in _COMMENTS or text in rendered.source.text:
            continue  # part of the template itself
        for value in values:
            if any(form in text for form in _quoted_forms(value)):
                (add_secret if token in _LITERALS else add_public_value)(value)


class _UnsetVariable(Exception):
    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(str(diagnostic))
        self.diagnostic = diagnostic


def _resolve_value(raw: Any, settings: Settings, private: set[str]) -> Any:
    match raw:
        case EnvironmentText():
            text = substitute_environment(raw.source, settings.environ, settings.environment, "...")
            if isinstance(text, Diagnostic):
                raise _UnsetVariable(text)
            for name in environment_names(raw.source):
                private.add(settings.environ[name])
                add_secret(settings.environ[name], is_certain=is_secret_name(name))
            private.add(text)
            add_secret(text)
            return text
        case Mapping():
            return {name: _resolve_value(item, settings, private) for name, item in raw.items()}
        case list() | tuple():
            return [_resolve_value(item, settings, private) for item in raw]
    return raw


def _iter_texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case bool():
            return
        case int() | float() | Decimal():
            yield str(value)
        case Mapping():
            for item in value.values():
                yield from _iter_texts(item)
        case list() | tuple():
            for item in value:
                yield from _iter_texts(item)


def _hide_texts(texts: Iterable[str]) -> None:
    for text in texts:
        add_secret(text, is_certain=True)


def _hide_parts(value: str) -> None:
    """Hide a value and each word in it, because an error may quote a single word."""
    for part in (value, *value.replace("'", " ").split()):
        add_secret(part, is_certain=True)


def _quoted_forms(value: str) -> set[str]:
    """Return the forms of a value in literals and quoted names."""
    doubled = value.replace("'", "''")
    return {value, doubled, doubled.replace("\\", "\\\\"), value.replace('"', '""')}


def _tokens(sql: str) -> Iterator[tuple[int, str]]:
    try:
        tokens = scan_tokens(sql)
    except postgast.PgQueryError:
        return
    encoded = sql.encode()
    for token in tokens:
        text = encoded[token.start : token.end].decode()
        body = _BODY.fullmatch(text)
        # a dollar-quoted literal usually contains code
        yield from _tokens(body["code"]) if body else [(token.token, text)]
