"""Writes the statements that do without long locks what an ALTER TABLE does with them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.facts.alter_table import (
    AddedConstraint,
    added_constraints,
    is_validated_immediately,
    rejects_not_valid_fk,
)
from confiture.lint.facts.table_sizes import resolve_relation_name
from confiture.models.catalog import PUBLIC, QualifiedName, Table
from confiture.models.source import SourceLocation
from confiture.sql.catalog.object_names import choose_relation_name, dedupe_column_names, index_name_columns
from confiture.sql.effects import find_effects
from confiture.sql.parse_tree import alter_commands, format_statement, get_definition, pb, strings
from confiture.sql.traversal import column_names

LATER = "-- in a migration of its own, since the locks taken above last until the end of this one:"
_LABELS = {
    pb.CONSTR_CHECK: "check",
    pb.CONSTR_FOREIGN: "fkey",
    pb.CONSTR_NOTNULL: "not_null",
    pb.CONSTR_UNIQUE: "key",
    pb.CONSTR_EXCLUSION: "excl",
    pb.CONSTR_PRIMARY: "pkey",
}
NOT_NULL_WITHOUT_CHECK = 18
"""The first version whose NOT NULL can be NOT VALID."""


def join_lines(*statements: str) -> str:
    """Statements and comments as a text to paste."""
    return "\n".join(one if one.startswith("--") or one.endswith(";") else f"{one};" for one in statements)


def make_range_var(name: QualifiedName) -> Any:
    """The table of that name, as statements name it."""
    return pb.RangeVar(
        schemaname="" if name.schema == PUBLIC else name.schema, relname=name.name, inh=True, relpersistence="p"
    )


def alter_table_sql(relation: Any, *commands: Any, like: Any = None) -> str:
    """An ALTER TABLE of a table with these commands; `like` another statement, IF EXISTS and all."""
    return format_statement("alter_table_stmt", _alter_table_node(relation, commands, like))


def _alter_table_node(relation: Any, commands: Iterable[Any], like: Any) -> Any:
    node = pb.AlterTableStmt(relation=relation, objtype=pb.OBJECT_TABLE)
    if like is not None:
        node.missing_ok = like.missing_ok
    node.cmds.extend(pb.Node(alter_table_cmd=command) for command in commands)
    return node


def make_command(subtype: Any, name: str = "", definition: Any = None) -> Any:
    """A command of an ALTER TABLE; `definition` is what it adds."""
    made = pb.AlterTableCmd(subtype=subtype, name=name, behavior=pb.DROP_RESTRICT)
    if definition is not None:
        getattr(made, "def").CopyFrom(pb.Node(**definition))
    return made


def validate_constraint_sql(relation: Any, name: str) -> str:
    """ALTER TABLE ... VALIDATE CONSTRAINT."""
    return alter_table_sql(relation, make_command(pb.AT_ValidateConstraint, name))


def new_constraint_name(context: StatementContext, added: AddedConstraint) -> str:
    """The name of a constraint that is about to be added: its own, or the one that PostgreSQL gives to it."""
    return constraint_name_for(context, added, context.table(context.node.relation))


def constraint_name_for(
    context: StatementContext, added: AddedConstraint, table: Table | None, others: Set[str] = frozenset()
) -> str:
    """The name of a constraint that is added to a table, beside the names that the table, where `table`, has."""
    own = str(added.constraint.conname)
    columns = _name_columns(added)
    left = _drop_dropped_constraints(context.node, table) if table else None
    return own or default_constraint_name(context.node.relation.relname, added.kind, columns, left, others)


def _drop_dropped_constraints(node: Any, table: Table) -> Table:
    """A table without the constraints and indexes that an ALTER TABLE drops, which PostgreSQL does first."""
    commands = list(alter_commands(node))
    names = {one.name for one in commands if one.subtype == pb.AT_DropConstraint}
    columns = {one.name for one in commands if one.subtype == pb.AT_DropColumn}
    return replace(
        table,
        constraints=tuple(
            one for one in table.constraints if one.name not in names and columns.isdisjoint(one.columns)
        ),
        indexes=tuple(
            one for one in table.indexes if one.name not in names and columns.isdisjoint(one.expression_columns)
        ),
    )


def constraint_names_by_location(
    context: StatementContext, added_constraints: Iterable[AddedConstraint]
) -> Mapping[SourceLocation, str]:
    """The names of constraints that one statement adds, by their places."""
    names: dict[SourceLocation, str] = {}
    table = context.table(context.node.relation)
    for addition in added_constraints:
        names[addition.location] = constraint_name_for(context, addition, table, frozenset(names.values()))
    return names


def default_constraint_name(
    table: str, kind: Any, columns: Sequence[str], existing: Table | None, others: Set[str] = frozenset()
) -> str:
    """The name that PostgreSQL gives to a constraint of a table, where `existing`, beside `others`."""

    def is_taken(name: str) -> bool:
        if existing and (existing.constraint(name) or any(index.name == name for index in existing.indexes)):
            return True
        return name in others

    if kind == pb.CONSTR_PRIMARY:
        return choose_relation_name(table, None, _LABELS[kind], is_taken)
    return choose_relation_name(
        table, index_name_columns(dedupe_column_names(columns)) or None, _LABELS[kind], is_taken
    )


def _name_columns(added: AddedConstraint) -> Sequence[str]:
    if added.kind == pb.CONSTR_CHECK:
        columns = column_names(added.constraint.raw_expr)
        return columns if len(columns) == 1 else ()
    return (*added.columns, *strings(added.constraint.including))


def add_not_valid(context: StatementContext) -> str:
    """The statement with each CHECK and foreign key added NOT VALID, and the statements that prove them later.

    Constraints written at a new column become commands of their own: only those can be NOT VALID.
    """
    chosen_ones = [one for one in added_constraints(context) if _can_wait(context, one)]
    names = constraint_names_by_location(context, chosen_ones)
    commands = []
    for number, original in enumerate(alter_commands(context.node)):
        here = [one for one in chosen_ones if one.command_number == number]
        if not here or here[0].column is not None:
            commands.append(strip_constraints(original, [one.constraint for one in here]))
        commands += [_as_not_valid(one, names[one.location]) for one in here]
    return join_lines(
        *cheap_commands(context, commands),
        LATER,
        *(validate_constraint_sql(context.node.relation, names[one.location]) for one in chosen_ones),
    )


def remaining_commands(context: StatementContext, handled: Iterable[AddedConstraint | int]) -> tuple[str, ...]:
    """The statement without the commands (numbers, from 0) and constraints that a remedy sees to: see `quick`."""
    numbers = {one for one in handled if isinstance(one, int)}
    kept = []
    for number, original in enumerate(alter_commands(context.node)):
        here = [one for one in handled if isinstance(one, AddedConstraint) and one.command_number == number]
        if number not in numbers and (not here or here[0].column is not None):
            kept.append(strip_constraints(original, [one.constraint for one in here]))
    return cheap_commands(context, kept)


def cheap_commands(
    context: StatementContext, commands: Iterable[Any], handled: Collection[str] = ()
) -> tuple[str, ...]:
    """The statement with those of the commands that do not go through the table, if any, and a comment for each that
    does: it has a finding of its own, and what that says is to be done, too.

    New columns of names in `handled` are added in any case, without the constraints that would go through the table.
    """
    kept, notes = [], []
    for one in commands:
        node = _alter_table_node(context.node.relation, [one], context.node)
        is_heavy = _is_heavy(context, node)
        if is_heavy:
            notes.append(f"-- apart from this, as the finding on it says: {format_statement('alter_table_stmt', node)}")
        column = get_definition(one).column_def
        if one.subtype == pb.AT_AddColumn and column.colname in handled:
            proven = [item.constraint for item in column.constraints if item.constraint.contype in _LABELS]
            kept.append(strip_constraints(one, proven) if is_heavy else one)
        elif not is_heavy:
            kept.append(one)
    return (*notes, *([alter_table_sql(context.node.relation, *kept, like=context.node)] if kept else ()))


def _is_heavy(context: StatementContext, node: Any) -> bool:
    effects = find_effects(replace(context.statement, node=node), context.catalog, context.version)
    return bool(effects.scans or effects.rewrites)


def _can_wait(context: StatementContext, added: AddedConstraint) -> bool:
    is_refused = added.kind == pb.CONSTR_FOREIGN and rejects_not_valid_fk(context)
    return is_validated_immediately(added) and not is_refused


def strip_constraints(original: Any, constraints: Iterable[Any]) -> Any:
    """A command ADD COLUMN without some of the column's constraints."""
    gone = list(constraints)
    if not gone:
        return original
    changed = pb.AlterTableCmd()
    changed.CopyFrom(original)
    column = get_definition(changed).column_def
    kept = [item for item in get_definition(original).column_def.constraints if item.constraint not in gone]
    del column.constraints[:]
    column.constraints.extend(kept)
    return changed


