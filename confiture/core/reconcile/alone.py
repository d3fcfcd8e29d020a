"""Runs checks and reconciles outside of migrations: read-only, each in a transaction of its own that is rolled back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from confiture.core.checks import CURSOR_PREFIX, run_check
from confiture.core.database import Connection
from confiture.core.failures import plain_failure, statement_failure
from confiture.core.reconcile.comparing import reconcile
from confiture.core.reconcile.refusing import ReconcileRefused
from confiture.errors import DatabaseUnavailable, Diagnostic, InputError, Problems
from confiture.models.migration import Phase, summary
from confiture.models.plan import PlannedReconcile, PlannedStep, StepId
from confiture.models.reconciling import Verdict, Verified
from confiture.models.source import SourceFile, SourceText
from confiture.plan.reconciling import difference_diagnostic, equal_sentence
from confiture.plan.rendering import verbatim
from confiture.plan.steps import require_one_query
from confiture.sql.parsing import parse_statements
from confiture.sql.tree import table_ref

_NO_RIGHT = "42501"
_GONE = ("42", "3F", "0A", "25006")
"""The beginnings of what PostgreSQL answers where a name or a type is not what the query takes it for any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A reconcile from the command line. `origin` is the query's file, or the option that holds it."""

    table: str
    sql: str
    origin: str
    key: tuple[str, ...] = ()
    by: str | None = None


def asked_step(asked: Asked, tenant: str) -> PlannedStep:
    """The same as a step. Raises InputError where the table's name or the query is none."""
    problems = Problems()
    rendered = verbatim(SourceText(text=asked.sql, file=SourceFile(path=asked.origin, text=asked.sql)))
    statements, found = parse_statements(asked.sql)
    for problem in found:
        problems.add(rendered.diagnostic(problem.offset, problem.code, problem.message, hint=problem.hint))
    if not found:
        require_one_query(statements, rendered, "reconcile", problems)
    table = table_ref(asked.table)
    if table is None:
        message = f"{asked.table!r} is no name of a table"
        problems.add(Diagnostic(code="bad-name", message=message, hint="write name or schema.name"))
    problems.raise_if_any()
    if table is None:
        raise LookupError(asked.table)
    return PlannedStep(
        phase=Phase.AFTER_VALIDATION,
        number=1,
        name=summary(asked.sql),
        span=rendered.span(statements[0].offset),
        rendered=rendered,
        statements=statements,
        reconcile=PlannedReconcile(
            table=table, key=asked.key, by=asked.by or tenant or None, by_default=asked.by is None
        ),
    )


class Rechecker:
    """Runs steps again over one connection, read-only."""

    def __init__(self, connection: Connection, lock_timeout_ms: int) -> None:
        self._connection = connection
        self._lock_timeout_ms = lock_timeout_ms
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True

    def run(self, migration: str, step: PlannedStep, identity: StepId) -> Verified:
        """How a step stands now. Raises DatabaseUnavailable where the connection is lost."""
        started = time.perf_counter()
        try:
            with self._snapshot(step):
                found = self._verified(migration, step, identity)
        except psycopg.Error as error:
            if self._connection.closed:
                raise DatabaseUnavailable(plain_failure(error, "the connection is lost")) from error
            diagnostic = statement_failure(error, step.statements[0], step.rendered, len(CURSOR_PREFIX))
            found = _failed(migration, identity, diagnostic, error.sqlstate)
        except ReconcileRefused as refusal:
            if self._connection.closed:
                raise DatabaseUnavailable(refusal.diagnostic) from refusal
            found = _failed(migration, identity, refusal.diagnostic, refusal.sqlstate)
        return found.lasting((time.perf_counter() - started) * 1000)

    @contextmanager
    def _snapshot(self, step: PlannedStep) -> Iterator[None]:
        lock_timeout_ms = self._lock_timeout_ms if step.lock_timeout_ms is None else step.lock_timeout_ms
        with self._connection.transaction(force_rollback=True):
            self._connection.execute(f"SET LOCAL lock_timeout = {lock_timeout_ms}".encode())
            if step.timeout_ms is not None:
                self._connection.execute(f"SET LOCAL statement_timeout = {step.timeout_ms}".encode())
            yield

    def _verified(self, migration: str, step: PlannedStep, identity: StepId) -> Verified:
        if step.reconcile is not None:
            found = reconcile(self._connection, step, step.reconcile)
            return Verified(
                migration=migration,
                step=identity,
                verdict=Verdict.HOLDS if found.equal else Verdict.FAILS,
                note=equal_sentence(found) if found.equal else None,
                reconciled=found,
                diagnostic=None if found.equal else difference_diagnostic(step, found),
            )
        statement = step.statements[0]
        if step.expect is None:
            raise LookupError(f"{step.name} is no query")
        result = run_check(self._connection, statement.text, step.expect)
        if result.holds:
            return Verified(migration=migration, step=identity, verdict=Verdict.HOLDS)
        diagnostic = step.rendered.diagnostic(
            statement.offset,
            "check-failed",
            f"the check {step.name!r} does not hold",
            detail=(f"expected {result.expected}", f"got {result.got}"),
            hint="correct the data, or what writes them",
        )
        return Verified(migration=migration, step=identity, verdict=Verdict.FAILS, diagnostic=diagnostic)


def _failed(migration: str, identity: StepId, diagnostic: Diagnostic, sqlstate: str | None) -> Verified:
    is_gone = sqlstate is not None and sqlstate.startswith(_GONE) and sqlstate != _NO_RIGHT
    verdict = Verdict.CANNOT_RUN if is_gone else Verdict.FAILS
    return Verified(migration=migration, step=identity, verdict=verdict, diagnostic=diagnostic)


def require_comparable(found: Sequence[Verified]) -> None:
    """Raises InputError with the reasons where something could not be compared at all."""
    refused = [one.diagnostic for one in found if one.reconciled is None and one.diagnostic]
    if refused:
        raise InputError(*refused)
