"""Statements outside transactions: finds out from the catalog what an earlier try left, and mends it."""

from __future__ import annotations

import re
import time
from typing import Any

from psycopg import sql

from confiture.core.database import Connection
from confiture.core.events import Emit
from confiture.core.queries import query
from confiture.errors import Diagnostic, MigrationFailed
from confiture.models.events import Noted
from confiture.models.plan import IndexBuild, Statement
from confiture.sql.parsing import normalized

_BUILDER_WAIT_S = 15.0
_POLL_S = 0.25
_REPEATABLE = ("vacuum_stmt", "reindex_stmt", "cluster_stmt", "discard_stmt", "alter_system_stmt")
_DETACH = re.compile(r"DETACH PARTITION (?P<partition>.+) CONCURRENTLY", re.IGNORECASE)
_REINDEX = re.compile(r"REINDEX .*?\b(?P<kind>INDEX|TABLE|SCHEMA|DATABASE)( CONCURRENTLY)? (?P<name>.+)", re.IGNORECASE)


def needs_intent(connection: Connection, statement: Statement, emit: Emit) -> bool:
    """Clears the way for a statement, and gives whether its run must be announced by an intent.

    None is needed where it can only fail or do nothing, as what it builds is there, or what it drops is not: an
    intent would let a later run take somebody else's index for ours. Raises MigrationFailed as `drop_invalid` does.
    """
    if statement.builds:
        drop_invalid(connection, statement.builds, emit)
        return _index(connection, statement.builds) is None
    return not statement.drops or _index(connection, statement.drops) is not None


def already_done(connection: Connection, statement: Statement, *, intended: bool, emit: Emit) -> bool:
    """Whether an earlier try of ours (`intended`) already did what the statement does, or did once it was finished.

    Drops an invalid index that stands in the way of a build, and says so: it serves no query, costs every write,
    and IF NOT EXISTS would keep it for good. Raises MigrationFailed while another session is building that index.
    """
    if statement.builds:
        drop_invalid(connection, statement.builds, emit)
        return intended and _index(connection, statement.builds) is not None
    if statement.drops:
        return intended and _index(connection, statement.drops) is None
    if intended and _partition(statement):
        return _detached(connection, statement, emit)
    if intended and statement.node == "reindex_stmt":
        _drop_rebuilt_halves(connection, statement, emit)
    return False


def rehearsed_away(connection: Connection, statement: Statement, *, intended: bool, emit: Emit) -> bool:
    """What `already_done` does, for a dry run, inside its transaction: gives whether nothing is left to run.

    An invalid index that the real run would drop is dropped in the transaction, and comes back with the rollback.
    """
    if statement.builds:
        found = _index(connection, statement.builds)
        if found and not found["valid"]:
            name = sql.Identifier(found["schema"], found["name"])
            connection.execute(sql.SQL("DROP INDEX {}").format(name))
            emit(Noted(text=f"the real run will first drop the invalid index {found['name']} that a broken build left"))
            return False
        return intended and found is not None
    if statement.drops:
        return intended and _index(connection, statement.drops) is None
    return intended and _partition(statement) is not None and _attachment(connection, statement) == "detached"


def clear_up(connection: Connection, statement: Statement, *, refused: bool, emit: Emit) -> bool:
    """Removes what a failed statement left. Gives whether nothing of it remains: what cannot be taken back is for
    the next run to finish. `refused` says that PostgreSQL itself ended the statement, with an error.
    """
    if statement.builds:
        drop_invalid(connection, statement.builds, emit)
        return _index(connection, statement.builds) is None
    if statement.drops:
        found = _index(connection, statement.drops)
        return found is not None and bool(found["valid"])
    if _partition(statement):
        return _attachment(connection, statement) == "attached"
    if statement.node == "reindex_stmt":
        _drop_rebuilt_halves(connection, statement, emit)
    return refused or statement.node in _REPEATABLE


def drop_invalid(connection: Connection, index: IndexBuild, emit: Emit) -> None:
    """Drops the invalid index that a broken build left; does nothing where there is none.

    An index is invalid while it is built, too: waits for a builder that lost its client to notice that and end.
    Raises MigrationFailed where it goes on.
    """
    found = _index(connection, index)
    if found and not found["valid"]:
        _wait_for_builders(connection, found)
        # a builder may have come to a good end meanwhile; without one, invalid stays invalid
        found = _index(connection, index)
    if found and not found["valid"]:
        _drop(connection, found, emit)


def _wait_for_builders(connection: Connection, found: dict[str, Any]) -> None:
    deadline = time.monotonic() + _BUILDER_WAIT_S
    while builders := [row["pid"] for row in connection.execute(query("index_builders"), found)]:
        if time.monotonic() >= deadline:
            raise MigrationFailed(
                Diagnostic(
                    code="index-being-built",
                    message=f"the index {found['name']} is not valid, and server process {builders[0]} works on its"
                    " table right now: it may be building it",
                    hint="wait until it ends, or end it with pg_terminate_backend; then run again",
                )
            )
        time.sleep(_POLL_S)


def _drop(connection: Connection, found: dict[str, Any], emit: Emit) -> None:
    name = sql.Identifier(found["schema"], found["name"])
    connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(name))
    emit(Noted(text=f"dropped the invalid index {found['name']} that a broken CONCURRENTLY build had left"))


def _index(connection: Connection, index: IndexBuild) -> dict[str, Any] | None:
    parameters = {"name": index.name, "schema": index.schema, "table": index.table}
    return connection.execute(query("index_state"), parameters).fetchone()


def _drop_rebuilt_halves(connection: Connection, statement: Statement, emit: Emit) -> None:
    """Drops the invalid copies (`_ccnew`, `_ccold`) that a broken REINDEX CONCURRENTLY left on its tables."""
    match = _REINDEX.fullmatch(normalized(statement.text))
    parameters = {"kind": match["kind"].lower(), "name": match["name"]} if match else {"kind": "none", "name": ""}
    for found in connection.execute(query("rebuilt_halves"), parameters).fetchall():
        _wait_for_builders(connection, found)
        _drop(connection, found, emit)


def _detached(connection: Connection, statement: Statement, emit: Emit) -> bool:
    state = _attachment(connection, statement)
    if state == "pending":
        finalize = re.sub(r"\bCONCURRENTLY$", "FINALIZE", normalized(statement.text), flags=re.IGNORECASE)
        connection.execute(finalize.encode())
        emit(Noted(text=f"finished the detaching of {_partition(statement)} that was broken off"))
    return state != "attached"


def _attachment(connection: Connection, statement: Statement) -> str:
    """Whether the partition is `attached`, `detached`, or `pending` in between."""
    row = connection.execute(query("partition_state"), {"partition": _partition(statement)}).fetchone()
    if row is None:
        return "detached"
    return "pending" if row["pending"] else "attached"


def _partition(statement: Statement) -> str | None:
    if statement.node != "alter_table_stmt":
        return None
    match = _DETACH.search(normalized(statement.text))
    return match["partition"] if match else None