def _as_not_valid(added: AddedConstraint, name: str) -> Any:
    constraint = pb.Constraint()
    constraint.CopyFrom(added.constraint)
    constraint.conname = name
    constraint.skip_validation = True
    constraint.initially_valid = False
    if added.column is not None and added.kind == pb.CONSTR_FOREIGN:
        constraint.fk_attrs.append(pb.Node(string=pb.String(sval=added.column.colname)))
    return make_command(pb.AT_AddConstraint, definition={"constraint": constraint})


def not_null_statements(context: StatementContext, column: str) -> tuple[str, ...]:
    """The statements that make a column NOT NULL without reading the table under a strong lock, as texts and LATER."""
    relation = context.node.relation
    kind = pb.CONSTR_NOTNULL
    known = context.table(relation)
    name = default_constraint_name(relation.relname, kind, (column,), known)
    is_alone = not relation.inh and known is not None and bool(context.catalog.partitions(known.name))
    if context.version >= NOT_NULL_WITHOUT_CHECK:
        constraint = pb.Constraint(contype=kind, conname=name, skip_validation=True, is_enforced=True)
        constraint.keys.append(pb.Node(string=pb.String(sval=column)))
        constraint.is_no_inherit = is_alone
        added = alter_table_sql(relation, make_command(pb.AT_AddConstraint, definition={"constraint": constraint}))
        return added, LATER, validate_constraint_sql(relation, name)
    check = _not_null_test(name, column)
    check.is_no_inherit = is_alone
    return (
        alter_table_sql(relation, make_command(pb.AT_AddConstraint, definition={"constraint": check})),
        LATER,
        validate_constraint_sql(relation, name),
        set_not_null_sql(relation, column),
        alter_table_sql(relation, make_command(pb.AT_DropConstraint, name)),
    )


