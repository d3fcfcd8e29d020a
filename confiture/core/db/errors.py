"""Step failures, and the conversion of driver errors to diagnostics."""

from __future__ import annotations

import psycopg

from confiture.errors import Diagnostic
from confiture.models.events import Waiter
from confiture.models.hooks import TRANSACTION_ENDED
from confiture.models.plan import Statement
from confiture.models.source import RenderedSql
from confiture.secrets import hide_secrets

LOCK_NOT_AVAILABLE, DEADLOCK_DETECTED, SERIALIZATION_FAILURE = "55P03", "40P01", "40001"
QUERY_CANCELED = "57014"
INSUFFICIENT_PRIVILEGE = "42501"
CONNECTION_LOST, OVER_BUDGET = "connection-lost", "over-budget"
"""Pseudo SQLSTATEs for failures without one from the server. The connection was lost, or the statement was cancelled
because it blocked other sessions for too long.
"""
LOCK_CONFLICTS = frozenset({LOCK_NOT_AVAILABLE, DEADLOCK_DETECTED})
RETRYABLE = LOCK_CONFLICTS | {SERIALIZATION_FAILURE, OVER_BUDGET}
"""The same statement may succeed after these errors."""
TOO_LARGE = frozenset({QUERY_CANCELED, LOCK_NOT_AVAILABLE, OVER_BUDGET})
"""A smaller batch may succeed after these errors: timeout, lock timeout, or other sessions waited too long."""
SERVER_UNAVAILABLE = frozenset(
    {CONNECTION_LOST, "08000", "08001", "08003", "08004", "08006", "08007", "08P01", "25006", "57P01", "57P02", "57P03"}
)
"""The connection was lost, or the server is shutting down, is restarting, or has become a standby."""
KEY_CONFLICTS = frozenset({"23505", "23P01"})
"""A row conflicts with another one because of a unique or exclusion constraint."""

ROW_SECURITY_HINT = "run as a role with BYPASSRLS, or as the owner with ALTER TABLE ... NO FORCE ROW LEVEL SECURITY"
_POLICIES_WANTED = "; to change only the rows that the policies show, write SET row_security = on in the migration"
_ROW_SECURITY_CHECK = "check_enable_rls"
"""The PostgreSQL function that reports a policy if row_security is off."""
_HINTS = {
    LOCK_NOT_AVAILABLE: "run it when the table is less busy, or increase lock_timeout or retries",
    QUERY_CANCELED: "increase the step's `timeout:`, or split the work",
    "25001": "the statement cannot run in a transaction, despite its text: use a step outside transactions",
    "2D000": "the procedure commits its transaction: call it outside of migrations",
    INSUFFICIENT_PRIVILEGE: "run as a role that owns the object, or grant the privilege",
    "53100": "the server's disk is full: free space, then run again",
    "55P04": "a new enum value cannot be used in the transaction that adds it: add it in a separate migration",
}


class StepFailed(Exception):
    """A step failed, or could not be recorded. `sqlstate` is None if PostgreSQL reported none."""

    def __init__(self, diagnostic: Diagnostic, sqlstate: str | None) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic
        self.sqlstate = sqlstate


class CheckNotSatisfied(StepFailed):
    """A check returned an unexpected result."""


class TransactionEnded(StepFailed):
    """A hook ended the transaction it ran in. It is unknown whether the work before the hook is committed."""

    def __init__(self, hook: str, detail: tuple[str, ...] = ()) -> None:
        super().__init__(
            Diagnostic(
                code=TRANSACTION_ENDED,
                message=f"the hook {hook!r} ended the migration's transaction: the work before it may be committed",
                detail=detail,
                hint="inspect and revert the changes by hand, then fix the hook; nothing was recorded in the history",
            ),
            None,
        )


def statement_diagnostic(
    error: psycopg.Error, statement: Statement, rendered: RenderedSql, prefix: int = 0
) -> Diagnostic:
    """Return a failed statement's diagnostic, located in its file, with everything PostgreSQL reported.

    `prefix` is the number of characters sent before the statement's own text.
    """
    diag = error.diag
    position = int(diag.statement_position) - 1 - prefix if diag.statement_position else 0
    # A statement that ran in a different form has different positions.
    is_located = position >= 0 and rendered.text.startswith(statement.text, statement.offset)
    sqlstate = error.sqlstate or ""
    return rendered.diagnostic(
        statement.offset + (position if is_located else 0),
        sqlstate or CONNECTION_LOST,
        hide_secrets(diag.message_primary or first_line(error)),
        detail=_details(error),
        hint=hide_secrets(diag.message_hint) if diag.message_hint else _hint(error),
    )


def over_budget_error(waiter: Waiter, budget_ms: int, failed: Diagnostic | None) -> StepFailed:
    """Return the failure for a session that waited longer than `budget_ms`; `failed` is the cancelled statement."""
    diagnostic = Diagnostic(
        code=OVER_BUDGET,
        message=f"blocked other sessions for {waiter.waited_ms:.0f} ms; max_blocking is {budget_ms} ms",
        span=failed.span if failed else None,
        excerpt=failed.excerpt if failed else None,
        detail=(
            f"{waiter.application_name or 'a session'} ({waiter.usename}, process {waiter.pid})"
            f" waited for {waiter.target} ({waiter.mode})",
            f"its query: {hide_secrets(' '.join((waiter.query or '').split()))}",
        ),
        hint="run it when the table is less busy, do less in one transaction, or increase max_blocking or retries",
    )
    return StepFailed(diagnostic, OVER_BUDGET)


def db_error_diagnostic(error: psycopg.Error, action: str) -> Diagnostic:
    """Return a failed internal statement's diagnostic; `action` names what failed."""
    message = error.diag.message_primary or first_line(error)
    return Diagnostic(
        code=error.sqlstate or CONNECTION_LOST,
        message=hide_secrets(f"{action}: {message}"),
        detail=_details(error),
        hint=_hint(error),
    )


def _hint(error: psycopg.Error) -> str | None:
    if error.sqlstate == QUERY_CANCELED and "timeout" not in (error.diag.message_primary or ""):
        return None  # cancelled by a user, not by a timeout
    if error.diag.source_function == _ROW_SECURITY_CHECK:
        return ROW_SECURITY_HINT + _POLICIES_WANTED
    return _HINTS.get(error.sqlstate or "")


def first_line(error: psycopg.Error) -> str:
    """Return the first line of an error message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _details(error: psycopg.Error) -> tuple[str, ...]:
    diag = error.diag
    facts = [diag.message_detail]
    if diag.context:
        facts.append(f"in {diag.context}")
    facts += [
        f"{label}: {value}"
        for label, value in (
            ("table", diag.table_name),
            ("column", diag.column_name),
            ("constraint", diag.constraint_name),
        )
        if value
    ]
    return tuple(line for fact in facts if fact for line in hide_secrets(fact).splitlines())
