"""Statements outside transactions: finds out from the catalog what an earlier try left, and mends it."""

from __future__ import annotations

import re
import time
from typing import Any

from psycopg import sql

from confiture.core.db.connection import Connection
from confiture.core.db.queries import query
from confiture.errors import Diagnostic, MigrationFailed
from confiture.models.events import Emit, Notice
from confiture.models.plan import ConcurrentIndex, Statement
from confiture.sql.parsing import normalize_sql

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
    if statement.built_index:
        drop_invalid_index(connection, statement.built_index, emit)
        return _find_index(connection, statement.built_index) is None
    return not statement.dropped_index or _find_index(connection, statement.dropped_index) is not None


def is_already_done(connection: Connection, statement: Statement, *, has_intent: bool, emit: Emit) -> bool:
    """Whether an earlier try of ours (`has_intent`) already did what the statement does, or did once it was finished.

    Drops an invalid index that stands in the way of a build, and says so: it serves no query, costs every write,
    and IF NOT EXISTS would keep it for good. Raises MigrationFailed while another session is building that index.
    """
    if statement.built_index:
        drop_invalid_index(connection, statement.built_index, emit)
        return has_intent and _find_index(connection, statement.built_index) is not None
    if statement.dropped_index:
        return has_intent and _find_index(connection, statement.dropped_index) is None
    if has_intent and _partition_to_detach(statement):
        return _finish_detach(connection, statement, emit)
    if has_intent and statement.node_kind == "reindex_stmt":
        _drop_reindex_leftovers(connection, statement, emit)
    return False


def is_satisfied_in_dry_run(connection: Connection, statement: Statement, *, has_intent: bool, emit: Emit) -> bool:
    """What `already_done` does, for a dry run, inside its transaction: gives whether nothing is left to run.

    An invalid index that the real run would drop is dropped in the transaction, and comes back with the rollback.
    """
    if statement.built_index:
        found = _find_index(connection, statement.built_index)
        if found and not found["valid"]:
            name = sql.Identifier(found["schema"], found["name"])
            connection.execute(sql.SQL("DROP INDEX {}").format(name))
            emit(
                Notice(text=f"the real run will first drop the invalid index {found['name']} that a broken build left")
            )
            return False
        return has_intent and found is not None
    if statement.dropped_index:
        return has_intent and _find_index(connection, statement.dropped_index) is None
    return (
        has_intent
        and _partition_to_detach(statement) is not None
        and _attachment_state(connection, statement) == "detached"
    )


def clean_up_failed_statement(connection: Connection, statement: Statement, *, was_rejected: bool, emit: Emit) -> bool:
    """Removes what a failed statement left. Gives whether nothing of it remains: what cannot be taken back is for
    the next run to finish. `was_rejected` says that PostgreSQL itself ended the statement, with an error.
    """
    if statement.built_index:
        drop_invalid_index(connection, statement.built_index, emit)
        return _find_index(connection, statement.built_index) is None
    if statement.dropped_index:
        found = _find_index(connection, statement.dropped_index)
        return found is not None and bool(found["valid"])
    if _partition_to_detach(statement):
        return _attachment_state(connection, statement) == "attached"
    if statement.node_kind == "reindex_stmt":
        _drop_reindex_leftovers(connection, statement, emit)
    return was_rejected or statement.node_kind in _REPEATABLE


def drop_invalid_index(connection: Connection, index: ConcurrentIndex, emit: Emit) -> None:
    """Drops the invalid index that a broken build left; does nothing where there is none.

    An index is invalid while it is built, too: waits for a builder that lost its client to notice that and end.
    Raises MigrationFailed where it goes on.
    """
    found = _find_index(connection, index)
    if found and not found["valid"]:
        _wait_for_builders(connection, found)
        # a builder may have come to a good end meanwhile; without one, invalid stays invalid
        found = _find_index(connection, index)
    if found and not found["valid"]:
        _drop_index(connection, found, emit)


def _wait_for_builders(connection: Connection, index_row: dict[str, Any]) -> None:
    deadline = time.monotonic() + _BUILDER_WAIT_S
    while builders := [row["pid"] for row in connection.execute(query("index_builders"), index_row)]:
        if time.monotonic() >= deadline:
            raise MigrationFailed(
                Diagnostic(
                    code="index-being-built",
                    message=f"the index {index_row['name']} is not valid, and server process {builders[0]} works on its"
                    " table right now: it may be building it",
                    hint="wait until it ends, or end it with pg_terminate_backend; then run again",
                )
            )
        time.sleep(_POLL_S)


def _drop_index(connection: Connection, index_row: dict[str, Any], emit: Emit) -> None:
    name = sql.Identifier(index_row["schema"], index_row["name"])
    connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(name))
    emit(Notice(text=f"dropped the invalid index {index_row['name']} that a broken CONCURRENTLY build had left"))


def _find_index(connection: Connection, index: ConcurrentIndex) -> dict[str, Any] | None:
    parameters = {"name": index.name, "schema": index.schema, "table": index.table}
    return connection.execute(query("index_state"), parameters).fetchone()


def _drop_reindex_leftovers(connection: Connection, statement: Statement, emit: Emit) -> None:
    """Drops the invalid copies (`_ccnew`, `_ccold`) that a broken REINDEX CONCURRENTLY left on its tables."""
    match = _REINDEX.fullmatch(normalize_sql(statement.text))
    parameters = {"kind": match["kind"].lower(), "name": match["name"]} if match else {"kind": "none", "name": ""}
    for found in connection.execute(query("rebuilt_halves"), parameters).fetchall():
        _wait_for_builders(connection, found)
        _drop_index(connection, found, emit)


def _finish_detach(connection: Connection, statement: Statement, emit: Emit) -> bool:
    state = _attachment_state(connection, statement)
    if state == "pending":
        finalize = re.sub(r"\bCONCURRENTLY$", "FINALIZE", normalize_sql(statement.text), flags=re.IGNORECASE)
        connection.execute(finalize.encode())
        emit(Notice(text=f"finished the detaching of {_partition_to_detach(statement)} that was broken off"))
    return state != "attached"


def _attachment_state(connection: Connection, statement: Statement) -> str:
    """Whether the partition is `attached`, `detached`, or `pending` in between."""
    row = connection.execute(query("partition_state"), {"partition": _partition_to_detach(statement)}).fetchone()
    if row is None:
        return "detached"
    return "pending" if row["pending"] else "attached"


def _partition_to_detach(statement: Statement) -> str | None:
    if statement.node_kind != "alter_table_stmt":
        return None
    match = _DETACH.search(normalize_sql(statement.text))
    return match["partition"] if match else None
