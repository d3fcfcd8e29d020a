"""The parts of a batched statement: its query, batch condition, tables, and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confiture.models.plan import BATCH
from confiture.sql.parse_tree import ParsedStatement, pb, strings

_MARK = BATCH.strip('"')


def insert_query(statement: ParsedStatement) -> Any | None:
    """Return the SELECT of an INSERT; None if the INSERT has no query, or if the query is VALUES or a set operation."""
    if statement.kind != "insert_stmt" or not statement.node.HasField("select_stmt"):
        return None
    query = statement.node.select_stmt.select_stmt
    return query if query.op == pb.SETOP_NONE and not query.values_lists else None


def is_batch_condition(column: Any) -> bool:
    """Whether a ColumnRef is the batch condition."""
    return len(column.fields) == 1 and column.fields[0].string.sval == _MARK


def alias_in_query(table: Any) -> str:
    """Return a table's alias in a statement, or its name if it has no alias."""
    return str(table.alias.aliasname or table.relname)


def driving_column(node: Any, outputs: Sequence[Any], alias: str) -> str | None:
    """Return the driving table's column that an expression refers to, either directly or by its position or name in the
    output.
    """
    kind = node.WhichOneof("node")
    if kind == "a_const" and node.a_const.HasField("ival"):
        position = node.a_const.ival.ival
        return driving_column(outputs[position - 1].val, (), alias) if 0 < position <= len(outputs) else None
    if kind != "column_ref" or any(field.WhichOneof("node") != "string" for field in node.column_ref.fields):
        return None
    parts = strings(node.column_ref.fields)
    if len(parts) == 1:
        output_by_name = next((output for output in outputs if output.name == parts[0]), None)
        return driving_column(output_by_name.val, (), alias) if output_by_name is not None else str(parts[0])
    return str(parts[-1]) if parts[-2] == alias else None