def set_not_null_sql(relation: Any, column: str) -> str:
    """ALTER TABLE ... ALTER COLUMN ... SET NOT NULL."""
    return alter_table_sql(relation, make_command(pb.AT_SetNotNull, column))


def _not_null_test(name: str, column: str) -> Any:
    reference = pb.Node(column_ref=pb.ColumnRef(fields=[pb.Node(string=pb.String(sval=column))]))
    test = pb.NullTest(arg=reference, nulltesttype=pb.IS_NOT_NULL)
    return pb.Constraint(
        contype=pb.CONSTR_CHECK, conname=name, raw_expr=pb.Node(null_test=test), skip_validation=True, is_enforced=True
    )


def key_from_index(relation: Any, constraint: Any, columns: Sequence[str], name: str) -> tuple[str, str]:
    """A unique index built CONCURRENTLY, and the key made of it: the statements."""
    index = pb.IndexStmt(
        idxname=name,
        relation=relation,
        unique=True,
        concurrent=True,
        nulls_not_distinct=constraint.nulls_not_distinct,
        table_space=constraint.indexspace,
        options=constraint.options,
    )
    index.relation.inh = True
    index.index_params.extend(map(_index_column, columns))
    index.index_including_params.extend(map(_index_column, strings(constraint.including)))
    key = pb.Constraint(
        contype=constraint.contype,
        conname=name,
        indexname=name,
        deferrable=constraint.deferrable,
        initdeferred=constraint.initdeferred,
        is_enforced=True,
    )
    return (
        format_statement("index_stmt", index),
        alter_table_sql(relation, make_command(pb.AT_AddConstraint, definition={"constraint": key})),
    )


def _index_column(name: str) -> Any:
    element = pb.IndexElem(name=name, ordering=pb.SORTBY_DEFAULT, nulls_ordering=pb.SORTBY_NULLS_DEFAULT)
    return pb.Node(index_elem=element)


def attach_index_sql(parent: QualifiedName, part: QualifiedName) -> str:
    """ALTER INDEX ... ATTACH PARTITION."""
    attached = pb.PartitionCmd(name=make_range_var(part))
    node = pb.AlterTableStmt(relation=make_range_var(parent), objtype=pb.OBJECT_INDEX)
    node.cmds.append(
        pb.Node(alter_table_cmd=make_command(pb.AT_AttachPartition, definition={"partition_cmd": attached}))
    )
    return format_statement("alter_table_stmt", node)


def qualify_with_table_schema(context: StatementContext, name: str) -> QualifiedName:
    """The name of an index or constraint of the table that a statement is about, with the table's schema."""
    return QualifiedName(resolve_relation_name(context, context.node.relation).schema, name)
