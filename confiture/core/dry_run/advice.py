"""Warnings of a dry run: what was measured that production would feel, and the way out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from confiture.models.trace import Blocks, LockTrace, RunWarning, StatementTrace
from confiture.sql.actions import Action, actions
from confiture.sql.escapes import escapes

MANY_ROWS = 100_000
"""An UPDATE or DELETE from this many rows on is told to go in batches."""
_OWN_SHARE = 0.5

_WAYS_OUT = {
    Action.CREATE_INDEX: "CREATE INDEX CONCURRENTLY lets writes go on",
    Action.ADD_CHECK: "add the constraint NOT VALID, and VALIDATE it in a later migration",
    Action.ADD_FOREIGN_KEY: "add the foreign key NOT VALID, and VALIDATE it in a later migration",
    Action.ADD_UNIQUE: "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT ... USING INDEX",
    Action.SET_NOT_NULL: "first add CHECK (... IS NOT NULL) NOT VALID and VALIDATE it; then SET NOT NULL reads nothing",
    Action.ALTER_TYPE: "add a column of the new type, fill it in batches, then swap the names",
    Action.ADD_COLUMN: "add the column without a volatile default or inline constraint, then fill it in batches",
    Action.VALIDATE: "VALIDATE in a migration of its own: together with ADD it keeps the stronger lock",
    Action.ATTACH: "first give the partition a validated CHECK that implies its bounds",
    Action.REFRESH: "REFRESH MATERIALIZED VIEW CONCURRENTLY",
    Action.REINDEX: "REINDEX CONCURRENTLY",
    Action.DROP_INDEX: "DROP INDEX CONCURRENTLY",
    Action.CREATE_TABLE: "create the table without the foreign key, and add that NOT VALID at the end",
}
_ANY_WAY_OUT = "do it when the table is idle, or split it into steps that each hold the lock for a moment"


def warnings(traces: Sequence[StatementTrace], threshold_ms: float) -> tuple[RunWarning, ...]:
    """What the traces of one dry run give reason to warn of, the worst first.

    `threshold_ms` is how long a table may be kept from readers or writers without a warning.
    """
    found = [*_long_locks(traces, threshold_ms), *_rewrites(traces), *_large_writes(traces)]
    return tuple(sorted(found, key=lambda warning: -(warning.measured_ms or 0)))


def leftovers(traces: Sequence[StatementTrace]) -> tuple[str, ...]:
    """What the rollback of this dry run did not take back, a sentence each."""
    dead: dict[str, int] = {}
    sequences: set[str] = set()
    for trace in traces:
        for rows in trace.rows:
            dead[rows.table] = dead.get(rows.table, 0) + rows.inserted + rows.updated
        sequences |= {lock.relation for lock in trace.locks if lock.kind == "sequence"}
    existed = {lock.relation for trace in traces for lock in trace.locks}
    told = [
        f"{table} keeps {count:,} dead rows until it is vacuumed"
        for table, count in sorted(dead.items(), key=lambda item: -item[1])
        if count and table in existed
    ]
    if sequences:
        told.append(f"sequences keep the numbers they gave out: {', '.join(sorted(sequences))}")
    told += [f"{escape}: it has happened" for trace in traces for escape in escapes(trace.text)]
    return tuple(told)


def _long_locks(traces: Sequence[StatementTrace], threshold_ms: float) -> Iterable[RunWarning]:
    """One warning for each table: its worst lock, if that kept readers or writers out for too long."""
    worst: dict[str, tuple[LockTrace, StatementTrace]] = {}
    for trace in traces:
        for lock in trace.locks:
            if lock.felt.blocks not in (Blocks.READS, Blocks.WRITES) or "table" not in lock.kind:
                continue
            known = worst.get(lock.relation)
            if known is None or (lock.felt.strength, lock.held_ms) > (known[0].felt.strength, known[0].held_ms):
                worst[lock.relation] = (lock, trace)
    for lock, trace in worst.values():
        if lock.held_ms >= threshold_ms:
            yield RunWarning(
                code="long-lock",
                message=(
                    f"{lock.relation} is held in {lock.felt.sql} for up to {_seconds(lock.held_ms)}:"
                    f" {lock.felt.blocks.value} wait"
                ),
                hint=_way_out(lock, trace),
                table=lock.relation,
                measured_ms=lock.held_ms,
                span=trace.step.span,
            )


def _way_out(lock: LockTrace, trace: StatementTrace) -> str:
    if trace.duration_ms < _OWN_SHARE * lock.held_ms:
        return (
            f"its statement takes {_seconds(trace.duration_ms)}, then what follows keeps the lock:"
            " put what follows into a migration of its own, or this statement last"
        )
    return next((_WAYS_OUT[action] for action in actions(trace.text) if action in _WAYS_OUT), _ANY_WAY_OUT)


def _rewrites(traces: Sequence[StatementTrace]) -> Iterable[RunWarning]:
    for trace in traces:
        done = actions(trace.text)
        if Action.ALTER_TYPE not in done and Action.ADD_COLUMN not in done:
            continue
        kinds = {lock.relation: lock.kind for lock in trace.locks}
        for relation in trace.rewrites:
            if "table" in kinds.get(relation, ""):
                yield RunWarning(
                    code="rewrite",
                    message=f"{relation} is rewritten in {_seconds(trace.duration_ms)}",
                    hint=_WAYS_OUT[Action.ALTER_TYPE if Action.ALTER_TYPE in done else Action.ADD_COLUMN],
                    table=relation,
                    measured_ms=trace.duration_ms,
                    span=trace.step.span,
                )


def _large_writes(traces: Sequence[StatementTrace]) -> Iterable[RunWarning]:
    existed = {lock.relation for trace in traces for lock in trace.locks}
    for trace in traces:
        if not {Action.UPDATE, Action.DELETE} & set(actions(trace.text)):
            continue
        for rows in trace.rows:
            changed = rows.updated + rows.deleted
            if changed >= MANY_ROWS and rows.table in existed:
                yield RunWarning(
                    code="large-write",
                    message=f"one statement changes {changed:,} rows of {rows.table} and keeps them locked",
                    hint="do it in batches, each committed by itself",
                    table=rows.table,
                    measured_ms=trace.duration_ms,
                    span=trace.step.span,
                )


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 950 else f"{milliseconds:.0f} ms"
