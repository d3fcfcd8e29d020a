"""Rename a project's history."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from confiture.core.db.connection import ConnectionTarget, check_server
from confiture.core.db.errors import db_error_diagnostic
from confiture.core.db.event_log import EventLog, NewEvent
from confiture.core.db.history_store import HistoryStore
from confiture.core.db.identity_store import IdentityStore
from confiture.core.db.migration_lock import acquire_migration_lock
from confiture.errors import DatabaseUnavailable, Diagnostic, InputError
from confiture.models.history import HistoryKey
from confiture.models.history_events import HistoryEventKind
from confiture.models.identity import WriteRequest
from confiture.models.records import replace
from confiture.models.settings import Settings


def adopt_project(
    database: ConnectionTarget, settings: Settings, old: str, new: str, request: WriteRequest, lock_wait_ms: int
) -> int:
    """Rename the history of the project `old` to `new` in one transaction. Return the number of migrations in it.

    Raise InputError if `old` has no history or `new` already has one, or if the settings or the request do not fit the
    identity of the database; LockHeld if either project is running; or
    DatabaseUnavailable.
    """
    keys = HistoryKey(project=old), HistoryKey(project=new)
    purpose = "adopt project"
    connection = database.connect(purpose)
    try:
        check_server(connection, database.label)
        former, renamed = (HistoryStore(connection, key) for key in keys)
        identity = IdentityStore(connection)
        identity.check_write(replace(settings, project=old), request)
        log = EventLog(replace(settings, project=new), request)
        with (
            acquire_migration_lock(database, keys[0], purpose, lock_wait_ms, lambda _: None, connection),
            acquire_migration_lock(database, keys[1], purpose, lock_wait_ms, lambda _: None, connection),
            connection.transaction(),
        ):
            identity.check_write(replace(settings, project=old), request)
            _require_one_history(former, renamed)
            if former.needs_upgrade():
                # Tables of a former format belong to the project `default`. Its lock is held.
                former.upgrade()
            migrations = former.rename(new)
            log.record(connection, NewEvent(kind=HistoryEventKind.ADOPTED, details={"project": old}))
            return migrations
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
                message=f"the database contains no history for the project {old_store.key.project!r}",
                hint=_known_projects_hint(projects),
            )
        )
    if new_store.read_history():
        raise InputError(
            Diagnostic(
                code="project-exists",
                message=f"the database already contains a history for the project {new_store.key.project!r}",
                hint="choose another name; two histories cannot be merged",
            )
        )


def _known_projects_hint(projects: Sequence[str]) -> str:
    if not projects:
        return "check that this is the right database: it contains no history at all"
    return f"specify one of the existing projects: {', '.join(projects)}"
