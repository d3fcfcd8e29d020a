"""The catalogs that all databases of a server share: whether a transaction has changed them."""

from __future__ import annotations

from confiture.core.db.connection import Connection
from confiture.core.db.queries import query


class SharedCatalogs:
    """The shared catalogs during a transaction of `connection`. Create the object when the transaction begins.

    Only this transaction's changes count, not those of other sessions. Methods raise psycopg.Error.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._counts = self._count()

    def changed(self) -> tuple[str, ...]:
        """Return the names of the catalogs that the transaction has changed, in order.

        The names are those of catalogs with objects outside the database. A change that a block has rolled back can
        also be among them.
        """
        found = {row["catalog"] for row in self._connection.execute(query("changed_shared_objects")).fetchall()}
        counted = {name for name, changes in self._count().items() if changes != self._counts.get(name)}
        return tuple(sorted(found | counted))

    def _count(self) -> dict[str, int]:
        rows = self._connection.execute(query("shared_catalog_changes")).fetchall()
        return {row["catalog"]: row["changes"] for row in rows}
