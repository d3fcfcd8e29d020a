"""Planning a step: rendering, parsing, and the work specific to the step kind."""

from __future__ import annotations

from dataclasses import replace

from confiture.errors import DiagnosticCollector
from confiture.files.ddl import MISSING_FILE
from confiture.models.migration import Phase, Step, default_step_name
from confiture.models.plan import PlannedStep, Statement, StepAction
from confiture.models.source import RenderedSql
from confiture.plan.folded_comments import FOLDED_COMMENT, find_folded_comments
from confiture.plan.rendering import (
    INVALID_LITERAL,
    MISSING_VALUE_CODES,
    RenderContext,
    TemplateProblem,
    evaluate_condition,
    render,
    render_verbatim,
)
from confiture.plan.step_kinds import find_step_kind
from confiture.plan.step_kinds.step_kind import StepKind, StepPlanContext
from confiture.plan.variables import classify_private_values
from confiture.sql.parse_tree import Parse
from confiture.sql.parser import parse_sql
from confiture.sql.parsing import parse_statements

_PENDING_CODES = frozenset({*MISSING_VALUE_CODES, FOLDED_COMMENT, INVALID_LITERAL, MISSING_FILE})
"""The codes of problems that matter only if the step will run. An applied migration may keep these problems."""
_ADD_HINT = "add a statement, or remove the step"


class StepPlanner:
    """A planner for migration steps. Errors are added to `problems`.

    `tenant_column` is the name of the tenant column. `parse` returns the parse tree of SQL text.
    """

    def __init__(
        self, context: RenderContext, problems: DiagnosticCollector, tenant_column: str, parse: Parse = parse_sql
    ) -> None:
        self._context = context
        self._problems = problems
        self._tenant = tenant_column
        self._parse_text = parse

    def plan(self, step: Step, phase: Phase, number: int) -> PlannedStep:
        """Plan a step. A step with errors has no statements. Hooks are resolved later."""
        problems = DiagnosticCollector()
        planned = _StepPlanning(self._context, problems, self._tenant, self._parse_text).plan_step(step, phase, number)
        if planned.action is not StepAction.HOOK:
            problems.extend(find_folded_comments(step.located_source))
        pending = tuple(problem for problem in problems if problem.code in _PENDING_CODES)
        self._problems.extend(problem for problem in problems if problem.code not in _PENDING_CODES)
        return replace(planned, missing_variables=pending)


class _StepPlanning:
    """A planner for a single step."""

    def __init__(self, context: RenderContext, problems: DiagnosticCollector, tenant: str, parse: Parse) -> None:
        self._context = context
        self._problems = problems
        self._tenant = tenant
        self._parse_text = parse

    def plan_step(self, step: Step, phase: Phase, number: int) -> PlannedStep:
        kind = find_step_kind(step.kind)
        context = kind.render_context(self._context)
        missing = step.named_file.missing if step.named_file is not None else None
        if missing is not None:
            self._problems.add(missing)
        rendered, skipped = (None, False) if missing else self._render_step(step, kind, context)
        statements = () if skipped or rendered is None else self._parse_step(step, kind, rendered)
        rendered = rendered or render_verbatim(step.located_source)
        planned = PlannedStep(
            phase=phase,
            number=number,
            # use the unrendered text, because the rendered text may contain secrets
            name=step.name or default_step_name(step.located_source.text),
            span=step.span,
            kind=step.kind,
            rendered=rendered,
            statements=statements,
            action=kind.action,
            content=kind.content(step),
            once=step.once,
            timeout_ms=step.timeout_ms,
            lock_timeout_ms=step.lock_timeout_ms,
            skip_reason="`when` is false" if skipped else None,
        )
        if not statements:
            return planned
        plan_context = StepPlanContext(render_context=context, tenant_column=self._tenant, problems=self._problems)
        return kind.plan(step, planned, plan_context)

    def _render_step(self, step: Step, kind: StepKind, context: RenderContext) -> tuple[RenderedSql | None, bool]:
        if self._is_skipped(step, context):
            return None, True
        try:
            if not kind.is_template(step):
                return render_verbatim(step.located_source), False
            return render(step.located_source, context), False
        except TemplateProblem as problem:
            self._problems.extend(problem.diagnostics)
            return None, False

    def _is_skipped(self, step: Step, context: RenderContext) -> bool:
        try:
            return step.when is not None and not evaluate_condition(step.when, context)
        except TemplateProblem as problem:
            self._problems.extend(problem.diagnostics)
            return False

    def _parse_step(self, step: Step, kind: StepKind, rendered: RenderedSql) -> tuple[Statement, ...]:
        if kind.action is StepAction.HOOK:
            return ()
        statements, problems = parse_statements(rendered.text, self._parse_text)
        classify_private_values(rendered, self._context.private_values, is_broken=bool(problems) and not statements)
        for problem in problems:
            self._problems.add(rendered.diagnostic(problem.offset, problem.code, problem.message, hint=problem.hint))
        if kind.action.only_reads and not problems:
            kind.check_statements(statements, rendered, self._problems)
        elif not statements and not problems and rendered.text == step.located_source.text:
            self._problems.add(rendered.diagnostic(0, "no-statement", "the step has no SQL statement", hint=_ADD_HINT))
        return statements
