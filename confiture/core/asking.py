"""Connections for our own questions, outside of runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg

from confiture.core.db.connection import Connection, ConnectionTarget
from confiture.core.db.errors import db_error_diagnostic
from confiture.errors import DatabaseUnavailable


@contextmanager
def connect_for_query(database: ConnectionTarget, purpose: str, failure_message: str) -> Iterator[Connection]:
    """A connection for as long as the context lasts; `purpose` is what other sessions see.

    Raises DatabaseUnavailable where there is none, and for whatever the database refuses inside; `refused` then says
    what cannot be done: "the history cannot be read".
    """
    with closing(database.connect(purpose)) as connection:
        try:
            yield connection
        except psycopg.Error as error:
            raise DatabaseUnavailable(db_error_diagnostic(error, failure_message)) from error
