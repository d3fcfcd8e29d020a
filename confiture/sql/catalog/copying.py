"""CREATE TABLE ... (LIKE ...)."""

from __future__ import annotations

from typing import Any, NamedTuple

from confiture.models.catalog import Column, Composite, ConstraintKind, Name, Table, View
from confiture.models.values import replace
from confiture.sql.catalog.columns import make_sequence
from confiture.sql.catalog.inheritance import clone_index
from confiture.sql.catalog.queries import relation_columns
from confiture.sql.catalog.resolving import type_names
from confiture.sql.catalog.sequences import note_sequence
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.table_builder import TableBuilder

_COMMENTS, _CONSTRAINTS, _DEFAULTS, _GENERATED, _IDENTITY, _INDEXES = 1, 4, 8, 16, 32, 64


class Like(NamedTuple):
    """A table to copy, and what of it, as bits."""

    source: Table
    options: int


def copy_columns(state: CatalogState, draft: TableBuilder, node: Any) -> list[Like]:
    """Copies the columns of the source; returns what is to be copied once all columns are there."""
    source = state.names.relation(node.relation)
    if source is None:
        attributes = state.types.get(
            Name(node.relation.schemaname or state.names.creation_schema, node.relation.relname)
        )
        if isinstance(attributes, Composite):
            for name, kind in attributes.attributes:
                _copy(state, draft, Column(name=name, type=kind), 0)
        else:
            state.names.report_missing(node.relation)
            state.issues.partial.add(draft.name)
        return []
    if source.name in state.issues.partial or (isinstance(source, View) and not source.columns):
        state.issues.partial.add(draft.name)
    if isinstance(source, View):
        for output in relation_columns(state, source) or ():
            _copy(state, draft, Column(name=output.name, type=output.type), 0)
    if not isinstance(source, Table):
        return []
    for column in source.columns:
        _copy(state, draft, column, node.options)
        state.dependencies.add(draft.name, [one for one in type_names(column.type) if one in state.types])
    return [Like(source, node.options)]


def _copy(state: CatalogState, draft: TableBuilder, column: Column, options: int) -> None:
    if column.name in draft.columns:
        state.issues.report_duplicate("column", f"{draft.name}.{column.name}", draft.columns[column.name].place)
        return
    kept = options & (_GENERATED if column.generated else _DEFAULTS)
    fresh = replace(
        column,
        default=column.default if kept else None,
        generated=column.generated if kept else None,
        identity=column.identity if options & _IDENTITY else None,
        comment=column.comment if options & _COMMENTS else None,
        place=draft.place,
    )
    draft.columns[column.name] = fresh
    note_sequence(state, draft.name, fresh.default)
    if column.not_null_constraint:
        state.constraints.reserve(draft.name.schema, column.not_null_constraint)
    if fresh.identity:
        make_sequence(state, draft, column.name)


def copy_rest(state: CatalogState, draft: TableBuilder, like: Like) -> None:
    """Copies constraints and indexes."""
    commented = bool(like.options & _COMMENTS)
    if like.options & _CONSTRAINTS:
        for one in like.source.constraints:
            if one.kind is ConstraintKind.CHECK:
                copied = replace(one, comment=one.comment if commented else None, place=draft.place)
                state.constraints.add(draft, copied)
    if like.options & _INDEXES:
        for index in like.source.indexes:
            clone_index(state, like.source, index, draft, commented=commented)
