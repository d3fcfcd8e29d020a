"""Rerun the checks and reconciles of applied migrations without writing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from confiture.core.db.connection import Connection, ConnectionTarget, connect_for_query
from confiture.core.db.history_store import HistoryStore
from confiture.core.db.identity_store import check_identity
from confiture.core.db.other_histories import reject_other_history
from confiture.core.reconcile.ad_hoc import AdHocReconcile, CheckRunner, ad_hoc_step, check_comparable
from confiture.core.status import read_history
from confiture.errors import Diagnostic, InputError
from confiture.models.history import MigrationState
from confiture.models.migration import Phase
from confiture.models.plan import PlannedMigration, PlannedStep, Segment, TransactionMode
from confiture.models.reconcile_results import VerifyReport, VerifyResult, VerifyVerdict
from confiture.models.settings import Settings
from confiture.models.steps import build_step_id
from confiture.plan.migration_order import find_version, version_key
from confiture.plan.project import PlannedProject
from confiture.plan.session_state import (
    LOST_SESSION_STATE,
    reads_temporary_object,
    settings_at,
    unrepeatable_setting,
)

Announce = Callable[[str], None]
"""A callback that receives each step's name before the step runs."""
_REFUSED = "the database cannot be queried"


def verify(
    project: PlannedProject, database: ConnectionTarget, version: str | None, announce: Announce
) -> VerifyReport:
    """Rerun the checks and reconciles of one or all applied migrations.

    Raise InputError if the migration is not applied, and DatabaseUnavailable if the database cannot be queried.
    """
    selected_plan = None if version is None else project.ups[find_version(version, project.migrations)]
    with connect_for_query(database, "verify", _REFUSED) as connection:
        check_identity(connection, project.settings)
        plans, notes = _applied_plans(connection, project, selected_plan)
        check_runner = CheckRunner(connection, project.settings.database.lock_timeout_ms)
        steps = [
            _verify_step(check_runner, plan, segment, step, announce)
            for plan in plans
            for segment, step in _verifiable_steps(plan)
        ]
    environment = project.settings.environment
    return VerifyReport(database=database.label, environment=environment, steps=tuple(steps), notes=tuple(notes))


def verify_reconciles(
    project: PlannedProject, database: ConnectionTarget, version: str, announce: Announce
) -> VerifyReport:
    """Rerun all reconciles in one migration. Raise InputError if there are none or if one is not comparable."""
    plan = project.plan_of(version, down=False)
    reconciles = [(segment, step) for segment, step in _iterate_steps(plan) if step.reconcile and not step.skip_reason]
    if not reconciles:
        message = f"{plan.migration.label} has no `reconcile:` step"
        hint = "add one, or name a table: `confiture reconcile TABLE --sql QUERY`"
        raise InputError(plan.migration.file.diagnostic(plan.migration.span, "no-reconcile", message, hint=hint))
    with connect_for_query(database, "reconcile", _REFUSED) as connection:
        check_identity(connection, project.settings)
        check_runner = CheckRunner(connection, project.settings.database.lock_timeout_ms)
        steps = [_verify_step(check_runner, plan, segment, step, announce) for segment, step in reconciles]
    check_comparable(steps)
    return VerifyReport(database=database.label, environment=project.settings.environment, steps=tuple(steps))


def reconcile_query(settings: Settings, database: ConnectionTarget, ad_hoc: AdHocReconcile) -> VerifyReport:
    """Compare a table with a query from the command line. Raise InputError if they are not comparable."""
    step = ad_hoc_step(ad_hoc, settings.tenancy.column)
    segment = Segment(number=1, steps=(step,), transaction_mode=TransactionMode.TRANSACTIONAL)
    with connect_for_query(database, "reconcile", _REFUSED) as connection:
        check_identity(connection, settings)
        check_runner = CheckRunner(connection, settings.database.lock_timeout_ms)
        result = check_runner.run("", step, build_step_id("", segment, step))
    check_comparable([result])
    return VerifyReport(database=database.label, environment=settings.environment, steps=(result,))


