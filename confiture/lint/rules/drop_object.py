"""Drops of objects that clients may still use, or that contain rows."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.objects import (
    OTHER_OBJECTS,
    RELATIONS,
    dropped_objects,
    is_new_object,
    is_recreated,
    resolve_name,
)
from confiture.lint.facts.row_changes import has_no_users
from confiture.lint.remedies.sql_text import join_and_truncate, qualified_name
from confiture.models.catalog import QualifiedName, View
from confiture.models.trace import LockMode
from confiture.sql.parse_tree import alter_commands, get_definition, pb, quote_identifier
from confiture.sql.tokens import command_offsets

_CLIENT_IMPACT = "Clients that still use the object fail as soon as the migration commits."


def _check(context: StatementContext) -> Iterable[Violation]:
    match context.statement.kind:
        case "drop_stmt":
            yield from _check_drop(context)
        case "alter_table_stmt":
            yield from _check_drop_column(context)
        case _:
            roles = context.node.roles
            owners = ", ".join(role.role_spec.rolename or "the current role" for role in roles)
            message = (
                f"DROP OWNED drops every table and other object that {owners} {'owns' if len(roles) == 1 else 'own'}"
            )
            yield Violation(location=context.location, message=message)


def _check_drop(context: StatementContext) -> Iterable[Violation]:
    node = context.node
    kind = RELATIONS.get(node.remove_type) or OTHER_OBJECTS.get(node.remove_type)
    named = [one for one in dropped_objects(node) if not is_new_object(context, *one)] if kind else []
    if node.remove_type == pb.OBJECT_TABLE:
        for table in (str(resolve_name(context, *one)) for one in named):
            yield Violation(
                location=context.location, relation=table, message=f"DROP TABLE deletes {table} with all its rows"
            )
    elif node.remove_type == pb.OBJECT_SCHEMA and node.behavior == pb.DROP_CASCADE:
        for _, schema in named:
            message = f"DROP SCHEMA deletes {schema} with every object in it"
            yield Violation(location=context.location, relation=schema, message=message)
    else:
        dropped = [one for one in named if not _is_trigger_function(context, *one) and not is_recreated(context, *one)]
        names = [str(resolve_name(context, *one)) for one in dropped]
        if names:
            yield Violation(
                location=context.location,
                relation=names[0],
                message=f"{kind} {names[0]} is dropped, although clients may still use it"
                if len(names) == 1
                else f"{join_and_truncate(names)} are dropped, although clients may still use them",
                effect=_CLIENT_IMPACT,
                severity="warning",
            )


def _is_trigger_function(context: StatementContext, schema: str | None, name: str) -> bool:
    """Whether only triggers can call the function. A trigger that uses the function prevents the drop."""
    if context.node.remove_type != pb.OBJECT_FUNCTION:
        return False
    names = [QualifiedName(one, name) for one in ((schema,) if schema else context.catalog.search_path)]
    known = [one for one in context.catalog.functions.values() if one.signature.name in names]
    return bool(known) and all(one.returns in ("trigger", "event_trigger") for one in known)


def _check_drop_column(context: StatementContext) -> Iterable[Violation]:
    node = context.node
    if has_no_users(context, node.relation):
        return
    if isinstance(context.relation(node.relation), View):
        return
    table = context.table(node.relation)
    table_name = context.name(node.relation)
    for number, command in enumerate(alter_commands(node)):
        if command.subtype != pb.AT_DropColumn or _is_new_column(context, command.name):
            continue
        column = table.column(command.name) if table else None
        if table and column is None and command.missing_ok:
            continue
        remedy = None
        in_key = table and table.primary_key and command.name in table.primary_key.columns
        if table and column and column.not_null and column.default is None and not (column.identity or in_key):
            name = quote_identifier(column.name)
            remedy = (
                "-- first, so that the next release does not have to write the column; drop it once no release reads"
                " it\n"
                f"ALTER TABLE {qualified_name(table.name)} ALTER COLUMN {name} DROP NOT NULL;"
            )
        yield Violation(
            location=command_offsets(context.statement)[number],
            relation=table_name,
            message=f"DROP COLUMN deletes {table_name}.{command.name} with all its values",
            remedy=remedy,
        )


def _is_new_column(context: StatementContext, name: str) -> bool:
    """Whether the same transaction added the column."""
    table = context.name(context.node.relation)
    return any(
        command.subtype == pb.AT_AddColumn and get_definition(command).column_def.colname == name
        for one in context.earlier_of_kind("alter_table_stmt")
        if context.name(one.node.relation) == table
        for command in alter_commands(one.node)
    )


_BEFORE = "CREATE TABLE w_orders (id bigint PRIMARY KEY, coupon text)"

RULE = StatementRule(
    name="drop_object",
    group=Group.DATA,
    severity="error",
    summary="A table, column or other object that clients may still use is dropped",
    impact="The rows or values are permanently lost, clients that still use the object fail immediately, and the"
    " table is locked in ACCESS EXCLUSIVE mode until the migration commits.",
    fix_hint="drop it one release after the last release that uses it (contract phase), keep a backup of its contents,"
    " and give the reason in an ignore comment",
    kinds=frozenset({"drop_stmt", "alter_table_stmt", "drop_owned_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}),
    bad=Example(before=_BEFORE, sql=("ALTER TABLE w_orders DROP COLUMN coupon",)),
    good=Example(
        before=_BEFORE,
        sql=("COMMENT ON COLUMN w_orders.coupon IS 'No release reads it since 2.4; to be dropped after 2.5'",),
    ),
)
