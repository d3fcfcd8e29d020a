"""The rows and values that a statement removes or overwrites."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.facts.row_changes import find_row_changes
from confiture.lint.remedies.change_type import find_type_changes
from confiture.models.catalog import Catalog, QualifiedName, Table
from confiture.models.grades import LossFact, LossKind
from confiture.models.plan import BATCH
from confiture.sql.parse_tree import alter_commands, pb, strings
from confiture.sql.traversal import find_nodes
from confiture.sql.type_change_loss import ValueLoss, value_loss

_WIDE_DROPS = {
    pb.OBJECT_SCHEMA: "schema",
    pb.OBJECT_TYPE: "type",
    pb.OBJECT_DOMAIN: "domain",
    pb.OBJECT_EXTENSION: "extension",
}
"""Drops that, with CASCADE, remove columns or tables that the statement does not name."""


def find_losses(context: StatementContext, before: Catalog | None) -> Iterator[LossFact]:
    """Yield the data that a statement loses. `before` is the schema before the first migration of the plan.

    Relations that the plan creates, and columns that it adds, lose nothing that existed before.
    """
    match context.statement.kind:
        case "drop_stmt":
            yield from _find_drops(context)
        case "truncate_stmt":
            for name, table in _locked_tables(context):
                if name not in context.created:
                    yield LossFact(kind=LossKind.ROWS, relation=str(table.name), description=f"truncates {table.name}")
        case "alter_table_stmt":
            yield from _find_column_losses(context)
        case "drop_owned_stmt":
            yield LossFact(kind=LossKind.ROWS, relation="", description="DROP OWNED drops unnamed objects")
        case "insert_stmt" if context.node.HasField("on_conflict_clause"):
            yield from _find_overwritten(context, context.node, context.node.on_conflict_clause.target_list, before)
    for change in find_row_changes(context.statement.kind, context.node):
        yield from _find_changed_rows(context, change.kind, change.node, before)


def _locked_tables(context: StatementContext) -> Iterator[tuple[QualifiedName, Table]]:
    for name in context.effects.locks:
        table = context.catalog.tables.get(name)
        if table is not None and table.persistence != "temporary":
            yield name, table


def _find_drops(context: StatementContext) -> Iterator[LossFact]:
    node = context.node
    cascades = node.behavior == pb.DROP_CASCADE
    if node.remove_type in (pb.OBJECT_TABLE, pb.OBJECT_FOREIGN_TABLE):
        for item in node.objects:
            parts = strings(item.list.items)
            relation = context.catalog.relation(parts[-2] if len(parts) > 1 else None, parts[-1])
            if relation is None or (relation.name not in context.created and not _is_temporary(relation)):
                name = str(relation.name) if relation else ".".join(parts)
                yield LossFact(kind=LossKind.ROWS, relation=name, description=f"drops the table {name}")
    elif node.remove_type == pb.OBJECT_SCHEMA and cascades:
        schemas = {item.string.sval for item in node.objects}
        tables = [name for name in context.catalog.tables if name.schema in schemas and name not in context.created]
        for table in tables:
            yield LossFact(kind=LossKind.ROWS, relation=str(table), description=f"drops the table {table}")
    elif node.remove_type in _WIDE_DROPS and cascades:
        noun = _WIDE_DROPS[node.remove_type]
        description = f"DROP {noun.upper()} ... CASCADE drops columns that it does not name"
        yield LossFact(kind=LossKind.VALUES, relation="", description=description)


def _is_temporary(relation: Any) -> bool:
    return isinstance(relation, Table) and relation.persistence == "temporary"


def _find_column_losses(context: StatementContext) -> Iterator[LossFact]:
    if context.is_new(context.node.relation) or context.node.objtype != pb.OBJECT_TABLE:
        return
    name = context.name(context.node.relation)
    for command in alter_commands(context.node):
        if command.subtype == pb.AT_DropColumn:
            description = f"drops the column {name}.{command.name}"
            yield LossFact(kind=LossKind.VALUES, relation=name, description=description)
    for change in find_type_changes(context):
        loss = value_loss(change.old_type, change.new_type, context.catalog) if change.old_type else None
        if change.using is not None and _changes_values(change.using):
            description = f"converts {name}.{change.column} with an expression"
            yield LossFact(kind=LossKind.VALUES, relation=name, description=description)
        elif loss is ValueLoss.TRUNCATES or (loss is not None and change.using is not None):
            description = f"truncates or rounds {name}.{change.column} to {change.new_type}"
            yield LossFact(kind=LossKind.VALUES, relation=name, description=description)


def _changes_values(node: Any) -> bool:
    """Whether USING does more than cast the column."""
    while node.WhichOneof("node") == "type_cast":
        node = node.type_cast.arg
    return bool(node.WhichOneof("node") != "column_ref")


def _find_changed_rows(context: StatementContext, kind: str, node: Any, before: Catalog | None) -> Iterator[LossFact]:
    if context.is_new(node.relation):
        return
    name = context.name(node.relation)
    if kind == "delete_stmt":
        if node.HasField("where_clause") and not _is_batch_condition(node.where_clause):
            yield LossFact(kind=LossKind.SELECTED_ROWS, relation=name, description=f"deletes rows of {name}")
        else:
            yield LossFact(kind=LossKind.ROWS, relation=name, description=f"deletes all rows of {name}")
    elif kind == "update_stmt":
        yield from _find_overwritten(context, node, node.target_list, before)
    else:
        clauses = [clause.merge_when_clause for clause in node.merge_when_clauses]
        if any(clause.command_type == pb.CMD_DELETE for clause in clauses):
            yield LossFact(kind=LossKind.SELECTED_ROWS, relation=name, description=f"deletes rows of {name}")
        for clause in clauses:
            if clause.command_type == pb.CMD_UPDATE:
                yield from _find_overwritten(context, node, clause.target_list, before)


def _find_overwritten(context: StatementContext, node: Any, targets: Any, before: Catalog | None) -> Iterator[LossFact]:
    """Yield a loss if a statement sets columns that existed before the plan."""
    if context.is_new(node.relation):
        return
    relation = context.relation(node.relation)
    former = before.tables.get(relation.name) if before and relation else None
    columns = [one.res_target.name for one in targets if former is None or former.column(one.res_target.name)]
    if columns:
        name = context.name(node.relation)
        description = f"overwrites {name}.{', '.join(dict.fromkeys(columns))}"
        yield LossFact(kind=LossKind.OVERWRITTEN, relation=name, description=description)


def _is_batch_condition(node: Any) -> bool:
    """Whether a condition is only the condition of a backfill's batches, which select all rows in the end."""
    references = list(find_nodes(node, pb.ColumnRef))
    return len(references) == 1 and strings(references[0].fields) == (BATCH.strip('"'),)
