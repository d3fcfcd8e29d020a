"""A constraint, a NOT NULL or a unique index goes, and nothing takes its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Example, Group, Hit, StatementRule
from confiture.lint.facts.alter_table import Addition, additions, made_not_null
from confiture.lint.facts.table_sizes import name_of
from confiture.models.catalog import Constraint, ConstraintKind, Index, Table
from confiture.models.source import Rendered
from confiture.sql.nullness import not_null_columns
from confiture.sql.proofs import conjuncts
from confiture.sql.tokens import command_places
from confiture.sql.tree import ParsedStatement, alter_commands, definition, names, parsed, pb, strings
from confiture.sql.walking import column_names

_DROP_CONSTRAINT, _DROP_NOT_NULL = "X", "N"
"""What PostgreSQL calls the kinds of ALTER DOMAIN that take something away."""
_KINDS = {
    pb.CONSTR_PRIMARY: ConstraintKind.PRIMARY_KEY,
    pb.CONSTR_UNIQUE: ConstraintKind.UNIQUE,
    pb.CONSTR_FOREIGN: ConstraintKind.FOREIGN_KEY,
    pb.CONSTR_CHECK: ConstraintKind.CHECK,
    pb.CONSTR_EXCLUSION: ConstraintKind.EXCLUSION,
}


def _check(subject: StatementSubject) -> Iterable[Hit]:
    if subject.statement.kind == "alter_domain_stmt":
        yield from _of_domain(subject)
    elif subject.statement.kind == "drop_stmt":
        if subject.node.remove_type == pb.OBJECT_INDEX:
            yield from _of_indexes(subject)
    elif subject.node.objtype == pb.OBJECT_TABLE and not subject.is_new(subject.node.relation):
        yield from _of_table(subject)


def _of_table(subject: StatementSubject) -> Iterator[Hit]:
    for number, command in enumerate(alter_commands(subject.node)):
        lost = None
        if command.subtype == pb.AT_DropNotNull:
            lost = _lost_not_null(subject, command.name)
        elif command.subtype == pb.AT_DropConstraint:
            lost = _lost_constraint(subject, command)
        if lost:
            place = command_places(subject.statement)[number]
            yield Hit(place=place, relation=subject.name(subject.node.relation), message=lost)


def _lost_not_null(subject: StatementSubject, column: str) -> str | None:
    table = subject.table(subject.node.relation)
    found = table.column(column) if table else None
    if found and not found.not_null and not found.not_null_constraint:
        return None
    return f"{column} of {subject.name(subject.node.relation)} may be null from now on"


def _lost_constraint(subject: StatementSubject, command: Any) -> str | None:
    """What is no longer guaranteed, None where the rows are held to the same, or to something new."""
    shown = subject.name(subject.node.relation)
    table = subject.table(subject.node.relation)
    constraint = table.constraint(command.name) if table else None
    if table is None or constraint is None:
        if table and command.missing_ok:
            return None
        column = _column_of(table, command.name)
        if column:
            return _lost_not_null(subject, column)
        if any(one.constraint.conname == command.name for one in _added(subject)):
            return None
        return f"{command.name} no longer holds for {shown}"
    if _stays(subject, table, constraint) or any(_replaces(one, constraint) for one in _added(subject)):
        return None
    if constraint.columns and _dropped_columns(subject) & set(constraint.columns):
        return None
    return f"{_meaning(constraint)} no longer holds for {shown}"


def _column_of(table: Table | None, constraint: str) -> str | None:
    """The column of which a constraint says NOT NULL."""
    columns = table.columns if table else ()
    return next((column.name for column in columns if column.not_null_constraint == constraint), None)


def _meaning(constraint: Constraint) -> str:
    match constraint.kind:
        case ConstraintKind.CHECK:
            return f"{constraint.name} (CHECK {constraint.expression})"
        case ConstraintKind.FOREIGN_KEY:
            return f"{constraint.name} ({', '.join(constraint.columns)} in {constraint.target})"
    return f"{constraint.name} ({constraint.kind} of {', '.join(constraint.columns)})"


def _stays(subject: StatementSubject, table: Table, constraint: Constraint) -> bool:
    """Whether the table goes on to guarantee the same by other means."""
    others = [one for one in table.constraints if one.name != constraint.name]
    match constraint.kind:
        case ConstraintKind.CHECK:
            newer = table.constraints[table.constraints.index(constraint) + 1 :]
            return _is_implied(subject, table, constraint) or any(_is_successor(one, constraint) for one in newer)
        case ConstraintKind.FOREIGN_KEY:
            return any(_is_same_key(one, constraint) for one in others)
        case ConstraintKind.UNIQUE:
            return any(
                _is_unique(one, constraint.columns) for one in table.indexes if one.constraint != constraint.name
            )
    return False


def _is_implied(subject: StatementSubject, table: Table, constraint: Constraint) -> bool:
    """Whether a CHECK says nothing but IS NOT NULL of columns that are NOT NULL: it served to prove that."""
    here = {column for _, column in made_not_null(subject)}
    sure = {column.name for column in table.columns if column.not_null} | here
    parts = list(conjuncts(constraint.expression or ""))
    return bool(parts) and all(sure & not_null_columns(part) >= set(column_names(part)) for part in parts)


def _is_successor(newer: Constraint, constraint: Constraint) -> bool:
    """Whether a newer, valid CHECK is about the same columns: what a rule is changed by while writes go on."""
    return newer.kind is ConstraintKind.CHECK and newer.validated and set(newer.columns) == set(constraint.columns)


def _is_same_key(one: Constraint, other: Constraint) -> bool:
    return one.kind is ConstraintKind.FOREIGN_KEY and (one.columns, one.target) == (other.columns, other.target)


def _is_unique(index: Index, columns: Iterable[str]) -> bool:
    """Whether a unique index sees to it that no two rows share the values of these columns."""
    keys = set(index.columns)
    return index.unique and index.valid and not index.predicate and None not in keys and keys <= set(columns)


def _added(subject: StatementSubject) -> Iterator[Addition]:
    """The constraints that this statement and those behind it in the migration add to the same table."""
    yield from additions(subject)
    table = name_of(subject, subject.node.relation)
    for statement in _behind(subject):
        if statement.kind == "alter_table_stmt" and name_of(subject, statement.node.relation) == table:
            for command in alter_commands(statement.node):
                if command.subtype == pb.AT_AddConstraint:
                    constraint = definition(command).constraint
                    yield Addition(command=0, constraint=constraint, place=statement.at(constraint.location))


def _behind(subject: StatementSubject) -> Iterator[ParsedStatement]:
    """The statements of the migration that run after this one."""
    is_behind = False
    for step in subject.migration.steps:
        wanted = {statement.offset for statement in step.statements}
        for statement in _statements(step.rendered) if wanted else ():
            if is_behind and statement.offset in wanted:
                yield statement
            is_this = step.rendered is subject.statement.rendered and statement.offset == subject.statement.offset
            is_behind = is_behind or is_this


@lru_cache(maxsize=8)
def _statements(rendered: Rendered) -> tuple[ParsedStatement, ...]:
    """The statements of a text; a migration that drops much asks for the same one again and again."""
    return parsed(rendered)


def _dropped_columns(subject: StatementSubject) -> set[str]:
    """The columns that this statement and those behind it in the migration take from the same table."""
    table = name_of(subject, subject.node.relation)
    statements = [subject.statement, *_behind(subject)]
    alters = [one.node for one in statements if one.kind == "alter_table_stmt"]
    own = [one for one in alters if name_of(subject, one.relation) == table]
    return {command.name for one in own for command in alter_commands(one) if command.subtype == pb.AT_DropColumn}


def _replaces(addition: Addition, constraint: Constraint) -> bool:
    if _KINDS.get(addition.kind) is not constraint.kind:
        return False
    if addition.constraint.conname == constraint.name or constraint.kind is ConstraintKind.PRIMARY_KEY:
        return True
    if constraint.kind is ConstraintKind.CHECK:
        return set(column_names(addition.constraint.raw_expr)) == set(constraint.columns)
    return addition.columns == constraint.columns


def _of_indexes(subject: StatementSubject) -> Iterator[Hit]:
    for item in subject.node.objects:
        schema, name = names(item.list.items)
        owner, index = subject.catalog.indexed(schema, name) or (None, None)
        if index is None or not isinstance(owner, Table) or not index.unique or _is_young(subject, owner):
            continue
        columns = [column for column in index.columns if column]
        others = (one for one in owner.indexes if one.name != name)
        if any(_is_unique(one, columns) for one in others) or any(_rebuilds(one, index) for one in _behind(subject)):
            continue
        what = ", ".join([*columns, *index.expressions])
        yield Hit(
            place=subject.place,
            relation=str(owner.name),
            message=f"{name} is unique: {what} of {owner.name} may have duplicates from now on",
        )


def _is_young(subject: StatementSubject, table: Table) -> bool:
    return table.name in subject.created or table.persistence == "temporary"


def _rebuilds(statement: ParsedStatement, index: Index) -> bool:
    """Whether a statement makes a unique index over the same columns, or one of the same name."""
    if statement.kind != "index_stmt" or not statement.node.unique:
        return False
    columns = tuple(one.index_elem.name or None for one in statement.node.index_params)
    return statement.node.idxname == index.name or (bool(index.columns) and columns == index.columns)


def _of_domain(subject: StatementSubject) -> Iterator[Hit]:
    node = subject.node
    if node.subtype not in (_DROP_CONSTRAINT, _DROP_NOT_NULL):
        return
    domain = ".".join(strings(node.type_name))
    what = f"{node.name} no longer holds" if node.subtype == _DROP_CONSTRAINT else "NULL is allowed from now on"
    if any(_is_domain_constraint(one, node) for one in _behind(subject)):
        return
    yield Hit(place=subject.place, relation=domain, message=f"{what} in each column of type {domain}")


def _is_domain_constraint(statement: ParsedStatement, dropped: Any) -> bool:
    """Whether a statement gives the domain a constraint of the dropped one's name."""
    if statement.kind != "alter_domain_stmt" or strings(statement.node.type_name) != strings(dropped.type_name):
        return False
    return bool(dropped.name) and definition(statement.node).constraint.conname == dropped.name


RULE = StatementRule(
    name="drop_guarantee",
    group=Group.CONSTRAINTS,
    severity="warning",
    summary="A constraint, NOT NULL or unique index is dropped and not replaced",
    effect="Rows that broke it can be written from now on, and what reads them may rely on there being none.",
    hint="change first what relies on it, and drop it in a later release; to bring it back, all rows must be mended",
    kinds=frozenset({"alter_table_stmt", "alter_domain_stmt", "drop_stmt"}),
    check=_check,
    bad=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY, amount numeric,"
        " CONSTRAINT w_orders_amount_check CHECK (amount >= 0))",
        sql=("ALTER TABLE w_orders DROP CONSTRAINT w_orders_amount_check",),
    ),
    good=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY, amount numeric,"
        " CONSTRAINT w_orders_amount_check CHECK (amount >= 0))",
        sql=(
            "ALTER TABLE w_orders\n"
            "  DROP CONSTRAINT w_orders_amount_check,\n"
            "  ADD CONSTRAINT w_orders_amount_check CHECK (amount > 0) NOT VALID",
            "ALTER TABLE w_orders VALIDATE CONSTRAINT w_orders_amount_check",
        ),
    ),
)
