"""The connection that hooks get: psycopg's own, on the session of the run, without the right to end transactions."""

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
_NESTED = "`with conn.transaction():` makes a part that can fail by itself"

OnStatement = Callable[[Statement, float], None]
"""Is told of each statement that succeeded, with the milliseconds that it took."""


@dataclass(slots=True)
class ObservedStatement:
    """A statement while it runs, and in the end the rows that it wrote, None where none by its nature."""

    statement: Statement
    rows: int | None = None

    def record_cursor(self, cursor: HookCursor) -> None:
        """Takes in what the cursor has of it."""
        self.rows = _count_written_rows(cursor, self.statement)

    def record_rows(self, rows: int) -> None:
        """Takes in the rows of one that returns each row that it writes."""
        self.rows = rows if self.statement.has_row_count else None


def _require_hook_connection(connection: psycopg.Connection[Any]) -> HookConnection:
    if not isinstance(connection, HookConnection):
        raise TypeError("the cursors of a hook are made by its connection")
    return connection


def _first_value(row: Any) -> Any:
    if isinstance(row, Mapping):
        return next(iter(row.values()), None)
    return None if row is None else row[0]


class HookCursor(psycopg.Cursor[TupleRow]):
    """A cursor of psycopg that also gives single values.

    Example::

        rows = conn.execute("SELECT count(*) FROM w_orders").scalar()
    """

    @property
    def _hook_connection(self) -> HookConnection:
        return _require_hook_connection(self.connection)

    def scalar(self) -> Any:
        """The first value of the next row; None where there is no row."""
        return _first_value(self.fetchone())

    def execute(
        self, query: Query, params: Params | None = None, *, prepare: bool | None = None, binary: bool | None = None
    ) -> Self:
        """Executes as psycopg does. Raises HookRefused for what would end or begin a transaction."""
        with self._hook_connection.observing(query, params) as seen:
            super().execute(query, params, prepare=prepare, binary=binary)  # type: ignore[arg-type,misc]
            seen.record_cursor(self)
        return self

    def executemany(self, query: Query, params_seq: Iterable[Params], *, returning: bool = False) -> None:
        """Executes as psycopg does. Raises HookRefused for what would end or begin a transaction."""
        with self._hook_connection.observing(query, ()) as seen:
            super().executemany(query, params_seq, returning=returning)
            seen.record_cursor(self)

    def stream(
        self, query: Query, params: Params | None = None, *, binary: bool | None = None, size: int = 1
    ) -> Iterator[TupleRow]:
        """Streams as psycopg does. Raises HookRefused for what would end or begin a transaction."""
        with self._hook_connection.observing(query, params) as seen:
            given = 0
            for row in super().stream(query, params, binary=binary, size=size):
                yield row
                given += 1
            # what writes and streams gives a row for each that it wrote
            seen.record_rows(given)

    @contextmanager
    def copy(self, statement: Query, params: Params | None = None, *, writer: Any = None) -> Iterator[psycopg.Copy]:
        """Copies as psycopg does."""
        with self._hook_connection.observing(statement, params) as seen:
            with super().copy(statement, params, writer=writer) as copying:
                writes = self.pgresult is not None and self.pgresult.status == ExecStatus.COPY_IN
                yield copying
            if writes:
                seen.record_cursor(self)


class HookServerCursor(psycopg.ServerCursor[TupleRow]):
    """The same for a cursor that the server keeps, which has a name. What it read is seen when it is closed."""

    _close_query: Query | None = None

    def scalar(self) -> Any:
        """The first value of the next row; None where there is no row."""
        return _first_value(self.fetchone())

    def execute(
        self, query: Query, params: Params | None = None, *, binary: bool | None = None, **options: Any
    ) -> Self:
        """Declares the cursor as psycopg does. Raises HookRefused for what would end or begin a transaction."""
        with _require_hook_connection(self.connection).observing(query, params):
            super().execute(query, params, binary=binary, **options)
        self._close_query = sql.SQL("CLOSE {}").format(sql.Identifier(self.name))
        return self

    def close(self) -> None:
        """Closes the cursor."""
        connection = _require_hook_connection(self.connection)
        if self._close_query is None or connection.closed:
            super().close()
            return
        with connection.observing(self._close_query, None):
            super().close()
        self._close_query = None


