"""Load a dump into a throwaway database."""

from __future__ import annotations

from contextlib import closing

import psycopg

from confiture.core.db.connection import ConnectionTarget
from confiture.core.db.errors import first_line
from confiture.core.dump.layout import is_written, join_entries
from confiture.models.dump import SchemaDump
from confiture.secrets import hide_secrets

_SETTINGS = b"SET search_path = ''; SET check_function_bodies = off; SET client_min_messages = error"


def load_dump(dump: SchemaDump, target: ConnectionTarget) -> tuple[str, ...]:
    """Create the objects of a dump in an empty database. Return a sentence for each object that cannot be created.

    Raise DatabaseUnavailable if the connection fails.
    """
    entries = [entry for entry in dump.entries if is_written(entry)]
    with closing(target.connect("diff")) as connection:
        connection.execute(_SETTINGS)
        try:
            connection.execute(join_entries(entries).encode("utf-8", "surrogateescape"))
        except psycopg.OperationalError:
            raise
        except psycopg.Error:
            pass  # nothing was created; find the entries that fail
        else:
            return ()
        problems = []
        for entry in entries:
            try:
                connection.execute(join_entries((entry,)).encode("utf-8", "surrogateescape"))
            except psycopg.OperationalError:
                raise
            except psycopg.Error as error:
                reason = hide_secrets(error.diag.message_primary or first_line(error))
                problems.append(f"{entry.kind.lower()} {entry.tag} could not be loaded: {reason}")
        return tuple(problems)
