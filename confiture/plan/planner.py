"""Planning migrations: rendering and parsing steps, and grouping them into segments that commit together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

from confiture.errors import DiagnosticCollector
from confiture.models.migration import UP_PHASES, HookStep, MigrationFile, Phase
from confiture.models.plan import (
    Direction,
    Plan,
    PlannedHook,
    PlannedMigration,
    PlannedStep,
    Segment,
    Statement,
    TransactionMode,
)
from confiture.models.settings import Settings
from confiture.plan.checksums import compute_checksums
from confiture.plan.hooks import HookResolver, find_phase_problem
from confiture.plan.inputs import collect_inputs
from confiture.plan.rendering import RenderContext
from confiture.plan.session_state import add_session_state
from confiture.plan.steps import StepPlanner
from confiture.plan.variables import merge_variables
from confiture.sql.parse_tree import Parse
from confiture.sql.parser import parse_sql
from confiture.sql.parsing import remove_concurrently
from confiture.text import SuggestionLimit

_PLAIN_NOTE = "ran without CONCURRENTLY in the dry run; the real run acquires SHARE UPDATE EXCLUSIVE on tables"


class Planner:
    """A planner for migrations in the environment that the settings choose. Errors are added to `problems`.

    Variables in `overrides` take precedence over variables in migrations, which take precedence over variables in the
    settings. `parse` returns the parse tree of SQL text.
    """

    def __init__(
        self, settings: Settings, overrides: Mapping[str, Any], problems: DiagnosticCollector, parse: Parse = parse_sql
    ) -> None:
        self._settings = settings
        self._overrides = overrides
        self._problems = problems
        self._parse_text = parse
        self._suggestions = SuggestionLimit()
        self._hooks = HookResolver(settings.hooks, settings.root, problems)

    def plan(self, migration: MigrationFile, direction: Direction) -> PlannedMigration:
        """Return a migration's plan. Steps with errors have no statements; the caller raises the errors."""
        variables = merge_variables(self._settings, migration.variables, self._overrides)
        context = RenderContext(
            environment=self._settings.environment,
            version=migration.version,
            name=migration.name,
            variables=variables.values,
            unset_variables=variables.unset,
            private_values=variables.private,
            private_names=variables.private_names,
            suggestions=self._suggestions,
        )
        going_up = direction is Direction.UP
        phases = UP_PHASES if going_up else (Phase.DOWN,)
        plan_context = _PlanContext(migration=migration, direction=direction, render_context=context)
        steps = [step for phase in phases for step in self._plan_steps(plan_context, phase)]
        inputs = partial(collect_inputs, migration, steps, self._settings, variables, self._overrides)
        return PlannedMigration(
            migration=migration,
            direction=direction,
            segments=split_into_segments(steps),
            on_error=split_into_segments(self._plan_steps(plan_context, Phase.ON_ERROR)) if going_up else (),
            checksums=cache(partial(compute_checksums, migration)),
            inputs=cache(inputs),
        )

    def _plan_steps(self, context: _PlanContext, phase: Phase) -> Iterable[PlannedStep]:
        planner = StepPlanner(context.render_context, self._problems, self._settings.tenancy.column, self._parse_text)
        steps = (*context.migration.steps(phase), *self._hooks.project_hook_steps(context.migration, phase))
        for number, step in enumerate(steps, start=1):
            planned_step = planner.plan(step, phase, number)
            yield self._attach_hook(step, planned_step, context) if isinstance(step, HookStep) else planned_step

    def _attach_hook(self, step: HookStep, planned_step: PlannedStep, context: _PlanContext) -> PlannedStep:
        registration = self._hooks.resolve_hook(step, context.migration)
        if registration is None:
            return planned_step
        problem = find_phase_problem(step, registration, planned_step.phase)
        if problem:
            hint = "move the step, or change the hook's `phase`; a hook without `phase` can run in any step"
            self._problems.add(step.reference.file.diagnostic(step.span, "hook-phase", problem, hint=hint))
        hook = PlannedHook(
            name=registration.name,
            hook=registration.hook,
            is_batched=registration.is_batched,
            migration=context.migration,
            direction=context.direction,
            environment=context.render_context.environment,
            variables=context.render_context.variables,
        )
        if planned_step.skip_reason:
            return planned_step
        # the hook may read any variable, so all variables must be set
        return replace(
            planned_step,
            content=hook,
            missing_variables=(*planned_step.missing_variables, *context.render_context.unset_variables.values()),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _PlanContext:
    """The migration, its direction, and the context for its templates."""

    migration: MigrationFile
    direction: Direction
    render_context: RenderContext


def split_into_segments(steps: Iterable[PlannedStep]) -> tuple[Segment, ...]:
    """Group steps into segments that commit together. Adjacent transactional statements share a segment.

    A statement that cannot run in a transaction is a separate segment. A step that contains such a statement is split
    around it.
    """
    groups: list[tuple[TransactionMode, list[PlannedStep]]] = []
    for step in steps:
        for part in _split_step(step):
            mode = part.transaction_mode
            if groups and groups[-1][0] is mode is TransactionMode.TRANSACTIONAL:
                groups[-1][1].append(part)
            else:
                groups.append((mode, [part]))
    segments = [
        Segment(number=number, steps=tuple(group), transaction_mode=mode)
        for number, (mode, group) in enumerate(groups, start=1)
    ]
    return add_session_state(segments)


def _split_step(step: PlannedStep) -> list[PlannedStep]:
    runs: list[list[Statement]] = []
    for statement in step.statements:
        previous_mode = runs[-1][-1].transaction_mode if runs else None
        if previous_mode is statement.transaction_mode is TransactionMode.TRANSACTIONAL:
            runs[-1].append(statement)
        else:
            runs.append([statement])
    if len(runs) < 2:
        return [step]
    return [replace(step, statements=tuple(run), part=part, parts=len(runs)) for part, run in enumerate(runs, start=1)]


def as_single_transaction(plan: Plan) -> Plan:
    """Return the plan with every statement in a transactional form; steps without such a form are skipped."""
    return replace(plan, migrations=tuple(_merge_segments(migration) for migration in plan.migrations))


def _merge_segments(migration: PlannedMigration) -> PlannedMigration:
    steps = [_make_transactional(step) for segment in migration.segments for step in segment.steps]
    return replace(migration, segments=split_into_segments(steps))


def _make_transactional(step: PlannedStep) -> PlannedStep:
    outside = [statement for statement in step.statements if statement.transaction_mode is TransactionMode.OUTSIDE]
    if not outside:
        return step
    (statement,) = outside
    if not statement.is_concurrent:
        return replace(step, statements=(), skip_reason="cannot run in a transaction or a dry run")
    plain = replace(
        statement,
        text=remove_concurrently(statement.text),
        transaction_mode=TransactionMode.TRANSACTIONAL,
        is_concurrent=False,
        original_sql=statement.text,
    )
    return replace(
        step,
        statements=(plain,),
        note=_PLAIN_NOTE,
    )
