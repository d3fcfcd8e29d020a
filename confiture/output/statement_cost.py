"""The costs of dry-run statements other than time: rewrites, scans, index builds, WAL, and temporary files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby

from confiture.models.trace import StatementMemory, StatementTrace, TableRows, TableScan
from confiture.text import escape_line, format_bytes, pluralize, shorten_sql

_MIN_SCANNED_ROWS = 1_000
_MIN_WAL_BYTES = 1024 * 1024
_NOTABLE_MEMORY_SHARE = 0.5
"""Memory is notable if sorts and hash tables use this share of what they may use before they spill."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StatementCost:
    """A dry-run statement, or all batches of one backfill with total times, rows, and bytes."""

    statement: StatementTrace
    batches: int = 0
    is_one_of_many: bool = False

    @property
    def name(self) -> str:
        """The step's name with the number of batches, or with the start of the SQL if the step is one of several."""
        if not self.batches:
            step, text = self.statement.step.name, shorten_sql(self.statement.text)
            return f"{step}: {text}" if self.is_one_of_many and escape_line(step) != text else step
        batches = pluralize(self.batches, "batch", "batches")
        return f"{self.statement.step.name} ({batches}{', a sample' if self.statement.weight != 1 else ''})"

    @property
    def label(self) -> str:
        """The migration version and the name."""
        return f"{self.statement.step.version} {self.name}"


def group_batches(statements: Sequence[StatementTrace]) -> list[StatementCost]:
    """Return the statements in order. Combine the batches of each backfill, because there may be hundreds."""
    costs = []
    statements_of = Counter(_step_key(statement) for statement in statements)
    for (_, is_batch), group in groupby(statements, key=lambda statement: (statement.step, statement.is_batch)):
        members = tuple(group)
        if is_batch:
            costs.append(StatementCost(statement=_sum_batches(members), batches=len(members)))
        else:
            costs += [
                StatementCost(statement=statement, is_one_of_many=statements_of[_step_key(statement)] > 1)
                for statement in members
            ]
    return costs


def _step_key(statement: StatementTrace) -> tuple[str, str, int]:
    """Return a key that identifies the step in its file. The plan may split a step into segments."""
    return statement.step.version, statement.step.phase, statement.step.number


def _sum_batches(batches: Sequence[StatementTrace]) -> StatementTrace:
    """Combine all batches into one statement with the text and number of the first batch.

    Memory is that of the batch that used most, because each batch returns its memory.
    """
    temp_bytes = [batch.temp_bytes for batch in batches if batch.temp_bytes is not None]
    most_memory = max(batches, key=lambda batch: -1 if batch.memory.peak_bytes is None else batch.memory.peak_bytes)
    return replace(
        batches[0],
        duration_ms=sum(batch.duration_ms for batch in batches),
        rows=_sum_rows(batches),
        scans=_sum_scans(batches),
        locks=tuple(
            {(lock.relation, lock.mode): lock for batch in reversed(batches) for lock in reversed(batch.locks)}.values()
        )[::-1],
        rewrites=tuple(dict.fromkeys(chain.from_iterable(batch.rewrites for batch in batches))),
        indexes_built=tuple(dict.fromkeys(chain.from_iterable(batch.indexes_built for batch in batches))),
        notices=tuple(dict.fromkeys(chain.from_iterable(batch.notices for batch in batches))),
        wal_bytes=sum(batch.wal_bytes for batch in batches),
        temp_bytes=sum(temp_bytes) if len(temp_bytes) == len(batches) else None,
        memory=most_memory.memory,
    )


def _sum_rows(batches: Sequence[StatementTrace]) -> tuple[TableRows, ...]:
    sums: dict[str, TableRows] = {}
    for rows in chain.from_iterable(batch.rows for batch in batches):
        total = sums.get(rows.table, TableRows(table=rows.table, inserted=0, updated=0, deleted=0))
        sums[rows.table] = TableRows(
            table=rows.table,
            inserted=total.inserted + rows.inserted,
            updated=total.updated + rows.updated,
            deleted=total.deleted + rows.deleted,
        )
    return tuple(sums.values())


def _sum_scans(batches: Sequence[StatementTrace]) -> tuple[TableScan, ...]:
    scans, read = Counter[str](), Counter[str]()
    lower_bounds: set[str] = set()
    for scan in chain.from_iterable(batch.scans for batch in batches):
        scans[scan.table] += scan.scans
        read[scan.table] += scan.rows
        lower_bounds |= {scan.table} if scan.is_lower_bound else set()
    return tuple(
        TableScan(table=table, scans=scans[table], rows=read[table], is_lower_bound=table in lower_bounds)
        for table in scans
    )


def is_notable(statement: StatementTrace) -> bool:
    """Whether a statement rewrites a table, builds an index, scans many rows, or uses much disk or memory."""
    return bool(
        statement.rewrites
        or statement.indexes_built
        or statement.temp_bytes
        or is_memory_notable(statement.memory)
        or statement.wal_bytes > _MIN_WAL_BYTES
        or any(scan.rows > _MIN_SCANNED_ROWS for scan in statement.scans)
    )


def is_memory_notable(memory: StatementMemory) -> bool:
    """Whether sorts and hash tables use much of what they may use before they spill to temporary files."""
    return bool(memory.peak_bytes and memory.peak_bytes >= _NOTABLE_MEMORY_SHARE * (memory.limit_bytes or 0))


def describe_memory(memory: StatementMemory) -> str:
    """Return what is known about the memory of sorts and hash tables."""
    if memory.peak_bytes is None:
        limit = f" (at most {format_bytes(memory.limit_bytes)} by maintenance_work_mem)" if memory.limit_bytes else ""
        return f"memory for sorts and hash tables unknown{limit}"
    workers = f" with {pluralize(memory.workers, 'worker')}" if memory.workers else ""
    at_least = "at least " if memory.is_lower_bound else ""
    return (
        f"{at_least}{format_bytes(memory.peak_bytes)} of memory for sorts and hash tables{workers}"
        f" (they may use {format_bytes(memory.limit_bytes or 0)})"
    )


def describe_cost(statement: StatementTrace) -> str:
    """Return the cost of a statement on one line; empty if there is none."""
    parts = [
        f"reads {'at least ' if scan.is_lower_bound else ''}{pluralize(scan.rows, 'row')} from {scan.table}"
        for scan in statement.scans
        if scan.rows
    ]
    if statement.rewrites:
        parts.append(f"rewrites {', '.join(statement.rewrites)}")
    if statement.indexes_built:
        parts.append(f"builds {', '.join(statement.indexes_built)}")
    if statement.wal_bytes:
        parts.append(f"{format_bytes(statement.wal_bytes)} of WAL")
    if statement.temp_bytes:
        parts.append(f"{format_bytes(statement.temp_bytes)} of temporary files")
    if is_memory_notable(statement.memory):
        parts.append(describe_memory(statement.memory))
    return ", ".join(parts)
