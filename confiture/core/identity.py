"""The identity of a database: show it, replace it, and find out whether a command must be confirmed."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from confiture.core.db.connection import ConnectionTarget, check_server, connect_for_query
from confiture.core.db.errors import db_error_diagnostic
from confiture.core.db.event_log import EventLog, NewEvent
from confiture.core.db.history_store import HistoryStore
from confiture.core.db.history_upgrade import upgrade_history
from confiture.core.db.identity_store import IdentityStore
from confiture.core.db.migration_lock import acquire_migration_lock
from confiture.errors import DatabaseUnavailable, Diagnostic, InputError
from confiture.models.history_events import HistoryEventKind
from confiture.models.identity import DatabaseIdentity, NameResolution, WriteRequest
from confiture.models.settings import Settings
from confiture.plan.identity import find_identity, find_missing_confirmation, find_missing_reason, protected_name

_PURPOSE = "identity"
_FAILURE = "the identity cannot be read"


@dataclass(frozen=True, kw_only=True, slots=True)
class IdentityReport:
    """The identities in a database, one for each project, and how the session resolves unqualified names."""

    identities: tuple[DatabaseIdentity, ...]
    resolution: NameResolution


def read_identities(database: ConnectionTarget) -> IdentityReport:
    """Return the identities in a database without comparing them with settings. Raise DatabaseUnavailable."""
    with connect_for_query(database, _PURPOSE, _FAILURE) as connection:
        store = IdentityStore(connection)
        return IdentityReport(identities=store.read(only_reads=True), resolution=store.resolution)


def find_name_to_confirm(settings: Settings, database: ConnectionTarget) -> str | None:
    """Return the name that a command that writes must confirm; None if the database is not protected.

    Hold no lock and keep no connection. Raise InputError if the settings do not belong to the database.
    """
    with connect_for_query(database, _PURPOSE, _FAILURE) as connection:
        return protected_name(settings, IdentityStore(connection).check(settings))


def set_identity(
    settings: Settings, database: ConnectionTarget, request: WriteRequest, lock_wait_ms: int
) -> DatabaseIdentity | None:
    """Make the database the environment of the settings, with its protection and the search path of this session.

    `request.confirm` must be the name of the environment that the database is now. Return the former identity; None if
    there was none. Raise InputError, LockHeld or DatabaseUnavailable.
    """
    connection = database.connect(_PURPOSE)
    try:
        check_server(connection, database.label)
        identity, history = IdentityStore(connection), HistoryStore(connection, settings.history)
        _check_request(settings, identity.read(), request)
        log = EventLog(settings, request)
        with acquire_migration_lock(database, settings.history, _PURPOSE, lock_wait_ms, lambda _: None, connection):
            upgrade_history(database, connection, history, _PURPOSE, lock_wait_ms, lambda _: None)
            identities = identity.read()
            _check_request(settings, identities, request)
            former = find_identity(identities, settings.history)
            with connection.transaction():
                if not history.is_current():
                    history.check_privileges()
                    history.install()
                identity.replace(settings)
                details = _describe(former) | {"protected": settings.protected}
                log.record(connection, NewEvent(kind=HistoryEventKind.IDENTIFIED, details=details))
            return former
    except psycopg.Error as error:
        raise DatabaseUnavailable(db_error_diagnostic(error, "the identity cannot be written")) from error
    finally:
        connection.close()


def _check_request(settings: Settings, identities: tuple[DatabaseIdentity, ...], request: WriteRequest) -> None:
    """Raise InputError unless the request names the environment that the database is now."""
    former = find_identity(identities, settings.history)
    if former is None:
        problem = find_missing_confirmation(settings, identities, request)
    elif request.confirm is None:
        problem = Diagnostic(
            code="protected",
            message=f"the database is the environment {former.environment!r}: its name must be confirmed",
            hint=f"check that this is the right database, then add `--confirm {former.environment}`",
        )
    elif request.confirm != former.environment:
        problem = Diagnostic(
            code="wrong-confirmation",
            message=f"the confirmation names {request.confirm!r}, but the database is the environment"
            f" {former.environment!r}",
            hint="check that this is the right database, then confirm the name that it has now",
        )
    else:
        problem = find_missing_reason(settings, request)
    if problem is not None:
        raise InputError(problem)


def _describe(former: DatabaseIdentity | None) -> dict[str, object]:
    if former is None:
        return {}
    return {"former_environment": former.environment, "former_protected": former.is_protected}
