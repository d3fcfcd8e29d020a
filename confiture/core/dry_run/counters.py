"""Relation counters: what the statements in a dry run read, write, rewrite and build."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from confiture.models.trace import TableRows, TableScan

Row = Mapping[str, Any]
RelationNames = dict[int, tuple[str, str]]
"""The name and kind of each relation before the first statement, by OID."""

_FIRST_OID = 16_384
_KEEPS_ROWS = ("r", "m")
_INDEXES = ("index", "partitioned index")


@dataclass(frozen=True, slots=True)
class _RelationCounters:
    """A snapshot of a relation's counters, and its file."""

    filenode: int | None
    scans: int
    rows_read: int
    inserted: int
    updated: int
    deleted: int
    read_elsewhere: int
    """Rows read by all other processes, including parallel workers. This session's reads are added only at commit."""


_NOTHING = _RelationCounters(None, 0, 0, 0, 0, 0, 0)


class CounterLog:
    """The counters of each relation at the last poll. The difference from the next poll shows what a statement did."""

    def __init__(self, names: RelationNames) -> None:
        self._names = names
        self._counters: dict[int, _RelationCounters] = {}
        self._marks: dict[int, str] = {}
        self._created_oids: set[int] = set()
        self._last_existing_oid = self._last_seen_oid = _FIRST_OID - 1

    def begin(self, last_oid: int) -> None:
        """Start with the existing relations, up to an OID. Relations with higher OIDs are created by the statements."""
        self._last_existing_oid = max(self._last_existing_oid, last_oid)
        self._last_seen_oid = self._last_existing_oid

    def query_arguments(self) -> str:
        """Return the arguments for the touched-relations query: the state of the known relations."""
        created, marks = ",".join(map(str, self._created_oids)), ",".join(self._marks.values())
        return f"{self._last_existing_oid}, {self._last_seen_oid}, '{{{created}}}', '{{{marks}}}'"

    def reset(self, rows: Iterable[Row]) -> None:
        """Set the counters without attributing the difference to any statement."""
        self._counters |= {row["oid"]: _build_counters(row) for row in rows}

    def reset_known(self, rows: Iterable[Row]) -> None:
        """Set the counters of already known relations."""
        self.reset(row for row in rows if row["oid"] in self._counters)

    def add(self, rows: Iterable[Row]) -> None:
        """Store the counters after tracing a statement."""
        for row in rows:
            oid = row["oid"]
            self._counters[oid] = _build_counters(row)
            if oid > self._last_existing_oid:
                self._last_seen_oid = max(self._last_seen_oid, oid)
                if row["kind"] in _KEEPS_ROWS:
                    self._created_oids.add(oid)
            if oid <= self._last_existing_oid or oid in self._created_oids:
                self._marks[oid] = str(row["mark"])

    def written_rows(self, rows: Iterable[Row]) -> Iterable[TableRows]:
        """Yield the rows written since the last poll."""
        for row in rows:
            before = self._counters.get(row["oid"], _NOTHING)
            now = _build_counters(row)
            counts = (
                max(now.inserted - before.inserted, 0),
                max(now.updated - before.updated, 0),
                max(now.deleted - before.deleted, 0),
            )
            if any(counts):
                inserted, updated, deleted = counts
                yield TableRows(table=self._relation_name(row), inserted=inserted, updated=updated, deleted=deleted)

    def rewrites(self, rows: Iterable[Row]) -> Iterable[str]:
        """Yield the relations whose file has changed since the last poll."""
        for row in rows:
            before = self._counters.get(row["oid"], _NOTHING)
            replaced = before.filenode and row["filenode"] and row["filenode"] != before.filenode
            if replaced and row["oid"] in self._names:
                yield self._names[row["oid"]][0]

    def scans(self, rows: Iterable[Row]) -> Iterable[TableScan]:
        """Yield the sequential scans since the last poll."""
        for row in rows:
            if row["oid"] not in self._names or self._names[row["oid"]][1] in _INDEXES:
                continue
            before = self._counters.get(row["oid"], _NOTHING)
            now = _build_counters(row)
            if now.scans > before.scans:
                yield TableScan(
                    table=self._relation_name(row),
                    scans=now.scans - before.scans,
                    rows=max(now.rows_read - before.rows_read, 0),
                    is_lower_bound=now.read_elsewhere > before.read_elsewhere,
                )

    def new_indexes(self, rows: Iterable[Row]) -> Iterable[str]:
        """Yield the new indexes on existing and new tables."""
        for row in rows:
            if row["oid"] not in self._counters and row["kind"] in ("i", "I"):
                yield row["name"]

    def _relation_name(self, row: Row) -> str:
        return self._names[row["oid"]][0] if row["oid"] in self._names else str(row["name"])


def _build_counters(row: Row) -> _RelationCounters:
    rows = (row["scans"], row["rows_read"], row["inserted"], row["updated"], row["deleted"], row["read_elsewhere"])
    return _RelationCounters(row["filenode"], *rows)
