"""Failures as somebody who reads a test's output wants them: what happened, without how we got there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from confiture.errors import ConfitureError, Diagnostic

_OURS = ("confiture", "psycopg", "contextlib")


@contextmanager
def readable(doing: str = "") -> Iterator[None]:
    """Raises our errors with all that they know as notes, and tracebacks only of what is neither ours nor the driver's.

    `doing` says what failed, where the error's own message does not.
    """
    __tracebackhide__ = True
    try:
        yield
    except ConfitureError as error:
        explain(error, doing)
        raise error.with_traceback(None) from error.__cause__


def explain(error: ConfitureError, doing: str = "") -> None:
    """Adds what the error knows to it as notes, and cuts the tracebacks of its causes."""
    for note in (doing, *map(_facts, error.diagnostics)):
        if note and note not in getattr(error, "__notes__", ()):
            error.add_note(note)
    cause = error.__cause__
    while cause is not None:
        cause.__traceback__ = _foreign(cause.__traceback__)
        cause = cause.__cause__


def text_of(error: ConfitureError) -> str:
    """The error as text of several lines."""
    return "\n".join("\n".join(filter(None, (str(one), _facts(one)))) for one in error.diagnostics)


def _facts(diagnostic: Diagnostic) -> str:
    lines = [*diagnostic.detail]
    if diagnostic.excerpt is not None and diagnostic.span:
        lines.insert(0, f"{diagnostic.span.line} | {diagnostic.excerpt}")
    if diagnostic.hint:
        lines.append(f"next: {diagnostic.hint}")
    return "\n".join(f"  {line}" for line in lines)


def _foreign(trace: TracebackType | None) -> TracebackType | None:
    """A traceback from its first frame on that is not ours."""
    while trace and trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] in _OURS:
        trace = trace.tb_next
    return trace
