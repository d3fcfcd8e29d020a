"""Statements outside transactions: finds out from the catalog what an earlier try left, and mends it."""

from __future__ import annotations

import time
from typing import Any

from psycopg import sql

from confiture.core.database import Connection
from confiture.core.events import Emit
from confiture.core.queries import query
from confiture.errors import Diagnostic, MigrationFailed
from confiture.models.events import Noted
from confiture.models.plan import IndexBuild, Statement

_BUILDER_WAIT_S = 15.0
_POLL_S = 0.25


def already_done(connection: Connection, statement: Statement, *, intended: bool, emit: Emit) -> bool:
    """Whether an earlier try of ours (`intended`) already did what the statement does.

    Drops an invalid index that stands in the way of a build, and says so: it serves no query, costs every write,
    and IF NOT EXISTS would keep it for good. Raises MigrationFailed while another session is building that index.
    """
    if statement.builds:
        drop_invalid(connection, statement, emit)
        return intended and _index(connection, statement.builds) is not None
    if statement.drops:
        return intended and _index(connection, statement.drops) is None
    return False


def drop_invalid(connection: Connection, statement: Statement, emit: Emit) -> None:
    """Drops the invalid index that a broken build of this statement left; does nothing where there is none.

    An index is invalid while it is built, too: waits for a builder that lost its client to notice that and end.
    Raises MigrationFailed where it goes on.
    """
    found = _index(connection, statement.builds) if statement.builds else None
    deadline = time.monotonic() + _BUILDER_WAIT_S
    while found and found["builder"] and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        found = _index(connection, statement.builds) if statement.builds else None
    if found is None or found["valid"]:
        return
    if found["builder"]:
        raise MigrationFailed(
            Diagnostic(
                code="index-being-built",
                message=f"server process {found['builder']} is building the index {found['name']} right now",
                hint="wait until it ends, or end it with pg_terminate_backend; then run again",
            )
        )
    name = sql.Identifier(found["schema"], found["name"])
    connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(name))
    emit(Noted(text=f"dropped the invalid index {found['name']} that a broken CONCURRENTLY build had left"))


def _index(connection: Connection, index: IndexBuild) -> dict[str, Any] | None:
    parameters = {"name": index.name, "schema": index.schema, "table": index.table}
    return connection.execute(query("index_state"), parameters).fetchone()
