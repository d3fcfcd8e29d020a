"""Read the facts about a database that lint uses."""

from __future__ import annotations

from dataclasses import replace

from confiture.core.db.connection import (
    READ_LOCK_TIMEOUT_MS,
    Connection,
    ConnectionTarget,
    connect_for_query,
    set_lock_timeout,
)
from confiture.core.db.identity_store import check_identity
from confiture.core.db.introspection import read_catalog, read_table_rows
from confiture.core.status import read_history
from confiture.lint.engine.context import DatabaseFacts
from confiture.models.history import MigrationState
from confiture.models.settings import Settings

_VERSION = 10_000


def read_database_facts(database: ConnectionTarget, settings: Settings) -> DatabaseFacts:
    """Return a database's schema, server version, table sizes and applied migrations, without writing anything.

    Raise InputError if the settings do not belong to the database, and DatabaseUnavailable.
    """
    with connect_for_query(database, "lint", "the schema cannot be read") as connection:
        set_lock_timeout(connection, READ_LOCK_TIMEOUT_MS)
        check_identity(connection, settings)
        rows = read_history(connection, settings.history)
        applied = [row.version for row in rows if row.state is MigrationState.APPLIED]
        return replace(read_facts(connection), applied=frozenset(applied), label=database.label)


def read_facts(connection: Connection) -> DatabaseFacts:
    """Return the schema, server version and table sizes of the connected database. Raise psycopg.Error."""
    return DatabaseFacts(
        version=connection.info.server_version // _VERSION,
        table_rows=read_table_rows(connection),
        catalog=read_catalog(connection),
    )
