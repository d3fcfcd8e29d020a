"""CREATE TABLE ... (LIKE ...)."""

from __future__ import annotations

from typing import Any, NamedTuple

from confiture.models.catalog import Column, Composite, ConstraintKind, Name, Table, View
from confiture.models.values import replace
from confiture.sql.catalog.columns import make_sequence
from confiture.sql.catalog.defaults import note_sequence
from confiture.sql.catalog.inheritance import clone_index
from confiture.sql.catalog.queries import relation_columns
from confiture.sql.catalog.resolving import type_names
from confiture.sql.catalog.work import TableDraft, Work

_COMMENTS, _CONSTRAINTS, _DEFAULTS, _GENERATED, _IDENTITY, _INDEXES = 1, 4, 8, 16, 32, 64


class Like(NamedTuple):
    """A table to copy, and what of it, as bits."""

    source: Table
    options: int


def copy_columns(work: Work, draft: TableDraft, node: Any) -> list[Like]:
    """Copies the columns of the source; returns what is to be copied once all columns are there."""
    source = work.relation(node.relation)
    if source is None:
        attributes = work.types.get(Name(node.relation.schemaname or work.creation_schema, node.relation.relname))
        if isinstance(attributes, Composite):
            for name, kind in attributes.attributes:
                _copy(work, draft, Column(name=name, type=kind), 0)
        else:
            work.missing_relation(node.relation)
            work.partial.add(draft.name)
        return []
    if source.name in work.partial or (isinstance(source, View) and not source.columns):
        work.partial.add(draft.name)
    if isinstance(source, View):
        for output in relation_columns(work, source) or ():
            _copy(work, draft, Column(name=output.name, type=output.type), 0)
    if not isinstance(source, Table):
        return []
    for column in source.columns:
        _copy(work, draft, column, node.options)
        work.depend(draft.name, [one for one in type_names(column.type) if one in work.types])
    return [Like(source, node.options)]


def _copy(work: Work, draft: TableDraft, column: Column, options: int) -> None:
    if column.name in draft.columns:
        work.duplicate("column", f"{draft.name}.{column.name}", draft.columns[column.name].place)
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
    note_sequence(work, draft.name, fresh.default)
    if column.not_null_constraint:
        work.constraint_names[Name(draft.name.schema, column.not_null_constraint)] += 1
    if fresh.identity:
        make_sequence(work, draft, column.name)


def copy_rest(work: Work, draft: TableDraft, like: Like) -> None:
    """Copies constraints and indexes."""
    commented = bool(like.options & _COMMENTS)
    if like.options & _CONSTRAINTS:
        for one in like.source.constraints:
            if one.kind is ConstraintKind.CHECK:
                copied = replace(one, comment=one.comment if commented else None, place=draft.place)
                work.add_constraint(draft, copied)
    if like.options & _INDEXES:
        for index in like.source.indexes:
            clone_index(work, like.source, index, draft, commented=commented)
