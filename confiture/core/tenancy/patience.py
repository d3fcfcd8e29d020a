"""How long a proof may take."""

from __future__ import annotations

import time

import psycopg

from confiture.core.db.connection import Connection
from confiture.core.tenancy.errors import NotProvable

_TOO_LONG = "57014"
_HINT = "allow more time, or look at fewer tenants"


class Deadline:
    """So many milliseconds from its making on, None for as long as it takes."""

    def __init__(self, limit_ms: int | None) -> None:
        self._limit_ms = limit_ms
        self._started_at = time.perf_counter()

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since it was made."""
        return (time.perf_counter() - self._started_at) * 1000

    def apply_statement_timeout(self, connection: Connection) -> None:
        """Called before each query, in a transaction: has the server end it in time. Raises NotProvable after that."""
        if self._limit_ms is None:
            return
        left_ms = int(self._limit_ms - self.elapsed_ms)
        if left_ms < 1:
            raise self._exceeded_error()
        connection.execute(f"SET LOCAL statement_timeout = {left_ms}".encode())

    def timeout_error(self, error: psycopg.Error) -> NotProvable | None:
        """What an error means where the server ended a query for us; None where it is another error."""
        return self._exceeded_error() if error.sqlstate == _TOO_LONG and self._limit_ms is not None else None

    def _exceeded_error(self) -> NotProvable:
        return NotProvable(f"it takes longer than {self._limit_ms:,} ms", _HINT)
