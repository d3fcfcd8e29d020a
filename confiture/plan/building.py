"""Turns migrations into plans: each step rendered, parsed, and put into the segment it commits with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

from confiture.errors import Problems
from confiture.models.migration import UP_PHASES, HookStep, MigrationFile, Phase
from confiture.models.plan import (
    Direction,
    Isolation,
    Plan,
    PlannedHook,
    PlannedMigration,
    PlannedStep,
    Segment,
    Statement,
)
from confiture.models.settings import Settings
from confiture.plan.checksums import checksums_of
from confiture.plan.hooks import Hooks, phase_problem
from confiture.plan.rendering import RenderContext
from confiture.plan.steps import StepPlanner
from confiture.plan.variables import merge_variables
from confiture.sql.grammar import parse_sql
from confiture.sql.parsing import without_concurrently
from confiture.sql.tree import Parse
from confiture.text import Suggestions

_PLAIN = "ran without CONCURRENTLY, as a dry run must; the real one takes SHARE UPDATE EXCLUSIVE on tables"


class Planner:
    """Plans migrations for the environment of some settings. What is wrong goes to `problems`.

    `overrides` are variables that win over the migrations' own, as these do over those of the settings. `parse` gives
    the trees of texts.
    """

    def __init__(
        self, settings: Settings, overrides: Mapping[str, Any], problems: Problems, parse: Parse = parse_sql
    ) -> None:
        self._settings = settings
        self._overrides = overrides
        self._problems = problems
        self._parse_text = parse
        self._suggestions = Suggestions()
        self._hooks = Hooks(settings.hooks, settings.root, problems)

    def plan(self, migration: MigrationFile, direction: Direction) -> PlannedMigration:
        """The migration's plan. Steps with mistakes have no statements; the caller raises the problems."""
        variables = merge_variables(self._settings, migration.variables, self._overrides)
        context = RenderContext(
            environment=self._settings.environment,
            version=migration.version,
            name=migration.name,
            variables=variables.values,
            unset=variables.unset,
            private=variables.private,
            suggestions=self._suggestions,
        )
        going_up = direction is Direction.UP
        phases = UP_PHASES if going_up else (Phase.DOWN,)
        planned = _Planned(migration=migration, direction=direction, context=context)
        steps = [step for phase in phases for step in self._steps(planned, phase)]
        return PlannedMigration(
            migration=migration,
            direction=direction,
            segments=cut_into_segments(steps),
            on_error=cut_into_segments(self._steps(planned, Phase.ON_ERROR)) if going_up else (),
            checksums=cache(partial(checksums_of, migration)),
        )

    def _steps(self, planned: _Planned, phase: Phase) -> Iterable[PlannedStep]:
        planner = StepPlanner(planned.context, self._problems, self._settings.tenancy.column, self._parse_text)
        steps = (*planned.migration.steps(phase), *self._hooks.added(planned.migration, phase))
        for number, step in enumerate(steps, start=1):
            found = planner.plan(step, phase, number)
            yield self._with_hook(step, found, planned) if isinstance(step, HookStep) else found

    def _with_hook(self, step: HookStep, found: PlannedStep, planned: _Planned) -> PlannedStep:
        registration = self._hooks.resolved(step, planned.migration)
        if registration is None:
            return found
        problem = phase_problem(step, registration, found.phase)
        if problem:
            hint = "move the step, or change the hook's `phase`; a hook without one runs wherever a step names it"
            self._problems.add(step.reference.file.diagnostic(step.span, "hook-phase", problem, hint=hint))
        hook = PlannedHook(
            name=registration.name,
            hook=registration.hook,
            is_batched=registration.is_batched,
            migration=planned.migration,
            direction=planned.direction,
            environment=planned.context.environment,
            variables=planned.context.variables,
        )
        if found.skipped:
            return found
        # it may ask for any of them
        return replace(found, hook=hook, missing=(*found.missing, *planned.context.unset.values()))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Planned:
    """What is planned, and what its templates see."""

    migration: MigrationFile
    direction: Direction
    context: RenderContext


def cut_into_segments(steps: Iterable[PlannedStep]) -> tuple[Segment, ...]:
    """Steps grouped by what commits together: all that can share a transaction does, in order.

    A statement that cannot run in a transaction is a segment of its own; a step that has one is cut around it.
    """
    groups: list[tuple[Isolation, list[PlannedStep]]] = []
    for step in steps:
        for piece in _cut(step):
            isolation = piece.isolation
            if groups and groups[-1][0] is isolation is Isolation.TRANSACTIONAL:
                groups[-1][1].append(piece)
            else:
                groups.append((isolation, [piece]))
    return tuple(
        Segment(number=number, steps=tuple(group), isolation=isolation)
        for number, (isolation, group) in enumerate(groups, start=1)
    )


def _cut(step: PlannedStep) -> list[PlannedStep]:
    runs: list[list[Statement]] = []
    for statement in step.statements:
        together = runs and runs[-1][-1].isolation is statement.isolation is Isolation.TRANSACTIONAL
        if together:
            runs[-1].append(statement)
        else:
            runs.append([statement])
    if len(runs) < 2:
        return [step]
    return [replace(step, statements=tuple(run), part=part, parts=len(runs)) for part, run in enumerate(runs, start=1)]


def transactional_form(plan: Plan) -> Plan:
    """The same plan with every statement in a form that can run in a transaction; steps without one are skipped."""
    return replace(plan, migrations=tuple(_together(migration) for migration in plan.migrations))


def _together(migration: PlannedMigration) -> PlannedMigration:
    steps = [_transactional(step) for segment in migration.segments for step in segment.steps]
    return replace(migration, segments=cut_into_segments(steps))


def _transactional(step: PlannedStep) -> PlannedStep:
    outside = [statement for statement in step.statements if statement.isolation is Isolation.OUTSIDE]
    if not outside:
        return step
    (statement,) = outside
    if not statement.concurrently:
        return replace(step, statements=(), skipped="cannot run in a transaction, so not in a dry run either")
    plain = replace(
        statement,
        text=without_concurrently(statement.text),
        isolation=Isolation.TRANSACTIONAL,
        concurrently=False,
        instead_of=statement.text,
    )
    return replace(
        step,
        statements=(plain,),
        note=_PLAIN,
    )
