"""Statements that achieve the effect of an ALTER TABLE without holding long locks."""

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

LATER = "-- in a separate migration, because the locks acquired above are held until this migration ends:"
_LABELS = {
    pb.CONSTR_CHECK: "check",
    pb.CONSTR_FOREIGN: "fkey",
    pb.CONSTR_NOTNULL: "not_null",
    pb.CONSTR_UNIQUE: "key",
    pb.CONSTR_EXCLUSION: "excl",
    pb.CONSTR_PRIMARY: "pkey",
}
NOT_NULL_WITHOUT_CHECK = 18
"""The first version with NOT NULL ... NOT VALID."""


def join_lines(*statements: str) -> str:
    """Join statements and comments into text to paste."""
    return "\n".join(one if one.startswith("--") or one.endswith(";") else f"{one};" for one in statements)


def make_range_var(name: QualifiedName) -> Any:
    """Return the parse node for a table name."""
    return pb.RangeVar(
        schemaname="" if name.schema == PUBLIC else name.schema, relname=name.name, inh=True, relpersistence="p"
    )


def alter_table_sql(relation: Any, *commands: Any, like: Any = None) -> str:
    """Return an ALTER TABLE with these commands. IF EXISTS is copied from the statement `like`."""
    return format_statement("alter_table_stmt", _alter_table_node(relation, commands, like))


def _alter_table_node(relation: Any, commands: Iterable[Any], like: Any) -> Any:
    node = pb.AlterTableStmt(relation=relation, objtype=pb.OBJECT_TABLE)
    if like is not None:
        node.missing_ok = like.missing_ok
    node.cmds.extend(pb.Node(alter_table_cmd=command) for command in commands)
    return node


def make_command(subtype: Any, name: str = "", definition: Any = None) -> Any:
    """Return an ALTER TABLE command; `definition` is the node to add."""
    command = pb.AlterTableCmd(subtype=subtype, name=name, behavior=pb.DROP_RESTRICT)
    if definition is not None:
        getattr(command, "def").CopyFrom(pb.Node(**definition))
    return command


def validate_constraint_sql(relation: Any, name: str) -> str:
    """Return ALTER TABLE ... VALIDATE CONSTRAINT."""
    return alter_table_sql(relation, make_command(pb.AT_ValidateConstraint, name))


def new_constraint_name(context: StatementContext, added: AddedConstraint) -> str:
    """Return the name of a constraint to be added: the explicit name, or the one that PostgreSQL chooses."""
    return constraint_name_for(context, added, context.table(context.node.relation))


def constraint_name_for(
    context: StatementContext, added: AddedConstraint, table: Table | None, others: Set[str] = frozenset()
) -> str:
    """Return the name of an added constraint, given the names already used in `table`, if any, and in `others`."""
    own = str(added.constraint.conname)
    columns = _name_columns(added)
    remaining = _drop_dropped_constraints(context.node, table) if table else None
    return own or default_constraint_name(context.node.relation.relname, added.kind, columns, remaining, others)


def _drop_dropped_constraints(node: Any, table: Table) -> Table:
    """Return a table without the constraints and indexes that an ALTER TABLE drops, because PostgreSQL drops them
    first.
    """
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
    """Return the names of the constraints that one statement adds, by location."""
    names: dict[SourceLocation, str] = {}
    table = context.table(context.node.relation)
    for addition in added_constraints:
        names[addition.location] = constraint_name_for(context, addition, table, frozenset(names.values()))
    return names


def default_constraint_name(
    table: str, kind: Any, columns: Sequence[str], existing: Table | None, others: Set[str] = frozenset()
) -> str:
    """Return the name that PostgreSQL chooses, given the names already used in the table, if it exists, and in
    `others`.
    """

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
    """Return the statement with each CHECK and foreign key NOT VALID, and the statements that validate them later.

    Constraints on a new column become separate commands, because only separate commands can be NOT VALID.
    """
    deferred = [one for one in added_constraints(context) if _can_wait(context, one)]
    names = constraint_names_by_location(context, deferred)
    commands = []
    for number, original in enumerate(alter_commands(context.node)):
        here = [one for one in deferred if one.command_number == number]
        if not here or here[0].column is not None:
            commands.append(strip_constraints(original, [one.constraint for one in here]))
        commands += [_as_not_valid(one, names[one.location]) for one in here]
    return join_lines(
        *cheap_commands(context, commands),
        LATER,
        *(validate_constraint_sql(context.node.relation, names[one.location]) for one in deferred),
    )


