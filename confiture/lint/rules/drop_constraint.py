"""A constraint, NOT NULL or unique index that is dropped without a replacement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import AddedConstraint, added_constraints, columns_set_not_null
from confiture.lint.facts.table_sizes import resolve_relation_name
from confiture.models.catalog import Constraint, ConstraintKind, Index, Table
from confiture.models.source import RenderedSql
from confiture.sql.nullability import not_null_columns
from confiture.sql.parse_tree import (
    ParsedStatement,
    alter_commands,
    get_definition,
    parse_rendered,
    pb,
    schema_and_name,
    strings,
)
from confiture.sql.proofs import split_and
from confiture.sql.tokens import command_offsets
from confiture.sql.traversal import column_names

_DROP_CONSTRAINT, _DROP_NOT_NULL = "X", "N"
"""PostgreSQL's codes for the ALTER DOMAIN subcommands that drop something."""
_KINDS = {
    pb.CONSTR_PRIMARY: ConstraintKind.PRIMARY_KEY,
    pb.CONSTR_UNIQUE: ConstraintKind.UNIQUE,
    pb.CONSTR_FOREIGN: ConstraintKind.FOREIGN_KEY,
    pb.CONSTR_CHECK: ConstraintKind.CHECK,
    pb.CONSTR_EXCLUSION: ConstraintKind.EXCLUSION,
}


def _check(context: StatementContext) -> Iterable[Violation]:
    if context.statement.kind == "alter_domain_stmt":
        yield from _check_alter_domain(context)
    elif context.statement.kind == "drop_stmt":
        if context.node.remove_type == pb.OBJECT_INDEX:
            yield from _check_drop_index(context)
    elif context.node.objtype == pb.OBJECT_TABLE and not context.is_new(context.node.relation):
        yield from _check_alter_table(context)


def _check_alter_table(context: StatementContext) -> Iterator[Violation]:
    for number, command in enumerate(alter_commands(context.node)):
        lost = None
        if command.subtype == pb.AT_DropNotNull:
            lost = _describe_lost_not_null(context, command.name)
        elif command.subtype == pb.AT_DropConstraint:
            lost = _describe_lost_constraint(context, command)
        if lost:
            place = command_offsets(context.statement)[number]
            yield Violation(location=place, relation=context.name(context.node.relation), message=lost)


def _describe_lost_not_null(context: StatementContext, column: str) -> str | None:
    table = context.table(context.node.relation)
    found = table.column(column) if table else None
    if found and not found.not_null and not found.not_null_constraint:
        return None
    return f"{column} of {context.name(context.node.relation)} becomes nullable"


def _describe_lost_constraint(context: StatementContext, command: Any) -> str | None:
    """Describe the lost guarantee; None if the same constraint, or a new one, still applies to the rows."""
    table_name = context.name(context.node.relation)
    table = context.table(context.node.relation)
    constraint = table.constraint(command.name) if table else None
    if table is None or constraint is None:
        if table and command.missing_ok:
            return None
        column = _not_null_column(table, command.name)
        if column:
            return _describe_lost_not_null(context, column)
        if any(one.constraint.conname == command.name for one in _added_later(context)):
            return None
        return f"{command.name} no longer applies to {table_name}"
    if _is_still_guaranteed(context, table, constraint) or any(
        _is_replacement(one, constraint) for one in _added_later(context)
    ):
        return None
    if constraint.columns and _dropped_columns(context) & set(constraint.columns):
        return None
    return f"{_describe_constraint(constraint)} no longer applies to {table_name}"


def _not_null_column(table: Table | None, constraint: str) -> str | None:
    """Return the column of a NOT NULL constraint."""
    columns = table.columns if table else ()
    return next((column.name for column in columns if column.not_null_constraint == constraint), None)


def _describe_constraint(constraint: Constraint) -> str:
    match constraint.kind:
        case ConstraintKind.CHECK:
            return f"{constraint.name} (CHECK {constraint.expression})"
        case ConstraintKind.FOREIGN_KEY:
            return f"{constraint.name} ({', '.join(constraint.columns)} references {constraint.target})"
    return f"{constraint.name} ({constraint.kind} on {', '.join(constraint.columns)})"


def _is_still_guaranteed(context: StatementContext, table: Table, constraint: Constraint) -> bool:
    """Whether the table still provides the same guarantee by other means."""
    others = [one for one in table.constraints if one.name != constraint.name]
    match constraint.kind:
        case ConstraintKind.CHECK:
            newer = table.constraints[table.constraints.index(constraint) + 1 :]
            return _is_redundant_check(context, table, constraint) or any(
                _is_successor(one, constraint) for one in newer
            )
        case ConstraintKind.FOREIGN_KEY:
            return any(_is_same_key(one, constraint) for one in others)
        case ConstraintKind.UNIQUE:
            return any(
                _is_unique_index_on(one, constraint.columns)
                for one in table.indexes
                if one.constraint != constraint.name
            )
    return False


def _is_redundant_check(context: StatementContext, table: Table, constraint: Constraint) -> bool:
    """Whether a CHECK only tests IS NOT NULL on columns that are NOT NULL.

    Such a CHECK served only to prove NOT NULL.
    """
    here = {column for _, column in columns_set_not_null(context)}
    not_null = {column.name for column in table.columns if column.not_null} | here
    parts = list(split_and(constraint.expression or ""))
    return bool(parts) and all(not_null & not_null_columns(part) >= set(column_names(part)) for part in parts)


