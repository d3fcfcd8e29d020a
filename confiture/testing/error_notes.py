"""Errors for test output, with complete diagnostics and without internal stack frames."""

from __future__ import annotations

from types import TracebackType

from confiture.core.db.errors import StepFailed
from confiture.errors import ConfitureError, Diagnostic
from confiture.text import excerpt_part

_OURS = ("confiture", "psycopg", "contextlib")


class readable_errors:  # noqa: N801 - reads as a statement
    """A context that reraises Confiture's errors with diagnostics as notes and without internal stack frames.

    `action` says what failed if the error's own message does not.
    """

    def __init__(self, action: str = "") -> None:
        self._action = action

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Reraise the error without internal stack frames."""
        __tracebackhide__ = True
        if isinstance(error, ConfitureError):
            add_notes(error, self._action)
            raise error.with_traceback(None)


def add_notes(error: ConfitureError, action: str = "") -> None:
    """Add the error's diagnostics as notes, and remove internal causes and stack frames."""
    for note in (action, *map(_format_details, error.diagnostics)):
        if note and note not in getattr(error, "__notes__", ()):
            error.add_note(note)
    cause = error.__cause__
    while isinstance(cause, StepFailed):
        cause = error.__cause__ = cause.__cause__
    while cause is not None:
        cause.__traceback__ = _skip_own_frames(cause.__traceback__)
        cause = cause.__cause__


def format_error(error: ConfitureError) -> str:
    """Return the error as multiline text."""
    return "\n".join("\n".join(filter(None, (str(one), _format_details(one)))) for one in error.diagnostics)


def _format_details(diagnostic: Diagnostic) -> str:
    lines = [*diagnostic.detail]
    if diagnostic.excerpt is not None and diagnostic.span:
        lines.insert(0, f"{diagnostic.span.line} | {excerpt_part(diagnostic.excerpt, diagnostic.span.column)}")
    if diagnostic.hint:
        lines.append(f"next: {diagnostic.hint}")
    return "\n".join(f"  {line}" for line in lines)


def _skip_own_frames(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the first frame outside of Confiture and the driver."""
    while trace and trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] in _OURS:
        trace = trace.tb_next
    return trace
