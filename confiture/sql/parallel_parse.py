"""Another process parses texts while this one works on, and then does more: parsing is a fifth of what lint does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ctypes import string_at
from functools import partial
from tempfile import TemporaryFile
from typing import Any, BinaryIO, TypeVar

from google.protobuf.message import DecodeError

from confiture.sql.parse_tree import Parse
from confiture.sql.parser import check_depth, lib, parse_sql, pb
from confiture.subprocesses import dump_result, forked_child, load_result

_T = TypeVar("_T")
_LENGTH_BYTES = 8
"""Bytes of the number that says how long a tree is, 0 for a text that does not parse."""


@contextmanager
def parse_in_child(texts: Sequence[str], use_trees: Callable[[Parse], _T]) -> Iterator[tuple[Parse, Callable[[], _T]]]:
    """Has another process parse texts, and do then what is given what parses. Only where `may_fork` says so.

    Gives what parses as `parse_sql` does: these texts sooner, where it is asked for them in this order. And the
    function that waits for what `use_trees` returns, which must be picklable; it does that here where the process
    failed.
    """
    here = partial(use_trees, parse_sql)
    try:
        # through a pipe, which is soon full, both would take turns, a tree at a time, and on one processor
        trees = TemporaryFile(buffering=0)  # noqa: SIM115 (closed below)
    except OSError:
        yield parse_sql, here
        return
    with trees, forked_child(lambda results: _run_child(texts, use_trees, trees, results)) as results:
        received = _ChildResults(texts, trees.fileno(), results)
        yield received.parse_text, lambda: received.wait_for_result(here)


def _run_child(texts: Sequence[str], use_trees: Callable[[Parse], object], trees: BinaryIO, results: BinaryIO) -> None:
    """Writes the tree of each text, says each time how long it is, and writes what is made then."""
    made: dict[str, bytes] = {}
    for text in texts:
        tree = made[text] = _parse_to_bytes(text)
        trees.write(tree)
        results.write(len(tree).to_bytes(_LENGTH_BYTES, "little"))
        results.flush()
    results.write(dump_result(partial(use_trees, partial(_tree_from_bytes, made))))


def _parse_to_bytes(text: str) -> bytes:
    """The tree of a text as libpg_query gives it; `parse_sql` would make objects of it first."""
    try:
        check_depth(text)
    except DecodeError:
        return b""
    result = lib.pg_query_parse_protobuf(text.encode())
    try:
        return b"" if result.error else string_at(result.parse_tree.data, result.parse_tree.len)
    finally:
        lib.pg_query_free_protobuf_parse_result(result)


def _tree_from_bytes(trees_by_text: Mapping[str, bytes], text: str) -> Any:
    tree = trees_by_text.get(text)
    # what does not parse raises its error here, where somebody waits for it
    return pb.ParseResult.FromString(tree) if tree else parse_sql(text)


class _ChildResults:
    """What the other process makes."""

    def __init__(self, texts: Sequence[str], trees: int, results: BinaryIO) -> None:
        self._positions = {text: place for place, text in reversed([*enumerate(texts)])}
        self._count = len(texts)
        self._trees = trees
        self._results = results
        self._trees_read = 0
        self._end = 0

    def parse_text(self, text: str) -> Any:
        """The tree of a text: the one that was made, or one made now."""
        tree = b""
        # nobody asks twice for the same tree: those before it are let go
        while self._trees_read <= self._positions.get(text, -1):
            tree = self._read_tree()
        return _tree_from_bytes({text: tree}, text)

    def wait_for_result(self, compute_here: Callable[[], _T]) -> _T:
        """What was made of all texts, or what is made `compute_here`."""
        while self._trees_read < self._count:
            self._read_tree()
        return load_result(self._results, compute_here)

    def _read_tree(self) -> bytes:
        """The next tree, empty where there is none, or nobody makes them any more."""
        self._trees_read += 1
        length = b"" if self._results.closed else self._results.read(_LENGTH_BYTES)
        if len(length) < _LENGTH_BYTES:
            return b""
        begin, self._end = self._end, self._end + int.from_bytes(length, "little")
        return os.pread(self._trees, self._end - begin, begin)
