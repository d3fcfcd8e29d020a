"""The use of a plan's relations by other sessions now, and the limits of the server."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from confiture.core.db.connection import Connection, fetch_named_row
from confiture.core.db.queries import query
from confiture.durations import format_duration
from confiture.models.catalog import QualifiedName
from confiture.models.grades import OpenTransaction
from confiture.models.trace import LockMode

FLUSH_MS = 11_000
"""The time after which idle sessions have written their counters. A shorter sample does not prove their absence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RelationActivity:
    """The rows, the size, and the use of a relation with its partitions.

    `rows` is 0 only if the relation is certainly empty; None if the number is unknown. `is_in_use` is whether other
    sessions read or wrote the relation since the statistics were reset, or, with a sample, during the sample.
    """

    rows: int | None
    total_bytes: int
    is_in_use: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldRelationLock:
    """A lock that an open transaction holds on a relation."""

    relation: QualifiedName
    mode: LockMode


@dataclass(frozen=True, kw_only=True, slots=True)
class ForeignTransaction:
    """An open transaction of another session, and the locks that it holds on relations."""

    transaction: OpenTransaction
    locks: tuple[HeldRelationLock, ...]

    def blocks(self, locks: Mapping[QualifiedName, LockMode]) -> bool:
        """Whether a statement that acquires the locks waits for the transaction."""
        return any(held.mode.conflicts_with(locks[held.relation]) for held in self.locks if held.relation in locks)


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerLoad:
    """Sizes and limits of the server in bytes, and the replica lag in milliseconds; None if unknown or unlimited."""

    database_bytes: int
    temp_file_limit_bytes: int | None
    sees_sessions: bool
    replica_lag_ms: float | None


def read_activity(
    connection: Connection, relations: Iterable[QualifiedName], sample_ms: int
) -> dict[QualifiedName, RelationActivity]:
    """Return the activity on existing relations. Read the counters twice, `sample_ms` apart, unless it is 0."""
    names = sorted(relations)
    first = _read_counters(connection, names)
    if sample_ms and first:
        time.sleep(sample_ms / 1000)
        second = _read_counters(connection, names)
        return {
            name: replace(_activity(row), is_in_use=_was_used(first.get(name), row, sample_ms))
            for name, row in second.items()
        }
    return {name: _activity(row) for name, row in first.items()}


def read_open_transactions(connection: Connection, age_ms: int) -> tuple[ForeignTransaction, ...]:
    """Return other sessions' transactions that are older than `age_ms`, oldest first."""
    rows = connection.execute(query("open_transactions"), {"age_ms": age_ms}).fetchall()
    return tuple(_build_transaction(row) for row in rows)


def read_server_load(connection: Connection) -> ServerLoad:
    """Return the sizes and limits of the server."""
    return ServerLoad(**fetch_named_row(connection, "server_load"))


def _read_counters(connection: Connection, names: Sequence[QualifiedName]) -> dict[QualifiedName, dict[str, Any]]:
    parameters = {"schemas": [name.schema for name in names], "names": [name.name for name in names]}
    rows = connection.execute(query("relation_activity"), parameters).fetchall()
    return {QualifiedName(row["schema"], row["name"]): row for row in rows}


def _activity(row: Mapping[str, Any]) -> RelationActivity:
    in_use = bool(row["locked"] or row["reads"] or row["writes"])
    return RelationActivity(rows=row["rows"], total_bytes=row["total_bytes"], is_in_use=in_use)


def _was_used(before: Mapping[str, Any] | None, after: Mapping[str, Any], sample_ms: int) -> bool | None:
    if before is None or after["locked"] or before["locked"]:
        return True
    if (before["reads"], before["writes"]) != (after["reads"], after["writes"]):
        return True
    return False if sample_ms >= FLUSH_MS or not (after["reads"] or after["writes"]) else None


def _build_transaction(row: Mapping[str, Any]) -> ForeignTransaction:
    who = f"{row['application_name'] or 'a session'} ({row['usename']}"
    who += f", process {row['pid']}, {row['state']})" if row["pid"] is not None else ", prepared transaction)"
    locks = tuple(
        HeldRelationLock(relation=QualifiedName(lock["schema"], lock["name"]), mode=LockMode(lock["mode"]))
        for lock in row["locks"]
        if lock["mode"] in list(LockMode)
    )
    description = f"{who} has been in its transaction for {format_duration(row['age_ms'])}"
    return ForeignTransaction(transaction=OpenTransaction(description=description, age_ms=row["age_ms"]), locks=locks)
