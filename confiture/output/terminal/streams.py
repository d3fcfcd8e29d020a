"""The streams that text leaves by: nothing written to them controls the terminal, or commands a CI system."""

from __future__ import annotations

from typing import Any, TextIO

from confiture.text import escape_block, escape_ci_commands


class CleanStream:
    """A standard stream that cleans what is written to it, whoever writes: tracebacks and logs, too."""

    def __init__(self, stream: TextIO) -> None:
        self.trusted = stream
        """Takes what is in its final form: documents, and commands of ours to a CI system."""
        self.styled = CleanStyledStream(stream)

    def write(self, text: str) -> int:
        self.styled.write(escape_block(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.trusted, name)


class CleanStyledStream:
    """The same for text that is clean already, and styled."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(escape_ci_commands(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
