"""The standard streams: a reader that leaves (`| head`) ends nothing that runs, and changes no exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Outlet(FileIO):
    """A file whose errors are kept instead of raised."""

    failure: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failure = error
            return memoryview(data).nbytes


@contextmanager
def standard_streams() -> Iterator[None]:
    """stdout and stderr that take everything. Where stdout was lost and a reader was there (a full disk), that is said
    at the end, and what would have ended with 0 ends with 1.
    """
    out, sys.stdout = _outlet(sys.stdout)
    _, sys.stderr = _outlet(sys.stderr)
    try:
        yield
    except SystemExit as exit_:
        _end(out, exit_.code)
        raise
    _end(out, 0)


def write_utf_8() -> None:
    """From here on stdout is UTF-8, whatever the locale: programs read it so."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")


def _outlet(stream: TextIO | None) -> tuple[_Outlet | None, TextIO]:
    if stream is None:  # closed by who started us
        nowhere = _Outlet(os.devnull, "wb")
        return nowhere, TextIOWrapper(BufferedWriter(nowhere), encoding="utf-8")
    if not isinstance(stream, TextIOWrapper):
        return None, stream
    buffer: object = stream.buffer
    # a terminal that knows no `…` shows `?` and not a stack of errors
    if not isinstance(buffer, BufferedWriter | FileIO):  # not of a process, but put in place by who called us
        stream.reconfigure(errors="replace")
        return None, stream
    outlet = _Outlet(stream.fileno(), "wb", closefd=False)
    return outlet, TextIOWrapper(
        BufferedWriter(outlet) if isinstance(buffer, BufferedWriter) else outlet,
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _end(out: _Outlet | None, code: object) -> None:
    sys.stdout.flush()
    failure = out.failure if out else None
    if failure is None or failure.errno == errno.EPIPE:
        return
    sys.stderr.write(f"stdout could not be written: {failure.strerror}\n")
    if not code:
        raise SystemExit(1)