def _is_successor(newer: Constraint, constraint: Constraint) -> bool:
    """Whether a newer, valid CHECK covers the same columns. This is how a CHECK is changed without blocking writes."""
    return newer.kind is ConstraintKind.CHECK and newer.validated and set(newer.columns) == set(constraint.columns)


def _is_same_key(key: Constraint, other_key: Constraint) -> bool:
    return key.kind is ConstraintKind.FOREIGN_KEY and (key.columns, key.target) == (other_key.columns, other_key.target)


def _is_unique_index_on(index: Index, columns: Iterable[str]) -> bool:
    """Whether a unique index guarantees that no two rows share the values of these columns."""
    keys = set(index.columns)
    return index.unique and index.valid and not index.predicate and None not in keys and keys <= set(columns)


def _added_later(context: StatementContext) -> Iterator[AddedConstraint]:
    """Return the constraints that this and later statements of the migration add to the same table."""
    yield from added_constraints(context)
    table = resolve_relation_name(context, context.node.relation)
    for statement in _later_statements(context):
        if statement.kind == "alter_table_stmt" and resolve_relation_name(context, statement.node.relation) == table:
            for command in alter_commands(statement.node):
                if command.subtype == pb.AT_AddConstraint:
                    constraint = get_definition(command).constraint
                    yield AddedConstraint(
                        command_number=0, constraint=constraint, location=statement.location_at(constraint.location)
                    )


def _later_statements(context: StatementContext) -> Iterator[ParsedStatement]:
    """Return the statements of the migration that run after this one."""
    is_later = False
    for step in context.migration.steps:
        offsets = {statement.offset for statement in step.statements}
        for statement in _parse_text(step.rendered) if offsets else ():
            if is_later and statement.offset in offsets:
                yield statement
            is_this = step.rendered is context.statement.rendered and statement.offset == context.statement.offset
            is_later = is_later or is_this


@lru_cache(maxsize=8)
def _parse_text(rendered: RenderedSql) -> tuple[ParsedStatement, ...]:
    """Return the statements in SQL text. Cached, since a migration with many drops parses the same text many times."""
    return parse_rendered(rendered)


def _dropped_columns(context: StatementContext) -> set[str]:
    """Return the columns that this and later statements of the migration drop from the same table."""
    table = resolve_relation_name(context, context.node.relation)
    statements = [context.statement, *_later_statements(context)]
    alters = [one.node for one in statements if one.kind == "alter_table_stmt"]
    own = [one for one in alters if resolve_relation_name(context, one.relation) == table]
    return {command.name for one in own for command in alter_commands(one) if command.subtype == pb.AT_DropColumn}


def _is_replacement(added: AddedConstraint, constraint: Constraint) -> bool:
    if _KINDS.get(added.kind) is not constraint.kind:
        return False
    if added.constraint.conname == constraint.name or constraint.kind is ConstraintKind.PRIMARY_KEY:
        return True
    if constraint.kind is ConstraintKind.CHECK:
        return set(column_names(added.constraint.raw_expr)) == set(constraint.columns)
    return added.columns == constraint.columns


def _check_drop_index(context: StatementContext) -> Iterator[Violation]:
    for item in context.node.objects:
        schema, name = schema_and_name(item.list.items)
        owner, index = context.catalog.find_index(schema, name) or (None, None)
        if index is None or not isinstance(owner, Table) or not index.unique or _is_new_or_temporary(context, owner):
            continue
        columns = [column for column in index.columns if column]
        others = (one for one in owner.indexes if one.name != name)
        if any(_is_unique_index_on(one, columns) for one in others) or any(
            _is_rebuild(one, index) for one in _later_statements(context)
        ):
            continue
        what = ", ".join([*columns, *index.expressions])
        yield Violation(
            location=context.location,
            relation=str(owner.name),
            message=f"{what} of {owner.name} can have duplicates without the unique index {name}",
        )


def _is_new_or_temporary(context: StatementContext, table: Table) -> bool:
    return table.name in context.created or table.persistence == "temporary"


def _is_rebuild(statement: ParsedStatement, index: Index) -> bool:
    """Whether a statement creates a unique index over the same columns or with the same name."""
    if statement.kind != "index_stmt" or not statement.node.unique:
        return False
    columns = tuple(one.index_elem.name or None for one in statement.node.index_params)
    return statement.node.idxname == index.name or (bool(index.columns) and columns == index.columns)


def _check_alter_domain(context: StatementContext) -> Iterator[Violation]:
    node = context.node
    if node.subtype not in (_DROP_CONSTRAINT, _DROP_NOT_NULL):
        return
    domain = ".".join(strings(node.type_name))
    what = f"{node.name} no longer applies to" if node.subtype == _DROP_CONSTRAINT else "NULL becomes valid for"
    if any(_is_domain_constraint(one, node) for one in _later_statements(context)):
        return
    yield Violation(location=context.location, relation=domain, message=f"{what} columns of type {domain}")


def _is_domain_constraint(statement: ParsedStatement, dropped: Any) -> bool:
    """Whether a statement adds a constraint with the name of the dropped one to the domain."""
    if statement.kind != "alter_domain_stmt" or strings(statement.node.type_name) != strings(dropped.type_name):
        return False
    return bool(dropped.name) and get_definition(statement.node).constraint.conname == dropped.name


RULE = StatementRule(
    name="drop_constraint",
    aliases=("drop_guarantee",),
    group=Group.CONSTRAINTS,
    severity="warning",
    summary="A constraint, NOT NULL or unique index is dropped and not replaced",
    impact="Rows that violate the constraint can be written, although readers may rely on their absence.",
    fix_hint="first change the code that relies on the constraint, then drop it in a later release; restoring it"
    " later requires fixing every violating row",
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
