"""Finds where in a Python file a text is written that its code passed on."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from confiture.models.calls import Call
from confiture.models.source import SourceFile, SourceText


class Literals:
    """The literals of a Python file, whose text is valid Python."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        self._lines = file.text.split("\n")
        starts = [0]
        for line in self._lines:
            starts.append(starts[-1] + len(line) + 1)
        self._starts = starts
        self._tree = ast.parse(file.text)

    def placed(self, text: str, call: Call) -> SourceText:
        """A text that a call was given, where it is written: among its arguments, or once elsewhere in the file.

        Text that the code puts together is placed at the call.
        """
        start = self.offset(call.line, call.column)
        found = next(self._constants(self._call(call), text), None)
        if found is None:
            elsewhere = list(self._constants(self._tree, text))
            found = elsewhere[0] if len(elsewhere) == 1 else None
        return self.written(text, found) if found is not None else self._at(text, start)

    def written(self, text: str, node: ast.expr) -> SourceText:
        """A text as the literal `node` writes it; at its beginning, where escapes or pieces make it."""
        start = self.offset(node.lineno, node.col_offset)
        end = self.offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
        inside = self._file.text[start:end].find(text)
        if inside < 0:
            return self._at(text, start)
        line, column = self.place(start + inside)
        return SourceText(text=text, file=self._file, line=line, column=column)

    def attribute(self, class_name: str, name: str) -> ast.expr | None:
        """The value that the body of a class gives to a name."""
        return next((node.value for node in self._assignments(class_name) if _target(node) == name), None)

    def class_node(self, qualified_name: str) -> ast.ClassDef | None:
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

    def offset(self, line: int, column: int) -> int:
        """Where in the text a line (from 1) and a column (from 0, in bytes of UTF-8) are."""
        before = self._lines[line - 1].encode()[:column].decode("utf-8", "ignore")
        return self._starts[line - 1] + len(before)

    def place(self, offset: int) -> tuple[int, int]:
        """The line and the column, both from 1, of a character."""
        before = self._file.text[:offset]
        return before.count("\n") + 1, offset - before.rfind("\n")

    def _at(self, text: str, start: int) -> SourceText:
        line, column = self.place(start)
        return SourceText(text=text, file=self._file, line=line, column=column, offsets=(start,))

    def _call(self, call: Call) -> ast.AST:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call) and _span(node) == (call.line, call.column, call.end_line, call.end_column):
                return node
        return ast.Module(body=[], type_ignores=[])

    def _constants(self, node: ast.AST, text: str) -> Iterator[ast.Constant]:
        return (one for one in ast.walk(node) if isinstance(one, ast.Constant) and one.value == text)

    def _assignments(self, class_name: str) -> list[ast.Assign | ast.AnnAssign]:
        body = getattr(self.class_node(class_name), "body", [])
        return [node for node in body if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None]


def _target(node: ast.Assign | ast.AnnAssign) -> str | None:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return target.id if isinstance(target, ast.Name) else None


def _span(node: ast.expr) -> tuple[int, int, int | None, int | None]:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset
