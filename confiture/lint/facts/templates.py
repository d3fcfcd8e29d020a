"""The templates of statements."""

from __future__ import annotations

from confiture.lint.engine.context import StatementContext
from confiture.models.source import LocatedSource, RenderedSql, SourceLocation
from confiture.sql.parse_tree import pb

ALL_STATEMENTS = frozenset(field.name for field in pb.Node.DESCRIPTOR.fields if field.name.endswith("_stmt"))
"""The kinds of all statements."""


def unrendered_template(context: StatementContext) -> LocatedSource | None:
    """The template of the step, for its first statement; None for the others, and if rendering changed nothing."""
    rendered = context.statement.rendered
    is_first = context.number == 0 or context.transaction.statement(context.number - 1).rendered is not rendered
    return rendered.source if is_first and rendered.text != rendered.source.text else None


def template_location(source: LocatedSource, index: int) -> SourceLocation:
    """The location of a character of a template (from 0)."""
    return SourceLocation(rendered=RenderedSql(text=source.text, source=source), offset=index)
