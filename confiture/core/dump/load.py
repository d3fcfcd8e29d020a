"""Load a dump into a throwaway database."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import psycopg

from confiture.core.db.connection import ConnectionTarget
from confiture.core.db.errors import first_line
from confiture.core.dump.layout import is_written, join_entries
from confiture.models.dump import SchemaDump
from confiture.secrets import hide_secrets
from confiture.text import pluralize

_MOST_NAMES = 3
_SETTINGS = b"SET search_path = ''; SET check_function_bodies = off; SET client_min_messages = error"


def load_dump(dump: SchemaDump, target: ConnectionTarget) -> tuple[str, ...]:
    """Create the objects of a dump in an empty database. Return a sentence for each reason why some cannot be created.

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
        problems: dict[str, list[str]] = {}
        for entry in entries:
            try:
                connection.execute(join_entries((entry,)).encode("utf-8", "surrogateescape"))
            except psycopg.OperationalError:
                raise
            except psycopg.Error as error:
                reason = hide_secrets(error.diag.message_primary or first_line(error))
                problems.setdefault(reason, []).append(f"{entry.kind} {entry.tag}")
        return tuple(
            f"{pluralize(len(names), 'entry', 'entries')} of the dump could not be loaded: {reason} ({_shorten(names)})"
            for reason, names in problems.items()
        )


def _shorten(names: Sequence[str]) -> str:
    return ", ".join([*names[:_MOST_NAMES], *(["..."] if len(names) > _MOST_NAMES else [])])
