"""The connection for hooks: a psycopg connection on the run's own session that cannot end transactions."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, Self

import psycopg
from psycopg import sql
from psycopg.abc import Params, Query
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn
from psycopg.rows import TupleRow

from confiture.core.db.connection import Connection
from confiture.core.db.errors import StepFailed, TransactionEnded
from confiture.core.hooks.errors import HookRefused
from confiture.models.plan import Statement
from confiture.sql.parsing import parse_statements

_PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[sbt]")
_ENDING = "transaction-control"
_MARK = "confiture_hook_runs"
_WRITING_COMMANDS = ("INSERT", "UPDATE", "DELETE", "MERGE", "COPY")
_NESTED = "use `with conn.transaction():` for a part that can fail separately"

OnStatement = Callable[[Statement, float], None]
"""A callback that receives each successful statement with its duration in milliseconds."""


@dataclass(slots=True)
class ObservedStatement:
    """A running statement and, once finished, the number of rows written; None if it does not write rows."""

    statement: Statement
    rows: int | None = None

    def record_cursor(self, cursor: HookCursor) -> None:
        """Record the number of rows from the cursor's result."""
        self.rows = _count_written_rows(cursor, self.statement)

    def record_rows(self, rows: int) -> None:
        """Record the number of rows for a statement that returns each written row."""
        self.rows = rows if self.statement.has_row_count else None


def _require_hook_connection(connection: psycopg.Connection[Any]) -> HookConnection:
    if not isinstance(connection, HookConnection):
        raise TypeError("create a hook's cursors through its connection")
    return connection


def _first_value(row: Any) -> Any:
    if isinstance(row, Mapping):
        return next(iter(row.values()), None)
    return None if row is None else row[0]


class HookCursor(psycopg.Cursor[TupleRow]):
    """A psycopg cursor that can also return single values.

    Example::

        rows = conn.execute("SELECT count(*) FROM w_orders").scalar()
    """

    @property
    def _hook_connection(self) -> HookConnection:
        return _require_hook_connection(self.connection)

    def scalar(self) -> Any:
        """Return the first value of the next row; None if there is no row."""
        return _first_value(self.fetchone())

    def execute(
        self, query: Query, params: Params | None = None, *, prepare: bool | None = None, binary: bool | None = None
    ) -> Self:
        """Execute like psycopg. Raise HookRefused for a statement that would end or begin a transaction."""
        with self._hook_connection.observing(query, params) as observation:
            super().execute(query, params, prepare=prepare, binary=binary)  # type: ignore[arg-type,misc]
            observation.record_cursor(self)
        return self

    def executemany(self, query: Query, params_seq: Iterable[Params], *, returning: bool = False) -> None:
        """Execute like psycopg. Raise HookRefused for a statement that would end or begin a transaction."""
        with self._hook_connection.observing(query, ()) as observation:
            super().executemany(query, params_seq, returning=returning)
            observation.record_cursor(self)

    def stream(
        self, query: Query, params: Params | None = None, *, binary: bool | None = None, size: int = 1
    ) -> Iterator[TupleRow]:
        """Stream like psycopg. Raise HookRefused for a statement that would end or begin a transaction."""
        with self._hook_connection.observing(query, params) as observation:
            row_count = 0
            for row in super().stream(query, params, binary=binary, size=size):
                yield row
                row_count += 1
            # A streamed statement that writes rows returns one row for each written row.
            observation.record_rows(row_count)

    @contextmanager
    def copy(self, statement: Query, params: Params | None = None, *, writer: Any = None) -> Iterator[psycopg.Copy]:
        """Copy like psycopg."""
        with self._hook_connection.observing(statement, params) as observation:
            with super().copy(statement, params, writer=writer) as copying:
                writes = self.pgresult is not None and self.pgresult.status == ExecStatus.COPY_IN
                yield copying
            if writes:
                observation.record_cursor(self)


