"""Locations, diagnostics, errors, and exit codes.

Every user error becomes a `Diagnostic`: a code, the location, the cause, and the next step. Exceptions contain one
or more diagnostics and the process's exit code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit code of the process. The numbers are stable because scripts rely on them.

    Example::

        if error.exit_code is ExitCode.LOCKED:
            print("another run holds the lock")
    """

    DONE = 0
    FINDINGS = 1
    """Lint has findings, or a check failed and its migration was rolled back."""
    USAGE = 2
    """The options, the settings, or the files contain an error. Nothing was changed."""
    UNREACHABLE = 3
    """The database is unreachable, rejects the connection, or cannot be used for migrations."""
    ROLLED_BACK = 4
    """A migration or a build failed and was rolled back completely."""
    STOPPED = 5
    """A migration stopped after some segments had committed. The next run resumes the migration."""
    LOCKED = 6
    """Another run holds the migration lock."""
    DRIFT = 7
    """The files differ from the history in the database."""
    PENDING = 8
    """Migrations are pending: `migrate status --check`, or `migrate wait` after its timeout."""
    INTERNAL = 70
    """Confiture has a bug or found an unexpected state."""
    INTERRUPTED = 130
    """Ctrl-C or SIGTERM ended the command while no migration was running. SIGINT ends processes with the same code."""


@dataclass(frozen=True, kw_only=True, order=True, slots=True)
class Span:
    """A location in a file. `line` and `column` count from 1, in characters.

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
    """One problem, with everything the reader needs to fix it.

    `code` is a short stable name (`unknown-key`); `excerpt` is the line of the file at `span`; `detail` contains
    further facts (one per line); `hint` is the next step.

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
    """An error that ends a command, with one or more diagnostics in display order.

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
    """The options, settings, or files contain errors. Raised before anything is changed."""


class DatabaseUnavailable(ConfitureError):
    """The database is unreachable, rejects the connection, or is unsuitable (too old, a standby, a pooler)."""

    exit_code = ExitCode.UNREACHABLE


class CheckFailed(ConfitureError):
    """A check did not return the expected result. The check's segment was rolled back."""

    exit_code = ExitCode.FINDINGS


class HazardsFound(ConfitureError):
    """Lint found hazards that block migrations according to the settings. Nothing was changed."""

    exit_code = ExitCode.FINDINGS


class MigrationFailed(ConfitureError):
    """A statement failed, and the migration was rolled back completely."""

    exit_code = ExitCode.ROLLED_BACK


class BuildFailed(ConfitureError):
    """A statement in a schema file failed, and the build was rolled back completely."""

    exit_code = ExitCode.ROLLED_BACK


class MigrationStopped(ConfitureError):
    """A migration failed or was interrupted after some segments had committed."""

    exit_code = ExitCode.STOPPED


class LockHeld(ConfitureError):
    """Another run holds the project's migration lock on this database."""

    exit_code = ExitCode.LOCKED


class Drift(ConfitureError):
    """Applied migrations have changed or are missing, or a pending migration is out of order."""

    exit_code = ExitCode.DRIFT


class Pending(ConfitureError):
    """Migrations are not applied yet."""

    exit_code = ExitCode.PENDING


class DiagnosticCollector:
    """A collector for diagnostics, so that all problems are reported at once."""

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
        """Raise InputError with all collected diagnostics, sorted by location; do nothing if there are none."""
        if self._found:
            raise InputError(*sorted(self._found, key=_sort_key))


def _sort_key(diagnostic: Diagnostic) -> tuple[str, int, int]:
    span = diagnostic.span
    return (span.path, span.line, span.column) if span else ("", 0, 0)
