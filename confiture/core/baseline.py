"""Adopts an existing database: enters migrations as applied without running them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import psycopg

from confiture.core.database import Connection, Database, require_usable
from confiture.core.failures import plain_failure
from confiture.core.lock import project_lock
from confiture.core.other_projects import refuse_other_history
from confiture.core.runner import chain_end
from confiture.core.state import StateStore
from confiture.core.upgrade import upgrade_history
from confiture.errors import DatabaseUnavailable, Diagnostic, InputError
from confiture.models.history import AppliedMigration, Origin, State
from confiture.models.plan import PlannedMigration
from confiture.plan.checksums import CHAIN_START, chain
from confiture.plan.ordering import find_version, version_key
from confiture.plan.project import PlannedProject


def baseline(
    project: PlannedProject, database: Database, version: str, lock_wait_ms: int
) -> tuple[PlannedMigration, ...]:
    """Enters all migrations up to a version as applied, without running them.

    Gives those that were entered. Raises InputError where a later one is applied or one stopped midway,
    DatabaseUnavailable, LockHeld.
    """
    last = find_version(version, project.migrations)
    connection = database.connect("baseline")
    try:
        require_usable(connection, database.label)
        with project_lock(database, project.settings.history, "baseline", lock_wait_ms, lambda _: None, connection):
            return _enter(project, database, connection, project.ups[: last + 1], lock_wait_ms)
    except psycopg.Error as error:
        raise DatabaseUnavailable(plain_failure(error, "the history cannot be written")) from error
    finally:
        connection.close()


def _enter(
    project: PlannedProject,
    database: Database,
    connection: Connection,
    wanted: Sequence[PlannedMigration],
    lock_wait_ms: int,
) -> tuple[PlannedMigration, ...]:
    state = StateStore(connection, project.settings.history)
    history = state.history() if state.installed() else ()
    if not history and state.installed():
        refuse_other_history(project, state)
    known = {version_key(row.version) for row in history}
    missing = tuple(plan for plan in wanted if version_key(plan.version) not in known)
    _refuse_unfinished(history)
    _refuse_below(project, history, missing)
    upgrade_history(database, connection, state, "baseline", lock_wait_ms, lambda _: None)
    with connection.transaction():
        if not state.is_current():
            state.require_rights()
            state.install()
        link = chain_end(history, CHAIN_START)
        for plan in missing:
            link = chain(link, plan.version, plan.checksum)
            state.insert_applied(plan, str(uuid.uuid4()), link, Origin.BASELINE, None)
    return missing


def _refuse_unfinished(history: Sequence[AppliedMigration]) -> None:
    for row in history:
        if row.state is not State.APPLIED:
            command = "down" if row.state is State.REVERTING else "up"
            raise InputError(
                Diagnostic(
                    code="unfinished",
                    message=f"{row.version} {row.name} stopped midway",
                    hint=f"finish it first: `confiture migrate {command}`",
                )
            )


def _refuse_below(
    project: PlannedProject, history: Sequence[AppliedMigration], missing: Sequence[PlannedMigration]
) -> None:
    order = [version_key(plan.version) for plan in project.ups]
    applied = [order.index(key) for row in history if (key := version_key(row.version)) in order]
    if missing and applied and max(applied) > order.index(version_key(missing[0].version)):
        raise InputError(
            Diagnostic(
                code="baseline-below",
                message=f"{missing[0].migration.label} comes before a migration that is applied already",
                hint="a baseline adopts a database before anything is applied to it by confiture",
            )
        )