class HookServerCursor(psycopg.ServerCursor[TupleRow]):
    """A named server-side cursor with the same additions. Its reads are observed when the cursor is closed."""

    _close_query: Query | None = None

    def scalar(self) -> Any:
        """Return the first value of the next row; None if there is no row."""
        return _first_value(self.fetchone())

    def execute(
        self, query: Query, params: Params | None = None, *, binary: bool | None = None, **options: Any
    ) -> Self:
        """Declare the cursor like psycopg. Raise HookRefused for a statement that would end or begin a transaction."""
        with _require_hook_connection(self.connection).observing(query, params):
            super().execute(query, params, binary=binary, **options)
        self._close_query = sql.SQL("CLOSE {}").format(sql.Identifier(self.name))
        return self

    def close(self) -> None:
        """Close the cursor."""
        connection = _require_hook_connection(self.connection)
        if self._close_query is None or connection.closed:
            super().close()
            return
        with connection.observing(self._close_query, None):
            super().close()
        self._close_query = None


class HookConnection(psycopg.Connection[TupleRow]):
    """A hook's psycopg connection. Rows are tuples, and cursors have a `scalar()` method.

    Only the migration commits, together with its history record, so `commit`, `rollback`, `autocommit`, `close` and
    equivalent SQL raise HookRefused. `transaction()` creates savepoints.

    Example::

        with conn.transaction():
            conn.execute("INSERT INTO r_totals (tenant_id, total) VALUES (%s, %s)", (7, 100))
    """

    def __init__(self, pgconn: PGconn, on_statement: OnStatement | None = None) -> None:
        super().__init__(pgconn)
        self.cursor_factory = HookCursor
        self.server_cursor_factory = HookServerCursor
        self.rows_written: int | None = None
        # The connection that owns the session names the prepared statements.
        self.prepare_threshold = None
        self._on_statement = on_statement
        self._is_released = False
        self._last_error: psycopg.Error | None = None

    def release(self) -> None:
        """End the hook's use of the session. The session stays open."""
        self._is_released = True

    @property
    def closed(self) -> bool:
        """Whether the hook has ended or the session is lost."""
        return self._is_released or super().closed

    def execute(
        self, query: Query, params: Params | None = None, *, prepare: bool | None = None, binary: bool = False
    ) -> HookCursor:
        """Execute on a new cursor and return the cursor."""
        cursor = self.cursor(binary=binary)
        if not isinstance(cursor, HookCursor):
            raise TypeError("the cursor_factory of a hook's connection must return a HookCursor")
        return cursor.execute(query, params, prepare=prepare)

    def commit(self) -> NoReturn:
        """Raise HookRefused."""
        raise _refused_error("commit")

    def rollback(self) -> NoReturn:
        """Raise HookRefused."""
        raise _refused_error("rollback")

    def close(self) -> NoReturn:
        """Raise HookRefused."""
        raise _refused_error("close")

    def set_autocommit(self, value: bool) -> NoReturn:
        """Raise HookRefused."""
        raise _refused_error("autocommit")

    def pipeline(self) -> NoReturn:
        """Raise HookRefused, because statements in a pipeline cannot be observed individually."""
        raise HookRefused("hooks cannot use `pipeline`; use `executemany` to send many rows at once")

    def __exit__(self, *_: object) -> None:
        """Leave the connection unchanged."""

    @contextmanager
    def observing(self, query: Query, params: Params | None) -> Iterator[ObservedStatement]:
        """Report a statement run inside the context to `on_statement`. Raise HookRefused for a forbidden one."""
        if self._is_released:
            raise HookRefused("the hook has ended: its connection can no longer be used")
        statement = _parse_statement(query, params, self)
        observed = ObservedStatement(statement)
        started = time.perf_counter()
        try:
            yield observed
        except psycopg.Error as error:
            self._last_error = error
            raise
        spent_ms = (time.perf_counter() - started) * 1000
        if observed.rows is not None:
            self.rows_written = (self.rows_written or 0) + observed.rows
        if self._on_statement is not None:
            self._on_statement(statement, spent_ms)

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[psycopg.Transaction]:
        """Create a savepoint that ends with the block and is rolled back if the block raises an exception."""
        before = self.rows_written
        stays = False
        try:
            with super().transaction(savepoint_name, force_rollback) as transaction:
                yield transaction
                stays = not force_rollback
        finally:
            if not stays:
                self.rows_written = before

    def check_usable(self) -> None:
        """Check that the session is still usable after the hook.

        Raise the error that aborted the transaction, if the hook caught that error, or HookRefused for an unfinished
        query.
        """
        status = self.info.transaction_status
        if status is TransactionStatus.INERROR:
            raise self._last_error or psycopg.errors.InFailedSqlTransaction("the transaction is aborted")
        if status is TransactionStatus.ACTIVE:
            raise HookRefused("a query or a COPY is still running: read all results, or close the cursor")


