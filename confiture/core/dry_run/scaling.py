"""Scales the times of a dry run on a copy by the row counts of the real database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confiture.core.db.connection import Connection
from confiture.core.db.queries import query
from confiture.models.trace import StatementTrace
from confiture.sql.actions import is_same_relation, relations_named_in

_WORTH_TELLING = 0.01
"""From this share of a run's time on it is told that a statement could not be scaled."""

_NOTHING_SCALED = (
    "nothing is scaled: for none of the tables that this run reads or writes there are row counts to compare in both"
    " databases; the estimate is of this one (is --scale-to the right database, and did ANALYZE run in both?)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Row counts of two databases, by table, as ANALYZE left them; below 0 where it never ran."""

    source_rows: Mapping[str, float]
    target_rows: Mapping[str, float]

    def factors(self, traces: Sequence[StatementTrace]) -> tuple[float, ...]:
        """How many times longer each statement of a run takes there; 1 for one that cannot be scaled."""
        return tuple(1.0 if factor is None else factor for factor in self._known_factors(traces))

    def has_counts_for(self, traces: Sequence[StatementTrace]) -> bool:
        """Whether there are row counts to compare for any statement of a run."""
        return any(factor is not None for factor in self._known_factors(traces))

    def notes(self, traces: Sequence[StatementTrace]) -> tuple[str, ...]:
        """The statements of a run that take time, touch tables and could not be scaled, a sentence each.

        One sentence where none could.
        """
        if not self.has_counts_for(traces):
            return (_NOTHING_SCALED,)
        total_ms = sum(trace.duration_ms for trace in traces)
        found = []
        for trace, factor in zip(traces, self._known_factors(traces), strict=True):
            tables = sorted(_count_touched_rows(trace))
            if factor is None and tables and trace.duration_ms > _WORTH_TELLING * total_ms:
                found.append(
                    f"the time of {trace.step.name!r} ({trace.step.version}) is not scaled: for {', '.join(tables)}"
                    " there are no row counts to compare"
                )
        return tuple(dict.fromkeys(found))

    def _known_factors(self, traces: Sequence[StatementTrace]) -> list[float | None]:
        """The factor of each statement: linear in the rows of the tables that it reads and writes, each weighing as
        much as it was read and written here. A table that the run makes grows with what filled it.
        """
        made: dict[str, float] = {}
        found: list[float | None] = []
        for trace in traces:
            weights = _count_touched_rows(trace)
            factor = self._mean(weights, made)
            if factor is None and made:
                # reading a new table leaves no trace
                named = relations_named_in([trace.text])
                factor = self._mean({t: 1 for t in made if any(is_same_relation(t, name) for name in named)}, made)
            found.append(factor)
            if factor is not None:
                made |= {
                    rows.table: factor for rows in trace.rows if rows.inserted and rows.table not in self.source_rows
                }
        return found

    def _mean(self, weights: Mapping[str, int], created: Mapping[str, float]) -> float | None:
        factors = {table: self._growth(table, created) for table in weights}
        known = {table: factor for table, factor in factors.items() if factor is not None}
        total = sum(weights[table] for table in known)
        return sum(weights[table] * factor for table, factor in known.items()) / total if total else None

    def _growth(self, table: str, created: Mapping[str, float]) -> float | None:
        if table in created:
            return created[table]
        here, there = self.source_rows.get(table, -1), self.target_rows.get(table, -1)
        return there / here if here > 0 and there >= 0 else None


def _count_touched_rows(trace: StatementTrace) -> dict[str, int]:
    """How many rows of each table a statement read and wrote; tables without any are left out."""
    weights: Counter[str] = Counter()
    for scan in trace.scans:
        weights[scan.table] += scan.rows
    for rows in trace.rows:
        weights[rows.table] += rows.inserted + rows.updated + rows.deleted
    return {table: weight for table, weight in weights.items() if weight}


def read_row_counts(connection: Connection) -> dict[str, float]:
    """The rows of each table as last counted; reads catalogs only."""
    return {row["name"]: row["rows"] for row in connection.execute(query("row_counts"))}
