"""Lookup of string literals in a Python file by the values that its code passes to calls."""

from __future__ import annotations

import ast
import re
from bisect import bisect_right
from io import StringIO
from itertools import accumulate
from token import STRING
from tokenize import TokenError, generate_tokens

from confiture.models.call_sites import CallSite
from confiture.models.source import LocatedSource, SourceFile

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_NodeRange = tuple[int, int, int | None, int | None]
"""The first line and column and the last line and column of a node, as in `ast`."""


class SourceLiterals:
    """The literals in a Python file, which must be valid Python."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        # split into Python's lines; unlike Python, editors do not treat a lone \r as a line ending
        self._lines = _LINE.findall(file.text)
        self._starts = [0, *accumulate(map(len, self._lines))]
        self._ends = [0, *(match.end() for match in re.finditer("\n", file.text))]
        self._tree = ast.parse(file.text)
        self._calls: dict[_NodeRange, ast.Call] = {}
        self._constants: dict[str, list[ast.Constant]] = {}
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call):
                self._calls.setdefault(_node_range(node), node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                self._constants.setdefault(node.value, []).append(node)

    def locate_argument(self, text: str, call: CallSite) -> LocatedSource:
        """Locate a string passed to a call: a literal among the arguments, or a unique literal elsewhere in the file.

        A computed string is located at the call.
        """
        start = self.offset(call.line, call.column)
        literal = self._find_argument(text, call)
        if literal is None:
            literals = self._constants.get(text, [])
            literal = literals[0] if len(literals) == 1 else None
        return self.locate_literal(text, literal) if literal is not None else self._locate(text, start)

    def locate_literal(self, text: str, node: ast.expr) -> LocatedSource:
        """Locate a string in the literal `node`; escapes are located at the string that contains them."""
        start = self.offset(node.lineno, node.col_offset)
        end = self.offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
        inside = self._file.text[start:end].find(text)
        if inside < 0:
            return self._locate(text, start, _string_offsets(self._file.text[start:end], text))
        line, column = self.line_and_column(start + inside)
        return LocatedSource(text=text, file=self._file, line=line, column=column)

    def find_attribute(self, class_name: str, name: str) -> ast.expr | None:
        """Return the value assigned to a name in a class body, if any."""
        return next((node.value for node in self._assignments(class_name) if _target_name(node) == name), None)

    def find_class(self, qualified_name: str) -> ast.ClassDef | None:
        """Return the class with a qualified name, if any: at the top of the file, or nested in other classes."""
        body: list[ast.stmt] = self._tree.body
        result: ast.ClassDef | None = None
        for name in qualified_name.split("."):
            classes = [node for node in body if isinstance(node, ast.ClassDef) and node.name == name]
            if not classes:
                return None
            result = classes[-1]
            body = result.body
        return result

    def lines(self, first: int, last: int) -> str:
        """Return the text of Python's lines `first` to `last` (1-based, inclusive)."""
        return "".join(self._lines[first - 1 : last])

    def offset(self, line: int, column: int) -> int:
        """Return the offset in the text of a line (from 1) and a column (from 0, in UTF-8 bytes)."""
        before = self._lines[line - 1].encode()[:column].decode("utf-8", "ignore")
        return self._starts[line - 1] + len(before)

    def line_and_column(self, offset: int) -> tuple[int, int]:
        """Return the line and the column (both from 1) at an offset."""
        line = bisect_right(self._ends, offset)
        return line, offset - self._ends[line - 1] + 1

    def _locate(self, text: str, start: int, offsets: tuple[int, ...] = (0,)) -> LocatedSource:
        """Locate a string at `start`; `offsets` are the offsets of its characters from `start`, if known."""
        line, column = self.line_and_column(start)
        places = tuple(start + offset for offset in offsets)
        return LocatedSource(text=text, file=self._file, line=line, column=column, offsets=places)

    def _find_argument(self, text: str, call: CallSite) -> ast.Constant | None:
        node = self._calls.get((call.line, call.column, call.end_line, call.end_column))
        children = ast.walk(node) if node is not None and text in self._constants else ()
        return next((child for child in children if isinstance(child, ast.Constant) and child.value == text), None)

    def _assignments(self, class_name: str) -> list[ast.Assign | ast.AnnAssign]:
        body = getattr(self.find_class(class_name), "body", [])
        return [node for node in body if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None]


def _string_offsets(written: str, text: str) -> tuple[int, ...]:
    """Return the offset of each character of `text` in the adjacent string literals that produce `text`.

    All characters of a literal with escapes have the offset of its beginning. Return `(0,)` if the literals do not
    produce `text`.
    """
    lines = [0, *accumulate(map(len, written.splitlines(keepends=True)))]
    offsets: list[int] = []
    try:
        tokens = [*generate_tokens(StringIO(f"({written})").readline)]
    except (TokenError, SyntaxError):
        return (0,)
    for token in tokens:
        if token.type != STRING:
            continue
        row, column = token.start
        begin = lines[row - 1] + column - (row == 1)
        piece = ast.literal_eval(token.string)
        inside = token.string.find(piece) if isinstance(piece, str) else -1
        offsets += range(begin + inside, begin + inside + len(piece)) if inside >= 0 else [begin] * len(piece)
    return tuple(offsets) if len(offsets) == len(text) else (0,)


def _target_name(node: ast.Assign | ast.AnnAssign) -> str | None:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return target.id if isinstance(target, ast.Name) else None


def _node_range(node: ast.expr) -> _NodeRange:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset
