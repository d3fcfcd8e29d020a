"""Text from a file, and the position of each character in the file."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import field
from functools import lru_cache
from pathlib import Path

from confiture.errors import Diagnostic, Span
from confiture.models.records import record


@record(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """A file that was read. `path` is the path to display, relative to the project's root.

    `shown_text` is the text with passwords masked, of the same length; None if there are no passwords.
    """

    path: str
    text: str = field(repr=False)
    shown_text: str | None = field(default=None, repr=False, compare=False)

    def excerpt(self, line: int) -> str | None:
        """Return a line (counted from 1) without the line ending and passwords; None if there is no such line."""
        text = self.text if self.shown_text is None else self.shown_text
        return _line_text(text, line - 1).rstrip("\r") if 0 < line <= len(_line_starts(text)) else None

    def diagnostic(
        self, span: Span, code: str, message: str, *, detail: tuple[str, ...] = (), hint: str | None = None
    ) -> Diagnostic:
        """Return a diagnostic at a location in this file, with the line as its excerpt."""
        return Diagnostic(
            code=code, message=message, span=span, excerpt=self.excerpt(span.line), detail=detail, hint=hint
        )


@record(frozen=True, kw_only=True, slots=True)
class NamedFile:
    """A file that a migration names, with the text that runs. Paths are absolute.

    `folder` is the migration's own folder. `pin_name` is the path below it at which it contains a copy of the file, or
    will contain one; None if the file cannot be pinned. `current` is the file outside the folder; None if there is
    none. If the file does not exist at all, `file` is empty, `missing` is the error, and `other_pin_names` are further
    possible paths of its pin.
    """

    file: SourceFile
    folder: Path | None = None
    pin_name: str | None = None
    current: Path | None = None
    is_pinned: bool = False
    missing: Diagnostic | None = None
    other_pin_names: tuple[str, ...] = ()

    @property
    def pin(self) -> Path | None:
        """The path of the pin, whether or not it exists."""
        return self.folder / self.pin_name if self.folder is not None and self.pin_name is not None else None

    @property
    def stored_name(self) -> str:
        """The name under which the history stores the text: the path of the pin below the migration's folder."""
        return self.file.path if self.pin_name is None else self.pin_name


@record(frozen=True, kw_only=True, slots=True)
class LocatedSource:
    """A piece of text inside a file: a whole DDL file, or a scalar in a YAML file.

    `line` and `column` (from 1) are the position of the first character; `indent` is the number of columns in the file
    before each following line. If the YAML contains folded lines or escapes, `offsets` contains the file offset of each
    character (from 0).
    """

    text: str
    file: SourceFile
    line: int = 1
    column: int = 1
    indent: int = 0
    offsets: tuple[int, ...] = ()

    @property
    def start(self) -> Span:
        """The position at which the text begins."""
        return Span(path=self.file.path, line=self.line, column=self.column)

    def span_at(self, line: int, column: int) -> Span:
        """Return the file position for a position in this text; both arguments count from 0."""
        if self.offsets:
            return self._span_by_offsets(line, column)
        skipped = self.indent if line else self.column - 1
        return Span(path=self.file.path, line=self.line + line, column=skipped + column + 1)

    def _span_by_offsets(self, line: int, column: int) -> Span:
        index = sum(len(text) + 1 for text in self.text.split("\n")[:line]) + column
        offset = self.offsets[min(index, len(self.offsets) - 1)]
        before = self.file.text[:offset]
        return Span(path=self.file.path, line=before.count("\n") + 1, column=offset - before.rfind("\n"))


@record(frozen=True, kw_only=True, slots=True)
class RenderedSql:
    """The output of a template, with the template line that produced each part.

    `line_marks` are offsets into `text`, each with the template line (from 0) that produced the following text; None if
    line numbers are unchanged. `private_values` are the values produced from private variables.
    """

    text: str
    source: LocatedSource
    line_marks: tuple[tuple[int, int], ...] | None = None
    private_values: frozenset[str] = field(default=frozenset(), repr=False, compare=False)

    def span_at(self, offset: int) -> Span:
        """Return the file position of the character at `offset` (from 0) in the rendered text.

        On a line that rendering has changed, the text before and after the change is mapped exactly; the changed text
        is mapped to the start of the change.
        """
        line = bisect_right(_line_starts(self.text), offset) - 1
        begin = _line_starts(self.text)[line]
        mark, origin = (begin, line) if self.line_marks is None else self._find_mark(offset)
        # templates also treat a lone carriage return as a line ending
        origin = min(origin, len(_line_starts(self.source.text)) - 1)
        written = _line_text(self.source.text, origin)
        piece = self.text[max(mark, begin) : offset + 1]
        if piece and written.count(piece) == 1:
            return self.source.span_at(origin, written.index(piece) + len(piece) - 1)
        return self.source.span_at(origin, _map_column(written, _line_text(self.text, line), offset - begin))

    def _find_mark(self, offset: int) -> tuple[int, int]:
        marks = self.line_marks or ()
        position = bisect_right(marks, offset, key=lambda mark: mark[0])
        return marks[position - 1] if position else (0, 0)

    def diagnostic(
        self, offset: int, code: str, message: str, *, detail: tuple[str, ...] = (), hint: str | None = None
    ) -> Diagnostic:
        """Return a diagnostic for a character in the rendered text, with the position in the source file."""
        return self.source.file.diagnostic(self.span_at(offset), code, message, detail=detail, hint=hint)


@record(frozen=True, kw_only=True, slots=True)
class SourceLocation:
    """A character (from 0) in rendered text. The position in the file is computed on demand."""

    rendered: RenderedSql = field(repr=False)
    offset: int

    @property
    def span(self) -> Span:
        """The position in the file."""
        return self.rendered.span_at(self.offset)

    def excerpt(self) -> str | None:
        """Return the line in the file."""
        return self.rendered.source.file.excerpt(self.span.line)


def _map_column(written: str, rendered: str, column: int) -> int:
    """Return the column in a source line that corresponds to a column in the rendered line."""
    if written == rendered:
        return column
    prefix, suffix = _same_ends(written, rendered)
    if column < prefix:
        return column
    remaining = len(rendered) - column
    return len(written) - remaining if remaining <= suffix else prefix


@lru_cache(maxsize=16)  # a caller that needs one position in a long line needs many
def _same_ends(one: str, other: str) -> tuple[int, int]:
    """Return the length of the common prefix, and the length of the remaining common suffix."""
    prefix = _common_prefix_length(one, other)
    return prefix, _common_prefix_length(one[prefix:][::-1], other[prefix:][::-1])


def _common_prefix_length(text: str, other_text: str) -> int:
    pairs = enumerate(zip(text, other_text, strict=False))
    return next((index for index, (first, second) in pairs if first != second), min(len(text), len(other_text)))


@lru_cache(maxsize=16)  # shared by all diagnostics on a long line
def _line_text(text: str, number: int) -> str:
    starts = _line_starts(text)
    if number >= len(starts):
        return ""
    end = starts[number + 1] - 1 if number + 1 < len(starts) else len(text)
    return text[starts[number] : end]


@lru_cache(maxsize=4)
def _line_starts(text: str) -> list[int]:
    """Return the offset of each line. The result is cached, because a caller that needs one position needs many."""
    starts = [0]
    while start := text.find("\n", starts[-1]) + 1:
        starts.append(start)
    return starts
