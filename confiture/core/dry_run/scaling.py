"""Scales the times of a dry run on a copy by the row counts of the real database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from confiture.core.database import Connection
from confiture.core.queries import query
from confiture.models.trace import StatementTrace


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Row counts of two databases, by table, as ANALYZE left them; below 0 where it never ran."""

    here: Mapping[str, float]
    there: Mapping[str, float]

    def factor(self, trace: StatementTrace) -> float:
        """How many times longer a statement takes there: linear in the rows of the tables that it reads and writes,
        each weighing as much as it was read and written here. 1 for one that touches no table known in both.
        """
        weights: dict[str, int] = {}
        for scan in trace.scans:
            weights[scan.table] = weights.get(scan.table, 0) + scan.rows
        for rows in trace.rows:
            weights[rows.table] = weights.get(rows.table, 0) + rows.inserted + rows.updated + rows.deleted
        known = {table: weight for table, weight in weights.items() if weight and self._comparable(table)}
        total = sum(known.values())
        if not total:
            return 1.0
        return sum(weight * self.there[table] / self.here[table] for table, weight in known.items()) / total

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Tables of both databases of which one has no count."""
        both = self.here.keys() & self.there.keys()
        return tuple(sorted(table for table in both if self.here[table] < 0 or self.there[table] < 0))

    def _comparable(self, table: str) -> bool:
        return self.here.get(table, -1) > 0 and self.there.get(table, -1) >= 0


def row_counts(connection: Connection) -> dict[str, float]:
    """The rows of each table as last counted; reads catalogs only."""
    return {row["name"]: row["rows"] for row in connection.execute(query("row_counts"))}
