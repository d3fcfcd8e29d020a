"""Where a database stands."""

from __future__ import annotations

import psycopg

from confiture.core.database import Connection, Database
from confiture.core.failures import plain_failure
from confiture.core.project import Project
from confiture.core.state import StateStore
from confiture.errors import DatabaseUnavailable
from confiture.models.history import AppliedMigration
from confiture.plan.history import Standing, compare


def standing(project: Project, database: Database) -> Standing:
    """Where the database stands; reads only. Raises DatabaseUnavailable."""
    connection = database.connect("status")
    try:
        # bounds what reading may wait
        connection.execute("SET lock_timeout = '5s'")
        return compare(project.ups, read_history(connection))
    except psycopg.Error as error:
        raise DatabaseUnavailable(plain_failure(error, "the history cannot be read")) from error
    finally:
        connection.close()


def read_history(connection: Connection) -> tuple[AppliedMigration, ...]:
    """All rows of the history, none where nothing was ever applied."""
    state = StateStore(connection)
    return state.history() if state.installed() else ()
