"""Turns migrations into plans: each step rendered, parsed, and put into the segment it commits with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, Literal

import postgast

from confiture.errors import Problems
from confiture.models.migration import (
    UP_PHASES,
    AnyStep,
    BackfillStep,
    CheckStep,
    FileStep,
    Migration,
    Phase,
    ReconcileStep,
    summary,
)
from confiture.models.plan import BATCH, Direction, Isolation, Plan, PlannedMigration, PlannedStep, Segment, Statement
from confiture.models.settings import TenancySettings
from confiture.models.source import Rendered
from confiture.plan.backfills import planned_backfill, planned_reconcile
from confiture.plan.checksums import checksums_of
from confiture.plan.rendering import RenderContext, TemplateProblem, holds, render, verbatim
from confiture.sql.parsing import parse_statements, without_concurrently
from confiture.sql.tree import Parse

_PLAIN = "ran without CONCURRENTLY, as a dry run must; the real one takes SHARE UPDATE EXCLUSIVE on tables"
_QUERIES = ("select_stmt",)
_ADD = "write one, or remove the step"


class Planner:
    """Plans migrations for one environment. What is wrong goes to `problems`.

    `variables` are those of the settings; `overrides` those of the command line, which win over the migration's.
    `tenant` is the column that names the tenant. `parse` gives the trees of texts.
    """

    def __init__(
        self,
        environment: str,
        variables: Mapping[str, Any],
        overrides: Mapping[str, Any],
        problems: Problems,
        tenant: str = TenancySettings().column,
        parse: Parse = postgast.parse,
    ) -> None:
        self._parse_text = parse
        self._tenant = tenant
        self._environment = environment
        self._variables = variables
        self._overrides = overrides
        self._problems = problems

    def plan(self, migration: Migration, direction: Direction) -> PlannedMigration:
        """The migration's plan. Steps with mistakes have no statements; the caller raises the problems."""
        context = RenderContext(
            environment=self._environment,
            version=migration.version,
            name=migration.name,
            variables={**self._variables, **migration.variables, **self._overrides},
        )
        going_up = direction is Direction.UP
        phases = UP_PHASES if going_up else (Phase.DOWN,)
        steps = [step for phase in phases for step in self._steps(migration, phase, context)]
        return PlannedMigration(
            migration=migration,
            direction=direction,
            segments=cut_into_segments(steps),
            on_error=cut_into_segments(self._steps(migration, Phase.ON_ERROR, context)) if going_up else (),
            checksums=cache(partial(checksums_of, migration)),
        )

    def _steps(self, migration: Migration, phase: Phase, context: RenderContext) -> Iterable[PlannedStep]:
        for number, step in enumerate(migration.steps(phase), start=1):
            yield self._step(step, phase, number, context)

    def _step(self, step: AnyStep, phase: Phase, number: int, context: RenderContext) -> PlannedStep:
        if isinstance(step, BackfillStep):
            context = replace(context, batch=BATCH)
        rendered, skipped = self._render(step, context)
        statements = () if skipped or rendered is None else self._parse(step, rendered)
        rendered = rendered or verbatim(step.sql)
        planned = PlannedStep(
            phase=phase,
            number=number,
            name=step.name or summary(rendered.text),
            span=step.span,
            rendered=rendered,
            statements=statements,
            expect=step.expect if isinstance(step, CheckStep) else None,
            once=step.once,
            timeout_ms=step.timeout_ms,
            lock_timeout_ms=step.lock_timeout_ms,
            skipped="`when` is false" if skipped else None,
        )
        if not statements:
            return planned
        if isinstance(step, BackfillStep):
            return self._backfill(step, planned, context)
        if isinstance(step, ReconcileStep):
            return replace(planned, reconcile=planned_reconcile(step, context, self._tenant, self._problems))
        return planned

    def _backfill(self, step: BackfillStep, planned: PlannedStep, context: RenderContext) -> PlannedStep:
        if planned.phase in (Phase.ON_ERROR, Phase.DOWN):
            message = f"a backfill cannot stand in {planned.phase.value}"
            hint = "write it as `sql:` there"
            self._problems.add(step.sql.file.diagnostic(step.span, "backfill-phase", message, hint=hint))
        backfill = planned_backfill(step, planned.rendered, context, self._problems)
        statements = tuple(replace(statement, isolation=Isolation.BATCHED) for statement in planned.statements)
        return replace(planned, backfill=backfill, statements=statements)

    def _render(self, step: AnyStep, context: RenderContext) -> tuple[Rendered | None, bool]:
        if self._is_skipped(step, context):
            return None, True
        try:
            if isinstance(step, FileStep) and not step.is_template:
                return verbatim(step.sql), False
            return render(step.sql, context), False
        except TemplateProblem as problem:
            self._problems.extend(problem.diagnostics)
            return None, False

    def _is_skipped(self, step: AnyStep, context: RenderContext) -> bool:
        try:
            return step.when is not None and not holds(step.when, context)
        except TemplateProblem as problem:
            self._problems.extend(problem.diagnostics)
            return False

    def _parse(self, step: AnyStep, rendered: Rendered) -> tuple[Statement, ...]:
        statements, problems = parse_statements(rendered.text, self._parse_text)
        for problem in problems:
            self._problems.add(rendered.diagnostic(problem.offset, problem.code, problem.message, hint=problem.hint))
        if isinstance(step, CheckStep | ReconcileStep) and not problems:
            noun: Literal["check", "reconcile"] = "reconcile" if isinstance(step, ReconcileStep) else "check"
            require_one_query(statements, rendered, noun, self._problems)
        elif not statements and not problems and rendered.text == step.sql.text:
            self._problems.add(rendered.diagnostic(0, "no-statement", "there is no SQL statement here", hint=_ADD))
        return statements


def require_one_query(
    statements: Sequence[Statement], rendered: Rendered, noun: Literal["check", "reconcile"], problems: Problems
) -> None:
    """Adds to `problems` what is wrong with a text that must be one query; `noun` is the kind of its step."""
    code = f"{noun}-not-a-query"
    if len(statements) != 1:
        at = statements[1].offset if statements else 0
        message = f"a {noun} is one query, here are {len(statements)} statements"
        problems.add(rendered.diagnostic(at, code, message, hint=f"write one {noun} for each query"))
    elif statements[0].node not in _QUERIES:
        hint = "write `sql:` for what is `check:` here, or ask for what the statement does"
        if noun == "reconcile":
            hint = "write the SELECT that gives what the table must hold"
        message = f"a {noun} is a query: SELECT, VALUES, TABLE or WITH"
        problems.add(rendered.diagnostic(statements[0].offset, code, message, hint=hint))


def cut_into_segments(steps: Iterable[PlannedStep]) -> tuple[Segment, ...]:
    """Steps grouped by what commits together: all that can share a transaction does, in order.

    A statement that cannot run in a transaction is a segment of its own; a step that has one is cut around it.
    """
    groups: list[tuple[Isolation, list[PlannedStep]]] = []
    for step in steps:
        for piece in _cut(step):
            isolation = piece.statements[0].isolation if piece.statements else Isolation.TRANSACTIONAL
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
