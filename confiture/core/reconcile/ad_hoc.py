"""Run checks and reconciles outside of migrations, each in its own read-only transaction that is rolled back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from confiture.core.db.checks import CURSOR_PREFIX, run_check
from confiture.core.db.connection import Connection, set_lock_timeout
from confiture.core.db.errors import INSUFFICIENT_PRIVILEGE, db_error_diagnostic, statement_diagnostic
from confiture.core.reconcile.errors import NotComparable
from confiture.core.reconcile.reconciliation import reconcile
from confiture.errors import DatabaseUnavailable, Diagnostic, DiagnosticCollector, InputError
from confiture.models.migration import Phase, ReconcileStep, default_step_name
from confiture.models.plan import PlannedReconcile, PlannedStep, StepAction, StepId
from confiture.models.reconcile_results import VerifyResult, VerifyVerdict
from confiture.models.source import LocatedSource, SourceFile
from confiture.plan.reconcile_messages import difference_diagnostic, equal_summary
from confiture.plan.rendering import render_verbatim
from confiture.plan.step_kinds.reconcile import check_reconcile_query
from confiture.sql.parse_tree import parse_table_ref
from confiture.sql.parsing import parse_statements

_GONE = ("42", "3F", "0A", "25006")
"""Prefixes of SQLSTATEs for names or types that no longer match the query."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdHocReconcile:
    """A reconcile from the command line. `origin` is the file or the option that contains the query."""

    table: str
    sql: str
    origin: str
    key: tuple[str, ...] = ()
    by: str | None = None


def ad_hoc_step(ad_hoc: AdHocReconcile, tenant: str) -> PlannedStep:
    """Return the reconcile as a step. Raise InputError if the table name or the query is invalid."""
    problems = DiagnosticCollector()
    rendered = render_verbatim(LocatedSource(text=ad_hoc.sql, file=SourceFile(path=ad_hoc.origin, text=ad_hoc.sql)))
    statements, parse_problems = parse_statements(ad_hoc.sql)
    for problem in parse_problems:
        problems.add(rendered.diagnostic(problem.offset, problem.code, problem.message, hint=problem.hint))
    if not parse_problems:
        check_reconcile_query(statements, rendered, problems)
    table = parse_table_ref(ad_hoc.table)
    if table is None:
        message = f"{ad_hoc.table!r} is not a table name"
        problems.add(Diagnostic(code="bad-name", message=message, hint="write name or schema.name"))
    problems.raise_if_any()
    if table is None:
        raise LookupError(ad_hoc.table)
    return PlannedStep(
        phase=Phase.AFTER_VALIDATION,
        number=1,
        name=default_step_name(ad_hoc.sql),
        span=rendered.span_at(statements[0].offset),
        kind=ReconcileStep.kind,
        rendered=rendered,
        statements=statements,
        action=StepAction.RECONCILE,
        content=PlannedReconcile(
            table=table, key=ad_hoc.key, by=ad_hoc.by or tenant or None, by_is_inferred=ad_hoc.by is None
        ),
    )


