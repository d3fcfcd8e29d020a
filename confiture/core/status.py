"""The migration status of a database: applied, pending and interrupted migrations."""

from __future__ import annotations

from dataclasses import replace

from confiture.core.db.connection import (
    READ_LOCK_TIMEOUT_MS,
    Connection,
    ConnectionTarget,
    connect_for_query,
    set_lock_timeout,
)
from confiture.core.db.history_store import HistoryStore
from confiture.core.db.identity_store import check_identity
from confiture.core.db.migration_lock import lock_key
from confiture.core.db.other_histories import find_other_history
from confiture.core.db.queries import query
from confiture.core.run.resume import ResumePoint, match_plan_to_journal
from confiture.errors import Diagnostic, Drift
from confiture.models.history import AppliedMigration, HistoryKey, MigrationState
from confiture.models.plan import PlannedMigration
from confiture.models.settings import Settings
from confiture.plan.history import InterruptedMigration, MigrationStatus, compare_history, find_unreproducible
from confiture.plan.migration_order import version_key
from confiture.plan.project import PlannedProject


def migration_status(project: PlannedProject, database: ConnectionTarget) -> MigrationStatus:
    """Return the migration status of the database without writing anything. Raise DatabaseUnavailable."""
    key = project.settings.history
    with connect_for_query(database, "status", "the history cannot be read") as connection:
        set_lock_timeout(connection, READ_LOCK_TIMEOUT_MS)
        # Read the lock holder before the history. Otherwise, a run that ends between the two reads would be reported as
        # interrupted.
        lock_holder = _find_lock_holder(connection, lock_key(key))
        store = HistoryStore(connection, key)
        is_installed = store.is_installed(only_reads=True)
        if is_installed:
            check_identity(connection, project.settings)
        history = store.read_history() if is_installed else ()
        others = store.other_histories() if is_installed else ()
        mismatch = find_other_history(project, store) if is_installed and not history else None
        resume_points = [
            (row, ResumePoint(attempt=row.attempt, journal=store.read_journal(row.attempt)))
            for row in history
            if row.state is not MigrationState.APPLIED
        ]
    results = [
        _build_interrupted(row, point, _find_plan(project, row), project.settings) for row, point in resume_points
    ]
    now = compare_history(project.ups, history, project.settings)
    drift = tuple(diagnostic for _, diagnostics in results for diagnostic in diagnostics)
    interrupted = tuple(migration for migration, _ in results)
    return replace(
        now,
        interrupted=interrupted,
        drift=now.drift + drift,
        lock_holder=lock_holder,
        other_histories=others,
        project_mismatch=mismatch,
        unreproducible=find_unreproducible(project.ups, history),
        notes=project.unread_files,
    )


def _find_lock_holder(connection: Connection, key: int) -> str | None:
    """Return the application name of the run that holds the migration lock."""
    row = connection.execute(query("lock_holder"), {"key": key}).fetchone()
    return None if row is None else row["application_name"] or "a session without a name"


def _build_interrupted(
    row: AppliedMigration, resume_point: ResumePoint, plan: PlannedMigration | None, settings: Settings
) -> tuple[InterruptedMigration, tuple[Diagnostic, ...]]:
    """Return the progress of an interrupted migration, and any drift in its file."""
    migration = InterruptedMigration(row=row, committed_segments=resume_point.committed_segments)
    if plan is None or plan.missing_variables:
        return migration, ()
    try:
        segments = match_plan_to_journal(plan, resume_point, settings).segments
    except Drift as drift:
        return migration, drift.diagnostics
    remaining_steps = (
        step
        for segment in segments[resume_point.committed_segments :]
        for step in segment.steps
        if not step.skip_reason
    )
    return replace(
        migration, segments=len(segments), next_step=next(remaining_steps, None), has_intent=resume_point.has_intent
    ), ()


def _find_plan(project: PlannedProject, row: AppliedMigration) -> PlannedMigration | None:
    """Return the plan of an interrupted migration; None if the migration is no longer in a file."""
    plans = project.downs.values() if row.state is MigrationState.REVERTING else project.ups
    return next((plan for plan in plans if version_key(plan.version) == version_key(row.version)), None)


def read_history(connection: Connection, key: HistoryKey) -> tuple[AppliedMigration, ...]:
    """Return all rows in a history; none if nothing was ever applied."""
    state = HistoryStore(connection, key)
    return state.read_history() if state.is_installed(only_reads=True) else ()
