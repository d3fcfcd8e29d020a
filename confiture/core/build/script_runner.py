"""Runs a schema script in one transaction, one round trip per file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import generators
from psycopg.pq import ExecStatus

from confiture.core.build.failure import lost_connection_failure, outside_effect_failure, statement_failure
from confiture.core.db.connection import Connection, enable_client_check
from confiture.core.db.errors import SERVER_UNAVAILABLE
from confiture.core.db.queries import query
from confiture.plan.schema_script import SESSION_RESET, SchemaScript, ScriptFile

OnFile = Callable[[int, ScriptFile], None]
"""Called before each file with its position, from 0, and the file."""
_SUCCESS = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.EMPTY_QUERY})


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildOptions:
    """Options for running a script.

    `is_throwaway` rejects changes outside the database, also those made by functions and DO blocks. With
    `checks_bodies`, PostgreSQL checks the bodies of functions when it creates them. `lock_timeout_ms` limits the wait
    for each lock; 0 means no limit. `missing_extensions` describe extensions that the target database has and this one
    does not.
    """

    is_throwaway: bool
    checks_bodies: bool = True
    lock_timeout_ms: int = 0
    missing_extensions: Sequence[object] = ()


def run_script(
    connection: Connection,
    script: SchemaScript,
    options: BuildOptions,
    on_file: OnFile | None = None,
    *,
    check: Callable[[Connection], None] = lambda _: None,
) -> None:
    """Run the script on a connection in autocommit mode, and commit. `check` runs first, in the same transaction.

    Raise BuildFailed with the place of the failed statement; nothing is left in the database. KeyboardInterrupt cancels
    the statement and rolls back.
    """
    settings = _settings(connection, options)
    connection.execute(settings)
    with connection.transaction():
        check(connection)
        for number, file in enumerate(script.files):
            if on_file:
                on_file(number, file)
            _run_file(connection, script, number, options)
            if file.resets_session:
                connection.execute(SESSION_RESET.encode() + b";" + settings)
        if options.is_throwaway:
            _reject_outside_effects(connection, script)


def _settings(connection: Connection, options: BuildOptions) -> bytes:
    values = {
        "check_function_bodies": "on" if options.checks_bodies else "off",
        "client_check_ms": str(enable_client_check(connection)),
        "lock_timeout": str(options.lock_timeout_ms),
    }
    statements = query("build_settings")
    for name, value in values.items():
        statements = statements.replace(f"{{{name}}}".encode(), value.encode())
    return statements


def _run_file(connection: Connection, script: SchemaScript, number: int, options: BuildOptions) -> None:
    """Run a file's statements as one query. Its results show which statement failed."""
    file = script.files[number]
    if not file.statement_offsets:
        return
    try:
        connection.pgconn.send_query(file.rendered.text.encode())
        results = connection.wait(generators.execute(connection.pgconn))
    except psycopg.OperationalError as error:
        raise lost_connection_failure(error, file) from error
    for statement, result in enumerate(results):
        if result.status not in _SUCCESS:
            failure = psycopg.errors.error_from_result(result, encoding="utf-8")
            if failure.sqlstate in SERVER_UNAVAILABLE:
                raise lost_connection_failure(failure, file) from failure
            raise statement_failure(failure, script, number, statement, options.missing_extensions) from failure


def _reject_outside_effects(connection: Connection, script: SchemaScript) -> None:
    """Raise BuildFailed if a function or DO block has changed an object that all databases share."""
    rows = connection.execute(query("changed_shared_objects")).fetchall()
    if rows:
        raise outside_effect_failure(script, [row["catalog"] for row in rows])
