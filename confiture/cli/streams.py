"""The standard streams: a reader that leaves (`| head`) ends nothing that runs, and changes no exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import TYPE_CHECKING, TextIO, cast

import typer

from confiture.output.terminal.streams import CleanStream
from confiture.text import escape_line

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _TolerantStream(FileIO):
    """A file whose errors are kept instead of raised."""

    failure: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failure = error
            return memoryview(data).nbytes


@contextmanager
def tolerant_streams() -> Iterator[None]:
    """stdout and stderr that take everything. Where stdout was lost and a reader was there (a full disk), that is said
    at the end, and what would have ended with 0 ends with 1.
    """
    out, stdout = _open_tolerant_stream(sys.stdout)
    _, stderr = _open_tolerant_stream(sys.stderr)
    sys.stdout, sys.stderr = cast("TextIO", CleanStream(stdout)), cast("TextIO", CleanStream(stderr))
    try:
        yield
    except SystemExit as exit_:
        _finish_stdout(out, exit_.code)
        raise
    finally:
        sys.stderr.flush()
    _finish_stdout(out, 0)


def force_utf8_stdout() -> None:
    """From here on stdout is UTF-8, whatever the locale: programs read it so."""
    stream = _underlying_stream(sys.stdout)
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="replace")


def echo_stdout(text: str) -> None:
    """A sentence on stdout."""
    typer.echo(escape_line(text))


def echo_stderr(text: str) -> None:
    """A sentence on stderr."""
    typer.echo(escape_line(text), err=True)


def write_document(text: str, *, is_clean: bool = False) -> None:
    """A whole document on stdout. One that is clean goes there as it is."""
    (_underlying_stream(sys.stdout) if is_clean else sys.stdout).write(text)


def sanitize_logs() -> None:
    """Log records that no handler takes, such as the driver's, become one clean line of stderr each."""
    import logging

    class CleanFormatter(logging.Formatter):
        def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (its name in logging)
            return escape_line(super().formatMessage(record))

    if logging.lastResort is not None:
        logging.lastResort.setFormatter(CleanFormatter())


def _underlying_stream(stream: TextIO) -> TextIO:
    return stream.raw_stream if isinstance(stream, CleanStream) else stream


def _open_tolerant_stream(stream: TextIO | None) -> tuple[_TolerantStream | None, TextIO]:
    if stream is None:  # closed by who started us
        nowhere = _TolerantStream(os.devnull, "wb")
        return nowhere, TextIOWrapper(BufferedWriter(nowhere), encoding="utf-8")
    if not isinstance(stream, TextIOWrapper):
        return None, stream
    buffer: object = stream.buffer
    # a terminal that knows no `…` shows `?` and not a stack of errors
    if not isinstance(buffer, BufferedWriter | FileIO):  # not of a process, but put in place by who called us
        stream.reconfigure(errors="replace")
        return None, stream
    outlet = _TolerantStream(stream.fileno(), "wb", closefd=False)
    return outlet, TextIOWrapper(
        BufferedWriter(outlet) if isinstance(buffer, BufferedWriter) else outlet,
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _finish_stdout(stream: _TolerantStream | None, code: object) -> None:
    sys.stdout.flush()
    failure = stream.failure if stream else None
    if failure is None or failure.errno == errno.EPIPE:
        return
    sys.stderr.write(f"stdout could not be written: {failure.strerror}\n")
    if not code:
        raise SystemExit(1)
