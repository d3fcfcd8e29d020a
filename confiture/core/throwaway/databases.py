"""Throwaway databases on one server: their names, and dropping them, also after a kill.

Each session has a random number, which is part of its databases' names, and holds an advisory lock on that number. If
no session holds the lock for a database, the database was left behind by a killed session, and the next session drops
it. The name also says what the database is for, which user of the operating system created it, and when (in UTC):
`confiture_build_alice_20260730t141502_5f3a9c01_1`.
"""

from __future__ import annotations

import getpass
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

import psycopg
from psycopg import sql

from confiture.core.db.connection import Connection, ConnectionTarget
from confiture.core.db.database_url import database_url
from confiture.core.db.errors import db_error_diagnostic
from confiture.core.db.queries import query
from confiture.errors import DatabaseUnavailable, Diagnostic

_LOCKS = 1_669_427_321
"""The class of the advisory locks for throwaway sessions."""
_MAX_USER_LENGTH = 12
_PATIENCE_S, _POLL_S = 5.0, 0.002


class ThrowawayDatabases:
    """Creates throwaway databases on one server, and drops those that are left when `close` is called.

    `connection` stays open and holds the session's lock. Creating the object drops the databases that killed sessions
    of the same role have left behind. Methods raise DatabaseUnavailable.
    """

    def __init__(self, server: ConnectionTarget, connection: Connection) -> None:
        self.server = server
        self.connection = connection
        self._session = f"{secrets.randbits(31):08x}"
        self._numbers = count(1)
        self.names: dict[str, None] = {}
        """The databases that `close` drops, in the order of creation."""
        try:
            connection.execute("SET idle_session_timeout = 0")  # the lock must not be lost
            connection.execute(query("lock_throwaway_session"), {"locks": _LOCKS, "session": int(self._session, 16)})
            self._drop_orphans()
        except psycopg.Error as error:
            raise DatabaseUnavailable(db_error_diagnostic(error, "throwaway databases cannot be managed")) from error

    def create(self, purpose: str, options: sql.Composable | None = None) -> str:
        """Create a database and return its name. `purpose` is a lower-case word that becomes part of the name.

        `options` are the options of CREATE DATABASE; by default, the database is a copy of template1.
        """
        name = f"confiture_{purpose}_{_user_name()}_{_timestamp()}_{self._session}_{next(self._numbers)}"
        self.names[name] = None  # a cancelled CREATE DATABASE may have succeeded
        statement = sql.SQL("CREATE DATABASE {} {}").format(sql.Identifier(name), options or sql.SQL(""))
        try:
            self.execute(statement, f"a database for {purpose} cannot be created on {self.server.label}")
        except DatabaseUnavailable:
            self.names.pop(name)
            raise
        return name

    def drop(self, name: str) -> None:
        """Drop a database that `create` returned, closing its connections."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        self.execute(statement, f"the throwaway database {name} cannot be dropped")
        self.names.pop(name, None)

    def release(self, name: str) -> None:
        """Keep a database that `create` returned. The caller has renamed it."""
        self.names.pop(name, None)

    def target(self, name: str) -> ConnectionTarget:
        """Return the connection target of a database on this server."""
        return replace(
            self.server,
            conninfo=database_url(self.server.conninfo, name),
            label=f"{name} on {self.server.label}",
        )

    def wait_for_disconnect(self, name: str) -> None:
        """Wait until a database has no sessions, which outlive their connections.

        CREATE DATABASE itself checks only ten times a second whether its template has sessions.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            row = self.connection.execute(query("database_sessions"), {"name": name}).fetchone()
            if row is None or not row["sessions"]:
                return
            time.sleep(_POLL_S)

    def execute(self, statement: sql.Composed, action: str) -> None:
        """Execute a statement for a database; `action` says what has failed if it fails."""
        try:
            self.connection.execute(statement)
        except psycopg.Error as error:
            raise DatabaseUnavailable(db_error_diagnostic(error, action)) from error

    def close(self) -> None:
        """Drop the remaining databases."""
        for name in reversed(list(self.names)):
            self.drop(name)

    def _drop_orphans(self) -> None:
        for row in self.connection.execute(query("left_behind"), {"locks": _LOCKS}).fetchall():
            try:
                self.connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(row["name"])))
            except psycopg.Error:
                # Another session is also dropping the database, or a user is connected to it.
                continue


@contextmanager
def open_databases(server: ConnectionTarget, purpose: str) -> Iterator[ThrowawayDatabases]:
    """Connect to a server, yield its throwaway databases, and drop those that are left on exit.

    `purpose` becomes part of the session's application_name. Raise DatabaseUnavailable.
    """
    with closing(server.connect(purpose)) as connection:
        databases = ThrowawayDatabases(server, connection)
        try:
            yield databases
        except BaseException as failure:
            _close_after(failure, databases)
            raise
        databases.close()


def _close_after(failure: BaseException, databases: ThrowawayDatabases) -> None:
    """Drop the remaining databases. If that fails, the next session drops them; the first error matters more."""
    try:
        databases.close()
    except DatabaseUnavailable as error:
        failure.add_note(str(error))


def check_creation_right(databases: ThrowawayDatabases) -> None:
    """Raise DatabaseUnavailable if the role cannot create databases."""
    row = databases.connection.execute(query("creation_right")).fetchone()
    if row is None or not row["can_create_databases"]:
        role = row["role"] if row else "of this session"
        raise DatabaseUnavailable(
            Diagnostic(
                code="no-right-to-create",
                message=f"the role {role} cannot create databases on {databases.server.label}",
                hint=f"run ALTER ROLE {role} CREATEDB, or use another server",
            )
        )


def _user_name() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = ""
    return re.sub("[^a-z0-9]", "", user.lower())[:_MAX_USER_LENGTH] or "unknown"


def _timestamp() -> str:
    return f"{datetime.now(UTC):%Y%m%dt%H%M%S}"
