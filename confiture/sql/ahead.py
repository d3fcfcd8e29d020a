"""Parses texts in a process of their own while this one works on: parsing is a fifth of what lint does."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import postgast
from google.protobuf.message import DecodeError
from postgast import pg_query_pb2 as pb

from confiture.sql.tree import Parse

_WORTH_IT = 200_000
"""Characters of text whose parsing takes some five times as long as starting a process."""
_LENGTH = 8


@contextmanager
def parsed_ahead(texts: Sequence[str], parse: Parse) -> Iterator[Parse]:
    """Gives what parses like `parse`, faster where it is asked for these texts in this order.

    Another process is started where that pays and is safe: there is much to parse, a processor for it, and no other
    thread that might hold a lock.
    """
    if sum(map(len, texts)) < _WORTH_IT or not _may_fork():
        yield parse
        return
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _send(texts, writer)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as results:
            yield _Received(texts, results, parse).parse
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
    """What the other process made of the texts, in their order."""

    def __init__(self, texts: Sequence[str], results: BinaryIO, parse: Parse) -> None:
        self._places = {id(text): place for place, text in enumerate(texts)}
        self._next = 0
        self._results = results
        self._parse = parse

    def parse(self, text: str) -> Any:
        """The tree of a text: the one that was made, or one made now."""
        place = self._places.get(id(text), -1)
        if place < self._next:
            return self._parse(text)
        for _ in range(self._next, place):
            self._read()
        self._next = place + 1
        tree = self._read()
        # what does not parse raises its error here, where somebody waits for it
        return pb.ParseResult.FromString(tree) if tree else self._parse(text)

    def _read(self) -> bytes:
        """The next tree, empty where there is none, or the other process ended."""
        length = int.from_bytes(self._results.read(_LENGTH), "little")
        tree = self._results.read(length)
        return tree if len(tree) == length else b""
