"""Connections for our own questions, outside of runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg

from confiture.core.database import Connection, Database
from confiture.core.failures import plain_failure
from confiture.errors import DatabaseUnavailable


@contextmanager
def asking(database: Database, purpose: str, refused: str) -> Iterator[Connection]:
    """A connection for as long as the context lasts; `purpose` is what other sessions see.

    Raises DatabaseUnavailable where there is none, and for whatever the database refuses inside; `refused` then says
    what cannot be done: "the history cannot be read".
    """
    with closing(database.connect(purpose)) as connection:
        try:
            yield connection
        except psycopg.Error as error:
            raise DatabaseUnavailable(plain_failure(error, refused)) from error
