"""What stands on a column, and is made anew when its type changes."""

from __future__ import annotations

import re

from confiture.models.catalog import ConstraintKind, Index, Table


def index_reads(index: Index, column: str) -> bool:
    """Whether an index has a column, or an expression or a WHERE that reads it."""
    word = re.compile(rf"\b{re.escape(column)}\b")
    texts = (*index.expressions, index.predicate or "")
    return column in index.columns or column in index.included or any(map(word.search, texts))


def read_again_for(table: Table, column: str, *, fits: bool) -> tuple[str, ...]:
    """The names of indexes, checks and foreign keys for which a table is read again when the type of a column changes.

    `fits` says that the rows stay as they are, and so does their order: then indexes of plain columns and foreign keys
    stay as well.
    """
    indexes = (
        index.name
        for index in table.indexes
        if index_reads(index, column) and (not fits or index.predicate or index.expressions)
    )
    constraints = (
        constraint.name
        for constraint in table.constraints
        if column in constraint.columns
        and (
            (constraint.kind is ConstraintKind.CHECK and constraint.validated)
            or (constraint.kind is ConstraintKind.FOREIGN_KEY and not fits)
        )
    )
    return tuple(dict.fromkeys((*indexes, *constraints)))