class HookConnection(psycopg.Connection[TupleRow]):
    """psycopg's connection as a hook gets it. Rows are tuples; cursors have `scalar()`.

    The migration commits, together with its record: `commit`, `rollback`, `autocommit` and `close` are refused, and so
    is SQL that says the same: they raise HookRefused. `transaction()` makes savepoints.

    Example::

        with conn.transaction():
            conn.execute("INSERT INTO r_totals (tenant_id, total) VALUES (%s, %s)", (7, 100))
    """

    def __init__(self, pgconn: PGconn, on_statement: OnStatement | None = None) -> None:
        super().__init__(pgconn)
        self.cursor_factory = HookCursor
        self.server_cursor_factory = HookServerCursor
        self.rows_written: int | None = None
        # the session's statements are named by the connection that it belongs to
        self.prepare_threshold = None
        self._on_statement = on_statement
        self._is_released = False
        self._last_error: psycopg.Error | None = None

    def release(self) -> None:
        """Ends the hook's use of the session, which stays open."""
        self._is_released = True

    @property
    def closed(self) -> bool:
        """Whether the hook is over, or the session is lost."""
        return self._is_released or super().closed

    def execute(
        self, query: Query, params: Params | None = None, *, prepare: bool | None = None, binary: bool = False
    ) -> HookCursor:
        """Executes on a new cursor, and returns that."""
        cursor = self.cursor(binary=binary)
        if not isinstance(cursor, HookCursor):
            raise TypeError("cursor_factory of a hook's connection makes a HookCursor")
        return cursor.execute(query, params, prepare=prepare)

    def commit(self) -> NoReturn:
        """Raises HookRefused."""
        raise _refused_error("commit")

    def rollback(self) -> NoReturn:
        """Raises HookRefused."""
        raise _refused_error("rollback")

    def close(self) -> NoReturn:
        """Raises HookRefused."""
        raise _refused_error("close")

    def set_autocommit(self, value: bool) -> NoReturn:
        """Raises HookRefused."""
        raise _refused_error("autocommit")

    def pipeline(self) -> NoReturn:
        """Raises HookRefused: what each statement does could not be seen as it runs."""
        raise HookRefused("`pipeline` is not for hooks: `executemany` sends many rows at once")

    def __exit__(self, *_: object) -> None:
        """Leaves the connection as it is."""

    @contextmanager
    def observing(self, query: Query, params: Params | None) -> Iterator[ObservedStatement]:
        """Tells who watches of a statement that runs inside. Raises HookRefused for one that may not."""
        if self._is_released:
            raise HookRefused("the hook is over: its connection cannot be used any more")
        statement = _parse_statement(query, params, self)
        seeing = ObservedStatement(statement)
        started = time.perf_counter()
        try:
            yield seeing
        except psycopg.Error as error:
            self._last_error = error
            raise
        spent_ms = (time.perf_counter() - started) * 1000
        if seeing.rows is not None:
            self.rows_written = (self.rows_written or 0) + seeing.rows
        if self._on_statement is not None:
            self._on_statement(statement, spent_ms)

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[psycopg.Transaction]:
        """A savepoint that ends with the block, and is rolled back where the block raises."""
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
        """Raises what the session is not to be used after: the error that ended the transaction, where the hook caught
        it and went on, or HookRefused for a query that is still under way.
        """
        status = self.info.transaction_status
        if status is TransactionStatus.INERROR:
            raise self._last_error or psycopg.errors.InFailedSqlTransaction("the transaction is aborted")
        if status is TransactionStatus.ACTIVE:
            raise HookRefused("a query or a COPY is still under way: read it to its end, or close it")


@contextmanager
def borrow_connection(connection: Connection, on_statement: OnStatement) -> Iterator[HookConnection]:
    """The session of a run, as a hook gets it, until the context ends. `on_statement` is told of each statement."""
    # a connection takes over what the session tells; that stays with the run
    notices, notifications = connection.pgconn.notice_handler, connection.pgconn.notify_handler
    hooks_own = HookConnection(connection.pgconn, on_statement)
    connection.pgconn.notice_handler, connection.pgconn.notify_handler = notices, notifications
    if connection.info.transaction_status is TransactionStatus.IDLE:
        psycopg.Connection.set_autocommit(hooks_own, True)
    try:
        yield hooks_own
    finally:
        hooks_own.release()


@contextmanager
def guard_transaction(connection: Connection, name: str) -> Iterator[None]:
    """Raises TransactionEnded where the transaction that is open now is no more after what runs inside, also where
    that fails.

    What a hook sends past its own cursors cannot be refused before; a savepoint tells it afterwards.
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
    """Whether the transaction with the savepoint is over; not where that cannot be asked."""
    status = connection.info.transaction_status
    if status is TransactionStatus.INTRANS:
        try:
            connection.execute(f"RELEASE SAVEPOINT {_MARK}")
        except psycopg.errors.InvalidSavepointSpecification:
            return True
    return status is TransactionStatus.IDLE


def _transaction_ended_error(name: str, error: BaseException) -> TransactionEnded:
    told = error.diagnostic.message if isinstance(error, StepFailed) else f"{type(error).__name__}: {error}"
    return TransactionEnded(name, (f"then it failed: {told}",))


def _parse_statement(query: Query, params: Params | None, connection: HookConnection) -> Statement:
    """What is about to run, as people are shown it. Raises HookRefused where it would end or begin a transaction."""
    text = _query_text(query, connection)
    # the driver replaces placeholders only where it is given parameters
    parsable = text if params is None else _PLACEHOLDER.sub("$1", text).replace("%%", "%")
    statements, problems = parse_statements(parsable)
    ending = next((problem for problem in problems if problem.code == _ENDING), None)
    if ending is not None:
        raise HookRefused(f"a hook commits nothing by itself, the migration does: {parsable.strip()!r}. {_NESTED}")
    node = statements[0].node_kind if statements else ""
    return Statement(text=text, offset=0, node_kind=node)


def _query_text(query: Any, connection: HookConnection) -> str:
    if isinstance(query, sql.Composable):
        return query.as_string(connection)
    if isinstance(query, bytes):
        return query.decode()
    return query if isinstance(query, str) else "$1".join(query.strings)


def _count_written_rows(cursor: HookCursor, statement: Statement) -> int | None:
    """The rows that all statements of a cursor wrote; None where they write none by their nature."""
    if cursor.pgresult is None:
        # executemany adds them up, and keeps no results
        return max(cursor.rowcount, 0) if statement.has_row_count else None
    results = 0
    written: list[int] = []
    for result in cursor.results():
        results += 1
        if statement.has_row_count or (result.statusmessage or "").split(" ")[0] in _WRITING_COMMANDS:
            written.append(max(result.rowcount, 0))
    if results > 1:
        cursor.set_result(0)
    return sum(written) if written else None


def _refused_error(operation: str) -> HookRefused:
    return HookRefused(
        f"`{operation}` is not for hooks: the migration commits what they do together with itself. {_NESTED}"
    )
