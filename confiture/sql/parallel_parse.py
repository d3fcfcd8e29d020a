"""Parsing in a child process, which then runs a task on the parse trees.

Parsing takes a fifth of the time that lint needs.
"""

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
"""The size, in bytes, of the integer before each tree: the tree's length, or 0 if the text does not parse."""


@contextmanager
def parse_in_child(texts: Sequence[str], use_trees: Callable[[Parse], _T]) -> Iterator[tuple[Parse, Callable[[], _T]]]:
    """Parse SQL in a child process, which then calls `use_trees`. Use only if `may_fork` allows it.

    Yield two functions. The first parses like `parse_sql`, and is faster if it is called for the given texts in the
    same order. The second waits for the result of `use_trees`, which must be picklable. If the child has failed, the
    second function calls `use_trees` in this process.
    """
    here = partial(use_trees, parse_sql)
    try:
        # a pipe would fill up quickly, and both processes would then take turns, tree by tree, on a single processor
        trees = TemporaryFile(buffering=0)  # noqa: SIM115 (closed below)
    except OSError:
        yield parse_sql, here
        return
    with trees, forked_child(lambda results: _run_child(texts, use_trees, trees, results)) as results:
        received = _ChildResults(texts, trees, results)
        yield received.parse_text, lambda: received.wait_for_result(here)


def _run_child(texts: Sequence[str], use_trees: Callable[[Parse], object], trees: BinaryIO, results: BinaryIO) -> None:
    """Write the length and the tree of each text, then the result of `use_trees`."""
    trees_by_text: dict[str, bytes] = {}
    for text in texts:
        tree = trees_by_text[text] = _parse_to_bytes(text)
        trees.write(tree)
        results.write(len(tree).to_bytes(_LENGTH_BYTES, "little"))
        results.flush()
    results.write(dump_result(partial(use_trees, partial(_tree_from_bytes, trees_by_text))))


def _parse_to_bytes(text: str) -> bytes:
    """Return the parse tree as serialized by libpg_query. `parse_sql` would first convert the tree into objects."""
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
    # SQL that does not parse raises its error here, in the process that handles the error
    return pb.ParseResult.FromString(tree) if tree else parse_sql(text)


class _ChildResults:
    """The results of the child process."""

    def __init__(self, texts: Sequence[str], trees: BinaryIO, results: BinaryIO) -> None:
        self._positions = {text: position for position, text in reversed([*enumerate(texts)])}
        self._count = len(texts)
        self._trees = trees
        self._results = results
        self._ends = [0]

    def parse_text(self, text: str) -> Any:
        """Return the parse tree from the child if available; otherwise parse in this process."""
        position = self._positions.get(text)
        if position is None or self._trees.closed:
            return parse_sql(text)
        while len(self._ends) <= position + 1:
            self._read_length()
        begin, end = self._ends[position : position + 2]
        return _tree_from_bytes({text: os.pread(self._trees.fileno(), end - begin, begin)}, text)

    def wait_for_result(self, compute_here: Callable[[], _T]) -> _T:
        """Return the child's result, or the result of `compute_here` if the child has failed."""
        while len(self._ends) <= self._count:
            self._read_length()
        return load_result(self._results, compute_here)

    def _read_length(self) -> None:
        """Read the length of the next tree: 0 if there are no more trees or the child has exited."""
        length = b"" if self._results.closed else self._results.read(_LENGTH_BYTES)
        is_complete = len(length) == _LENGTH_BYTES
        self._ends.append(self._ends[-1] + (int.from_bytes(length, "little") if is_complete else 0))
