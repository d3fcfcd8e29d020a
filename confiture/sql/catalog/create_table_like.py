"""CREATE TABLE ... (LIKE ...)."""

from __future__ import annotations

from typing import Any, NamedTuple

from confiture.models.catalog import CompositeType, ConstraintKind, QualifiedName, Table, TableColumn, View
from confiture.models.records import replace
from confiture.sql.catalog.columns import create_owned_sequence
from confiture.sql.catalog.inheritance import clone_index
from confiture.sql.catalog.queries import relation_columns
from confiture.sql.catalog.sequences import add_sequence_use
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.table_builder import TableBuilder
from confiture.sql.catalog.type_names import find_user_types

_COMMENTS, _CONSTRAINTS, _DEFAULTS, _GENERATED, _IDENTITY, _INDEXES = 1, 4, 8, 16, 32, 64


class LikeClause(NamedTuple):
    """A table to copy, and the LIKE options as a bit mask."""

    source: Table
    options: int


def copy_columns(state: CatalogState, draft: TableBuilder, node: Any) -> list[LikeClause]:
    """Copy the source's columns, and return the parts that must be copied after all columns exist."""
    source = state.names.relation(node.relation)
    if source is None:
        attributes = state.types.get(
            QualifiedName(node.relation.schemaname or state.names.creation_schema, node.relation.relname)
        )
        if isinstance(attributes, CompositeType):
            for name, kind in attributes.attributes:
                _copy_column(state, draft, TableColumn(name=name, type=kind), 0)
        else:
            state.names.report_missing(node.relation)
            state.issues.partial.add(draft.name)
        return []
    if source.name in state.issues.partial or (isinstance(source, View) and not source.columns):
        state.issues.partial.add(draft.name)
    if isinstance(source, View):
        for output in relation_columns(state, source) or ():
            _copy_column(state, draft, TableColumn(name=output.name, type=output.type), 0)
    if not isinstance(source, Table):
        return []
    for column in source.columns:
        _copy_column(state, draft, column, node.options)
        state.dependencies.add(draft.name, [one for one in find_user_types(column.type) if one in state.types])
    return [LikeClause(source, node.options)]


def _copy_column(state: CatalogState, draft: TableBuilder, column: TableColumn, options: int) -> None:
    if column.name in draft.columns:
        state.issues.report_duplicate("column", f"{draft.name}.{column.name}", draft.columns[column.name].location)
        return
    is_copied = options & (_GENERATED if column.generated else _DEFAULTS)
    copy = replace(
        column,
        default=column.default if is_copied else None,
        generated=column.generated if is_copied else None,
        identity=column.identity if options & _IDENTITY else None,
        comment=column.comment if options & _COMMENTS else None,
        location=draft.location,
    )
    draft.columns[column.name] = copy
    add_sequence_use(state, draft.name, copy.default)
    if column.not_null_constraint:
        state.constraints.reserve(draft.name.schema, column.not_null_constraint)
    if copy.identity:
        create_owned_sequence(state, draft, column.name)


def copy_constraints_and_indexes(state: CatalogState, draft: TableBuilder, like_clause: LikeClause) -> None:
    """Copy constraints and indexes according to the LIKE options."""
    has_comments = bool(like_clause.options & _COMMENTS)
    if like_clause.options & _CONSTRAINTS:
        for one in like_clause.source.constraints:
            if one.kind is ConstraintKind.CHECK:
                copied = replace(one, comment=one.comment if has_comments else None, location=draft.location)
                state.constraints.add(draft, copied)
    if like_clause.options & _INDEXES:
        for index in like_clause.source.indexes:
            clone_index(state, like_clause.source, index, draft, has_comment=has_comments)
