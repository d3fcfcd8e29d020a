"""Text that stands in a file, and where in that file each character of it stands."""

from __future__ import annotations

from dataclasses import dataclass, field

from confiture.errors import Diagnostic, Span


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """A file that was read. `path` is how people are shown it: relative to the project's root."""

    path: str
    text: str = field(repr=False)

    def excerpt(self, line: int) -> str | None:
        """The line (counted from 1) without its end, or None where the file has no such line."""
        lines = self.text.split("\n")
        return lines[line - 1].rstrip("\r") if 0 < line <= len(lines) else None

    def diagnostic(
        self, span: Span, code: str, message: str, *, detail: tuple[str, ...] = (), hint: str | None = None
    ) -> Diagnostic:
        """A diagnostic at a place in this file, with the line that stands there."""
        return Diagnostic(
            code=code, message=message, span=span, excerpt=self.excerpt(span.line), detail=detail, hint=hint
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceText:
    """A piece of text inside a file: a whole DDL file, or a scalar in a YAML file.

    `line` and `column` (from 1) are where its first character stands; `indent` is how many columns of the file
    precede each following line. In a `folded` scalar line ends were joined, so every position is its start.
    """

    text: str
    file: SourceFile
    line: int = 1
    column: int = 1
    indent: int = 0
    folded: bool = False

    @property
    def start(self) -> Span:
        """Where the text begins."""
        return Span(path=self.file.path, line=self.line, column=self.column)

    def at(self, line: int, column: int) -> Span:
        """The place in the file of a place in this text; both arguments count from 0."""
        if self.folded:
            return self.start
        skipped = self.indent if line else self.column - 1
        return Span(path=self.file.path, line=self.line + line, column=skipped + column + 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """What a template became, and which line of the template made each of its lines.

    `lines[n]` is the template's line (from 0) behind line n of `text`; None where line n came from line n.
    """

    text: str
    source: SourceText
    lines: tuple[int, ...] | None = None

    def span(self, offset: int) -> Span:
        """The place in the file of the character at `offset` (from 0) of the rendered text.

        On a line that the template changed, columns no longer correspond: the line's first character stands for all.
        """
        before = self.text[:offset]
        line = before.count("\n")
        column = offset - (before.rfind("\n") + 1)
        origin = line if self.lines is None else self.lines[min(line, len(self.lines) - 1)]
        rendered_line = _line(self.text, line)
        if _line(self.source.text, origin) != rendered_line:
            column = len(rendered_line) - len(rendered_line.lstrip())
        return self.source.at(origin, column)

    def diagnostic(
        self, offset: int, code: str, message: str, *, detail: tuple[str, ...] = (), hint: str | None = None
    ) -> Diagnostic:
        """A diagnostic at a character of the rendered text, placed in the file it came from."""
        return self.source.file.diagnostic(self.span(offset), code, message, detail=detail, hint=hint)


def _line(text: str, number: int) -> str:
    lines = text.split("\n")
    return lines[number] if number < len(lines) else ""
