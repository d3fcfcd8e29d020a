"""PostgreSQL's parser from postgast: `postgast` itself, and `pb`, the message types in parse trees.

All other modules import both from this module. The stubs for the message types are not valid Python, because PostgreSQL
has a field named `def`, and type checkers stop at them. For type checkers, everything in this module is therefore Any.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

if TYPE_CHECKING:
    check_error: Any
    lib: Any
    pb: Any
    postgast: Any
else:
    import postgast
    from postgast import pg_query_pb2 as pb
    from postgast.errors import check_error
    from postgast.native import lib

__all__ = ["check_depth", "check_error", "lib", "parse_sql", "pb", "postgast", "scan_tokens"]

_MAX_LINKS = 5_000
"""The maximum length of a chain such as `1 + 1 + 1`.

The parser recurses for each link and crashes at about ten thousand.
"""
_CHAIN_SIGNS = ("+", "-", "*", "/", "|", "<", ">", "=", "@", "#", "~", "%", "^", "&", "!", "?", "::")
_MOST_COMMENTS = 500
"""The maximum nesting depth of comments."""
_OPENING = re.compile(
    r"""(?<!\w)[eE]'(?:[^'\\]|\\.|'')*+'|'[^']*+'|"[^"]*+"|--[^\n]*+|(?<![\w$])\$(?:[^\W\d]\w*)?\$|/\*""", re.DOTALL
)
"""Tokens that can contain comment markers or begin a comment."""
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_CHAIN_WORDS = ("is", "isnull", "notnull", "join", "union", "intersect", "except", "collate", "at")


def parse_sql(sql: str) -> Any:
    """Return the parse tree of SQL text. Raise postgast.PgQueryError or DecodeError if the text does not parse."""
    check_depth(sql)
    return postgast.parse(sql)


def scan_tokens(sql: str) -> Any:
    """Return the tokens in SQL text. Raise postgast.PgQueryError if the text cannot be scanned."""
    if _has_deep_comment(sql):
        raise postgast.PgQueryError("comments are nested too deeply")
    return postgast.scan(sql).tokens


def check_depth(sql: str) -> None:
    """Raise DecodeError if a chain is too long to parse or a comment is nested too deeply."""
    if _has_deep_comment(sql):
        raise DecodeError
    if len(sql) <= 2 * _MAX_LINKS or _max_links(sql) <= _MAX_LINKS:
        return
    try:
        tokens = scan_tokens(sql)
    except postgast.PgQueryError:
        return  # the parser reports the error
    if _longest_chain([token.token for token in tokens]) > _MAX_LINKS:
        raise DecodeError


def _has_deep_comment(sql: str) -> bool:
    """Whether comments are nested too deeply for the scanner. Its run time grows with the square of the depth."""
    if sql.count("/*") <= _MOST_COMMENTS:
        return False
    position = 0
    while opening := _OPENING.search(sql, position):
        position = opening.end()
        if opening[0] == "/*":
            depth = 1
            for edge in _COMMENT_EDGE.finditer(sql, position):
                depth += 1 if edge[0] == "/*" else -1
                if not 0 < depth <= _MOST_COMMENTS:
                    position = edge.end()
                    break
            if depth:  # the comment is too deep, or does not end
                return depth > _MOST_COMMENTS
        elif opening[0].startswith("$"):
            position = sql.find(opening[0], position) + len(opening[0])
            if position < len(opening[0]):
                return False  # it does not end
    return False


def _max_links(sql: str) -> int:
    lowered = sql.lower()
    return sum(map(lowered.count, (*_CHAIN_SIGNS, *_CHAIN_WORDS)))


def _longest_chain(kinds: list[int]) -> int:
    """Return the length of the longest chain of operators in an expression part, or of joins and set operations in a
    query.
    """
    roles = _token_kinds()
    longest, outer = 0, list[tuple[int, int]]()
    operators = queries = 0
    for kind in kinds:
        match roles.get(kind):
            case "operator":
                operators += 1
                longest = max(longest, operators)
            case "query":
                queries += 1
                longest = max(longest, queries)
            case "end":
                operators = 0
            case "statement":
                operators = queries = 0
                outer.clear()
            case "open":
                outer.append((operators, queries))
                operators = queries = 0
            case "close":
                operators, queries = outer.pop() if outer else (0, 0)
    return longest


@cache
def _token_kinds() -> Mapping[int, str]:
    """Return the roles of the tokens that are relevant for chains."""
    signs = [f"ASCII_{ord(sign)}" for sign in "+-*/<>=%^"]
    words = ("IS", "ISNULL", "NOTNULL", "COLLATE", "AT", "TYPECAST")
    tokens = {
        "operator": (*signs, *words, "Op", "NOT_EQUALS", "LESS_EQUALS", "GREATER_EQUALS", "RIGHT_ARROW"),
        "query": ("JOIN", "UNION", "INTERSECT", "EXCEPT"),
        "end": ("ASCII_44", "AND", "OR", "WHEN", "THEN", "ELSE", "ON"),
        "statement": ("ASCII_59",),
        "open": ("ASCII_40", "ASCII_91"),
        "close": ("ASCII_41", "ASCII_93"),
    }
    numbers = dict(pb.Token.items())
    return {numbers[name]: role for role, names in tokens.items() for name in names if name in numbers}
