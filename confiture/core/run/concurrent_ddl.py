"""Statements outside transactions: detect in the catalog what an earlier attempt left behind, and repair it."""

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
    """Prepare to run a statement. Return whether an intent must be recorded first.

    No intent is needed if the statement can only fail or do nothing because the index to build already exists or the
    index to drop does not exist. With an intent, a later run would mistake another session's index for its own. Raise
    MigrationFailed in the same cases as `drop_invalid_index`.
    """
    if statement.built_index:
        drop_invalid_index(connection, statement.built_index, emit)
        return _find_index(connection, statement.built_index) is None
    return not statement.dropped_index or _find_index(connection, statement.dropped_index) is not None


def is_already_done(connection: Connection, statement: Statement, *, has_intent: bool, emit: Emit) -> bool:
    """Whether an earlier attempt (`has_intent`) already did the statement's work. An unfinished DETACH is completed.

    Drop and report an invalid index that blocks a build. Such an index serves no query and slows down every write, and
    IF NOT EXISTS would keep it forever. Raise MigrationFailed if another session is building the index.
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
    """Whether nothing is left to run. This is `is_already_done` for a dry run, inside the dry run's transaction.

    An invalid index that the real run would drop is dropped inside the transaction and restored by the rollback.
    """
    if statement.built_index:
        index_row = _find_index(connection, statement.built_index)
        if index_row and not index_row["valid"]:
            name = sql.Identifier(index_row["schema"], index_row["name"])
            connection.execute(sql.SQL("DROP INDEX {}").format(name))
            emit(
                Notice(
                    text=f"the real run will first drop the invalid index {index_row['name']}, left by a failed build"
                )
            )
            return False
        return has_intent and index_row is not None
    if statement.dropped_index:
        return has_intent and _find_index(connection, statement.dropped_index) is None
    return (
        has_intent
        and _partition_to_detach(statement) is not None
        and _attachment_state(connection, statement) == "detached"
    )


def clean_up_failed_statement(connection: Connection, statement: Statement, *, was_rejected: bool, emit: Emit) -> bool:
    """Remove what a failed statement left behind. Return whether everything is removed; the next run removes the rest.

    `was_rejected` means that PostgreSQL itself ended the statement with an error.
    """
    if statement.built_index:
        drop_invalid_index(connection, statement.built_index, emit)
        return _find_index(connection, statement.built_index) is None
    if statement.dropped_index:
        index_row = _find_index(connection, statement.dropped_index)
        return index_row is not None and bool(index_row["valid"])
    if _partition_to_detach(statement):
        return _attachment_state(connection, statement) == "attached"
    if statement.node_kind == "reindex_stmt":
        _drop_reindex_leftovers(connection, statement, emit)
    return was_rejected or statement.node_kind in _REPEATABLE


def drop_invalid_index(connection: Connection, index: ConcurrentIndex, emit: Emit) -> None:
    """Drop the invalid index left behind by a failed build, if one exists.

    An index is also invalid while it is being built, so wait for a backend that lost its client to notice and exit.
    Raise MigrationFailed if the backend keeps running.
    """
    index_row = _find_index(connection, index)
    if index_row and not index_row["valid"]:
        _wait_for_builders(connection, index_row)
        # The building backend may have succeeded in the meantime. Without a building backend, the index stays invalid.
        index_row = _find_index(connection, index)
    if index_row and not index_row["valid"]:
        _drop_index(connection, index_row, emit)


def _wait_for_builders(connection: Connection, index_row: dict[str, Any]) -> None:
    deadline = time.monotonic() + _BUILDER_WAIT_S
    while builders := [row["pid"] for row in connection.execute(query("index_builders"), index_row)]:
        if time.monotonic() >= deadline:
            raise MigrationFailed(
                Diagnostic(
                    code="index-being-built",
                    message=f"the index {index_row['name']} is invalid, and server process {builders[0]} is working on"
                    " its table: it may be building the index",
                    hint="wait until that process exits, or end it with pg_terminate_backend; then run again",
                )
            )
        time.sleep(_POLL_S)


def _drop_index(connection: Connection, index_row: dict[str, Any], emit: Emit) -> None:
    name = sql.Identifier(index_row["schema"], index_row["name"])
    connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(name))
    emit(Notice(text=f"dropped the invalid index {index_row['name']}, left by a failed CONCURRENTLY build"))


def _find_index(connection: Connection, index: ConcurrentIndex) -> dict[str, Any] | None:
    parameters = {"name": index.name, "schema": index.schema, "table": index.table}
    return connection.execute(query("index_state"), parameters).fetchone()


def _drop_reindex_leftovers(connection: Connection, statement: Statement, emit: Emit) -> None:
    """Drop the invalid copies (`_ccnew`, `_ccold`) left behind by a failed REINDEX CONCURRENTLY."""
    match = _REINDEX.fullmatch(normalize_sql(statement.text))
    parameters = {"kind": match["kind"].lower(), "name": match["name"]} if match else {"kind": "none", "name": ""}
    for index_row in connection.execute(query("rebuilt_halves"), parameters).fetchall():
        _wait_for_builders(connection, index_row)
        _drop_index(connection, index_row, emit)


def _finish_detach(connection: Connection, statement: Statement, emit: Emit) -> bool:
    state = _attachment_state(connection, statement)
    if state == "pending":
        finalize = re.sub(r"\bCONCURRENTLY$", "FINALIZE", normalize_sql(statement.text), flags=re.IGNORECASE)
        connection.execute(finalize.encode())
        emit(Notice(text=f"completed the interrupted DETACH of {_partition_to_detach(statement)}"))
    return state != "attached"


def _attachment_state(connection: Connection, statement: Statement) -> str:
    """Return `attached`, `detached`, or `pending` for an unfinished DETACH CONCURRENTLY."""
    row = connection.execute(query("partition_state"), {"partition": _partition_to_detach(statement)}).fetchone()
    if row is None:
        return "detached"
    return "pending" if row["pending"] else "attached"


def _partition_to_detach(statement: Statement) -> str | None:
    if statement.node_kind != "alter_table_stmt":
        return None
    match = _DETACH.search(normalize_sql(statement.text))
    return match["partition"] if match else None
