"""Plans the steps `backfill:` and `reconcile:`: names rendered, the statement understood."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.errors import Problems
from confiture.models.migration import BackfillStep, OnWrites, ReconcileStep
from confiture.models.plan import Capture, PlannedBackfill, PlannedReconcile, TableRef
from confiture.models.source import Rendered, SourceText
from confiture.plan.rendering import RenderContext, TemplateProblem, render
from confiture.plan.variables import judge_values
from confiture.sql.batching import read_fill, repeating_problem
from confiture.sql.tree import parsed, table_ref


def planned_backfill(
    step: BackfillStep, rendered: Rendered, context: RenderContext, problems: Problems
) -> PlannedBackfill | None:
    """The plan of a backfill whose statement parses; None where something is wrong, which goes to `problems`."""
    names = _Names(context, problems)
    into, source = names.table(step.into), names.table(step.source)
    key = names.texts(step.key)
    captures = tuple(
        Capture(table=table, columns=names.texts(columns))
        for name, columns in step.captures.items()
        if (table := names.table(SourceText(text=name, file=step.sql.file, line=step.span.line)))
    )
    alias = names.text(step.alias) if step.alias else None
    query = names.text(step.throttle.query) if step.throttle.query else None
    if into is None or source is None or names.failed:
        return None
    statements = parsed(rendered)
    if len(statements) != 1:
        problems.add(
            rendered.diagnostic(
                statements[1].offset if statements else 0,
                "backfill-kind",
                f"a backfill is one statement, here are {len(statements)}",
                hint="put what is to run once into steps of their own, before or after",
            )
        )
        return None
    fill, wrong = read_fill(statements[0], source, alias, into, key)
    for problem in wrong:
        problems.add(rendered.diagnostic(problem.offset, problem.code, problem.message, hint=problem.hint))
    if fill is None:
        return None
    if step.on_writes is OnWrites.CAPTURE and (repeating := repeating_problem(statements[0], source)):
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


def planned_reconcile(
    step: ReconcileStep, context: RenderContext, tenant: str, problems: Problems
) -> PlannedReconcile | None:
    """The plan of a reconcile; None where something is wrong, which goes to `problems`.

    `tenant` is the column by which both sides are compared first, unless the step names another.
    """
    names = _Names(context, problems)
    table, key = names.table(step.table), names.texts(step.key)
    by = names.text(step.by) if step.by else tenant
    if table is None or names.failed:
        return None
    return PlannedReconcile(table=table, key=key, by=by or None, by_default=step.by is None)


class _Names:
    """Renders names. `failed` tells whether one of them could not be."""

    def __init__(self, context: RenderContext, problems: Problems) -> None:
        self._context = context
        self._problems = problems
        self.failed = False

    def text(self, source: SourceText) -> str:
        try:
            rendered = render(source, self._context)
        except TemplateProblem as problem:
            self._problems.extend(problem.diagnostics)
            self.failed = True
            return ""
        judge_values(rendered, self._context.private, is_broken=False)
        return rendered.text.strip()

    def texts(self, sources: Iterable[SourceText]) -> tuple[str, ...]:
        return tuple(self.text(source) for source in sources)

    def table(self, source: SourceText) -> TableRef | None:
        text = self.text(source)
        found = table_ref(text) if text else None
        if text and found is None:
            self._problems.add(
                source.file.diagnostic(
                    source.start, "bad-name", f"{text!r} is no name of a table", hint="write name or schema.name"
                )
            )
        return found
