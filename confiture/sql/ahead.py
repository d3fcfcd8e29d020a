"""Parses texts in a process of its own while this one works on: parsing is a fifth of what lint does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes import string_at
from typing import Any, BinaryIO

from confiture.processes import forked
from confiture.sql.grammar import lib, pb, postgast
from confiture.sql.tree import Parse

_LENGTH = 8
"""Bytes of the number before each tree that says how long it is."""


@contextmanager
def parsed_ahead(texts: Sequence[str]) -> Iterator[Parse]:
    """Gives what parses as `postgast.parse` does; these texts sooner, where it is asked for them in this order."""
    with forked(lambda results: _send(texts, results)) as results:
        yield _Received(texts, results).parse


def _send(texts: Sequence[str], results: BinaryIO) -> None:
    """Writes the tree of each text behind its length, 0 for one that does not parse."""
    for text in texts:
        tree = _serialized(text)
        results.write(len(tree).to_bytes(_LENGTH, "little") + tree)


def _serialized(text: str) -> bytes:
    """The tree of a text as libpg_query gives it; `postgast.parse` would make objects of it first."""
    result = lib.pg_query_parse_protobuf(text.encode())
    try:
        return b"" if result.error else string_at(result.parse_tree.data, result.parse_tree.len)
    finally:
        lib.pg_query_free_protobuf_parse_result(result)


class _Received:
    """What the other process makes of the texts."""

    def __init__(self, texts: Sequence[str], results: BinaryIO) -> None:
        self._places = {text: place for place, text in reversed([*enumerate(texts)])}
        self._results = results
        self._read = 0

    def parse(self, text: str) -> Any:
        """The tree of a text: the one that was made, or one made now."""
        tree = b""
        # nobody asks twice for the same tree: those before it are let go
        while self._read <= self._places.get(text, -1):
            tree = self._next()
        # what does not parse raises its error here, where somebody waits for it
        return pb.ParseResult.FromString(tree) if tree else postgast.parse(text)

    def _next(self) -> bytes:
        """The next tree, empty where there is none, or nobody makes them any more."""
        self._read += 1
        if self._results.closed:
            return b""
        length = int.from_bytes(self._results.read(_LENGTH), "little")
        tree = self._results.read(length)
        return tree if len(tree) == length else b""
