"""Load a dump into a throwaway database."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing

import psycopg

from confiture.core.db.connection import ConnectionTarget
from confiture.core.db.errors import first_line
from confiture.core.dump.layout import is_written, join_entries
from confiture.models.dump import DumpEntry, SchemaDump
from confiture.models.records import record
from confiture.secrets import hide_secrets

_PUBLIC = "public"
_SETTINGS = b"SET search_path = ''; SET check_function_bodies = off; SET client_min_messages = error"


@record(frozen=True, kw_only=True, slots=True)
class FailedEntry:
    """An entry of a dump that could not be loaded, and the server's reason."""

    entry: DumpEntry
    reason: str


def load_dump(dump: SchemaDump, target: ConnectionTarget, schemas: Iterable[str]) -> tuple[FailedEntry, ...]:
    """Create the objects of a dump in an empty database. Return the entries that cannot be loaded.

    `schemas` are the schemas of the dump's database. Raise DatabaseUnavailable if the connection fails.
    """
    entries = [entry for entry in dump.entries if is_written(entry)]
    creates_public = any(entry.kind == "SCHEMA" and entry.tag == _PUBLIC for entry in entries)
    with closing(target.connect("diff")) as connection:
        connection.execute(_SETTINGS)
        if creates_public or _PUBLIC not in schemas:
            connection.execute("DROP SCHEMA IF EXISTS public")
        try:
            connection.execute(join_entries(entries).encode("utf-8", "surrogateescape"))
        except psycopg.OperationalError:
            raise
        except psycopg.Error:
            pass  # nothing was created; find the entries that fail
        else:
            return ()
        failed: list[FailedEntry] = []
        for entry in entries:
            try:
                connection.execute(join_entries((entry,)).encode("utf-8", "surrogateescape"))
            except psycopg.OperationalError:
                raise
            except psycopg.Error as error:
                reason = hide_secrets(error.diag.message_primary or first_line(error))
                failed.append(FailedEntry(entry=entry, reason=reason))
        return tuple(failed)
