"""Standard streams that tolerate a closed reader (`| head`): the command continues and exits as usual."""

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
    """A file that records write errors instead of raising them."""

    failure: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failure = error
            return memoryview(data).nbytes


@contextmanager
def tolerant_streams() -> Iterator[None]:
    """Make stdout and stderr accept all writes.

    If writes to stdout failed for any reason other than a closed reader (such as a full disk), report the failure at
    the end and exit with 1 instead of 0.
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
    """Switch stdout to UTF-8 regardless of the locale, because programs that read stdout expect UTF-8."""
    stream = _underlying_stream(sys.stdout)
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="replace")


def echo_stdout(text: str) -> None:
    """Print a sentence on stdout."""
    typer.echo(escape_line(text))


def echo_stderr(text: str) -> None:
    """Print a sentence on stderr."""
    typer.echo(escape_line(text), err=True)


def write_document(text: str, *, is_clean: bool = False) -> None:
    """Write a whole document to stdout. A clean document is written unchanged."""
    (_underlying_stream(sys.stdout) if is_clean else sys.stdout).write(text)


def sanitize_logs() -> None:
    """Print each log record that has no handler, such as the driver's, as one escaped line on stderr."""
    import logging

    class CleanFormatter(logging.Formatter):
        def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (named by `logging`)
            return escape_line(super().formatMessage(record))

    if logging.lastResort is not None:
        logging.lastResort.setFormatter(CleanFormatter())


def _underlying_stream(stream: TextIO) -> TextIO:
    return stream.raw_stream if isinstance(stream, CleanStream) else stream


def _open_tolerant_stream(stream: TextIO | None) -> tuple[_TolerantStream | None, TextIO]:
    if stream is None:  # closed by the parent process
        nowhere = _TolerantStream(os.devnull, "wb")
        return nowhere, TextIOWrapper(BufferedWriter(nowhere), encoding="utf-8")
    if not isinstance(stream, TextIOWrapper):
        return None, stream
    buffer: object = stream.buffer
    # errors="replace": a terminal that cannot show `…` prints `?` instead of raising UnicodeEncodeError
    if not isinstance(buffer, BufferedWriter | FileIO):  # the caller has replaced the process's stream
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
    sys.stderr.write(f"cannot write to stdout: {failure.strerror}\n")
    if not code:
        raise SystemExit(1)
