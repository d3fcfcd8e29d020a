"""The streams that text leaves by: nothing written to them controls the terminal, or commands a CI system."""

from __future__ import annotations

from collections.abc import Iterable
from threading import RLock
from typing import Any, TextIO

from confiture.text import escape_block, escape_ci_commands

_LONGEST_LINE = 1_000_000


class CleanStream:
    """A standard stream that cleans what is written to it, whoever writes: tracebacks and logs, too.

    Who writes a line in pieces writes a secret or a command in pieces: a line is kept until its end or a flush.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._line: list[str] = []
        self._length = 0
        self._lock = RLock()
        self._cleaned = CleanStyledStream(stream)

    @property
    def raw_stream(self) -> TextIO:
        """Takes what is in its final form: documents, and commands of ours to a CI system."""
        self._write_line()
        return self._stream

    @property
    def styled_stream(self) -> CleanStyledStream:
        """Takes text that is clean already, and styled."""
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
    """The same for text that is clean already, and styled."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(escape_ci_commands(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
