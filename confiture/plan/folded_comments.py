"""Detection of SQL comments that include code because YAML folds the lines below a `--` comment into it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from confiture.errors import Diagnostic
from confiture.models.source import LocatedSource
from confiture.sql.tokens import line_comments, quoted_texts

FOLDED_COMMENT = "folded-comment"
_TEMPLATE_CODE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_LANGUAGE = re.compile(r"\blanguage\s+['\"]?(\w+)", re.IGNORECASE)
_LANGUAGES = frozenset({"sql", "plpgsql"})
_DOLLAR_TAG = re.compile(r"\$\w*\$")
_BEFORE_BODY = re.compile(r"\b(?:as|do|language\s+['\"]?\w+['\"]?)\s*\Z", re.IGNORECASE)
_HINT = "write the SQL as a literal block (`|`), or the comment as /* ... */"


def find_folded_comments(source: LocatedSource) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each `--` comment that includes text from later lines in the file.

    Only text that the file format joins into one line can contain such a comment: a folded block (`>`), a plain or
    quoted YAML scalar over several lines, or adjacent Python string literals.
    """
    if len(source.offsets) < len(source.text) or "--" not in source.text:
        return
    for start, end in _line_comments(source.text):
        comment = source.text[start:end].rstrip()
        last = start + len(comment) - 1
        swallowed = source.file.text.count("\n", source.offsets[start], source.offsets[last] + 1)
        if swallowed:
            span = source.span_at(*_line_and_column(source.text, start))
            lines = "line" if swallowed == 1 else f"{swallowed} lines"
            message = f"this comment includes the {lines} below it, because the file joins them into one line of SQL"
            yield source.file.diagnostic(span, FOLDED_COMMENT, message, hint=_HINT)


def _line_comments(template: str) -> Iterator[tuple[int, int]]:
    """Return the `--` comments in a template as pairs of start and end. Code in braces counts as blank."""
    text = _TEMPLATE_CODE.sub(lambda code: " " * len(code[0]), template)
    yield from line_comments(text)
    for start, end in _code_bodies(text):
        yield from ((start + first, start + last) for first, last in line_comments(text[start:end]))


def _code_bodies(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the dollar-quoted bodies of functions and DO blocks start and end, if all are SQL or PL/pgSQL."""
    if any(language.lower() not in _LANGUAGES for language in _LANGUAGE.findall(text)):
        return
    for start, end in quoted_texts(text):
        tag = _DOLLAR_TAG.match(text, start, end)
        if tag and _BEFORE_BODY.search(text, 0, start):
            yield tag.end(), end - len(tag[0])


def _line_and_column(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index), index - text.rfind("\n", 0, index) - 1