class CheckRunner:
    """Runs checks and reconciles over one connection without writing anything."""

    def __init__(self, connection: Connection, lock_timeout_ms: int) -> None:
        self._connection = connection
        self._lock_timeout_ms = lock_timeout_ms

    def run(self, migration: str, step: PlannedStep, identity: StepId, settings: Sequence[str] = ()) -> VerifyResult:
        """Rerun a step after its migration's settings, and return the result.

        Raise DatabaseUnavailable if the connection is lost.
        """
        started = time.perf_counter()
        try:
            with self._snapshot(step, settings):
                result = self._verify(migration, step, identity)
        except psycopg.Error as error:
            if self._connection.closed:
                raise DatabaseUnavailable(db_error_diagnostic(error, "the connection was lost")) from error
            diagnostic = statement_diagnostic(error, step.statements[0], step.rendered, len(CURSOR_PREFIX))
            result = _failed_result(migration, identity, diagnostic, error.sqlstate)
        except NotComparable as refusal:
            if self._connection.closed:
                raise DatabaseUnavailable(refusal.diagnostic) from refusal
            result = _failed_result(migration, identity, refusal.diagnostic, refusal.sqlstate)
        return result.with_duration((time.perf_counter() - started) * 1000)

    @contextmanager
    def _snapshot(self, step: PlannedStep, settings: Sequence[str]) -> Iterator[None]:
        lock_timeout_ms = self._lock_timeout_ms if step.lock_timeout_ms is None else step.lock_timeout_ms
        with self._connection.transaction(force_rollback=True):
            self._connection.execute(
                b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL row_security = off"
            )
            set_lock_timeout(self._connection, lock_timeout_ms, local=True)
            for setting in settings:
                self._connection.execute(setting.encode())
            if step.lock_timeout_ms is not None:
                set_lock_timeout(self._connection, step.lock_timeout_ms, local=True)
            if step.timeout_ms is not None:
                self._connection.execute(f"SET LOCAL statement_timeout = {step.timeout_ms}".encode())
            yield

    def _verify(self, migration: str, step: PlannedStep, identity: StepId) -> VerifyResult:
        return VERIFY_BY_ACTION[step.action](self, migration, step, identity)

    def verify_reconcile(self, migration: str, step: PlannedStep, identity: StepId) -> VerifyResult:
        """Verify that a table still equals its query."""
        if step.reconcile is None:
            raise LookupError(f"{step.name} is not a reconcile")
        result = reconcile(self._connection, step, step.reconcile)
        return VerifyResult(
            migration=migration,
            step=identity,
            verdict=VerifyVerdict.HOLDS if result.is_equal else VerifyVerdict.FAILS,
            note=equal_summary(result) if result.is_equal else None,
            reconcile_result=result,
            diagnostic=None if result.is_equal else difference_diagnostic(step, result),
        )

    def verify_check(self, migration: str, step: PlannedStep, identity: StepId) -> VerifyResult:
        """Verify that a query still returns the expected result."""
        statement = step.statements[0]
        if step.expect is None:
            raise LookupError(f"{step.name} is not a query")
        result = run_check(self._connection, statement.text, step.expect)
        if result.is_satisfied:
            return VerifyResult(migration=migration, step=identity, verdict=VerifyVerdict.HOLDS)
        diagnostic = step.rendered.diagnostic(
            statement.offset,
            "check-failed",
            f"the check {step.name!r} does not hold",
            detail=(f"expected {result.expected}", f"got {result.actual}"),
            hint="correct the data, or the code that writes it",
        )
        return VerifyResult(migration=migration, step=identity, verdict=VerifyVerdict.FAILS, diagnostic=diagnostic)


VERIFY_BY_ACTION: Mapping[StepAction, Callable[[CheckRunner, str, PlannedStep, StepId], VerifyResult]] = {
    StepAction.CHECK: CheckRunner.verify_check,
    StepAction.RECONCILE: CheckRunner.verify_reconcile,
}
"""The method that verifies a step later, by the step's action. Only steps that only read can be verified."""


def _failed_result(migration: str, identity: StepId, diagnostic: Diagnostic, sqlstate: str | None) -> VerifyResult:
    is_gone = sqlstate is not None and sqlstate.startswith(_GONE) and sqlstate != INSUFFICIENT_PRIVILEGE
    verdict = VerifyVerdict.CANNOT_RUN if is_gone else VerifyVerdict.FAILS
    return VerifyResult(migration=migration, step=identity, verdict=verdict, diagnostic=diagnostic)


def check_comparable(results: Sequence[VerifyResult]) -> None:
    """Raise InputError, with the reasons, if the comparison for a result was impossible."""
    diagnostics = [one.diagnostic for one in results if one.reconcile_result is None and one.diagnostic]
    if diagnostics:
        raise InputError(*diagnostics)
