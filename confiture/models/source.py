"""Text that stands in a file, and where in that file each character of it stands."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import field
from functools import lru_cache

from confiture.errors import Diagnostic, Span
from confiture.models.values import value


@value(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """A file that was read. `path` is how people are shown it: relative to the project's root."""

    path: str
    text: str = field(repr=False)

    def excerpt(self, line: int) -> str | None:
        """The line (counted from 1) without its end, or None where the file has no such line."""
        return _line(self.text, line - 1).rstrip("\r") if 0 < line <= len(_line_starts(self.text)) else None

    def diagnostic(
        self, span: Span, code: str, message: str, *, detail: tuple[str, ...] = (), hint: str | None = None
    ) -> Diagnostic:
        """A diagnostic at a place in this file, with the line that stands there."""
        return Diagnostic(
            code=code, message=message, span=span, excerpt=self.excerpt(span.line), detail=detail, hint=hint
        )


@value(frozen=True, kw_only=True, slots=True)
class SourceText:
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

    def at(self, line: int, column: int) -> Span:
        """The place in the file of a place in this text; both arguments count from 0."""
        if self.offsets:
            return self._placed(line, column)
        skipped = self.indent if line else self.column - 1
        return Span(path=self.file.path, line=self.line + line, column=skipped + column + 1)

    def _placed(self, line: int, column: int) -> Span:
        index = sum(len(text) + 1 for text in self.text.split("\n")[:line]) + column
        offset = self.offsets[min(index, len(self.offsets) - 1)]
        before = self.file.text[:offset]
        return Span(path=self.file.path, line=before.count("\n") + 1, column=offset - before.rfind("\n"))


@value(frozen=True, kw_only=True, slots=True)
class Rendered:
    """What a template became, and which line of the template made which part of it.

    `marks` are offsets into `text`, each with the template's line (from 0) that made what follows; None where line n
    came from line n.
    """

    text: str
    source: SourceText
    marks: tuple[tuple[int, int], ...] | None = None

    def span(self, offset: int) -> Span:
        """The place in the file of the character at `offset` (from 0) of the rendered text.

        On a line that the template changed, what stands before and behind the change corresponds; where it begins
        stands for the change itself.
        """
        line = bisect_right(_line_starts(self.text), offset) - 1
        begin = _line_starts(self.text)[line]
        mark, origin = (begin, line) if self.marks is None else self._mark_before(offset)
        # templates also end lines at a lone carriage return
        origin = min(origin, len(_line_starts(self.source.text)) - 1)
        written = _line(self.source.text, origin)
        piece = self.text[max(mark, begin) : offset + 1]
        if piece and written.count(piece) == 1:
            return self.source.at(origin, written.index(piece) + len(piece) - 1)
        return self.source.at(origin, _column(written, _line(self.text, line), offset - begin))

    def _mark_before(self, offset: int) -> tuple[int, int]:
        marks = self.marks or ()
        position = bisect_right(marks, offset, key=lambda mark: mark[0])
        return marks[position - 1] if position else (0, 0)

    def diagnostic(
        self, offset: int, code: str, message: str, *, detail: tuple[str, ...] = (), hint: str | None = None
    ) -> Diagnostic:
        """A diagnostic at a character of the rendered text, placed in the file it came from."""
        return self.source.file.diagnostic(self.span(offset), code, message, detail=detail, hint=hint)


@value(frozen=True, kw_only=True, slots=True)
class Place:
    """A character (from 0) of a rendered text. Where that stands in its file is worked out when somebody asks."""

    rendered: Rendered = field(repr=False)
    offset: int

    @property
    def span(self) -> Span:
        """The place in the file."""
        return self.rendered.span(self.offset)

    def excerpt(self) -> str | None:
        """The line of the file."""
        return self.rendered.source.file.excerpt(self.span.line)


def _column(written: str, rendered: str, column: int) -> int:
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
    same = _same_beginning(one, other)
    return same, _same_beginning(one[same:][::-1], other[same:][::-1])


def _same_beginning(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (first, second) in pairs if first != second), min(len(one), len(other)))


@lru_cache(maxsize=16)  # the diagnostics of a long line share it
def _line(text: str, number: int) -> str:
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
