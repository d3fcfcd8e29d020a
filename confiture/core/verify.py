"""Runs again, read-only, what applied migrations checked and proved at their ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from confiture.core.db.connection import Connection, ConnectionTarget, connect_for_query
from confiture.core.db.history_store import HistoryStore
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

Announce = Callable[[str], None]
"""Is told the name of each step before it runs."""
_REFUSED = "the database cannot be asked"


def verify(
    project: PlannedProject, database: ConnectionTarget, version: str | None, announce: Announce
) -> VerifyReport:
    """The checks and reconciles of all applied migrations, or of one, as they stand now.

    Raises InputError where that one is not applied, DatabaseUnavailable where the database cannot be asked.
    """
    wanted = None if version is None else project.ups[find_version(version, project.migrations)]
    with connect_for_query(database, "verify", _REFUSED) as connection:
        plans, notes = _applied_plans(connection, project, wanted)
        rechecker = CheckRunner(connection, project.settings.database.lock_timeout_ms)
        steps = [
            _verify_step(rechecker, plan, segment, step, announce)
            for plan in plans
            for segment, step in _verifiable_steps(plan)
        ]
    environment = project.settings.environment
    return VerifyReport(database=database.label, environment=environment, steps=tuple(steps), notes=tuple(notes))


def verify_reconciles(
    project: PlannedProject, database: ConnectionTarget, version: str, announce: Announce
) -> VerifyReport:
    """All reconciles of one migration. Raises InputError where it has none, or one cannot be compared at all."""
    plan = project.plan_of(version, down=False)
    found = [(segment, step) for segment, step in _iterate_steps(plan) if step.reconcile and not step.skip_reason]
    if not found:
        message = f"{plan.migration.label} has no step `reconcile:`"
        hint = "add one, or name a table: `confiture reconcile TABLE --sql QUERY`"
        told = plan.migration.file.diagnostic(plan.migration.span, "no-reconcile", message, hint=hint)
        raise InputError(told)
    with connect_for_query(database, "reconcile", _REFUSED) as connection:
        rechecker = CheckRunner(connection, project.settings.database.lock_timeout_ms)
        steps = [_verify_step(rechecker, plan, segment, step, announce) for segment, step in found]
    check_comparable(steps)
    return VerifyReport(database=database.label, environment=project.settings.environment, steps=tuple(steps))


def reconcile_query(settings: Settings, database: ConnectionTarget, ad_hoc: AdHocReconcile) -> VerifyReport:
    """A table against a query of the command line. Raises InputError where the two cannot be compared."""
    step = ad_hoc_step(ad_hoc, settings.tenancy.column)
    segment = Segment(number=1, steps=(step,), transaction_mode=TransactionMode.TRANSACTIONAL)
    with connect_for_query(database, "reconcile", _REFUSED) as connection:
        rechecker = CheckRunner(connection, settings.database.lock_timeout_ms)
        found = rechecker.run("", step, build_step_id("", segment, step))
    check_comparable([found])
    return VerifyReport(database=database.label, environment=settings.environment, steps=(found,))


def _applied_plans(
    connection: Connection, project: PlannedProject, selected_plan: PlannedMigration | None
) -> tuple[Sequence[PlannedMigration], list[str]]:
    """The plans of what is applied, in the order in which that was done, and what is to be said of the rest."""
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
            notes.append(f"{row.version} {row.name}: its file is gone, so nothing of it was run")
        elif plan.checksum != row.checksum:
            notes.append(f"{plan.migration.label}: its file changed since it was applied; what was run is as it is now")
    return [plans[key] for key in rows if key in plans], notes


def _iterate_steps(plan: PlannedMigration) -> Iterator[tuple[Segment, PlannedStep]]:
    return ((segment, step) for segment in plan.segments for step in segment.steps)


def _verifiable_steps(plan: PlannedMigration) -> Iterator[tuple[Segment, PlannedStep]]:
    """What must hold for as long as the migration is applied: the end checks, and reconciles wherever they stand."""
    return ((s, step) for s, step in _iterate_steps(plan) if step.phase is Phase.AFTER_VALIDATION or step.reconcile)


def _verify_step(
    check_runner: CheckRunner, plan: PlannedMigration, segment: Segment, step: PlannedStep, announce: Announce
) -> VerifyResult:
    label = plan.migration.label
    identity = build_step_id(plan.version, segment, step)
    reason = step.skip_reason
    if not reason and not step.action.only_reads:
        reason = "it is no query: what it does, it did once"
    if step.once:
        reason = "`once`: it held right after the migration"
    if not reason and step.missing_variables:
        return VerifyResult(
            migration=label, step=identity, verdict=VerifyVerdict.CANNOT_RUN, diagnostic=step.missing_variables[0]
        )
    if reason:
        return VerifyResult(migration=label, step=identity, verdict=VerifyVerdict.SKIPPED, note=reason)
    announce(f"{label}: {step.label}")
    return check_runner.run(label, step, identity)


def failed_checks(report: VerifyReport, *, strict: bool) -> tuple[Diagnostic, ...]:
    """What ends the command with 1: what fails and, where `strict`, what cannot run any more."""
    failing = report.with_verdict(VerifyVerdict.FAILS) + (
        report.with_verdict(VerifyVerdict.CANNOT_RUN) if strict else ()
    )
    return tuple(step.diagnostic for step in failing if step.diagnostic)
