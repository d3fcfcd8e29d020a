"""Dry-run warnings: measured effects that would disturb production, each with a remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import groupby

from confiture.durations import format_duration_long
from confiture.models.trace import BlockedAccess, DryRunWarning, LockMode, LockTrace, StatementTrace, worst_locks
from confiture.sql.actions import StatementAction, find_actions, is_same_relation, relations_named_in
from confiture.sql.parsing import parse_statements
from confiture.sql.transactions import find_non_transactional_effects
from confiture.text import pluralize

MANY_ROWS = 100_000
"""An UPDATE or DELETE that affects this many rows causes a warning that suggests batches."""
MANY_TABLES = 10
"""A transaction that blocks this many tables causes a warning."""
_OWN_SHARE = 0.5
_QUERIES = frozenset({"select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "copy_stmt"})

_WAYS_OUT = {
    StatementAction.CREATE_INDEX: "CREATE INDEX CONCURRENTLY does not block writes",
    StatementAction.ADD_CHECK: "add the constraint NOT VALID, and VALIDATE it in a later migration",
    StatementAction.ADD_FOREIGN_KEY: "add the foreign key NOT VALID, and VALIDATE it in a later migration",
    StatementAction.ADD_UNIQUE: "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT ... USING INDEX",
    StatementAction.SET_NOT_NULL: "first add CHECK (... IS NOT NULL) NOT VALID and VALIDATE it; then SET"
    " NOT NULL needs no scan",
    StatementAction.ALTER_TYPE: "add a column of the new type, fill it in batches, then swap the names",
    StatementAction.ADD_COLUMN: "add the column without a volatile default or inline constraint, then"
    " fill it in batches",
    StatementAction.VALIDATE: "VALIDATE in a separate migration: in the same one as ADD, it holds the stronger lock",
    StatementAction.ATTACH: "first give the partition a validated CHECK that implies its bounds",
    StatementAction.REFRESH: "REFRESH MATERIALIZED VIEW CONCURRENTLY",
    StatementAction.REINDEX: "REINDEX CONCURRENTLY",
    StatementAction.DROP_INDEX: "DROP INDEX CONCURRENTLY",
    StatementAction.CREATE_TABLE: "create the table without the foreign key, then add it NOT VALID at the end",
}
_ANY_WAY_OUT = "run it when the table is idle, or split it into steps that each hold the lock only briefly"


def find_warnings(
    traces: Sequence[StatementTrace], threshold_ms: float, known_statements: Set[str] = frozenset()
) -> tuple[DryRunWarning, ...]:
    """Return the warnings for the traces of one dry run, longest duration first.

    `threshold_ms` is how long readers or writers of a table may be blocked without a warning. `known_statements`
    contains the text of each statement whose trace contains all locks, observed or inferred.
    """
    warnings = [
        *_long_locks(traces, threshold_ms),
        *_rewrites(traces),
        *_large_writes(traces),
        *_hidden_lock_warnings(traces, known_statements),
        *_many_locks(traces),
    ]
    return tuple(sorted(warnings, key=lambda warning: -(warning.measured_ms or 0)))


def residual_effects(attempts: Sequence[Sequence[StatementTrace]]) -> tuple[str, ...]:
    """Describe what all rolled-back attempts in a dry run, including retries and repetitions, left behind."""
    dead: Counter[str] = Counter()
    for traces in attempts:
        dead.update(_dead_rows(traces))
    effects = [
        f"{table} keeps {pluralize(rows, 'dead row')} until it is vacuumed"
        for table, rows in dead.most_common()
        if rows
    ]
    everything = [trace for traces in attempts for trace in traces]
    sequences = {name for traces in attempts for name in _used_sequences(traces)}
    if sequences:
        effects.append(f"sequences do not take back used numbers: {', '.join(sorted(sequences))}")
    texts = dict.fromkeys(trace.text for trace in everything)
    effects += [
        f"{escape}; this was not rolled back" for text in texts for escape in find_non_transactional_effects(text)
    ]
    return tuple(effects)


def _dead_rows(traces: Sequence[StatementTrace]) -> Counter[str]:
    """Count the dead row versions that one attempt left in each table. The rollback removes newly created files."""
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
    """Return the sequences that one attempt advanced or set, because nextval and setval acquire this lock mode.

    ALTER SEQUENCE also acquires this mode, but writes a new file, which is rolled back.
    """
    used_sequences: set[str] = set()
    renewed: set[str] = set()
    for trace in traces:
        renewed.update(trace.rewrites)
        locked_sequences = {
            lock.relation for lock in trace.locks if lock.kind == "sequence" and lock.mode is LockMode.ROW_EXCLUSIVE
        }
        used_sequences |= locked_sequences - renewed
    return used_sequences


def _long_locks(traces: Sequence[StatementTrace], threshold_ms: float) -> Iterable[DryRunWarning]:
    """Yield one warning per table, for the worst lock that blocked readers or writers for too long."""
    for lock in worst_locks((lock for trace in traces for lock in trace.locks), threshold_ms):
        trace = next(trace for trace in traces if any(other is lock for other in trace.locks))
        waiting = "" if trace.waited_ms is not None else " (including any wait for it)"
        yield DryRunWarning(
            code="long-lock",
            message=(
                f"{lock.relation} is held in {lock.effective_mode.sql} for up to"
                f" {format_duration_long(lock.held_ms)}{waiting}:"
                f" {lock.effective_mode.blocked_access.value} wait"
            ),
            hint=_suggest_fix(lock, trace),
            table=lock.relation,
            measured_ms=lock.held_ms,
            span=trace.step.span,
            statement=trace.original_sql or trace.text,
        )


def _many_locks(traces: Sequence[StatementTrace]) -> Iterable[DryRunWarning]:
    """Warn about transactions in the real run that block reads from or writes to many tables until they commit."""
    for _, group in groupby(traces, lambda trace: (trace.step.version, trace.step.segment)):
        segment = list(group)
        locks = worst_locks((lock for trace in segment for lock in trace.locks if lock.is_blocking), 0)
        if len(locks) < MANY_TABLES:
            continue
        modes = Counter(lock.effective_mode for lock in locks)
        counts = ", ".join(f"{mode.sql} on {count}" for mode, count in modes.most_common())
        yield DryRunWarning(
            code="many-locks",
            message=f"one transaction blocks {len(locks)} tables until it commits ({counts}): a session that locks two"
            " of these tables in another order can deadlock with it",
            hint="split the migration so that each transaction locks only a few tables",
            span=segment[0].step.span,
        )


def _suggest_fix(lock: LockTrace, trace: StatementTrace) -> str:
    if trace.duration_ms < _OWN_SHARE * lock.held_ms:
        return (
            f"the statement takes {format_duration_long(trace.duration_ms)}, but later statements prolong the lock:"
            " put them into a separate migration, or put this statement last"
        )
    return next((_WAYS_OUT[action] for action in find_actions(trace.text) if action in _WAYS_OUT), _ANY_WAY_OUT)


def _rewrites(traces: Sequence[StatementTrace]) -> Iterable[DryRunWarning]:
    # The lock may belong to an earlier statement.
    queried = {lock.relation for trace in traces for lock in trace.locks if lock.is_queried}
    for trace in traces:
        if not trace.rewrites:
            continue
        actions = find_actions(trace.text)
        if StatementAction.ALTER_TYPE not in actions and StatementAction.ADD_COLUMN not in actions:
            continue
        for relation in trace.rewrites:
            if relation in queried:
                yield DryRunWarning(
                    code="rewrite",
                    message=f"{relation} is rewritten in {format_duration_long(trace.duration_ms)}",
                    hint=_WAYS_OUT[
                        StatementAction.ALTER_TYPE
                        if StatementAction.ALTER_TYPE in actions
                        else StatementAction.ADD_COLUMN
                    ],
                    table=relation,
                    measured_ms=trace.duration_ms,
                    span=trace.step.span,
                    statement=trace.original_sql or trace.text,
                )


def _large_writes(traces: Sequence[StatementTrace]) -> Iterable[DryRunWarning]:
    existed = {lock.relation for trace in traces for lock in trace.locks}
    for trace in traces:
        many = [rows for rows in trace.rows if rows.updated + rows.deleted >= MANY_ROWS and rows.table in existed]
        if many and {StatementAction.UPDATE, StatementAction.DELETE} & set(find_actions(trace.text)):
            for rows in many:
                changed = rows.updated + rows.deleted
                yield DryRunWarning(
                    code="large-write",
                    message=f"one statement changes {changed:,} rows in {rows.table} and keeps them locked",
                    hint="run it in batches, each in its own transaction",
                    table=rows.table,
                    measured_ms=trace.duration_ms,
                    span=trace.step.span,
                    statement=trace.original_sql or trace.text,
                )


def _hidden_lock_warnings(traces: Sequence[StatementTrace], known_statements: Set[str]) -> Iterable[DryRunWarning]:
    """Yield one warning for each table and segment whose lock may be hidden by an earlier segment's lock."""
    held_modes: dict[str, LockMode] = {}
    for _, group in groupby(traces, key=lambda trace: (trace.step.version, trace.step.segment)):
        segment = tuple(group)
        reported_tables: set[str] = set()
        for trace in (trace for trace in segment if held_modes and trace.text not in known_statements):
            for table in sorted(_possible_locks(trace, held_modes) - reported_tables):
                reported_tables.add(table)
                yield DryRunWarning(
                    code="lock-unseen",
                    message=(
                        f"{table} was locked by an earlier segment, and a real run has released that lock: this dry run"
                        " cannot determine whether this statement locks it again, or for how long"
                    ),
                    hint="apply the earlier part to a copy, and dry-run the rest on that copy",
                    table=table,
                    span=trace.step.span,
                    statement=trace.original_sql or trace.text,
                )
        for lock in (lock for trace in segment for lock in trace.locks if _can_hide_lock(lock)):
            strongest = held_modes.get(lock.relation, lock.mode)
            held_modes[lock.relation] = max(strongest, lock.mode, key=lambda mode: mode.strength)


def _can_hide_lock(lock: LockTrace) -> bool:
    """Whether a lock that blocks queries could be acquired again unobserved because it is already held."""
    return lock.is_queried and lock.mode.blocked_access in (BlockedAccess.READS, BlockedAccess.WRITES)


def _possible_locks(trace: StatementTrace, held_modes: Mapping[str, LockMode]) -> Set[str]:
    """Return the relations that a statement may lock strongly, except those with an observed or known lock."""
    if trace.original_sql:
        return set()
    candidates = set(trace.rewrites)
    if not _is_row_statement(trace.text):
        candidates |= {scan.table for scan in trace.scans} | {rows.table for rows in trace.rows}
        named = relations_named_in([trace.text])
        candidates |= {relation for relation in held_modes if any(is_same_relation(relation, name) for name in named)}
    observed = {
        lock.relation for lock in trace.locks if lock.mode.strength >= held_modes.get(lock.relation, lock.mode).strength
    }
    return (candidates & held_modes.keys()) - observed


def _is_row_statement(text: str) -> bool:
    """Whether a statement only reads and writes rows, which requires only weak locks."""
    statements, _ = parse_statements(text)
    return all(statement.node_kind in _QUERIES for statement in statements)