def _applied_plans(
    connection: Connection, project: PlannedProject, selected_plan: PlannedMigration | None
) -> tuple[Sequence[PlannedMigration], list[str]]:
    """Return the plans of applied migrations in the order in which they were applied, and notes on other migrations."""
    history = read_history(connection, project.settings.history)
    state = HistoryStore(connection, project.settings.history)
    if not history and state.is_installed(only_reads=True):
        reject_other_history(project, state)
    rows = {version_key(row.version): row for row in history if row.state is MigrationState.APPLIED}
    plans = {version_key(plan.version): plan for plan in project.ups}
    if selected_plan is not None:
        only = version_key(selected_plan.version)
        if only not in rows:
            raise InputError(
                selected_plan.migration.file.diagnostic(
                    selected_plan.migration.span,
                    "not-applied",
                    f"{selected_plan.migration.label} is not applied: there is nothing to verify",
                    hint="`confiture migrate up` applies it",
                )
            )
        rows = {only: rows[only]}
    notes = []
    for key, row in rows.items():
        plan = plans.get(key)
        if plan is None:
            notes.append(f"{row.version} {row.name}: its file is missing, so no steps were run")
        elif plan.checksum != row.checksum:
            notes.append(f"{plan.migration.label}: its file has changed since it was applied; the current steps ran")
    return [plans[key] for key in rows if key in plans], notes


def _iterate_steps(plan: PlannedMigration) -> Iterator[tuple[Segment, PlannedStep]]:
    return ((segment, step) for segment in plan.segments for step in segment.steps)


def _verifiable_steps(plan: PlannedMigration) -> Iterator[tuple[Segment, PlannedStep]]:
    """Yield the steps that must succeed while the migration is applied: final checks, and reconciles in any phase."""
    return ((s, step) for s, step in _iterate_steps(plan) if step.phase is Phase.AFTER_VALIDATION or step.reconcile)


def _verify_step(
    check_runner: CheckRunner, plan: PlannedMigration, segment: Segment, step: PlannedStep, announce: Announce
) -> VerifyResult:
    label = plan.migration.label
    identity = build_step_id(plan.version, segment, step)
    reason = step.skip_reason
    if not reason and not step.action.only_reads:
        reason = "it is not a query, and its effect happened once"
    if step.once:
        reason = "`once`: it is only valid immediately after the migration"
    if not reason and step.missing_variables:
        return VerifyResult(
            migration=label, step=identity, verdict=VerifyVerdict.CANNOT_RUN, diagnostic=step.missing_variables[0]
        )
    if reason:
        return VerifyResult(migration=label, step=identity, verdict=VerifyVerdict.SKIPPED, note=reason)
    if unrepeatable_setting(segment, step) or reads_temporary_object(segment, step):
        message = "the step runs with settings or temporary tables of its migration that cannot be made again"
        hint = "make the settings with SET statements; or use a permanent table, or `once: true`"
        diagnostic = step.rendered.source.file.diagnostic(step.span, LOST_SESSION_STATE, message, hint=hint)
        return VerifyResult(migration=label, step=identity, verdict=VerifyVerdict.CANNOT_RUN, diagnostic=diagnostic)
    announce(f"{label}: {step.label}")
    return check_runner.run(label, step, identity, settings_at(segment, step))


def failed_checks(report: VerifyReport, *, strict: bool) -> tuple[Diagnostic, ...]:
    """Return the diagnostics that cause exit code 1: failures and, with `strict`, steps that cannot run any more."""
    failing = report.with_verdict(VerifyVerdict.FAILS) + (
        report.with_verdict(VerifyVerdict.CANNOT_RUN) if strict else ()
    )
    return tuple(step.diagnostic for step in failing if step.diagnostic)
