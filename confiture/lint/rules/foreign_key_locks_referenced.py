"""Foreign keys that lock the referenced table when they are created or dropped with their own table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.remedies.commands import (
    LATER,
    alter_table_sql,
    default_constraint_name,
    join_lines,
    make_command,
    remaining_commands,
    validate_constraint_sql,
)
from confiture.lint.remedies.sql_text import join_and_truncate, qualified_name
from confiture.models.catalog import Constraint, QualifiedName, Table
from confiture.models.trace import LockMode
from confiture.sql.parse_tree import alter_commands, format_statement, pb, quote_identifier, strings

_SLOW_KINDS = (
    "insert_stmt",
    "update_stmt",
    "delete_stmt",
    "merge_stmt",
    "create_table_as_stmt",
    "index_stmt",
    "copy_stmt",
)

_FIRST_VERSION_WITH_NOT_VALID_FK = 18
"""The first version that adds NOT VALID foreign keys to partitioned tables."""
_ATTRIBUTES = {
    pb.CONSTR_ATTR_DEFERRABLE: ("deferrable", True),
    pb.CONSTR_ATTR_NOT_DEFERRABLE: ("deferrable", False),
    pb.CONSTR_ATTR_DEFERRED: ("initdeferred", True),
    pb.CONSTR_ATTR_IMMEDIATE: ("initdeferred", False),
    pb.CONSTR_ATTR_ENFORCED: ("is_enforced", True),
    pb.CONSTR_ATTR_NOT_ENFORCED: ("is_enforced", False),
}
"""Attributes that follow a column constraint in the parse tree, and the corresponding table constraint fields."""


def _check(context: StatementContext) -> Iterable[Violation]:
    match context.statement.kind:
        case "create_stmt":
            yield from _check_create_table(context)
        case "drop_stmt" if context.node.remove_type == pb.OBJECT_TABLE:
            yield from _check_drop_table(context)
        case "alter_table_stmt":
            yield from _check_drop_constraint(context)


def _check_create_table(context: StatementContext) -> Iterator[Violation]:
    node = context.node
    if node.relation.relpersistence == "t" or (node.if_not_exists and context.relation(node.relation)):
        return
    work = next(context.later_of_kind(*_SLOW_KINDS), None)
    keys = [
        (constraint, column)
        for constraint, column in _foreign_keys_in(node)
        if constraint.pktable.relname != node.relation.relname and not context.is_new(constraint.pktable)
    ]
    for constraint, _ in keys:
        parent = context.name(constraint.pktable)
        yield Violation(
            location=context.statement.location_at(constraint.location),
            relation=parent,
            severity="warning" if work else "info",
            message=f"{parent} cannot be written to until this migration commits, because {node.relation.relname}"
            " references it" + (", and slow statements may follow in the same transaction" if work else ""),
            remedy=_split_keys_sql(context, keys),
        )


def _foreign_keys_in(node: Any) -> Iterator[tuple[Any, str | None]]:
    """Return the foreign keys in a CREATE TABLE, each with its column if it is a column constraint."""
    for element in node.table_elts:
        if element.WhichOneof("node") == "constraint" and element.constraint.contype == pb.CONSTR_FOREIGN:
            yield element.constraint, None
        for one in element.column_def.constraints:
            if one.constraint.contype == pb.CONSTR_FOREIGN:
                yield one.constraint, element.column_def.colname


def _split_keys_sql(context: StatementContext, keys: list[tuple[Any, str | None]]) -> str:
    """Return SQL that creates the table, then adds and validates each foreign key in a separate migration."""
    node = context.node
    table = pb.CreateStmt()
    table.CopyFrom(node)
    added: list[str] = []
    proven: list[str] = []
    names: set[str] = set()
    for constraint, column in keys:
        key = pb.Constraint()
        key.CopyFrom(constraint)
        _remove_constraint(table.table_elts, constraint, key)
        for element in table.table_elts:
            if element.WhichOneof("node") == "column_def":
                _remove_constraint(element.column_def.constraints, constraint, key)
        if column and not key.fk_attrs:
            key.fk_attrs.append(pb.Node(string=pb.String(sval=column)))
        if key.is_enforced and (context.version >= _FIRST_VERSION_WITH_NOT_VALID_FK or not node.HasField("partspec")):
            # the table may already contain rows by then
            key.conname = key.conname or default_constraint_name(
                node.relation.relname, key.contype, strings(key.fk_attrs), None, names
            )
            key.skip_validation, key.initially_valid = True, False
            names.add(key.conname)
            proven.append(validate_constraint_sql(node.relation, key.conname))
        added += [
            LATER,
            alter_table_sql(node.relation, make_command(pb.AT_AddConstraint, definition={"constraint": key})),
        ]
    return join_lines(format_statement("create_stmt", table), *added, *((LATER, *proven) if proven else ()))


def _remove_constraint(nodes: Any, constraint: Any, key: Any) -> None:
    """Remove a constraint from a list, and copy DEFERRABLE and other attributes that follow the constraint to `key`."""
    remaining, inside = [], False
    for one in nodes:
        if one.constraint == constraint:
            inside = True
        elif inside and one.constraint.contype in _ATTRIBUTES:
            attribute, value = _ATTRIBUTES[one.constraint.contype]
            setattr(key, attribute, value)
        else:
            inside = False
            remaining.append(one)
    del nodes[:]
    nodes.extend(remaining)


def _check_drop_table(context: StatementContext) -> Iterator[Violation]:
    named = (strings(item.list.items) for item in context.node.objects)
    matches = (context.catalog.table(parts[-2] if len(parts) > 1 else None, parts[-1]) for parts in named)
    tables = [table for table in matches if table]
    dropped = {table.name for table in tables}
    old = (table for table in tables if table.name not in context.created)
    keys = [(table, key) for table in old for key in table.foreign_keys if _is_lock_noticeable(context, key, dropped)]
    yield from _check_dropped_keys(context, keys, (context.statement.text,))


def _check_drop_constraint(context: StatementContext) -> Iterator[Violation]:
    table = context.table(context.node.relation)
    if table is None or context.is_new(context.node.relation):
        return
    commands = list(alter_commands(context.node))
    names = {one.name for one in commands if one.subtype == pb.AT_DropConstraint}
    columns = {one.name for one in commands if one.subtype == pb.AT_DropColumn}
    dropped = [key for key in table.foreign_keys if key.name in names or not columns.isdisjoint(key.columns)]
    keys = [(table, key) for key in dropped if _is_lock_noticeable(context, key, {table.name})]
    noticeable = {key.name for _, key in keys}
    # a command that only drops such a key already follows the hint
    own = [n for n, one in enumerate(commands) if one.subtype == pb.AT_DropConstraint and one.name in noticeable]
    yield from _check_dropped_keys(
        context, keys, remaining_commands(context, own), alone=len(commands) == len(names) == 1
    )


def _check_dropped_keys(
    context: StatementContext,
    keys: Sequence[tuple[Table, Constraint]],
    other_effects: Sequence[str],
    *,
    alone: bool = False,
) -> Iterator[Violation]:
    """Report all foreign keys that a statement drops from tables in use as one violation.

    `other_effects` are the statements for everything else that the statement does. `alone` is whether the statement
    only drops one constraint.
    """
    if not keys:
        return
    targets = list(dict.fromkeys(str(key.target) for _, key in keys))
    referring = [f"{table.name} ({key.name})" for table, key in keys]
    if len(keys) == 1:
        reason = f"{keys[0][0].name} references it ({keys[0][1].name})"
    else:
        reason = f"{join_and_truncate(referring, len(keys))} reference {'it' if len(targets) == 1 else 'them'}"
    dropped = [
        f"ALTER TABLE {qualified_name(table.name)} DROP CONSTRAINT {quote_identifier(key.name)}" for table, key in keys
    ]
    apart = [one for text in dropped for one in (LATER, text)][1:]
    yield Violation(
        location=context.location,
        relation=targets[0],
        severity="info" if alone else "warning",
        message=f"{join_and_truncate(targets, len(targets))} cannot be read from or written to until this migration"
        f" commits, because {reason}",
        effect=_DROP_IMPACT,
        hint=None if alone else _DROP_KEYS_FIRST_HINT,
        remedy=None if alone else join_lines(*apart, *((LATER, *other_effects) if other_effects else ())),
    )


def _is_lock_noticeable(context: StatementContext, key: Constraint, dropped_tables: set[QualifiedName]) -> bool:
    if key.target is None or key.target in dropped_tables or key.target in context.created:
        return False
    # if a partition is dropped, the parent keeps the key
    return context.effects.locks.get(key.target) is LockMode.ACCESS_EXCLUSIVE


_DROP_KEYS_FIRST_HINT = "drop the foreign keys first, each in a separate migration"
_DROP_IMPACT = (
    "Dropping a foreign key removes its triggers from the referenced table. All reads from and writes to the"
    " referenced table wait until the migration commits (ACCESS EXCLUSIVE lock)."
)

RULE = StatementRule(
    name="foreign_key_locks_referenced",
    aliases=("fk_locks_parent",),
    group=Group.LOCKS,
    severity="warning",
    summary="A foreign key that is created or dropped with its table locks the referenced table",
    impact="Every INSERT, UPDATE and DELETE on the referenced table waits until the migration commits (SHARE ROW"
    " EXCLUSIVE"
    " lock).",
    fix_hint="create the table without the foreign key, and add the key in a separate migration, which commits"
    " immediately",
    kinds=frozenset({"create_stmt", "drop_stmt", "alter_table_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_customers": LockMode.SHARE_ROW_EXCLUSIVE}),
    bad=Example(
        before="CREATE TABLE w_customers (id bigint PRIMARY KEY)",
        sql=("CREATE TABLE w_orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES w_customers)",),
    ),
    good=Example(
        before="CREATE TABLE w_customers (id bigint PRIMARY KEY)",
        sql=("CREATE TABLE w_orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL)",),
    ),
)