@contextmanager
def borrow_connection(connection: Connection, on_statement: OnStatement) -> Iterator[HookConnection]:
    """Lend a run's session to a hook until the context exits. `on_statement` receives each statement."""
    # A new connection takes over the session's notice handlers, but they must stay with the run.
    notices, notifications = connection.pgconn.notice_handler, connection.pgconn.notify_handler
    hook_connection = HookConnection(connection.pgconn, on_statement)
    connection.pgconn.notice_handler, connection.pgconn.notify_handler = notices, notifications
    if connection.info.transaction_status is TransactionStatus.IDLE:
        psycopg.Connection.set_autocommit(hook_connection, True)
    try:
        yield hook_connection
    finally:
        hook_connection.release()


@contextmanager
def guard_transaction(connection: Connection, name: str) -> Iterator[None]:
    """Raise TransactionEnded if the code inside the context ends the open transaction, even if that code fails.

    Statements that bypass the hook's cursors cannot be rejected in advance, but a savepoint detects them afterwards.
    """
    connection.execute(f"SAVEPOINT {_MARK}")
    try:
        yield
    except BaseException as error:
        if _has_transaction_ended(connection):
            raise _transaction_ended_error(name, error) from error
        raise
    if _has_transaction_ended(connection):
        raise TransactionEnded(name)


def _has_transaction_ended(connection: Connection) -> bool:
    """Whether the savepoint's transaction has ended; false if that cannot be determined."""
    status = connection.info.transaction_status
    if status is TransactionStatus.INTRANS:
        try:
            connection.execute(f"RELEASE SAVEPOINT {_MARK}")
        except psycopg.errors.InvalidSavepointSpecification:
            return True
    return status is TransactionStatus.IDLE


def _transaction_ended_error(name: str, error: BaseException) -> TransactionEnded:
    message = error.diagnostic.message if isinstance(error, StepFailed) else f"{type(error).__name__}: {error}"
    return TransactionEnded(name, (f"then it failed: {message}",))


def _parse_statement(query: Query, params: Params | None, connection: HookConnection) -> Statement:
    """Return the statement that is about to run. Raise HookRefused if it would end or begin a transaction."""
    text = _query_text(query, connection)
    # The driver only replaces placeholders if parameters are passed.
    parsable = text if params is None else _PLACEHOLDER.sub("$1", text).replace("%%", "%")
    statements, problems = parse_statements(parsable)
    ending = next((problem for problem in problems if problem.code == _ENDING), None)
    if ending is not None:
        raise HookRefused(
            f"a hook cannot control transactions because only the migration commits: {parsable.strip()!r}. {_NESTED}"
        )
    node = statements[0].node_kind if statements else ""
    return Statement(text=text, offset=0, node_kind=node)


def _query_text(query: Any, connection: HookConnection) -> str:
    if isinstance(query, sql.Composable):
        return query.as_string(connection)
    if isinstance(query, bytes):
        return query.decode()
    return query if isinstance(query, str) else "$1".join(query.strings)


def _count_written_rows(cursor: HookCursor, statement: Statement) -> int | None:
    """Return the number of rows written by all statements of a cursor; None if no statement writes rows."""
    if cursor.pgresult is None:
        # executemany adds up the row counts and keeps no results.
        return max(cursor.rowcount, 0) if statement.has_row_count else None
    results = 0
    row_counts: list[int] = []
    for result in cursor.results():
        results += 1
        if statement.has_row_count or (result.statusmessage or "").split(" ")[0] in _WRITING_COMMANDS:
            row_counts.append(max(result.rowcount, 0))
    if results > 1:
        cursor.set_result(0)
    return sum(row_counts) if row_counts else None


def _refused_error(operation: str) -> HookRefused:
    return HookRefused(
        f"hooks cannot use `{operation}`: the migration commits hook work together with its own. {_NESTED}"
    )
