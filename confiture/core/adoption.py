"""Adopt an existing database by recording migrations without running them, and the history of a renamed project."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import psycopg

from confiture.core.db.connection import Connection, ConnectionTarget, check_server
from confiture.core.db.errors import db_error_diagnostic
from confiture.core.db.history_store import HistoryStore
from confiture.core.db.history_upgrade import upgrade_history
from confiture.core.db.migration_lock import acquire_migration_lock
from confiture.core.db.other_histories import reject_other_history
from confiture.core.run.runner import last_chain_checksum
from confiture.errors import DatabaseUnavailable, Diagnostic, InputError
from confiture.models.history import AppliedMigration, HistoryKey, HistoryOrigin, MigrationState
from confiture.models.plan import PlannedMigration
from confiture.plan.checksums import CHAIN_START, chain_checksum
from confiture.plan.migration_order import find_version, version_key
from confiture.plan.project import PlannedProject


def adopt_project(database: ConnectionTarget, old: str, new: str, lock_wait_ms: int) -> int:
    """Rename the history of the project `old` to `new`, in one transaction. Return its number of migrations.

    Raise InputError if `old` has no history or `new` already has one; LockHeld while either project is running;
    DatabaseUnavailable.
    """
    keys = HistoryKey(project=old), HistoryKey(project=new)
    purpose = "adopt project"
    connection = database.connect(purpose)
    try:
        check_server(connection, database.label)
        former, renamed = (HistoryStore(connection, key) for key in keys)
        with (
            acquire_migration_lock(database, keys[0], purpose, lock_wait_ms, lambda _: None, connection),
            acquire_migration_lock(database, keys[1], purpose, lock_wait_ms, lambda _: None, connection),
            connection.transaction(),
        ):
            _require_one_history(former, renamed)
            if former.needs_upgrade():
                # A former format belongs to `default`, whose lock is held.
                former.upgrade()
            return former.rename(new)
    except psycopg.Error as error:
        raise DatabaseUnavailable(db_error_diagnostic(error, "the history cannot be renamed")) from error
    finally:
        connection.close()


def _require_one_history(old_store: HistoryStore, new_store: HistoryStore) -> None:
    is_installed = old_store.is_installed()
    if not is_installed or not old_store.read_history():
        projects = [other.project for other in old_store.other_histories()] if is_installed else []
        raise InputError(
            Diagnostic(
                code="unknown-project",
                message=f"the database has no history of the project {old_store.key.project!r}",
                hint=_known_projects_hint(projects),
            )
        )
    if new_store.read_history():
        raise InputError(
            Diagnostic(
                code="project-exists",
                message=f"the database already has a history of the project {new_store.key.project!r}",
                hint="choose another name; two histories cannot be merged",
            )
        )


def _known_projects_hint(projects: Sequence[str]) -> str:
    if not projects:
        return "check the database: it has no history at all"
    return f"name one of its projects: {', '.join(projects)}"


def record_baseline(
    project: PlannedProject, database: ConnectionTarget, version: str, lock_wait_ms: int
) -> tuple[PlannedMigration, ...]:
    """Record all migrations up to a version as applied, without running them.

    Return the recorded migrations. Raise InputError if a later migration is applied or one was interrupted,
    DatabaseUnavailable, LockHeld.
    """
    last = find_version(version, project.migrations)
    connection = database.connect("baseline")
    try:
        check_server(connection, database.label)
        with acquire_migration_lock(
            database, project.settings.history, "baseline", lock_wait_ms, lambda _: None, connection
        ):
            return _record_missing(project, database, connection, project.ups[: last + 1], lock_wait_ms)
    except psycopg.Error as error:
        raise DatabaseUnavailable(db_error_diagnostic(error, "the history cannot be written")) from error
    finally:
        connection.close()


def _record_missing(
    project: PlannedProject,
    database: ConnectionTarget,
    connection: Connection,
    plans: Sequence[PlannedMigration],
    lock_wait_ms: int,
) -> tuple[PlannedMigration, ...]:
    state = HistoryStore(connection, project.settings.history)
    history = state.read_history() if state.is_installed() else ()
    if not history and state.is_installed():
        reject_other_history(project, state)
    recorded = {version_key(row.version) for row in history}
    missing = tuple(plan for plan in plans if version_key(plan.version) not in recorded)
    _reject_unfinished(history)
    _reject_earlier_versions(project, history, missing)
    upgrade_history(database, connection, state, "baseline", lock_wait_ms, lambda _: None)
    with connection.transaction():
        if not state.is_current():
            state.check_privileges()
            state.install()
        link = last_chain_checksum(history, CHAIN_START)
        for plan in missing:
            link = chain_checksum(link, plan.version, plan.checksum)
            state.insert_applied(plan, str(uuid.uuid4()), link, HistoryOrigin.BASELINE, None)
    return missing


def _reject_unfinished(history: Sequence[AppliedMigration]) -> None:
    for row in history:
        if row.state is not MigrationState.APPLIED:
            command = "down" if row.state is MigrationState.REVERTING else "up"
            raise InputError(
                Diagnostic(
                    code="unfinished",
                    message=f"{row.version} {row.name} was interrupted",
                    hint=f"finish it first with `confiture migrate {command}`",
                )
            )


def _reject_earlier_versions(
    project: PlannedProject, history: Sequence[AppliedMigration], missing: Sequence[PlannedMigration]
) -> None:
    order = [version_key(plan.version) for plan in project.ups]
    applied = [order.index(key) for row in history if (key := version_key(row.version)) in order]
    if missing and applied and max(applied) > order.index(version_key(missing[0].version)):
        raise InputError(
            Diagnostic(
                code="baseline-below",
                message=f"{missing[0].migration.label} comes before a migration that is already applied",
                hint="record a baseline before Confiture applies anything to the database",
            )
        )
