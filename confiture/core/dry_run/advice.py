"""Warnings of a dry run: what was measured that production would feel, and the way out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import groupby

from confiture.models.trace import Blocks, LockMode, LockTrace, RunWarning, StatementTrace, worst_locks
from confiture.models.words import count, duration_in_prose
from confiture.sql.actions import Action, actions, named_relations, same_relation
from confiture.sql.parsing import parse_statements
from confiture.sql.transactions import escapes

MANY_ROWS = 100_000
"""An UPDATE or DELETE from this many rows on is told to go in batches."""
_OWN_SHARE = 0.5
_QUERIES = frozenset({"select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "copy_stmt"})

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


def warnings(
    traces: Sequence[StatementTrace], threshold_ms: float, known: Set[str] = frozenset()
) -> tuple[RunWarning, ...]:
    """What the traces of one dry run give reason to warn of, the worst first.

    `threshold_ms` is how long a table may be kept from readers or writers without a warning. `known` are the texts of
    statements whose locks are all in their traces, seen or not.
    """
    found = [
        *_long_locks(traces, threshold_ms),
        *_rewrites(traces),
        *_large_writes(traces),
        *_unseen_locks(traces, known),
    ]
    return tuple(sorted(found, key=lambda warning: -(warning.measured_ms or 0)))


def leftovers(tries: Sequence[Sequence[StatementTrace]]) -> tuple[str, ...]:
    """What the rollbacks of all tries of a dry run, retries and repetitions alike, left; a sentence each."""
    dead: Counter[str] = Counter()
    for traces in tries:
        dead.update(_dead_rows(traces))
    told = [
        f"{table} keeps {count(rows, 'dead row')} until it is vacuumed" for table, rows in dead.most_common() if rows
    ]
    everything = [trace for traces in tries for trace in traces]
    sequences = {name for traces in tries for name in _used_sequences(traces)}
    if sequences:
        told.append(f"sequences keep the numbers they gave out: {', '.join(sorted(sequences))}")
    texts = dict.fromkeys(trace.text for trace in everything)
    told += [f"{escape}: it has happened" for text in texts for escape in escapes(text)]
    return tuple(told)


def _dead_rows(traces: Sequence[StatementTrace]) -> Counter[str]:
    """Row versions that one try left, by table. A file that the transaction made goes with it, and its rows too."""
    existed = {lock.relation for trace in traces for lock in trace.locks}
    renewed: set[str] = set()
    dead: Counter[str] = Counter()
    for trace in traces:
        renewed.update(trace.rewrites)
        for rows in trace.rows:
            if rows.table in existed and rows.table not in renewed:
                dead[rows.table] += rows.inserted + rows.updated
    return dead


def _used_sequences(traces: Sequence[StatementTrace]) -> set[str]:
    """Sequences that one try took numbers from, or set: nextval and setval take this mode. So does ALTER SEQUENCE, but
    in a new file, and what is done to that is taken back.
    """
    used: set[str] = set()
    renewed: set[str] = set()
    for trace in traces:
        renewed.update(trace.rewrites)
        taken = {
            lock.relation for lock in trace.locks if lock.kind == "sequence" and lock.mode is LockMode.ROW_EXCLUSIVE
        }
        used |= taken - renewed
    return used


def _long_locks(traces: Sequence[StatementTrace], threshold_ms: float) -> Iterable[RunWarning]:
    """One warning for each table: its worst lock among those that kept readers or writers out for too long."""
    for lock in worst_locks((lock for trace in traces for lock in trace.locks), threshold_ms):
        trace = next(trace for trace in traces if any(taken is lock for taken in trace.locks))
        waiting = "" if trace.waited_ms is not None else " (any wait for it included)"
        yield RunWarning(
            code="long-lock",
            message=(
                f"{lock.relation} is held in {lock.felt.sql} for up to {duration_in_prose(lock.held_ms)}{waiting}:"
                f" {lock.felt.blocks.value} wait"
            ),
            hint=_way_out(lock, trace),
            table=lock.relation,
            measured_ms=lock.held_ms,
            span=trace.step.span,
            statement=trace.instead_of or trace.text,
        )


def _way_out(lock: LockTrace, trace: StatementTrace) -> str:
    if trace.duration_ms < _OWN_SHARE * lock.held_ms:
        return (
            f"its statement takes {duration_in_prose(trace.duration_ms)}, then what follows keeps the lock:"
            " put what follows into a migration of its own, or this statement last"
        )
    return next((_WAYS_OUT[action] for action in actions(trace.text) if action in _WAYS_OUT), _ANY_WAY_OUT)


def _rewrites(traces: Sequence[StatementTrace]) -> Iterable[RunWarning]:
    # the lock may be an earlier statement's
    queried = {lock.relation for trace in traces for lock in trace.locks if lock.is_queried}
    for trace in traces:
        if not trace.rewrites:
            continue
        done = actions(trace.text)
        if Action.ALTER_TYPE not in done and Action.ADD_COLUMN not in done:
            continue
        for relation in trace.rewrites:
            if relation in queried:
                yield RunWarning(
                    code="rewrite",
                    message=f"{relation} is rewritten in {duration_in_prose(trace.duration_ms)}",
                    hint=_WAYS_OUT[Action.ALTER_TYPE if Action.ALTER_TYPE in done else Action.ADD_COLUMN],
                    table=relation,
                    measured_ms=trace.duration_ms,
                    span=trace.step.span,
                    statement=trace.instead_of or trace.text,
                )


def _large_writes(traces: Sequence[StatementTrace]) -> Iterable[RunWarning]:
    existed = {lock.relation for trace in traces for lock in trace.locks}
    for trace in traces:
        many = [rows for rows in trace.rows if rows.updated + rows.deleted >= MANY_ROWS and rows.table in existed]
        if many and {Action.UPDATE, Action.DELETE} & set(actions(trace.text)):
            for rows in many:
                changed = rows.updated + rows.deleted
                yield RunWarning(
                    code="large-write",
                    message=f"one statement changes {changed:,} rows of {rows.table} and keeps them locked",
                    hint="do it in batches, each committed by itself",
                    table=rows.table,
                    measured_ms=trace.duration_ms,
                    span=trace.step.span,
                    statement=trace.instead_of or trace.text,
                )


def _unseen_locks(traces: Sequence[StatementTrace], known: Set[str]) -> Iterable[RunWarning]:
    """One warning for each table of each segment whose lock an earlier segment of the same transaction may hide."""
    held: dict[str, LockMode] = {}
    for _, together in groupby(traces, key=lambda trace: (trace.step.version, trace.step.segment)):
        segment = tuple(together)
        told: set[str] = set()
        for trace in (trace for trace in segment if held and trace.text not in known):
            for table in sorted(_touched(trace, held) - told):
                told.add(table)
                yield RunWarning(
                    code="lock-unseen",
                    message=(
                        f"{table} was locked by what came before and would be free again here: this dry run cannot see"
                        " whether this statement locks it again, nor for how long"
                    ),
                    hint="apply what comes before on a copy, and rehearse the rest there",
                    table=table,
                    span=trace.step.span,
                    statement=trace.instead_of or trace.text,
                )
        for lock in (lock for trace in segment for lock in trace.locks if _hides(lock)):
            strongest = held.get(lock.relation, lock.mode)
            held[lock.relation] = max(strongest, lock.mode, key=lambda mode: mode.strength)


def _hides(lock: LockTrace) -> bool:
    """Whether a lock that keeps queries out could be taken again unseen, as it is held already."""
    return lock.is_queried and lock.mode.blocks in (Blocks.READS, Blocks.WRITES)


def _touched(trace: StatementTrace, held: Mapping[str, LockMode]) -> Set[str]:
    """Of these relations, those that a statement may lock strongly; not those whose lock is seen or known."""
    if trace.instead_of:
        return set()
    found = set(trace.rewrites)
    if not _is_query(trace.text):
        found |= {scan.table for scan in trace.scans} | {rows.table for rows in trace.rows}
        named = named_relations([trace.text])
        found |= {relation for relation in held if any(same_relation(relation, name) for name in named)}
    seen = {lock.relation for lock in trace.locks if lock.mode.strength >= held.get(lock.relation, lock.mode).strength}
    return (found & held.keys()) - seen


def _is_query(text: str) -> bool:
    """Whether a statement by its nature only reads and writes rows, for which it takes weak locks."""
    statements, _ = parse_statements(text)
    return all(statement.node in _QUERIES for statement in statements)
