"""Text that stands in a file, and where in that file each character of it stands."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import field
from functools import lru_cache

from confiture.errors import Diagnostic, Span
from confiture.models.records import record


@record(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """A file that was read. `path` is how people are shown it: relative to the project's root.

    `shown_text` is as long as the text, without its passwords; None if it has none.
    """

    path: str
    text: str = field(repr=False)
    shown_text: str | None = field(default=None, repr=False, compare=False)

    def excerpt(self, line: int) -> str | None:
        """The line (counted from 1) without its end and its passwords, or None where the file has no such line."""
        text = self.text if self.shown_text is None else self.shown_text
        return _line_text(text, line - 1).rstrip("\r") if 0 < line <= len(_line_starts(text)) else None

    def diagnostic(
        self, span: Span, code: str, message: str, *, detail: tuple[str, ...] = (), hint: str | None = None
    ) -> Diagnostic:
        """A diagnostic at a place in this file, with the line that stands there."""
        return Diagnostic(
            code=code, message=message, span=span, excerpt=self.excerpt(span.line), detail=detail, hint=hint
        )


@record(frozen=True, kw_only=True, slots=True)
class LocatedSource:
    """A piece of text inside a file: a whole DDL file, or a scalar in a YAML file.

    `line` and `column` (from 1) are where its first character stands; `indent` is how many columns of the file
    precede each following line. Where YAML folded lines or read escapes, `offsets` says of each character where it
    stands in the file (from 0).
    """

    text: str
    file: SourceFile
    line: int = 1
    column: int = 1
    indent: int = 0
    offsets: tuple[int, ...] = ()

    @property
    def start(self) -> Span:
        """Where the text begins."""
        return Span(path=self.file.path, line=self.line, column=self.column)

    def span_at(self, line: int, column: int) -> Span:
        """The place in the file of a place in this text; both arguments count from 0."""
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
    """What a template became, and which line of the template made which part of it.

    `line_marks` are offsets into `text`, each with the template's line (from 0) that made what follows; None where line
    n came from line n. `private_values` are what the template made of private variables.
    """

    text: str
    source: LocatedSource
    line_marks: tuple[tuple[int, int], ...] | None = None
    private_values: frozenset[str] = field(default=frozenset(), repr=False, compare=False)

    def span_at(self, offset: int) -> Span:
        """The place in the file of the character at `offset` (from 0) of the rendered text.

        On a line that the template changed, what stands before and behind the change corresponds; where it begins
        stands for the change itself.
        """
        line = bisect_right(_line_starts(self.text), offset) - 1
        begin = _line_starts(self.text)[line]
        mark, origin = (begin, line) if self.line_marks is None else self._find_mark(offset)
        # templates also end lines at a lone carriage return
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
        """A diagnostic at a character of the rendered text, placed in the file it came from."""
        return self.source.file.diagnostic(self.span_at(offset), code, message, detail=detail, hint=hint)


@record(frozen=True, kw_only=True, slots=True)
class SourceLocation:
    """A character (from 0) of a rendered text. Where that stands in its file is worked out when somebody asks."""

    rendered: RenderedSql = field(repr=False)
    offset: int

    @property
    def span(self) -> Span:
        """The place in the file."""
        return self.rendered.span_at(self.offset)

    def excerpt(self) -> str | None:
        """The line of the file."""
        return self.rendered.source.file.excerpt(self.span.line)


def _map_column(written: str, rendered: str, column: int) -> int:
    """The column of a written line that a column of its rendered form comes from."""
    if written == rendered:
        return column
    same, same_behind = _same_ends(written, rendered)
    if column < same:
        return column
    behind = len(rendered) - column
    return len(written) - behind if behind <= same_behind else same


@lru_cache(maxsize=16)  # whoever asks for one place of a long line asks for many
def _same_ends(one: str, other: str) -> tuple[int, int]:
    """How many characters are the same at the beginning, and of the rest at the end."""
    same = _common_prefix_length(one, other)
    return same, _common_prefix_length(one[same:][::-1], other[same:][::-1])


def _common_prefix_length(text: str, other_text: str) -> int:
    pairs = enumerate(zip(text, other_text, strict=False))
    return next((place for place, (first, second) in pairs if first != second), min(len(text), len(other_text)))


@lru_cache(maxsize=16)  # the diagnostics of a long line share it
def _line_text(text: str, number: int) -> str:
    starts = _line_starts(text)
    if number >= len(starts):
        return ""
    end = starts[number + 1] - 1 if number + 1 < len(starts) else len(text)
    return text[starts[number] : end]


@lru_cache(maxsize=4)
def _line_starts(text: str) -> list[int]:
    """Where each line of a text begins. Whoever asks for one place of a text asks for many."""
    starts = [0]
    while found := text.find("\n", starts[-1]) + 1:
        starts.append(found)
    return starts
