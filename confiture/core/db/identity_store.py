"""The identity of the database: read, compared with the settings, and recorded."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from confiture.core.db.connection import Connection, fetch_named_row
from confiture.core.db.history_schema import read_format
from confiture.core.db.queries import FIRST_WITH_EVENTS, query
from confiture.core.db.search_path import schemas_on_path
from confiture.errors import InputError
from confiture.models.history import HistoryKey
from confiture.models.identity import DatabaseIdentity, NameResolution, WriteRequest
from confiture.models.settings import Settings
from confiture.plan.identity import find_identity_mismatch, find_missing_confirmation, find_missing_name


class IdentityStore:
    """The identities in a database, accessed over one connection. `resolution` is that of the connection's session."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.resolution = read_resolution(connection)

    def read(self, *, only_reads: bool = False) -> tuple[DatabaseIdentity, ...]:
        """Return the identities, sorted by project; none if the tables do not exist or have a former format.

        Commands that write nothing pass `only_reads`. Raise DatabaseUnavailable like `HistoryStore.is_installed`.
        """
        if read_format(self._connection, only_reads=only_reads) < FIRST_WITH_EVENTS:
            return ()
        return tuple(map(_read_row, self._connection.execute(query("identities")).fetchall()))

    def check(self, settings: Settings, *, only_reads: bool = False) -> tuple[DatabaseIdentity, ...]:
        """Return the identities. Raise InputError if the settings do not belong to the database."""
        identities = self.read(only_reads=only_reads)
        problem = find_identity_mismatch(settings, identities, self.resolution, only_reads=only_reads)
        if problem is not None:
            raise InputError(problem)
        return identities

    def check_write(
        self, settings: Settings, request: WriteRequest, *, needs_reason: bool = True
    ) -> tuple[DatabaseIdentity, ...]:
        """Return the identities. Also raise InputError if the command must be confirmed.

        A command that writes to the history may also need a reason.
        """
        identities = self.check(settings)
        find_problem = find_missing_confirmation if needs_reason else find_missing_name
        problem = find_problem(settings, identities, request)
        if problem is not None:
            raise InputError(problem)
        return identities

    def record(self, settings: Settings) -> None:
        """Record the environment of a run and its protection, unless they are recorded. Needs the current format."""
        self._connection.execute(query("record_identity"), identity_parameters(settings, self.resolution))

    def replace(self, settings: Settings) -> None:
        """Replace the identity of a history, including protection. Needs the current format."""
        self._connection.execute(query("set_identity"), identity_parameters(settings, self.resolution))

    def record_schema(self, history: HistoryKey) -> None:
        """Record the schema that unqualified names resolve to from now on, if the open transaction has changed it."""
        self._connection.execute(
            query("record_schema"), {**history.parameters, "search_path": list(self.resolution.search_path)}
        )


def read_resolution(connection: Connection) -> NameResolution:
    """Return how the session resolves unqualified names."""
    row = fetch_named_row(connection, "server")
    return NameResolution(
        schema_name=row["schema_name"], search_path=tuple(schemas_on_path(row["search_path"], row["role"]))
    )


def check_identity(connection: Connection, settings: Settings) -> None:
    """Check the identity for a command that only reads. Raise InputError or DatabaseUnavailable."""
    IdentityStore(connection).check(settings, only_reads=True)


def identity_parameters(settings: Settings, resolution: NameResolution) -> dict[str, Any]:
    """Return the identity that the settings give to a database, as parameters for the internal queries."""
    return {
        **settings.history.parameters,
        "environment": settings.environment,
        "is_declared": settings.is_declared,
        "is_protected": settings.protected,
        "schema_name": resolution.schema_name,
        "search_path": list(resolution.search_path),
    }


def _read_row(row: dict[str, Any]) -> DatabaseIdentity:
    resolution = NameResolution(schema_name=row["schema_name"], search_path=tuple(row["search_path"]))
    return DatabaseIdentity(
        project=row["project"],
        target=row["target"],
        environment=row["environment"],
        is_declared=row["is_declared"],
        is_protected=row["is_protected"],
        resolution=resolution,
        since=datetime.fromisoformat(row["since"]),
        set_by=row["set_by"],
    )
