"""Parse texts in a child process, which then runs a task on the trees: parsing takes a fifth of the time of lint."""

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
"""The size of the number that gives the length of a tree, 0 for a text that does not parse."""


@contextmanager
def parse_in_child(texts: Sequence[str], use_trees: Callable[[Parse], _T]) -> Iterator[tuple[Parse, Callable[[], _T]]]:
    """Parse texts in a child process, which then calls `use_trees`. Use it only if `may_fork` allows it.

    Yield a function that parses like `parse_sql`, faster for these texts if called in this order; and a function that
    waits for the result of `use_trees`, which must be picklable. If the child failed, the second function calls
    `use_trees` in this process.
    """
    here = partial(use_trees, parse_sql)
    try:
        # a pipe would soon be full: both processes would then alternate, tree by tree, on a single processor
        trees = TemporaryFile(buffering=0)  # noqa: SIM115 (closed below)
    except OSError:
        yield parse_sql, here
        return
    with trees, forked_child(lambda results: _run_child(texts, use_trees, trees, results)) as results:
        received = _ChildResults(texts, trees.fileno(), results)
        yield received.parse_text, lambda: received.wait_for_result(here)


def _run_child(texts: Sequence[str], use_trees: Callable[[Parse], object], trees: BinaryIO, results: BinaryIO) -> None:
    """Write the tree of each text and its length, then the result of `use_trees`."""
    trees_by_text: dict[str, bytes] = {}
    for text in texts:
        tree = trees_by_text[text] = _parse_to_bytes(text)
        trees.write(tree)
        results.write(len(tree).to_bytes(_LENGTH_BYTES, "little"))
        results.flush()
    results.write(dump_result(partial(use_trees, partial(_tree_from_bytes, trees_by_text))))


def _parse_to_bytes(text: str) -> bytes:
    """Return the tree of a text as serialized by libpg_query; `parse_sql` would convert it into objects first."""
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
    # a text that does not parse raises its error here, in the process that handles it
    return pb.ParseResult.FromString(tree) if tree else parse_sql(text)


class _ChildResults:
    """The results of the child process."""

    def __init__(self, texts: Sequence[str], trees: int, results: BinaryIO) -> None:
        self._positions = {text: position for position, text in reversed([*enumerate(texts)])}
        self._count = len(texts)
        self._trees = trees
        self._results = results
        self._trees_read = 0
        self._end = 0

    def parse_text(self, text: str) -> Any:
        """Return the tree of a text: from the child, or parsed here."""
        tree = b""
        # each tree is needed once: skipped trees are dropped
        while self._trees_read <= self._positions.get(text, -1):
            tree = self._read_tree()
        return _tree_from_bytes({text: tree}, text)

    def wait_for_result(self, compute_here: Callable[[], _T]) -> _T:
        """Return the result of the child, or of `compute_here` if it failed."""
        while self._trees_read < self._count:
            self._read_tree()
        return load_result(self._results, compute_here)

    def _read_tree(self) -> bytes:
        """Return the next tree, empty if there is none or the child has ended."""
        self._trees_read += 1
        length = b"" if self._results.closed else self._results.read(_LENGTH_BYTES)
        if len(length) < _LENGTH_BYTES:
            return b""
        begin, self._end = self._end, self._end + int.from_bytes(length, "little")
        return os.pread(self._trees, self._end - begin, begin)
