"""Planning `backfill:` and `reconcile:` steps: rendering names and analyzing the statement."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.errors import DiagnosticCollector
from confiture.models.migration import BackfillStep, OnConcurrentWrites, ReconcileStep
from confiture.models.plan import CaptureSpec, PlannedBackfill, PlannedReconcile, TableRef
from confiture.models.source import LocatedSource, RenderedSql
from confiture.plan.folded_comments import find_folded_comments
from confiture.plan.rendering import RenderContext, TemplateProblem, render
from confiture.plan.variables import classify_private_values
from confiture.sql.batching import read_batch_statement, replay_problem
from confiture.sql.parse_tree import parse_rendered, parse_table_ref


def plan_backfill(
    step: BackfillStep, rendered: RenderedSql, context: RenderContext, problems: DiagnosticCollector
) -> PlannedBackfill | None:
    """Plan a backfill with a valid statement. Add errors to `problems`; return None if there are any."""
    names = _NameRenderer(context, problems)
    into, source = names.render_table(step.into), names.render_table(step.source)
    key = names.render_names(step.key)
    captures = tuple(
        CaptureSpec(table=table, columns=names.render_names(columns))
        for name, columns in step.captures.items()
        if (table := names.render_table(LocatedSource(text=name, file=step.sql.file, line=step.span.line)))
    )
    alias = names.render_name(step.alias) if step.alias else None
    query = names.render_name(step.throttle.query) if step.throttle.query else None
    problems.extend(find_folded_comments(step.throttle.query) if step.throttle.query else ())
    if into is None or source is None or names.has_failed:
        return None
    statements = parse_rendered(rendered)
    if len(statements) != 1:
        problems.add(
            rendered.diagnostic(
                statements[1].offset if statements else 0,
                "backfill-kind",
                f"a backfill must be a single statement; found {len(statements)}",
                hint="move statements that run once to separate steps before or after the backfill",
            )
        )
        return None
    fill, statement_problems = read_batch_statement(statements[0], source, alias, into, key)
    for problem in statement_problems:
        problems.add(rendered.diagnostic(problem.offset, problem.code, problem.message, hint=problem.hint))
    if fill is None:
        return None
    if step.on_writes is OnConcurrentWrites.CAPTURE and (repeating := replay_problem(statements[0], source)):
        problems.add(rendered.diagnostic(repeating.offset, repeating.code, repeating.message, hint=repeating.hint))
        return None
    return PlannedBackfill(
        into=into,
        source=source,
        alias=fill.alias,
        key=key,
        batch_rows=step.batch_rows,
        batch_time_ms=step.batch_time_ms,
        workers=step.workers,
        on_writes=step.on_writes,
        captures=captures,
        target_columns=fill.target_columns,
        conflict_columns=fill.conflict_columns,
        constants=fill.constants,
        replica_lag_ms=step.throttle.replica_lag_ms,
        wal_bytes_per_s=step.throttle.wal_bytes_per_s,
        long_transaction_ms=step.throttle.long_transaction_ms,
        throttle_query=query,
    )


def plan_reconcile(
    step: ReconcileStep, context: RenderContext, tenant_column: str, problems: DiagnosticCollector
) -> PlannedReconcile | None:
    """Plan a reconcile. Add errors to `problems`; return None if there are any.

    Rows are first grouped and compared by `tenant_column`, unless the step names another column.
    """
    names = _NameRenderer(context, problems)
    table, key = names.render_table(step.table), names.render_names(step.key)
    by = names.render_name(step.by) if step.by else tenant_column
    if table is None or names.has_failed:
        return None
    return PlannedReconcile(table=table, key=key, by=by or None, by_is_inferred=step.by is None)


class _NameRenderer:
    """A renderer for names. `has_failed` is true if a name could not be rendered."""

    def __init__(self, context: RenderContext, problems: DiagnosticCollector) -> None:
        self._context = context
        self._problems = problems
        self.has_failed = False

    def render_name(self, source: LocatedSource) -> str:
        try:
            rendered = render(source, self._context)
        except TemplateProblem as problem:
            self._problems.extend(problem.diagnostics)
            self.has_failed = True
            return ""
        classify_private_values(rendered, self._context.private_values, is_broken=False)
        return rendered.text.strip()

    def render_names(self, sources: Iterable[LocatedSource]) -> tuple[str, ...]:
        return tuple(self.render_name(source) for source in sources)

    def render_table(self, source: LocatedSource) -> TableRef | None:
        text = self.render_name(source)
        table = parse_table_ref(text) if text else None
        if text and table is None:
            self._problems.add(
                source.file.diagnostic(
                    source.start, "bad-name", f"{text!r} is not a table name", hint="write name or schema.name"
                )
            )
        return table
