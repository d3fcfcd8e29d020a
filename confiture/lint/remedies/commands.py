"""Writes the statements that do without long locks what an ALTER TABLE does with them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.lint.facts.alter_table import Addition, additions, is_proven_at_once, takes_no_unproven_key
from confiture.lint.facts.table_sizes import name_of
from confiture.models.catalog import PUBLIC, Name, Table
from confiture.models.source import Place
from confiture.sql.catalog.names import chosen, of_columns, told_apart
from confiture.sql.effects import effects_of
from confiture.sql.tree import alter_commands, definition, pb, statement_text, strings
from confiture.sql.walking import column_names

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


def lines(*statements: str) -> str:
    """Statements and comments as a text to paste."""
    return "\n".join(one if one.startswith("--") or one.endswith(";") else f"{one};" for one in statements)


def ranged(name: Name) -> Any:
    """The table of that name, as statements name it."""
    return pb.RangeVar(
        schemaname="" if name.schema == PUBLIC else name.schema, relname=name.name, inh=True, relpersistence="p"
    )


def alter(relation: Any, *commands: Any, like: Any = None) -> str:
    """An ALTER TABLE of a table with these commands; `like` another statement, IF EXISTS and all."""
    return statement_text("alter_table_stmt", _altering(relation, commands, like))


def _altering(relation: Any, commands: Iterable[Any], like: Any) -> Any:
    node = pb.AlterTableStmt(relation=relation, objtype=pb.OBJECT_TABLE)
    if like is not None:
        node.missing_ok = like.missing_ok
    node.cmds.extend(pb.Node(alter_table_cmd=command) for command in commands)
    return node


def command(subtype: Any, name: str = "", definition: Any = None) -> Any:
    """A command of an ALTER TABLE; `definition` is what it adds."""
    made = pb.AlterTableCmd(subtype=subtype, name=name, behavior=pb.DROP_RESTRICT)
    if definition is not None:
        getattr(made, "def").CopyFrom(pb.Node(**definition))
    return made


def validate(relation: Any, name: str) -> str:
    """ALTER TABLE ... VALIDATE CONSTRAINT."""
    return alter(relation, command(pb.AT_ValidateConstraint, name))


def constraint_name(subject: StatementSubject, addition: Addition) -> str:
    """The name of a constraint that is about to be added: its own, or the one that PostgreSQL gives to it."""
    return name_given(subject, addition, subject.table(subject.node.relation))


def name_given(
    subject: StatementSubject, addition: Addition, known: Table | None, others: Set[str] = frozenset()
) -> str:
    """The name of a constraint that is added to a table, beside the names that the table, where `known`, has."""
    own = str(addition.constraint.conname)
    columns = _naming_columns(addition)
    left = _without_dropped(subject.node, known) if known else None
    return own or default_name(subject.node.relation.relname, addition.kind, columns, left, others)


def _without_dropped(node: Any, table: Table) -> Table:
    """A table without the constraints and indexes that an ALTER TABLE drops, which PostgreSQL does first."""
    commands = list(alter_commands(node))
    names = {one.name for one in commands if one.subtype == pb.AT_DropConstraint}
    columns = {one.name for one in commands if one.subtype == pb.AT_DropColumn}
    return replace(
        table,
        constraints=tuple(
            one for one in table.constraints if one.name not in names and columns.isdisjoint(one.columns)
        ),
        indexes=tuple(one for one in table.indexes if one.name not in names and columns.isdisjoint(one.reads)),
    )


def names_given(subject: StatementSubject, wanted: Iterable[Addition]) -> Mapping[Place, str]:
    """The names of constraints that one statement adds, by their places."""
    names: dict[Place, str] = {}
    table = subject.table(subject.node.relation)
    for addition in wanted:
        names[addition.place] = name_given(subject, addition, table, frozenset(names.values()))
    return names


def default_name(
    table: str, kind: Any, columns: Sequence[str], known: Table | None, others: Set[str] = frozenset()
) -> str:
    """The name that PostgreSQL gives to a constraint of a table, where `known`, beside `others`."""

    def taken(name: str) -> bool:
        if known and (known.constraint(name) or any(index.name == name for index in known.indexes)):
            return True
        return name in others

    if kind == pb.CONSTR_PRIMARY:
        return chosen(table, None, _LABELS[kind], taken)
    return chosen(table, of_columns(told_apart(columns)) or None, _LABELS[kind], taken)


def _naming_columns(addition: Addition) -> Sequence[str]:
    if addition.kind == pb.CONSTR_CHECK:
        columns = column_names(addition.constraint.raw_expr)
        return columns if len(columns) == 1 else ()
    return (*addition.columns, *strings(addition.constraint.including))


def unproven(subject: StatementSubject) -> str:
    """The statement with each CHECK and foreign key added NOT VALID, and the statements that prove them later.

    Constraints written at a new column become commands of their own: only those can be NOT VALID.
    """
    chosen_ones = [one for one in additions(subject) if _can_wait(subject, one)]
    names = names_given(subject, chosen_ones)
    commands = []
    for number, original in enumerate(alter_commands(subject.node)):
        here = [one for one in chosen_ones if one.command == number]
        if not here or here[0].column is not None:
            commands.append(without(original, [one.constraint for one in here]))
        commands += [_not_valid(one, names[one.place]) for one in here]
    return lines(
        *quick(subject, commands),
        LATER,
        *(validate(subject.node.relation, names[one.place]) for one in chosen_ones),
    )


def rest(subject: StatementSubject, gone: Iterable[Addition | int]) -> tuple[str, ...]:
    """The statement without the commands (numbers, from 0) and constraints that a remedy sees to: see `quick`."""
    numbers = {one for one in gone if isinstance(one, int)}
    kept = []
    for number, original in enumerate(alter_commands(subject.node)):
        here = [one for one in gone if isinstance(one, Addition) and one.command == number]
        if number not in numbers and (not here or here[0].column is not None):
            kept.append(without(original, [one.constraint for one in here]))
    return quick(subject, kept)


def quick(subject: StatementSubject, commands: Iterable[Any], own: Collection[str] = ()) -> tuple[str, ...]:
    """The statement with those of the commands that do not go through the table, if any, and a comment for each that
    does: it has a finding of its own, and what that says is to be done, too.

    New columns of names in `own` are added in any case, without the constraints that would go through the table.
    """
    kept, notes = [], []
    for one in commands:
        node = _altering(subject.node.relation, [one], subject.node)
        is_heavy = _is_heavy(subject, node)
        if is_heavy:
            notes.append(f"-- apart from this, as the finding on it says: {statement_text('alter_table_stmt', node)}")
        column = definition(one).column_def
        if one.subtype == pb.AT_AddColumn and column.colname in own:
            proven = [item.constraint for item in column.constraints if item.constraint.contype in _LABELS]
            kept.append(without(one, proven) if is_heavy else one)
        elif not is_heavy:
            kept.append(one)
    return (*notes, *([alter(subject.node.relation, *kept, like=subject.node)] if kept else ()))


def _is_heavy(subject: StatementSubject, node: Any) -> bool:
    effects = effects_of(replace(subject.statement, node=node), subject.catalog, subject.version)
    return bool(effects.scans or effects.rewrites)


def _can_wait(subject: StatementSubject, addition: Addition) -> bool:
    is_refused = addition.kind == pb.CONSTR_FOREIGN and takes_no_unproven_key(subject)
    return is_proven_at_once(addition) and not is_refused


def without(original: Any, constraints: Iterable[Any]) -> Any:
    """A command ADD COLUMN without some of the column's constraints."""
    gone = list(constraints)
    if not gone:
        return original
    changed = pb.AlterTableCmd()
    changed.CopyFrom(original)
    column = definition(changed).column_def
    kept = [item for item in definition(original).column_def.constraints if item.constraint not in gone]
    del column.constraints[:]
    column.constraints.extend(kept)
    return changed


