"""Runs a schema script in one transaction, one round trip per file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psycopg
from psycopg import generators
from psycopg.pq import ExecStatus

from confiture.core.build.failure import lost_connection_failure, outside_effect_failure, statement_failure
from confiture.core.build.shared_catalogs import SharedCatalogs
from confiture.core.db.connection import Connection, enable_client_check
from confiture.core.db.errors import SERVER_UNAVAILABLE, db_error_diagnostic
from confiture.core.db.queries import query
from confiture.errors import BuildFailed
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
    run = _Run(connection, script, options, settings)
    try:
        with connection.transaction():
            check(connection)
            catalogs = SharedCatalogs(connection) if options.is_throwaway else None
            for number, file in enumerate(script.files):
                if on_file:
                    on_file(number, file)
                run.run_file(number)
            run.run_deferred()
            if catalogs:
                _require_unchanged(catalogs)
    except _SharedCatalogChanged as change:
        raise outside_effect_failure(script, change.catalogs, run.locate_change()) from None


class _SharedCatalogChanged(Exception):
    """The transaction has changed shared catalogs, and must be rolled back."""

    def __init__(self, catalogs: tuple[str, ...]) -> None:
        super().__init__(catalogs)
        self.catalogs = catalogs


def _require_unchanged(catalogs: SharedCatalogs) -> None:
    changed = catalogs.changed()
    if changed:
        raise _SharedCatalogChanged(changed)


class _Run:
    """A run of a script on a connection. `settings` are the statements that prepare the session."""

    def __init__(self, connection: Connection, script: SchemaScript, options: BuildOptions, settings: bytes) -> None:
        self._connection = connection
        self._script = script
        self._options = options
        self._reset = SESSION_RESET.encode() + b";" + settings

    def run_file(self, number: int) -> None:
        """Run a file, and reset the session if the file may change its settings. Raise BuildFailed."""
        file = self._script.files[number]
        self._run_statements(number, 0, len(file.statement_offsets))
        if file.resets_session:
            self._connection.execute(self._reset)

    def run_deferred(self) -> None:
        """Run the deferred constraints and triggers, which PostgreSQL would run when it commits. Raise BuildFailed."""
        try:
            self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg.Error as error:
            if error.sqlstate in SERVER_UNAVAILABLE or error.sqlstate is None:
                raise lost_connection_failure(error, self._script.files[-1]) from error
            action = "a deferred constraint or trigger fails at the end of the build"
            raise BuildFailed(db_error_diagnostic(error, action)) from error

    def locate_change(self) -> tuple[int, int] | None:
        """Return the file and the statement, from 0, that changes a shared catalog, by running them again one by one.

        Everything is rolled back. Return None if no statement does it this time.
        """
        with self._connection.transaction(force_rollback=True):
            catalogs = SharedCatalogs(self._connection)
            for number, file in enumerate(self._script.files):
                for statement in range(len(file.statement_offsets)):
                    self._run_statements(number, statement, statement + 1)
                    if self._has_changed(catalogs):
                        return number, statement
                if file.resets_session:
                    self._connection.execute(self._reset)
        return None

    def _has_changed(self, catalogs: SharedCatalogs) -> bool:
        """Whether the statements so far change a shared catalog, also if only their deferred triggers do."""
        if catalogs.changed():
            return True
        with suppress(psycopg.errors.IntegrityError), self._connection.transaction(force_rollback=True):
            self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            return bool(catalogs.changed())
        return False

    def _run_statements(self, number: int, first: int, end: int) -> None:
        """Run some of a file's statements as one query. Its results show which statement failed."""
        file = self._script.files[number]
        if first == end:
            return
        starts = file.statement_offsets
        start = starts[first] if first else 0
        text = file.rendered.text[start : starts[end] if end < len(starts) else None]
        try:
            self._connection.pgconn.send_query(text.encode())
            results = self._connection.wait(generators.execute(self._connection.pgconn))
        except psycopg.OperationalError as error:
            raise lost_connection_failure(error, file) from error
        for statement, result in enumerate(results, first):
            if result.status not in _SUCCESS:
                failure = psycopg.errors.error_from_result(result, encoding="utf-8")
                if failure.sqlstate in SERVER_UNAVAILABLE:
                    raise lost_connection_failure(failure, file) from failure
                missing = self._options.missing_extensions
                raise statement_failure(failure, self._script, number, statement, missing, start) from failure


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
