"""Failures of steps, and the one seam where the driver's errors become diagnostics."""

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
"""They stand where a SQLSTATE stands: the server sent none; the statement was cancelled because it made others wait for
too long.
"""
LOCK_CONFLICTS = frozenset({LOCK_NOT_AVAILABLE, DEADLOCK_DETECTED})
RETRYABLE = LOCK_CONFLICTS | {SERIALIZATION_FAILURE, OVER_BUDGET}
"""After these the same statement may well succeed."""
TOO_LARGE = frozenset({QUERY_CANCELED, LOCK_NOT_AVAILABLE, OVER_BUDGET})
"""After these less work at a time has a better chance: too slow, no lock in time, others waited too long."""
SERVER_UNAVAILABLE = frozenset(
    {CONNECTION_LOST, "08000", "08001", "08003", "08004", "08006", "08007", "08P01", "25006", "57P01", "57P02", "57P03"}
)
"""The connection is lost, or the server shuts down, restarts, or became a standby."""
KEY_CONFLICTS = frozenset({"23505", "23P01"})
"""Another row is in the way of a unique or exclusion constraint."""

ROW_SECURITY_HINT = (
    "run as a role with BYPASSRLS, or as the owner with ALTER TABLE ... NO FORCE ROW LEVEL SECURITY; to change only the"
    " rows that the policies show, write SET row_security = on in the migration"
)
_ROW_SECURITY_CHECK = "check_enable_rls"
"""The function of PostgreSQL that reports a policy if row_security is off."""
_HINTS = {
    LOCK_NOT_AVAILABLE: "run it when the table is less busy, or raise lock_timeout or retries",
    QUERY_CANCELED: "raise `timeout:` of the step, or split the work",
    "25001": "this statement cannot run in a transaction, and parsing could not tell: give it a step of its own kind",
    "2D000": "the procedure commits by itself: call it outside of migrations",
    INSUFFICIENT_PRIVILEGE: "run as a role that owns the object, or grant the right",
    "53100": "the server's disk is full: free space, then run again",
    "55P04": "a new enum value cannot be used in the transaction that adds it: add it in a migration of its own",
}


class StepFailed(Exception):
    """A step failed, or what is recorded of it. `sqlstate` is None where PostgreSQL did not say why."""

    def __init__(self, diagnostic: Diagnostic, sqlstate: str | None) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic
        self.sqlstate = sqlstate


class CheckNotSatisfied(StepFailed):
    """A check did not return what it must."""


class TransactionEnded(StepFailed):
    """A hook ended the transaction that it ran in: whether what ran before is committed cannot be told."""

    def __init__(self, hook: str, detail: tuple[str, ...] = ()) -> None:
        super().__init__(
            Diagnostic(
                code=TRANSACTION_ENDED,
                message=f"the hook {hook!r} ended the migration's transaction: what ran before may be committed",
                detail=detail,
                hint="look at what is there, undo it by hand, and mend the hook: nothing of it is recorded",
            ),
            None,
        )


def statement_diagnostic(
    error: psycopg.Error, statement: Statement, rendered: RenderedSql, prefix: int = 0
) -> Diagnostic:
    """A failed statement, told at its own line in its file, with all that PostgreSQL says.

    `prefix` is how many characters were sent before the statement's own text.
    """
    told = error.diag
    position = int(told.statement_position) - 1 - prefix if told.statement_position else 0
    # what ran in another form than written has positions of its own
    inside = position >= 0 and rendered.text.startswith(statement.text, statement.offset)
    sqlstate = error.sqlstate or ""
    return rendered.diagnostic(
        statement.offset + (position if inside else 0),
        sqlstate or CONNECTION_LOST,
        hide_secrets(told.message_primary or first_line(error)),
        detail=_details(error),
        hint=hide_secrets(told.message_hint) if told.message_hint else _hint(error),
    )


def over_budget_error(waiter: Waiter, budget_ms: int, failed: Diagnostic | None) -> StepFailed:
    """The failure if somebody waited for us longer than `budget_ms`; `failed` is the statement that was cancelled."""
    diagnostic = Diagnostic(
        code=OVER_BUDGET,
        message=f"made others wait for {waiter.waited_ms:.0f} ms, max_blocking is {budget_ms} ms",
        span=failed.span if failed else None,
        excerpt=failed.excerpt if failed else None,
        detail=(
            f"{waiter.application_name or 'a session'} ({waiter.usename}, process {waiter.pid})"
            f" waited for {waiter.target} ({waiter.mode})",
            f"its query: {hide_secrets(' '.join((waiter.query or '').split()))}",
        ),
        hint="run it when the table is less busy, do less in one transaction, or raise max_blocking or retries",
    )
    return StepFailed(diagnostic, OVER_BUDGET)


def db_error_diagnostic(error: psycopg.Error, action: str) -> Diagnostic:
    """A failure of our own statements; `action` says what they were for."""
    told = error.diag.message_primary or first_line(error)
    return Diagnostic(
        code=error.sqlstate or CONNECTION_LOST,
        message=hide_secrets(f"{action}: {told}"),
        detail=_details(error),
        hint=_hint(error),
    )


def _hint(error: psycopg.Error) -> str | None:
    if error.sqlstate == QUERY_CANCELED and "timeout" not in (error.diag.message_primary or ""):
        return None  # cancelled by somebody, not by the clock
    if error.diag.source_function == _ROW_SECURITY_CHECK:
        return ROW_SECURITY_HINT
    return _HINTS.get(error.sqlstate or "")


def first_line(error: psycopg.Error) -> str:
    """What an error says first."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _details(error: psycopg.Error) -> tuple[str, ...]:
    told = error.diag
    facts = [told.message_detail]
    if told.context:
        facts.append(f"in {told.context}")
    facts += [
        f"{label}: {value}"
        for label, value in (
            ("table", told.table_name),
            ("column", told.column_name),
            ("constraint", told.constraint_name),
        )
        if value
    ]
    return tuple(line for fact in facts if fact for line in hide_secrets(fact).splitlines())
