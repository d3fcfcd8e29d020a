"""Word positions in a statement, for constructs that have no location in the parse tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from confiture.models.source import SourceLocation
from confiture.sql.parse_tree import ParsedStatement, pb
from confiture.sql.parser import postgast, scan_tokens


class Token(NamedTuple):
    """A word or sign. `start` and `end` are character positions in the rendered text, from 0."""

    kind: str
    """PostgreSQL's name for the token: `INDEX`, `NULL_P`, `IDENT`, `ASCII_44` for a comma."""
    start: int
    end: int


_LINE_COMMENT = "SQL_COMMENT"
_QUOTED = ("SCONST", "USCONST", "IDENT", "UIDENT")
_COMMENTS = frozenset({_LINE_COMMENT, "C_COMMENT"})
_DEPTH_CHANGES = {"ASCII_40": 1, "ASCII_41": -1, "ASCII_91": 1, "ASCII_93": -1}
_COMMA, _DOT, _STAR = "ASCII_44", "ASCII_46", "ASCII_42"


def statement_tokens(statement: ParsedStatement) -> tuple[Token, ...]:
    """Return the tokens in a statement, in order, without comments."""
    text, offset = statement.text, statement.offset
    encoded = text.encode()

    def character(position: int) -> int:
        return offset + (position if text.isascii() else len(encoded[:position].decode()))

    tokens = ((pb.Token.Name(one.token), one.start, one.end) for one in scan_tokens(text))
    return tuple(Token(kind, character(start), character(end)) for kind, start, end in tokens if kind not in _COMMENTS)


def line_comments(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end (characters, from 0) of each `--` comment; nothing if the text cannot be scanned."""
    return _find_tokens(text, (_LINE_COMMENT,))


def quoted_texts(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end (characters, from 0) of each string literal and quoted name."""
    return _find_tokens(text, _QUOTED)


def _find_tokens(text: str, kinds: Sequence[str]) -> Iterator[tuple[int, int]]:
    encoded = text.encode()
    numbers = [pb.Token.Value(kind) for kind in kinds]  # a brace is a token without a name
    try:
        tokens = scan_tokens(text)
    except postgast.PgQueryError:
        return
    for token in tokens:
        if token.token in numbers:
            yield len(encoded[: token.start].decode()), len(encoded[: token.end].decode())


def command_offsets(statement: ParsedStatement) -> tuple[SourceLocation, ...]:
    """Return where each command in an ALTER TABLE (or INDEX, VIEW, ...) begins, in order."""
    words = statement_tokens(statement)
    name = statement.location_at(statement.node.relation.location).offset
    start = next(number for number, word in enumerate(words) if word.start == name) + 1
    while words[start].kind == _DOT:
        start += 2
    if words[start].kind == _STAR:
        start += 1
    starts = [words[start], *_words_after_commas(words[start:])]
    return tuple(SourceLocation(rendered=statement.rendered, offset=word.start) for word in starts)


def _words_after_commas(words: Sequence[Token]) -> list[Token]:
    """Return the words that follow commas outside parentheses."""
    words_after = []
    depth = 0
    for word, following in pairwise(words):
        depth += _DEPTH_CHANGES.get(word.kind, 0)
        if word.kind == _COMMA and depth == 0:
            words_after.append(following)
    return words_after
