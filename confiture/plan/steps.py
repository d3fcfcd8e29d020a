"""Plans one step: rendered, parsed, its kind understood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from confiture.errors import DiagnosticCollector
from confiture.models.migration import (
    AnyStep,
    BackfillStep,
    CheckStep,
    FileStep,
    HookStep,
    Phase,
    ReconcileStep,
    default_step_name,
    step_source,
)
from confiture.models.plan import BATCH, PlannedStep, Statement, TransactionMode
from confiture.models.source import RenderedSql
from confiture.plan.backfills import plan_backfill, plan_reconcile
from confiture.plan.rendering import (
    MISSING_VALUE_CODES,
    RenderContext,
    TemplateProblem,
    evaluate_condition,
    render,
    render_verbatim,
)
from confiture.plan.variables import classify_private_values
from confiture.sql.parse_tree import Parse
from confiture.sql.parser import parse_sql
from confiture.sql.parsing import parse_statements

_QUERIES = ("select_stmt",)
_ADD_HINT = "write one, or remove the step"


class StepPlanner:
    """Plans the steps of one migration. What is wrong goes to `problems`.

    `tenant` is the column that names the tenant. `parse` gives the trees of texts.
    """

    def __init__(
        self, context: RenderContext, problems: DiagnosticCollector, tenant_column: str, parse: Parse = parse_sql
    ) -> None:
        self._context = context
        self._problems = problems
        self._tenant = tenant_column
        self._parse_text = parse

    def plan(self, step: AnyStep, phase: Phase, number: int) -> PlannedStep:
        """The step; one with mistakes has no statements. A hook is not yet found."""
        found = DiagnosticCollector()
        planned = _StepPlanning(self._context, found, self._tenant, self._parse_text).plan_step(step, phase, number)
        missing = tuple(problem for problem in found if problem.code in MISSING_VALUE_CODES)
        self._problems.extend(problem for problem in found if problem.code not in MISSING_VALUE_CODES)
        return replace(planned, missing_variables=missing)


class _StepPlanning:
    """The planning of one step."""

    def __init__(self, context: RenderContext, problems: DiagnosticCollector, tenant: str, parse: Parse) -> None:
        self._context = context
        self._problems = problems
        self._tenant = tenant
        self._parse_text = parse

    def plan_step(self, step: AnyStep, phase: Phase, number: int) -> PlannedStep:
        context = replace(self._context, batch=BATCH) if isinstance(step, BackfillStep) else self._context
        rendered, skipped = self._render_step(step, context)
        statements = () if skipped or rendered is None else self._parse_step(step, rendered)
        rendered = rendered or render_verbatim(step_source(step))
        planned = PlannedStep(
            phase=phase,
            number=number,
            # not what it renders to: that may hold secrets
            name=step.name or default_step_name(step_source(step).text),
            span=step.span,
            rendered=rendered,
            statements=statements,
            expect=step.expect if isinstance(step, CheckStep) else None,
            once=step.once,
            timeout_ms=step.timeout_ms,
            lock_timeout_ms=step.lock_timeout_ms,
            skip_reason="`when` is false" if skipped else None,
        )
        if not statements:
            return planned
        if isinstance(step, BackfillStep):
            return self._plan_backfill(step, planned, context)
        if isinstance(step, ReconcileStep):
            return replace(planned, reconcile=plan_reconcile(step, context, self._tenant, self._problems))
        return planned

    def _plan_backfill(self, step: BackfillStep, planned: PlannedStep, context: RenderContext) -> PlannedStep:
        if planned.phase in (Phase.ON_ERROR, Phase.DOWN):
            message = f"a backfill cannot stand in {planned.phase.value}"
            hint = "write it as `sql:` there"
            self._problems.add(step.sql.file.diagnostic(step.span, "backfill-phase", message, hint=hint))
        backfill = plan_backfill(step, planned.rendered, context, self._problems)
        statements = tuple(
            replace(statement, transaction_mode=TransactionMode.BATCHED) for statement in planned.statements
        )
        return replace(planned, backfill=backfill, statements=statements)

    def _render_step(self, step: AnyStep, context: RenderContext) -> tuple[RenderedSql | None, bool]:
        if self._is_skipped(step, context):
            return None, True
        try:
            if isinstance(step, HookStep) or (isinstance(step, FileStep) and not step.is_template):
                return render_verbatim(step_source(step)), False
            return render(step_source(step), context), False
        except TemplateProblem as problem:
            self._problems.extend(problem.diagnostics)
            return None, False

    def _is_skipped(self, step: AnyStep, context: RenderContext) -> bool:
        try:
            return step.when is not None and not evaluate_condition(step.when, context)
        except TemplateProblem as problem:
            self._problems.extend(problem.diagnostics)
            return False

    def _parse_step(self, step: AnyStep, rendered: RenderedSql) -> tuple[Statement, ...]:
        if isinstance(step, HookStep):
            return ()
        statements, problems = parse_statements(rendered.text, self._parse_text)
        classify_private_values(rendered, self._context.private_values, is_broken=bool(problems) and not statements)
        for problem in problems:
            self._problems.add(rendered.diagnostic(problem.offset, problem.code, problem.message, hint=problem.hint))
        if isinstance(step, CheckStep | ReconcileStep) and not problems:
            noun: Literal["check", "reconcile"] = "reconcile" if isinstance(step, ReconcileStep) else "check"
            check_single_query(statements, rendered, noun, self._problems)
        elif not statements and not problems and rendered.text == step_source(step).text:
            self._problems.add(rendered.diagnostic(0, "no-statement", "there is no SQL statement here", hint=_ADD_HINT))
        return statements


def check_single_query(
    statements: Sequence[Statement],
    rendered: RenderedSql,
    noun: Literal["check", "reconcile"],
    problems: DiagnosticCollector,
) -> None:
    """Adds to `problems` what is wrong with a text that must be one query; `noun` is the kind of its step."""
    code = f"{noun}-not-a-query"
    if len(statements) != 1:
        at = statements[1].offset if statements else 0
        message = f"a {noun} is one query, here are {len(statements)} statements"
        problems.add(rendered.diagnostic(at, code, message, hint=f"write one {noun} for each query"))
    elif statements[0].node_kind not in _QUERIES:
        hint = "write `sql:` for what is `check:` here, or ask for what the statement does"
        if noun == "reconcile":
            hint = "write the SELECT that gives what the table must hold"
        message = f"a {noun} is a query: SELECT, VALUES, TABLE or WITH"
        problems.add(rendered.diagnostic(statements[0].offset, code, message, hint=hint))
