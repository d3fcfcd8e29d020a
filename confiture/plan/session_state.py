"""Session state between a migration's segments: the settings to repeat, and the state that would be lost.

A segment begins in a new session, so that an interrupted migration resumes under the same conditions. Therefore,
session settings from earlier segments are repeated. State that cannot be restored, such as a temporary table, is
reported as a problem at the step that creates it. The run compares the session with the settings before it commits a
segment, because functions, hooks, and code in strings can change the session too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

from confiture.errors import Diagnostic
from confiture.models.plan import PlannedStep, Segment, Statement, TransactionMode
from confiture.models.records import replace
from confiture.plan.session_objects import SessionObjects, may_use_sequences, reads_sequence_state
from confiture.plan.session_settings import SessionSettings, changes_settings_unrepeatably
from confiture.sql.parser import parse_sql, pb
from confiture.sql.traversal import find_nodes

LOST_SESSION_STATE = "lost-session-state"
NEW_SESSION = "a CONCURRENTLY statement, VACUUM or a backfill after this step starts a new session"
_BACKFILL_VALUES = {
    "extra_float_digits": ("1", "2", "3"),
    "default_transaction_isolation": ("read committed",),
    "default_transaction_read_only": ("off", "false", "no", "0"),
}
"""Settings that a backfill needs: with others, it would misread keys, or fail when it writes."""


def add_session_state(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Return the segments with the settings that each must repeat, and with a problem at each step that lacks state."""
    if len(segments) < 2:
        return tuple(segments)
    settings = SessionSettings()
    result = []
    for position, segment in enumerate(segments):
        is_last = position == len(segments) - 1
        found = [*_sequence_problems(segment)] if position else []
        if not is_last:
            found += [*_object_problems(segment), *_setting_problems(segment)]
        if segment.transaction_mode is TransactionMode.BATCHED:
            found += _backfill_problems(segment.steps[0], settings)
        problems: dict[int, Diagnostic] = {}
        for number, problem in found:
            problems.setdefault(number, problem)
        steps = tuple(
            replace(step, missing_variables=(*step.missing_variables, problems[number])) if number in problems else step
            for number, step in enumerate(segment.steps)
        )
        repeated = settings.statements
        for statement in _statements(segment):
            settings.apply(statement)
        expected = None if is_last else settings.current_statements
        settings.end_transaction()
        result.append(replace(segment, steps=steps, settings=repeated, expected_settings=expected))
    return tuple(result)


def settings_at(segment: Segment, step: PlannedStep) -> tuple[str, ...]:
    """Return the statements that make the settings in force at a step of a segment."""
    settings = SessionSettings(segment.settings)
    for statement in _statements_before(segment, step):
        settings.apply(statement)
    return settings.current_statements


def unrepeatable_setting(segment: Segment, step: PlannedStep) -> Statement | None:
    """Return a statement before a step that may make a setting that cannot be repeated; None if there is none."""
    return next(filter(changes_settings_unrepeatably, _statements_before(segment, step)), None)


def reads_temporary_object(segment: Segment, step: PlannedStep) -> bool:
    """Whether a step reads a temporary object that a statement before it in its segment has created."""
    objects = SessionObjects()
    for statement in _statements_before(segment, step):
        objects.apply(statement)
    names = {one.name for one in objects.created if one.is_temporary}
    return any(
        relation.relname in names and relation.schemaname in ("", "pg_temp")
        for statement in step.statements
        for relation in find_nodes(parse_sql(statement.text), pb.RangeVar)
    )


def _statements(segment: Segment) -> Iterator[Statement]:
    return (statement for step in segment.steps if not step.skip_reason for statement in step.statements)


def _statements_before(segment: Segment, step: PlannedStep) -> Iterator[Statement]:
    before = takewhile(lambda other: other is not step, segment.steps)
    return (statement for other in before if not other.skip_reason for statement in other.statements)


def _object_problems(segment: Segment) -> Iterator[tuple[int, Diagnostic]]:
    """Yield a problem for each object that a segment's session has at its end, with the position of the step."""
    objects = SessionObjects()
    for number, step in enumerate(segment.steps):
        if step.hook is not None:
            objects.apply_hook()
        for statement in () if step.skip_reason else step.statements:
            objects.apply(statement, number)
    for one, (number, statement) in objects.created.items():
        message = f"{one.description} ends with the session of this segment, before later steps run"
        yield number, _problem(segment.steps[number], statement, message, f"{one.hint}; {NEW_SESSION}")


def _sequence_problems(segment: Segment) -> Iterator[tuple[int, Diagnostic]]:
    """Yield a problem for the first currval or lastval that no statement in the segment can precede with nextval."""
    for number, step in enumerate(segment.steps):
        if step.hook is not None:
            return
        for statement in () if step.skip_reason else step.statements:
            if reads_sequence_state(statement):
                message = "currval and lastval fail here: no sequence has been used in the session of this segment"
                hint = "call nextval in this segment, or store the value in a table"
                yield number, _problem(step, statement, message, hint)
                return
            if may_use_sequences(statement):
                return


def _setting_problems(segment: Segment) -> Iterator[tuple[int, Diagnostic]]:
    for number, step in enumerate(segment.steps):
        for statement in () if step.skip_reason else step.statements:
            if changes_settings_unrepeatably(statement):
                message = "this statement makes a setting that the session of the next segment cannot repeat"
                hint = "use SET, SELECT set_config(...) with constants only, or SET LOCAL"
                yield number, _problem(step, statement, message, f"{hint}; {NEW_SESSION}")


def _backfill_problems(step: PlannedStep, settings: SessionSettings) -> Iterator[tuple[int, Diagnostic]]:
    if role := settings.role_statement:
        message = "a backfill runs as the role that connects, but an earlier segment set another role"
        hint = "reset the role before the backfill: RESET ROLE or RESET SESSION AUTHORIZATION"
        yield 0, step.rendered.diagnostic(0, LOST_SESSION_STATE, f"{message}: {role.strip(' ;')}", hint=hint)
    values = settings.values
    for name, allowed in _BACKFILL_VALUES.items():
        value = values.get(name)
        if value is not None and value.lower() not in allowed:
            message = f"a backfill does not run with {name} = {value}, which an earlier segment set"
            hint = f"reset it before the backfill: RESET {name}"
            yield 0, step.rendered.diagnostic(0, LOST_SESSION_STATE, message, hint=hint)


def _problem(step: PlannedStep, statement: Statement, message: str, hint: str) -> Diagnostic:
    return step.rendered.diagnostic(statement.offset, LOST_SESSION_STATE, message, hint=hint)
