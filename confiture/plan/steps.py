"""Plans one step: rendered, parsed, its kind understood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from confiture.errors import Problems
from confiture.models.migration import (
    AnyStep,
    BackfillStep,
    CheckStep,
    FileStep,
    HookStep,
    Phase,
    ReconcileStep,
    summary,
    text_of,
)
from confiture.models.plan import BATCH, Isolation, PlannedStep, Statement
from confiture.models.source import Rendered
from confiture.plan.backfills import planned_backfill, planned_reconcile
from confiture.plan.rendering import MISSING, RenderContext, TemplateProblem, holds, render, verbatim
from confiture.plan.variables import judge_values
from confiture.sql.grammar import parse_sql
from confiture.sql.parsing import parse_statements
from confiture.sql.tree import Parse

_QUERIES = ("select_stmt",)
_ADD = "write one, or remove the step"


class StepPlanner:
    """Plans the steps of one migration. What is wrong goes to `problems`.

    `tenant` is the column that names the tenant. `parse` gives the trees of texts.
    """

    def __init__(self, context: RenderContext, problems: Problems, tenant: str, parse: Parse = parse_sql) -> None:
        self._context = context
        self._problems = problems
        self._tenant = tenant
        self._parse_text = parse

    def plan(self, step: AnyStep, phase: Phase, number: int) -> PlannedStep:
        """The step; one with mistakes has no statements. A hook is not yet found."""
        found = Problems()
        planned = _Planning(self._context, found, self._tenant, self._parse_text).plan(step, phase, number)
        missing = tuple(problem for problem in found if problem.code in MISSING)
        self._problems.extend(problem for problem in found if problem.code not in MISSING)
        return replace(planned, missing=missing)


class _Planning:
    """The planning of one step."""

    def __init__(self, context: RenderContext, problems: Problems, tenant: str, parse: Parse) -> None:
        self._context = context
        self._problems = problems
        self._tenant = tenant
        self._parse_text = parse

    def plan(self, step: AnyStep, phase: Phase, number: int) -> PlannedStep:
        context = replace(self._context, batch=BATCH) if isinstance(step, BackfillStep) else self._context
        rendered, skipped = self._render(step, context)
        statements = () if skipped or rendered is None else self._parse(step, rendered)
        rendered = rendered or verbatim(text_of(step))
        planned = PlannedStep(
            phase=phase,
            number=number,
            # not what it renders to: that may hold secrets
            name=step.name or summary(text_of(step).text),
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
            if isinstance(step, HookStep) or (isinstance(step, FileStep) and not step.is_template):
                return verbatim(text_of(step)), False
            return render(text_of(step), context), False
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
        if isinstance(step, HookStep):
            return ()
        statements, problems = parse_statements(rendered.text, self._parse_text)
        judge_values(rendered, self._context.private, is_broken=bool(problems) and not statements)
        for problem in problems:
            self._problems.add(rendered.diagnostic(problem.offset, problem.code, problem.message, hint=problem.hint))
        if isinstance(step, CheckStep | ReconcileStep) and not problems:
            noun: Literal["check", "reconcile"] = "reconcile" if isinstance(step, ReconcileStep) else "check"
            require_one_query(statements, rendered, noun, self._problems)
        elif not statements and not problems and rendered.text == text_of(step).text:
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
