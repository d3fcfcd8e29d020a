"""Scale the durations of a dry run on a copy by the row counts in the real database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confiture.core.db.connection import Connection
from confiture.core.db.queries import query
from confiture.models.trace import StatementTrace
from confiture.sql.actions import is_same_relation, relations_named_in

_REPORTED_SHARE = 0.01
"""An unscaled statement is reported if it takes more than this fraction of the run's duration."""

_NOTHING_SCALED = (
    "nothing is scaled: no table that this run reads or writes has row counts in both databases. The estimate is for"
    " this database (check --scale-to, and that ANALYZE ran in both)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Row counts in two databases by table, as of the last ANALYZE. A count is below 0 if ANALYZE never ran.

    `temp_file_limit_bytes` limits the role's temporary files in the target database; None if there is no limit.
    """

    source_rows: Mapping[str, float]
    target_rows: Mapping[str, float]
    temp_file_limit_bytes: int | None = None

    def factors(self, traces: Sequence[StatementTrace]) -> tuple[float, ...]:
        """Return the scale factor for each statement's duration; 1 if a duration cannot be scaled."""
        return tuple(1.0 if factor is None else factor for factor in self._known_factors(traces))

    def has_counts_for(self, traces: Sequence[StatementTrace]) -> bool:
        """Whether any statement in a run has row counts to compare."""
        return any(factor is not None for factor in self._known_factors(traces))

    def notes(self, traces: Sequence[StatementTrace]) -> tuple[str, ...]:
        """Return a note for each statement in a run that takes time, touches tables and could not be scaled.

        Return a single note if no statement could be scaled.
        """
        if not self.has_counts_for(traces):
            return (_NOTHING_SCALED,)
        total_ms = sum(trace.duration_ms for trace in traces)
        notes = []
        for trace, factor in zip(traces, self._known_factors(traces), strict=True):
            tables = sorted(_count_touched_rows(trace))
            if factor is None and tables and trace.duration_ms > _REPORTED_SHARE * total_ms:
                notes.append(
                    f"the duration of {trace.step.name!r} ({trace.step.version}) is not scaled: there are no row counts"
                    f" to compare for {', '.join(tables)}"
                )
        return tuple(dict.fromkeys(notes))

    def _known_factors(self, traces: Sequence[StatementTrace]) -> list[float | None]:
        """Return each statement's factor. It is linear in the tables' row counts, weighted by rows read and written.

        A table created by the run is scaled like the statement that filled it.
        """
        created: dict[str, float] = {}
        factors: list[float | None] = []
        for trace in traces:
            weights = _count_touched_rows(trace)
            factor = self._mean(weights, created)
            if factor is None and created:
                # Reading a new table leaves no trace.
                named = relations_named_in([trace.text])
                factor = self._mean(
                    {t: 1 for t in created if any(is_same_relation(t, name) for name in named)}, created
                )
            factors.append(factor)
            if factor is not None:
                created |= {
                    rows.table: factor for rows in trace.rows if rows.inserted and rows.table not in self.source_rows
                }
        return factors

    def _mean(self, weights: Mapping[str, int], created: Mapping[str, float]) -> float | None:
        factors = {table: self._growth(table, created) for table in weights}
        scalable = {table: factor for table, factor in factors.items() if factor is not None}
        total = sum(weights[table] for table in scalable)
        return sum(weights[table] * factor for table, factor in scalable.items()) / total if total else None

    def _growth(self, table: str, created: Mapping[str, float]) -> float | None:
        if table in created:
            return created[table]
        here, there = self.source_rows.get(table, -1), self.target_rows.get(table, -1)
        return there / here if here > 0 and there >= 0 else None


def _count_touched_rows(trace: StatementTrace) -> dict[str, int]:
    """Return how many rows a statement read and wrote in each table. Tables without any are omitted."""
    weights: Counter[str] = Counter()
    for scan in trace.scans:
        weights[scan.table] += scan.rows
    for rows in trace.rows:
        weights[rows.table] += rows.inserted + rows.updated + rows.deleted
    return {table: weight for table, weight in weights.items() if weight}


def read_row_counts(connection: Connection) -> dict[str, float]:
    """Return each table's row count as of the last ANALYZE. Read only the catalogs."""
    return {row["name"]: row["rows"] for row in connection.execute(query("row_counts"))}
