"""Databases that are emptied and used again: to make one takes a quarter of a second, and thousands of tests want one.

Whoever takes one cannot tell it from a new one: it has a name of its own, and the rows of the system catalogs, by their
number and the newest transaction that wrote one, are those of a new database. One that differs is dropped.
"""

from __future__ import annotations

import os
from collections import deque
from itertools import count

import psycopg
from psycopg import sql

from tests.support.paths import DATA

_names = count(1)
_EMPTY = (DATA / "empty_database.sql").read_text(encoding="utf-8")
_CATALOGS = """
SELECT string_agg(format('SELECT %L, count(*), max(xmin::text::bigint) FROM pg_catalog.%I', relname, relname),
    ' UNION ALL ')
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'pg_catalog'::regnamespace AND NOT relisshared
    AND relname NOT IN ('pg_statistic', 'pg_statistic_ext_data')
"""
_SHARED = """
SELECT d.datacl, d.datconnlimit, d.datallowconn, d.datistemplate, d.datdba, d.dattablespace,
    (SELECT count(*) FROM pg_db_role_setting WHERE setdatabase = d.oid),
    (SELECT count(*) FROM pg_shdepend WHERE dbid = d.oid OR objid = d.oid),
    (SELECT count(*) FROM pg_shdescription WHERE objoid = d.oid),
    (SELECT count(*) FROM pg_shseclabel WHERE objoid = d.oid),
    (SELECT count(*) FROM pg_subscription WHERE subdbid = d.oid),
    (SELECT count(*) FROM pg_prepared_xacts WHERE database = d.datname),
    (SELECT count(*) FROM pg_replication_slots WHERE database = d.datname)
FROM pg_database AS d WHERE datname = current_database()
"""
_END_OTHERS = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# the dead rows of what was dropped stay in the catalogs
_USES = 60
# the server does not notice at once that the last connection was closed, and would wait for that
_RESTING = 2


class Databases:
    """The databases of a server that are created with these options."""

    def __init__(self, admin_url: str, options: str = "") -> None:
        self._url = admin_url
        self._options = options
        self._resting: deque[tuple[str, int]] = deque()
        self._taken: dict[str, int] = {}
        self._catalogs = ""
        self._new: list[tuple] = []

    def take(self) -> str:
        """The name of an empty database."""
        name, uses = f"test_{os.getpid()}_{next(_names)}", 0
        if len(self._resting) >= _RESTING:
            former, uses = self._resting.popleft()
            self._do("ALTER DATABASE {} RENAME TO {}", former, name)
        else:
            self._do(f"CREATE DATABASE {{}} {self._options}", name)
        if not self._new:
            with self._connect(name) as connection:
                self._catalogs = str(connection.execute(_CATALOGS).fetchone()[0])  # type: ignore[index]
                self._new = self._state(connection)
        self._taken[name] = uses + 1
        return name

    def give_back(self, name: str) -> None:
        """Ends all connections to a database, and keeps it only if it is as good as new."""
        uses = self._taken.pop(name)
        if uses < _USES and self._emptied(name):
            self._resting.append((name, uses))
        else:
            self.drop(name)

    def drop(self, name: str) -> None:
        self._do("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _emptied(self, name: str) -> bool:
        try:
            with self._connect(name) as connection:
                connection.execute(_END_OTHERS)
                connection.execute(_EMPTY)
                return self._state(connection) == self._new
        except psycopg.Error:
            return False

    def _state(self, connection: psycopg.Connection) -> list[tuple]:
        return connection.execute(self._catalogs.encode()).fetchall() + connection.execute(_SHARED).fetchall()

    def _connect(self, name: str) -> psycopg.Connection:
        return psycopg.connect(self._url.replace("/postgres?", f"/{name}?"), autocommit=True, client_encoding="UTF8")

    def _do(self, statement: str, *names: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
