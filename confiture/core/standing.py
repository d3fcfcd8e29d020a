"""Where a database stands."""

from __future__ import annotations

from dataclasses import replace

from confiture.core.asking import asking
from confiture.core.database import Connection, Database
from confiture.core.lock import lock_key
from confiture.core.other_projects import find_other_history
from confiture.core.queries import query
from confiture.core.resuming import Unfinished, fitted
from confiture.core.state import StateStore
from confiture.errors import Diagnostic, Drift
from confiture.models.history import AppliedMigration, HistoryKey, State
from confiture.models.plan import PlannedMigration
from confiture.plan.history import Standing, Stopped, compare
from confiture.plan.ordering import version_key
from confiture.plan.project import PlannedProject


def standing(project: PlannedProject, database: Database) -> Standing:
    """Where the database stands; reads only. Raises DatabaseUnavailable."""
    key = project.settings.history
    with asking(database, "status", "the history cannot be read") as connection:
        # bounds what reading may wait
        connection.execute("SET lock_timeout = '5s'")
        # before the history: what a run that ends in between left midway in it has not stopped
        under_way = _lock_holder(connection, lock_key(key))
        store = StateStore(connection, key)
        is_installed = store.installed()
        history = store.history() if is_installed else ()
        others = store.others() if is_installed else ()
        renamed = find_other_history(project, store) if is_installed and not history else None
        midway = [
            (row, Unfinished(attempt=row.attempt, journal=store.journal(row.attempt)))
            for row in history
            if row.state is not State.APPLIED
        ]
    found = [_stopped(row, unfinished, _plan_of(project, row)) for row, unfinished in midway]
    now = compare(project.ups, history, key.project)
    drift = tuple(diagnostic for _, diagnostics in found for diagnostic in diagnostics)
    stopped = tuple(one for one, _ in found)
    return replace(now, stopped=stopped, drift=now.drift + drift, under_way=under_way, others=others, renamed=renamed)


def _lock_holder(connection: Connection, key: int) -> str | None:
    """What the run that holds the project's lock calls itself."""
    row = connection.execute(query("lock_holder"), {"key": key}).fetchone()
    return None if row is None else row["application_name"] or "a session without a name"


def _stopped(
    row: AppliedMigration, unfinished: Unfinished, plan: PlannedMigration | None
) -> tuple[Stopped, tuple[Diagnostic, ...]]:
    """How far a migration came, and what its file disagrees in."""
    stopped = Stopped(row=row, committed=unfinished.committed)
    if plan is None or plan.missing:
        return stopped, ()
    try:
        segments = fitted(plan, unfinished).segments
    except Drift as drift:
        return stopped, drift.diagnostics
    left = (step for segment in segments[unfinished.committed :] for step in segment.steps if not step.skipped)
    return replace(stopped, segments=len(segments), next_step=next(left, None), begun=unfinished.intended), ()


def _plan_of(project: PlannedProject, row: AppliedMigration) -> PlannedMigration | None:
    """The plan that a migration stopped midway of, None where its file no longer has it."""
    plans = project.downs.values() if row.state is State.REVERTING else project.ups
    return next((plan for plan in plans if version_key(plan.version) == version_key(row.version)), None)


def read_history(connection: Connection, key: HistoryKey) -> tuple[AppliedMigration, ...]:
    """All rows of a history, none where nothing was ever applied."""
    state = StateStore(connection, key)
    return state.history() if state.installed() else ()
