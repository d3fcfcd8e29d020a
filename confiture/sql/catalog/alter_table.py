"""ALTER TABLE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confiture.models.catalog import ConstraintKind, Persistence, QualifiedName, Table, TableColumn, View
from confiture.models.records import replace
from confiture.sql.catalog.columns import add_column, create_owned_sequence, format_default, identity_kind
from confiture.sql.catalog.constraints import ConstraintSpec, add_constraints, choose_not_null_name
from confiture.sql.catalog.drop import cascade_column, cascade_key
from confiture.sql.catalog.indexes import alter_index
from confiture.sql.catalog.inheritance import (
    clone_indexes_and_keys,
    inherit,
    is_descendant,
    propagate_to_children,
    remove_column,
)
from confiture.sql.catalog.sequences import add_sequence_use
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.table_builder import TableBuilder
from confiture.sql.catalog.tables import format_partition_bound
from confiture.sql.catalog.type_names import format_column_type
from confiture.sql.catalog.user_types import alter_composite
from confiture.sql.catalog.views import alter_view
from confiture.sql.parse_tree import get_definition, pb, strings

_Handler = Callable[[CatalogState, TableBuilder, Any], None]


def alter_table(state: CatalogState, node: Any) -> None:
    """Apply ALTER TABLE, INDEX, VIEW, or TYPE, all of which consist of commands."""
    if node.objtype == pb.OBJECT_TYPE:
        alter_composite(state, node)
        return
    relation = state.names.relation(node.relation)
    if relation is None and state.catalog.find_index(node.relation.schemaname or None, node.relation.relname):
        alter_index(state, node)
    elif isinstance(relation, View):
        state.views[relation.name] = alter_view(state, relation, node)
    elif isinstance(relation, Table):
        _apply_commands(state, relation, node)
    elif relation is None and not node.missing_ok:
        state.names.report_missing(node.relation)


def _apply_commands(state: CatalogState, table: Table, node: Any) -> None:
    draft = TableBuilder.from_table(table)
    commands = [item.alter_table_cmd for item in node.cmds]
    if len(commands) > 1:
        commands.sort(key=_command_pass)
    for command in commands:
        handler = _COMMANDS.get(command.subtype)
        if handler:
            handler(state, draft, command)
    state.put_table(draft)
    if node.relation.inh and table.name in state.dependencies.dependents:
        propagate_to_children(state, table, state.tables[table.name])


def _command_pass(command: Any) -> int:
    """Return the pass in which PostgreSQL runs a command of ALTER TABLE."""
    if command.subtype == pb.AT_ColumnDefault and not command.HasField("def"):
        return 0
    if command.subtype == pb.AT_AddConstraint:
        return 5 if get_definition(command).constraint.contype in (pb.CONSTR_PRIMARY, pb.CONSTR_UNIQUE) else 6
    return _PASSES.get(command.subtype, 6)


_PASSES = {
    pb.AT_DropColumn: 0,
    pb.AT_DropConstraint: 0,
    pb.AT_DropNotNull: 0,
    pb.AT_DropExpression: 0,
    pb.AT_DropIdentity: 0,
    pb.AT_AlterColumnType: 1,
    pb.AT_AddColumn: 2,
    pb.AT_SetExpression: 3,
    pb.AT_SetNotNull: 4,
    pb.AT_EnableRowSecurity: 7,
}


def _find_column(state: CatalogState, draft: TableBuilder, command: Any) -> TableColumn | None:
    column = draft.columns.get(command.name)
    if column is None and not command.missing_ok:
        state.issues.report_missing_column(draft.name, command.name)
    return column


def _add_column(state: CatalogState, draft: TableBuilder, command: Any) -> None:
    node = get_definition(command).column_def
    if command.missing_ok and node.colname in draft.columns:
        return
    add_constraints(state, draft, add_column(state, draft, node))


def _drop_column(state: CatalogState, draft: TableBuilder, command: Any) -> None:
    column = _find_column(state, draft, command)
    if column:
        remove_column(state, draft, column.name)
        if command.behavior == pb.DROP_CASCADE:
            cascade_column(state, draft, column.name)


def _add_constraint(state: CatalogState, draft: TableBuilder, command: Any) -> None:
    constraint = get_definition(command).constraint
    add_constraints(state, draft, [ConstraintSpec.from_node(constraint)])


def _drop_constraint(state: CatalogState, draft: TableBuilder, command: Any) -> None:
    constraint = draft.constraints.get(command.name)
    if constraint:
        state.constraints.remove(draft, command.name)
        if command.behavior == pb.DROP_CASCADE and constraint.kind is not ConstraintKind.CHECK:
            cascade_key(state, draft, constraint)
        return
    for column in draft.columns.values():
        if column.not_null_constraint == command.name:
            _remove_not_null(state, draft, column)
            return
    if not command.missing_ok:
        state.issues.report_missing("constraint", f"{command.name} of {draft.name}")


def _validate_constraint(state: CatalogState, draft: TableBuilder, command: Any) -> None:
    constraint = draft.constraints.get(command.name)
    if constraint:
        draft.constraints[command.name] = replace(constraint, validated=True)
        return
    for column in draft.columns.values():
        if column.not_null_constraint == command.name:
            draft.columns[column.name] = replace(column, not_null=True)
            return
    state.issues.report_missing("constraint", f"{command.name} of {draft.name}")


def _alter_constraint(state: CatalogState, draft: TableBuilder, command: Any) -> None:
    node = get_definition(command).atalter_constraint
    constraint = draft.constraints.get(node.conname)
    if constraint is None:
        state.issues.report_missing("constraint", f"{node.conname} of {draft.name}")
        return
    if node.alter_deferrability:
        constraint = replace(constraint, deferrable=node.deferrable)
    if node.alter_enforceability:
        constraint = replace(constraint, validated=node.is_enforced)
    draft.constraints[constraint.name] = constraint


def _set_not_null(state: CatalogState, draft: TableBuilder, command: Any) -> None:
    column = _find_column(state, draft, command)
    if column and not column.not_null:
        name = column.not_null_constraint or choose_not_null_name(state, draft, column.name)
        draft.columns[column.name] = replace(column, not_null=True, not_null_constraint=name)


def _drop_not_null(state: CatalogState, draft: TableBuilder, command: Any) -> None:
    column = _find_column(state, draft, command)
    if column:
        _remove_not_null(state, draft, column)


def _remove_not_null(state: CatalogState, draft: TableBuilder, column: TableColumn) -> None:
    if column.not_null_constraint:
        state.constraints.release(draft.name.schema, column.not_null_constraint)
    draft.columns[column.name] = replace(column, not_null=False, not_null_constraint=None)


def _set_default(state: CatalogState, draft: TableBuilder, command: Any) -> None:
    column = _find_column(state, draft, command)
    if column:
        text = format_default(state, column.type, get_definition(command)) if command.HasField("def") else None
        add_sequence_use(state, draft.name, text)
        draft.columns[column.name] = replace(column, default=text)


def _drop_expression(state: CatalogState, draft: TableBuilder, command: Any) -> None:
    column = _find_column(state, draft, command)
    if column:
        draft.columns[column.name] = replace(column, default=None, generated=None)


def _set_type(state: CatalogState, draft: TableBuilder, command: Any) -> None:
    column = _find_column(state, draft, command)
    if column:
        node = get_definition(command).column_def
        collation = strings(node.coll_clause.collname)[-1] if node.HasField("coll_clause") else None
        kind = format_column_type(state, draft, node.type_name)
        draft.columns[column.name] = replace(column, type=kind, collation=collation)


def _add_identity(state: CatalogState, draft: TableBuilder, command: Any) -> None:
    column = _find_column(state, draft, command)
    if column:
        kind = identity_kind(get_definition(command).constraint)
        draft.columns[column.name] = replace(column, identity=kind)
        create_owned_sequence(state, draft, column.name)


def _set_identity(state: CatalogState, draft: TableBuilder, command: Any) -> None:
    column = _find_column(state, draft, command)
    for item in get_definition(command).list.items:
        if column and item.def_elem.defname == "generated":
            always = chr(item.def_elem.arg.integer.ival) == "a"
            draft.columns[column.name] = replace(column, identity="always" if always else "by default")


def _drop_identity(state: CatalogState, draft: TableBuilder, command: Any) -> None:
    column = _find_column(state, draft, command)
    if column and column.identity:
        draft.columns[column.name] = replace(column, identity=None)
        for sequence in state.sequences.find_owned(draft.name, column.name):
            state.sequences.remove(sequence.name)


def _set_attributes(**values: object) -> _Handler:
    def change(state: CatalogState, draft: TableBuilder, command: Any) -> None:
        for name, value in values.items():
            setattr(draft, name, value)

    return change


def _replica_identity(state: CatalogState, draft: TableBuilder, command: Any) -> None:
    node = get_definition(command).replica_identity_stmt
    kinds = {"d": "default", "f": "full", "n": "nothing", "i": f"index {node.name}"}
    draft.replica_identity = kinds.get(node.identity_type, "default")


def _add_parent(state: CatalogState, draft: TableBuilder, command: Any) -> None:
    parent = state.names.table(get_definition(command).range_var)
    if parent and parent.name not in draft.parents and not is_descendant(state, parent.name, draft.name):
        inherit(state, parent, draft, partition=False)


def _drop_parent(state: CatalogState, draft: TableBuilder, command: Any) -> None:
    parent = state.names.table(get_definition(command).range_var)
    if parent and parent.name in draft.parents:
        draft.parents.remove(parent.name)


def _attach_partition(state: CatalogState, draft: TableBuilder, command: Any) -> None:
    node = get_definition(command).partition_cmd
    child = state.names.table(node.name)
    if child is None or is_descendant(state, draft.name, child.name):
        return
    state.put_table(draft)
    parent = state.tables[draft.name]
    state.require_partitioned(parent)
    part = TableBuilder.from_table(child)
    if parent.name not in part.parents:
        inherit(state, parent, part, partition=True)
    part.partition_bound = format_partition_bound(node.bound)
    clone_indexes_and_keys(state, parent, part)
    state.put_table(part)


def _detach_partition(state: CatalogState, draft: TableBuilder, command: Any) -> None:
    child = state.names.table(get_definition(command).partition_cmd.name)
    if child is None:
        return
    for index in child.indexes:
        state.indexes.parents.pop(QualifiedName(child.name.schema, index.name), None)
    parents = tuple(name for name in child.parents if name != draft.name)
    state.tables[child.name] = replace(child, parents=parents, partition_bound=None)


_COMMANDS: dict[int, _Handler] = {
    pb.AT_AddColumn: _add_column,
    pb.AT_DropColumn: _drop_column,
    pb.AT_AddConstraint: _add_constraint,
    pb.AT_DropConstraint: _drop_constraint,
    pb.AT_ValidateConstraint: _validate_constraint,
    pb.AT_AlterConstraint: _alter_constraint,
    pb.AT_SetNotNull: _set_not_null,
    pb.AT_DropNotNull: _drop_not_null,
    pb.AT_ColumnDefault: _set_default,
    pb.AT_SetExpression: _set_default,
    pb.AT_DropExpression: _drop_expression,
    pb.AT_AlterColumnType: _set_type,
    pb.AT_AddIdentity: _add_identity,
    pb.AT_SetIdentity: _set_identity,
    pb.AT_DropIdentity: _drop_identity,
    pb.AT_EnableRowSecurity: _set_attributes(row_security=True),
    pb.AT_DisableRowSecurity: _set_attributes(row_security=False),
    pb.AT_ForceRowSecurity: _set_attributes(force_row_security=True),
    pb.AT_NoForceRowSecurity: _set_attributes(force_row_security=False),
    pb.AT_SetLogged: _set_attributes(persistence=Persistence.PERMANENT),
    pb.AT_SetUnLogged: _set_attributes(persistence=Persistence.UNLOGGED),
    pb.AT_ReplicaIdentity: _replica_identity,
    pb.AT_AddInherit: _add_parent,
    pb.AT_DropInherit: _drop_parent,
    pb.AT_AttachPartition: _attach_partition,
    pb.AT_DetachPartition: _detach_partition,
}