def _not_valid(addition: Addition, name: str) -> Any:
    constraint = pb.Constraint()
    constraint.CopyFrom(addition.constraint)
    constraint.conname = name
    constraint.skip_validation = True
    constraint.initially_valid = False
    if addition.column is not None and addition.kind == pb.CONSTR_FOREIGN:
        constraint.fk_attrs.append(pb.Node(string=pb.String(sval=addition.column.colname)))
    return command(pb.AT_AddConstraint, definition={"constraint": constraint})


def not_null(subject: StatementSubject, column: str) -> tuple[str, ...]:
    """The statements that make a column NOT NULL without reading the table under a strong lock, as texts and LATER."""
    relation = subject.node.relation
    kind = pb.CONSTR_NOTNULL
    known = subject.table(relation)
    name = default_name(relation.relname, kind, (column,), known)
    is_alone = not relation.inh and known is not None and bool(subject.catalog.partitions(known.name))
    if subject.version >= NOT_NULL_WITHOUT_CHECK:
        constraint = pb.Constraint(contype=kind, conname=name, skip_validation=True, is_enforced=True)
        constraint.keys.append(pb.Node(string=pb.String(sval=column)))
        constraint.is_no_inherit = is_alone
        added = alter(relation, command(pb.AT_AddConstraint, definition={"constraint": constraint}))
        return added, LATER, validate(relation, name)
    check = _is_not_null(name, column)
    check.is_no_inherit = is_alone
    return (
        alter(relation, command(pb.AT_AddConstraint, definition={"constraint": check})),
        LATER,
        validate(relation, name),
        set_not_null(relation, column),
        alter(relation, command(pb.AT_DropConstraint, name)),
    )


def set_not_null(relation: Any, column: str) -> str:
    """ALTER TABLE ... ALTER COLUMN ... SET NOT NULL."""
    return alter(relation, command(pb.AT_SetNotNull, column))


def _is_not_null(name: str, column: str) -> Any:
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
        statement_text("index_stmt", index),
        alter(relation, command(pb.AT_AddConstraint, definition={"constraint": key})),
    )


def _index_column(name: str) -> Any:
    element = pb.IndexElem(name=name, ordering=pb.SORTBY_DEFAULT, nulls_ordering=pb.SORTBY_NULLS_DEFAULT)
    return pb.Node(index_elem=element)


def attach_index(parent: Name, part: Name) -> str:
    """ALTER INDEX ... ATTACH PARTITION."""
    attached = pb.PartitionCmd(name=ranged(part))
    node = pb.AlterTableStmt(relation=ranged(parent), objtype=pb.OBJECT_INDEX)
    node.cmds.append(pb.Node(alter_table_cmd=command(pb.AT_AttachPartition, definition={"partition_cmd": attached})))
    return statement_text("alter_table_stmt", node)


def full_name(subject: StatementSubject, name: str) -> Name:
    """The name of an index or constraint of the table that a statement is about, with the table's schema."""
    return Name(name_of(subject, subject.node.relation).schema, name)
