"""Finds where in a Python file a text is written that its code passed on."""

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
"""The line and the column where something begins, and those where it ends, as Python counts them."""


class SourceLiterals:
    """The literals of a Python file, whose text is valid Python."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        # as Python counts lines; editors do not take a lone \r for an end
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
        """A text that a call was given, where it is written: among its arguments, or once elsewhere in the file.

        Text that the code puts together is placed at the call.
        """
        start = self.offset(call.line, call.column)
        found = self._find_argument(text, call)
        if found is None:
            elsewhere = self._constants.get(text, [])
            found = elsewhere[0] if len(elsewhere) == 1 else None
        return self.locate_literal(text, found) if found is not None else self._locate(text, start)

    def locate_literal(self, text: str, node: ast.expr) -> LocatedSource:
        """Locate a text in the literal `node`; escapes are located at the string that contains them."""
        start = self.offset(node.lineno, node.col_offset)
        end = self.offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
        inside = self._file.text[start:end].find(text)
        if inside < 0:
            return self._locate(text, start, _string_offsets(self._file.text[start:end], text))
        line, column = self.line_and_column(start + inside)
        return LocatedSource(text=text, file=self._file, line=line, column=column)

    def find_attribute(self, class_name: str, name: str) -> ast.expr | None:
        """The value that the body of a class gives to a name."""
        return next((node.value for node in self._assignments(class_name) if _target_name(node) == name), None)

    def find_class(self, qualified_name: str) -> ast.ClassDef | None:
        """The class at the top of the file, or within classes there."""
        body: list[ast.stmt] = self._tree.body
        found: ast.ClassDef | None = None
        for name in qualified_name.split("."):
            classes = [node for node in body if isinstance(node, ast.ClassDef) and node.name == name]
            if not classes:
                return None
            found = classes[-1]
            body = found.body
        return found

    def lines(self, first: int, last: int) -> str:
        """The text from one line to another, both from 1 and whole, as Python counts them."""
        return "".join(self._lines[first - 1 : last])

    def offset(self, line: int, column: int) -> int:
        """Where in the text a line (from 1) and a column (from 0, in bytes of UTF-8) are."""
        before = self._lines[line - 1].encode()[:column].decode("utf-8", "ignore")
        return self._starts[line - 1] + len(before)

    def line_and_column(self, offset: int) -> tuple[int, int]:
        """The line and the column, both from 1, of a character."""
        line = bisect_right(self._ends, offset)
        return line, offset - self._ends[line - 1] + 1

    def _locate(self, text: str, start: int, offsets: tuple[int, ...] = (0,)) -> LocatedSource:
        """Locate a text at `start`; `offsets` are those of its characters from there, if they are known."""
        line, column = self.line_and_column(start)
        places = tuple(start + offset for offset in offsets)
        return LocatedSource(text=text, file=self._file, line=line, column=column, offsets=places)

    def _find_argument(self, text: str, call: CallSite) -> ast.Constant | None:
        node = self._calls.get((call.line, call.column, call.end_line, call.end_column))
        inside = ast.walk(node) if node is not None and text in self._constants else ()
        return next((one for one in inside if isinstance(one, ast.Constant) and one.value == text), None)

    def _assignments(self, class_name: str) -> list[ast.Assign | ast.AnnAssign]:
        body = getattr(self.find_class(class_name), "body", [])
        return [node for node in body if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None]


def _string_offsets(written: str, text: str) -> tuple[int, ...]:
    """The offset of each character of `text` in the adjacent string literals that make it.

    A literal with escapes counts as one place, its beginning. `(0,)` if the literals do not make the text.
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
