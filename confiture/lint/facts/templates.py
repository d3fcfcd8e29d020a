"""The templates from which statements are rendered."""

from __future__ import annotations

from confiture.lint.engine.context import StatementContext
from confiture.models.source import LocatedSource, RenderedSql, SourceLocation
from confiture.sql.parse_tree import pb

ALL_STATEMENTS = frozenset(field.name for field in pb.Node.DESCRIPTOR.fields if field.name.endswith("_stmt"))
"""All statement kinds."""


def step_condition(context: StatementContext) -> LocatedSource | None:
    """The `when` condition of the step, for its first statement only; None for later statements or if there is no
    condition.
    """
    if context.migration is None or not _is_first_of_step(context):
        return None
    steps = context.migration.migration.steps(context.step.phase)
    # the steps of project hooks come after the file's own steps
    return steps[context.step.number - 1].when if context.step.number <= len(steps) else None


def unrendered_template(context: StatementContext) -> LocatedSource | None:
    """The template of the step, for its first statement only; None for later statements or if rendering changed
    nothing.
    """
    rendered = context.statement.rendered
    return rendered.source if _is_first_of_step(context) and rendered.text != rendered.source.text else None


def _is_first_of_step(context: StatementContext) -> bool:
    if context.number == 0:
        return True
    return context.transaction.statement(context.number - 1).rendered is not context.statement.rendered


def template_location(source: LocatedSource, index: int) -> SourceLocation:
    """The location of a character (from 0) in a template."""
    return SourceLocation(rendered=RenderedSql(text=source.text, source=source), offset=index)
