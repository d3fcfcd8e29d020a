"""Output streams that remove terminal controls and CI commands from everything written to them."""

from __future__ import annotations

from collections.abc import Iterable
from threading import RLock
from typing import Any, TextIO

from confiture.text import escape_block, escape_ci_commands

_LONGEST_LINE = 1_000_000


class CleanStream:
    """A standard stream that cleans everything written to it, including tracebacks and logs.

    A secret or a command may be split across several writes, so each line is buffered until its end or a flush.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._line: list[str] = []
        self._length = 0
        self._lock = RLock()
        self._cleaned = CleanStyledStream(stream)

    @property
    def raw_stream(self) -> TextIO:
        """The stream for output in its final form: documents, and Confiture's own CI commands."""
        self._write_line()
        return self._stream

    @property
    def styled_stream(self) -> CleanStyledStream:
        """The stream for text that is already clean, with styles."""
        self._write_line()
        return self._cleaned

    def write(self, text: str) -> int:
        with self._lock:
            lines, end, rest = text.rpartition("\n")
            if end:
                self._line.append(lines + end)
                self._write_line()
            self._line.append(rest)
            self._length += len(rest)
            if self._length > _LONGEST_LINE:
                self._write_line()
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._write_line()
        self._stream.flush()

    def _write_line(self) -> None:
        with self._lock:
            text, self._line, self._length = "".join(self._line), [], 0
            if text:
                self._cleaned.write(escape_block(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class CleanStyledStream:
    """A standard stream for styled text that is already clean. It only removes CI commands."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(escape_ci_commands(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
