"""Adds locks that a dry run cannot see: those that the real run takes again after a commit.

All segments of a dry run share one transaction, so what an earlier segment locked is held still, and taking it once
more leaves no trace. What statements lock by their texts tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from confiture.models.trace import LockMode, LockTrace, StatementTrace
from confiture.sql.actions import is_same_relation

_Held = dict[tuple[str, LockMode], LockTrace]


def add_reacquired_locks(
    traces: Sequence[StatementTrace], locks: Mapping[str, Mapping[str, LockMode]]
) -> tuple[StatementTrace, ...]:
    """The traces with the locks that were hidden. `locks` are the strongest modes by statement and relation."""
    complete: list[StatementTrace] = []
    held: _Held = {}
    for _, together in groupby(traces, key=lambda trace: (trace.step.version, trace.step.segment)):
        segment = tuple(together)
        end_ms = max(trace.started_ms + trace.duration_ms for trace in segment)
        taken: set[tuple[str, LockMode]] = set()
        for trace in segment:
            hidden = tuple(_hidden_locks(trace, locks, held, taken, end_ms))
            taken |= {(lock.relation, lock.mode) for lock in (*trace.locks, *hidden)}
            complete.append(replace(trace, locks=(*trace.locks, *hidden)))
        held |= {(lock.relation, lock.mode): lock for trace in segment for lock in trace.locks}
    return tuple(complete)


def _hidden_locks(
    trace: StatementTrace,
    locks: Mapping[str, Mapping[str, LockMode]],
    held_locks: _Held,
    taken: set[tuple[str, LockMode]],
    end_ms: float,
) -> Iterator[LockTrace]:
    """The locks of a statement that were held already, in the mode that it takes or, in its transactional form, in any
    mode that hides that.
    """
    seen = {(lock.relation, lock.effective_mode) for lock in trace.locks}
    for name, mode in locks.get(trace.original_sql or trace.text, {}).items():
        for (relation, held_mode), lock in held_locks.items():
            hides = held_mode is mode or (trace.original_sql and held_mode.strength > mode.strength)
            if hides and (relation, mode) not in taken | seen and is_same_relation(relation, name):
                taken.add((relation, mode))
                yield replace(
                    lock, mode=mode, acquired_ms=trace.started_ms, released_ms=end_ms, real_mode=None, is_inferred=True
                )
