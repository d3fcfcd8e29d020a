"""Where a database stands."""

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
from confiture.core.db.migration_lock import lock_key
from confiture.core.db.other_histories import find_other_history
from confiture.core.db.queries import query
from confiture.core.run.resume import ResumePoint, match_plan_to_journal
from confiture.errors import Diagnostic, Drift
from confiture.models.history import AppliedMigration, HistoryKey, MigrationState
from confiture.models.plan import PlannedMigration
from confiture.plan.history import InterruptedMigration, MigrationStatus, compare_history
from confiture.plan.migration_order import version_key
from confiture.plan.project import PlannedProject


def migration_status(project: PlannedProject, database: ConnectionTarget) -> MigrationStatus:
    """Where the database stands; reads only. Raises DatabaseUnavailable."""
    key = project.settings.history
    with connect_for_query(database, "status", "the history cannot be read") as connection:
        set_lock_timeout(connection, READ_LOCK_TIMEOUT_MS)
        # before the history: what a run that ends in between left midway in it has not stopped
        under_way = _find_lock_holder(connection, lock_key(key))
        store = HistoryStore(connection, key)
        is_installed = store.is_installed(only_reads=True)
        history = store.read_history() if is_installed else ()
        others = store.other_histories() if is_installed else ()
        renamed = find_other_history(project, store) if is_installed and not history else None
        midway = [
            (row, ResumePoint(attempt=row.attempt, journal=store.read_journal(row.attempt)))
            for row in history
            if row.state is not MigrationState.APPLIED
        ]
    found = [_build_interrupted(row, unfinished, _find_plan(project, row)) for row, unfinished in midway]
    now = compare_history(project.ups, history, key.project)
    drift = tuple(diagnostic for _, diagnostics in found for diagnostic in diagnostics)
    stopped = tuple(one for one, _ in found)
    return replace(
        now,
        interrupted=stopped,
        drift=now.drift + drift,
        lock_holder=under_way,
        other_histories=others,
        project_mismatch=renamed,
        notes=project.unread_files,
    )


def _find_lock_holder(connection: Connection, key: int) -> str | None:
    """What the run that holds the project's lock calls itself."""
    row = connection.execute(query("lock_holder"), {"key": key}).fetchone()
    return None if row is None else row["application_name"] or "a session without a name"


def _build_interrupted(
    row: AppliedMigration, resume_point: ResumePoint, plan: PlannedMigration | None
) -> tuple[InterruptedMigration, tuple[Diagnostic, ...]]:
    """How far a migration came, and what its file disagrees in."""
    stopped = InterruptedMigration(row=row, committed_segments=resume_point.committed_segments)
    if plan is None or plan.missing_variables:
        return stopped, ()
    try:
        segments = match_plan_to_journal(plan, resume_point).segments
    except Drift as drift:
        return stopped, drift.diagnostics
    left = (
        step
        for segment in segments[resume_point.committed_segments :]
        for step in segment.steps
        if not step.skip_reason
    )
    return replace(stopped, segments=len(segments), next_step=next(left, None), has_intent=resume_point.has_intent), ()


def _find_plan(project: PlannedProject, row: AppliedMigration) -> PlannedMigration | None:
    """The plan that a migration stopped midway of, None where its file no longer has it."""
    plans = project.downs.values() if row.state is MigrationState.REVERTING else project.ups
    return next((plan for plan in plans if version_key(plan.version) == version_key(row.version)), None)


def read_history(connection: Connection, key: HistoryKey) -> tuple[AppliedMigration, ...]:
    """All rows of a history, none where nothing was ever applied."""
    state = HistoryStore(connection, key)
    return state.read_history() if state.is_installed(only_reads=True) else ()
