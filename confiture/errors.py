"""Where something stands, what is wrong with it, and how the process ends.

Every mistake that a user can make becomes a `Diagnostic`: a code, the place, the cause, and what to do next.
Errors carry one or many of them, and the exit code that the process ends with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells the shell. The numbers are stable: scripts rely on them.

    Example::

        if error.exit_code is ExitCode.LOCKED:
            print("another run holds the lock")
    """

    DONE = 0
    FINDINGS = 1
    """Findings, or a check that failed (its migration is rolled back)."""
    USAGE = 2
    """A mistake in the options, the settings or the files. Nothing was touched."""
    UNREACHABLE = 3
    """The database cannot be reached, refuses us, or cannot be used for migrations."""
    ROLLED_BACK = 4
    """A migration failed. It left nothing behind."""
    STOPPED = 5
    """A migration stopped after some of its segments had committed. The next run resumes it."""
    LOCKED = 6
    """Another run holds the lock."""
    DRIFT = 7
    """The files and the history of the database disagree."""
    INTERNAL = 70
    """An error in Confiture itself, or a state that it did not expect."""
    INTERRUPTED = 130
    """Ctrl-C or SIGTERM where no migration was under way; what shells make of a process that SIGINT ended."""


@dataclass(frozen=True, kw_only=True, order=True, slots=True)
class Span:
    """A place in a file. `line` and `column` count from 1, in characters.

    Example::

        str(Span(path="schemas/orders.sql", line=3, column=7))  # schemas/orders.sql:3:7
    """

    path: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnostic:
    """One mistake, told so that its reader can mend it.

    `code` is a short stable name (`unknown-key`), `excerpt` the line of the file that `span` points to,
    `detail` whatever else is known (one fact a line), `hint` the next step.

    Example::

        Diagnostic(code="no-down", message="014 add_totals has no `down`", hint="add `down:`")
    """

    code: str
    message: str
    span: Span | None = None
    excerpt: str | None = None
    detail: tuple[str, ...] = ()
    hint: str | None = None

    def __str__(self) -> str:
        place = f"{self.span}: " if self.span else ""
        return f"{place}{self.message}"


class ConfitureError(Exception):
    """Anything that ends a command. Holds one or more diagnostics, in the order in which to show them.

    Example::

        try:
            project.run()
        except ConfitureError as error:
            sys.exit(error.exit_code)
    """

    exit_code = ExitCode.USAGE

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("\n".join(str(diagnostic) for diagnostic in diagnostics))
        self.diagnostics = diagnostics


class InputError(ConfitureError):
    """Options, settings or files are wrong. Raised before anything is touched."""


class DatabaseUnavailable(ConfitureError):
    """The database cannot be reached, refuses us, or is no place for migrations (too old, a standby, a pooler)."""

    exit_code = ExitCode.UNREACHABLE


class CheckFailed(ConfitureError):
    """A check did not return what it must. Its segment was rolled back."""

    exit_code = ExitCode.FINDINGS


class HazardsFound(ConfitureError):
    """Lint found hazards that the settings do not let run. Nothing was touched."""

    exit_code = ExitCode.FINDINGS


class MigrationFailed(ConfitureError):
    """A statement failed and its migration was rolled back whole."""

    exit_code = ExitCode.ROLLED_BACK


class MigrationStopped(ConfitureError):
    """A migration failed or was interrupted after some of its segments had committed."""

    exit_code = ExitCode.STOPPED


class LockHeld(ConfitureError):
    """Another run holds the project's lock on this database."""

    exit_code = ExitCode.LOCKED


class Drift(ConfitureError):
    """Applied migrations changed, vanished, or would be applied out of order."""

    exit_code = ExitCode.DRIFT


class DiagnosticCollector:
    """Collects diagnostics, so that all mistakes are told at once."""

    def __init__(self) -> None:
        self._found: list[Diagnostic] = []

    def add(self, diagnostic: Diagnostic) -> None:
        self._found.append(diagnostic)

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        self._found.extend(diagnostics)

    def __bool__(self) -> bool:
        return bool(self._found)

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self._found)

    def raise_if_any(self) -> None:
        """Raises InputError with everything collected, sorted by place; does nothing when nothing is wrong."""
        if self._found:
            raise InputError(*sorted(self._found, key=_sort_key))


def _sort_key(diagnostic: Diagnostic) -> tuple[str, int, int]:
    span = diagnostic.span
    return (span.path, span.line, span.column) if span else ("", 0, 0)
