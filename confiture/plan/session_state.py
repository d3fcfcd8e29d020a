"""Session state between a migration's segments: the settings to repeat, and the state that would be lost.

A segment begins in a new session, so that an interrupted migration resumes under the same conditions. Therefore,
session settings from earlier segments are repeated. State that cannot be restored, such as a temporary table, is
reported as a problem at the step that needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from confiture.errors import Diagnostic
from confiture.models.plan import PlannedStep, Segment, Statement, TransactionMode
from confiture.models.records import replace
from confiture.plan.session_objects import ADVISORY_LOCK, SessionObject, object_changes
from confiture.plan.session_settings import SessionSettings, changes_settings_unrepeatably

LOST_SESSION_STATE = "lost-session-state"


def add_session_state(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Return the segments with the settings that each must repeat, and with a problem at each step that lacks state."""
    if len(segments) < 2:
        return tuple(segments)
    settings = SessionSettings()
    lost: set[SessionObject] = set()
    result = []
    for segment in segments:
        objects = _SegmentObjects(lost)
        is_last = segment is segments[-1]
        problems = [
            next(iter([*objects.problems(step), *(() if is_last else _setting_problems(step))]), None)
            for step in segment.steps
        ]
        if segment.transaction_mode is TransactionMode.BATCHED and (role := settings.role_statement):
            problems[0] = _role_problem(segment.steps[0], role)
        steps = tuple(
            replace(step, missing_variables=(*step.missing_variables, problem)) if problem else step
            for step, problem in zip(segment.steps, problems, strict=True)
        )
        result.append(replace(segment, steps=steps, settings=settings.statements))
        for statement in _statements(segment):
            settings.apply(statement)
        lost = objects.lost | objects.created
    return tuple(result)


def _statements(segment: Segment) -> Iterator[Statement]:
    return (statement for step in segment.steps for statement in step.statements)


class _SegmentObjects:
    """The objects of earlier sessions that a segment lacks, and the objects that its own session has."""

    def __init__(self, lost: set[SessionObject]) -> None:
        self.lost = lost
        self.created: set[SessionObject] = set()

    def problems(self, step: PlannedStep) -> list[Diagnostic]:
        """Follow a step, and return a problem for each object that it lacks."""
        problems = []
        for statement in step.statements:
            changes = object_changes(statement)
            problems += [_object_problem(step, statement, one) for one in changes.needed if one in self.lost]
            if ADVISORY_LOCK in self.lost and ADVISORY_LOCK not in changes.created:
                problems.append(_lock_problem(step, statement))
            self.created = changes.remaining(self.created) | set(changes.created)
            self.lost = changes.remaining(self.lost) - self.created
        return problems


def _object_problem(step: PlannedStep, statement: Statement, needed: SessionObject) -> Diagnostic:
    return _problem(
        step,
        statement,
        f"the {needed.noun} {needed.name} no longer exists: it ended with an earlier segment's session",
        "recreate it here, use a permanent table, or reorder the steps; a CONCURRENTLY statement, VACUUM or"
        " a backfill before this step starts a new session",
    )


def _lock_problem(step: PlannedStep, statement: Statement) -> Diagnostic:
    return _problem(
        step,
        statement,
        "the advisory lock from an earlier segment is no longer held here, because the segment's session has ended",
        "acquire the lock again here, or reorder the steps",
    )


def _setting_problems(step: PlannedStep) -> Iterator[Diagnostic]:
    for statement in step.statements:
        if changes_settings_unrepeatably(statement):
            yield _problem(
                step,
                statement,
                "this statement makes a setting for the session that the next segment's session cannot repeat",
                "use SET, SELECT set_config(...) with constants only, or make the setting local to the transaction; a"
                " CONCURRENTLY statement, VACUUM or a backfill after this step starts a new session",
            )


def _role_problem(step: PlannedStep, statement: str) -> Diagnostic:
    shown = statement.strip(" ;")
    return step.rendered.diagnostic(
        0,
        LOST_SESSION_STATE,
        f"a backfill runs as the role that connects, but an earlier segment set another role: {shown}",
        hint="reset the role before the backfill: RESET ROLE or RESET SESSION AUTHORIZATION",
    )


def _problem(step: PlannedStep, statement: Statement, message: str, hint: str) -> Diagnostic:
    return step.rendered.diagnostic(statement.offset, LOST_SESSION_STATE, message, hint=hint)
