"""States of the runner, the tracer and the blocking monitor change only as their tables allow."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from confiture.core.db import blocking_monitor
from confiture.core.dry_run import trace
from confiture.core.run import context
from confiture.core.run.context import RecordState
from confiture.core.state_machine import ForbiddenTransition, StateMachine

_TABLES: dict[type[Enum], Any] = {
    context.RecordState: context._TRANSITIONS,
    trace.TracerState: trace._TRANSITIONS,
    blocking_monitor.MonitorState: blocking_monitor._TRANSITIONS,
}


@pytest.mark.parametrize("states", _TABLES, ids=lambda states: states.__name__)
def test_every_state_is_in_its_table_and_can_be_reached(states: type[Enum]):
    table = _TABLES[states]
    assert set(table) == set(states)
    reached = {next(iter(states))}
    while new := {after for state in reached for after in table[state]} - reached:
        reached |= new
    assert reached == set(states)


def test_a_forbidden_transition_is_refused():
    record = StateMachine(RecordState.UNRECORDED, context._TRANSITIONS)
    record.enter(RecordState.INTENT_SENT)
    with pytest.raises(ForbiddenTransition, match="INTENT_SENT cannot become UNRECORDED"):
        record.enter(RecordState.UNRECORDED)
    assert record.state is RecordState.INTENT_SENT
