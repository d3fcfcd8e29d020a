"""Parses texts in a process of its own while this one works on: parsing is a fifth of what lint does."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from google.protobuf.message import DecodeError

from confiture.sql.grammar import pb, postgast
from confiture.sql.tree import Parse

_WORTH_IT = 200_000
"""Characters of text whose parsing takes some five times as long as starting a process."""
_LENGTH = 8


@contextmanager
def parsed_ahead(texts: Sequence[str]) -> Iterator[Parse]:
    """Gives what parses as `postgast.parse` does; these texts sooner, where it is asked for them in this order first.

    Another process is started where that pays and is safe: there is much to parse, a processor for it, and no other
    thread that might hold a lock.
    """
    if sum(map(len, texts)) < _WORTH_IT or not _may_fork():
        yield postgast.parse
        return
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _send(texts, writer)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as results:
            yield _Received(texts, results).parse
    finally:
        os.waitpid(child, 0)


def _may_fork() -> bool:
    if sys.platform != "linux":
        return False
    return len(os.sched_getaffinity(0)) > 1 and threading.active_count() == 1


def _send(texts: Sequence[str], writer: int) -> None:
    """Writes the tree of each text behind its length, 0 for one that does not parse. Ends this process."""
    try:
        with os.fdopen(writer, "wb") as results:
            for text in texts:
                tree = _serialized(text)
                results.write(len(tree).to_bytes(_LENGTH, "little") + tree)
    finally:
        # whatever happened: what else this process would do at its end is its parent's
        os._exit(0)


def _serialized(text: str) -> bytes:
    try:
        return bytes(postgast.parse(text).SerializeToString())
    except (postgast.PgQueryError, DecodeError):
        return b""


class _Received:
    """What the other process made of the texts. Trees are kept as bytes, which take little room."""

    def __init__(self, texts: Sequence[str], results: BinaryIO) -> None:
        self._places = {text: place for place, text in reversed([*enumerate(texts)])}
        self._results = results
        self._trees: list[bytes] = []

    def parse(self, text: str) -> Any:
        """The tree of a text: the one that was made, or one made now."""
        place = self._places.get(text)
        if place is None:
            return postgast.parse(text)
        while len(self._trees) <= place:
            self._trees.append(self._next())
        tree = self._trees[place]
        # what does not parse raises its error here, where somebody waits for it
        return pb.ParseResult.FromString(tree) if tree else postgast.parse(text)

    def _next(self) -> bytes:
        """The next tree, empty where there is none, or nobody makes them any more."""
        if self._results.closed:
            return b""
        length = int.from_bytes(self._results.read(_LENGTH), "little")
        tree = self._results.read(length)
        return tree if len(tree) == length else b""