def remaining_commands(context: StatementContext, handled: Iterable[AddedConstraint | int]) -> tuple[str, ...]:
    """Return the statement without the commands (numbered from 0) and constraints that a remedy handles.

    Expensive commands are treated as in `cheap_commands`.
    """
    numbers = {one for one in handled if isinstance(one, int)}
    commands = []
    for number, original in enumerate(alter_commands(context.node)):
        here = [one for one in handled if isinstance(one, AddedConstraint) and one.command_number == number]
        if number not in numbers and (not here or here[0].column is not None):
            commands.append(strip_constraints(original, [one.constraint for one in here]))
    return cheap_commands(context, commands)


def cheap_commands(
    context: StatementContext, commands: Iterable[Any], handled: Collection[str] = ()
) -> tuple[str, ...]:
    """Return the statement with only the commands that neither scan nor rewrite the table.

    Every other command becomes a comment that points to a separate finding, which must also be resolved. New columns
    named in `handled` are always added, without the constraints that would scan the table.
    """
    cheap, notes = [], []
    for one in commands:
        node = _alter_table_node(context.node.relation, [one], context.node)
        is_heavy = _is_heavy(context, node)
        if is_heavy:
            notes.append(f"-- in addition, see the separate finding for: {format_statement('alter_table_stmt', node)}")
        column = get_definition(one).column_def
        if one.subtype == pb.AT_AddColumn and column.colname in handled:
            proven = [item.constraint for item in column.constraints if item.constraint.contype in _LABELS]
            cheap.append(strip_constraints(one, proven) if is_heavy else one)
        elif not is_heavy:
            cheap.append(one)
    return (*notes, *([alter_table_sql(context.node.relation, *cheap, like=context.node)] if cheap else ()))


def _is_heavy(context: StatementContext, node: Any) -> bool:
    effects = find_effects(replace(context.statement, node=node), context.catalog, context.version)
    return bool(effects.scans or effects.rewrites)


def _can_wait(context: StatementContext, added: AddedConstraint) -> bool:
    is_refused = added.kind == pb.CONSTR_FOREIGN and rejects_not_valid_fk(context)
    return is_validated_immediately(added) and not is_refused


def strip_constraints(original: Any, constraints: Iterable[Any]) -> Any:
    """Return an ADD COLUMN command without the given constraints."""
    removed = list(constraints)
    if not removed:
        return original
    changed = pb.AlterTableCmd()
    changed.CopyFrom(original)
    column = get_definition(changed).column_def
    remaining = [item for item in get_definition(original).column_def.constraints if item.constraint not in removed]
    del column.constraints[:]
    column.constraints.extend(remaining)
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
    """Return statements, separated by LATER, that make a column NOT NULL without a scan under a strong lock."""
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
    """Return ALTER TABLE ... ALTER COLUMN ... SET NOT NULL."""
    return alter_table_sql(relation, make_command(pb.AT_SetNotNull, column))


def _not_null_test(name: str, column: str) -> Any:
    reference = pb.Node(column_ref=pb.ColumnRef(fields=[pb.Node(string=pb.String(sval=column))]))
    test = pb.NullTest(arg=reference, nulltesttype=pb.IS_NOT_NULL)
    return pb.Constraint(
        contype=pb.CONSTR_CHECK, conname=name, raw_expr=pb.Node(null_test=test), skip_validation=True, is_enforced=True
    )


def key_from_index(relation: Any, constraint: Any, columns: Sequence[str], name: str) -> tuple[str, str]:
    """Return the statements that build a unique index CONCURRENTLY and turn it into a key."""
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
    """Return ALTER INDEX ... ATTACH PARTITION."""
    attached = pb.PartitionCmd(name=make_range_var(part))
    node = pb.AlterTableStmt(relation=make_range_var(parent), objtype=pb.OBJECT_INDEX)
    node.cmds.append(
        pb.Node(alter_table_cmd=make_command(pb.AT_AttachPartition, definition={"partition_cmd": attached}))
    )
    return format_statement("alter_table_stmt", node)


def qualify_with_table_schema(context: StatementContext, name: str) -> QualifiedName:
    """Qualify the name of an index or constraint with the schema of the statement's table."""
    return QualifiedName(resolve_relation_name(context, context.node.relation).schema, name)
