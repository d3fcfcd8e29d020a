"""CASCADE, which also drops objects that the statement does not name, and TRUNCATE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.objects import OTHER_OBJECTS, RELATIONS, dropped_objects, is_new_object, resolve_name
from confiture.lint.facts.row_changes import has_no_users, integer_primary_key
from confiture.lint.facts.table_sizes import resolve_relation_name
from confiture.lint.remedies.sql_text import NEXT, join_and_truncate, qualified_name
from confiture.models.catalog import Catalog, QualifiedName
from confiture.models.source import SourceLocation
from confiture.models.trace import LockMode
from confiture.sql.parse_tree import alter_commands, format_statement, pb, quote_identifier
from confiture.sql.tokens import command_offsets, statement_tokens

_TRUNCATE_IMPACT = (
    "Every session sees an empty table immediately, even in transactions that began earlier, and all reads and writes"
    " wait until the migration commits (ACCESS EXCLUSIVE lock)."
)
_TRUNCATE_HINT = "delete in batches by key range, each in its own transaction, and keep a backup"
_REFILL_HINT = (
    "change only the rows that differ, with INSERT ... ON CONFLICT and DELETE: readers keep seeing the old rows"
)
_TABLE_OBJECT_TYPES = frozenset({pb.OBJECT_TRIGGER, pb.OBJECT_POLICY, pb.OBJECT_RULE})
"""No other objects depend on objects of these kinds."""
_DROP_COMMANDS = frozenset({pb.AT_DropColumn, pb.AT_DropConstraint})


def _check(context: StatementContext) -> Iterable[Violation]:
    match context.statement.kind:
        case "truncate_stmt":
            yield from _check_truncate(context)
        case "drop_stmt":
            yield from _check_drop_cascade(context)
        case "alter_table_stmt":
            yield from _check_alter_cascade(context)
        case _ if context.node.behavior == pb.DROP_CASCADE:
            yield Violation(
                location=_cascade_location(context),
                message="CASCADE also drops every object that depends on these",
            )


def _check_drop_cascade(context: StatementContext) -> Iterator[Violation]:
    node = context.node
    if node.behavior != pb.DROP_CASCADE or node.remove_type in _TABLE_OBJECT_TYPES:
        return
    named = [resolve_name(context, *one) for one in dropped_objects(node) if not is_new_object(context, *one)]
    if not named:
        return
    is_relation = node.remove_type in RELATIONS
    drops = dict(one for name in named for one in _find_dependents(context.catalog, name)) if is_relation else {}
    yield Violation(
        location=_cascade_location(context),
        relation=str(named[0]),
        message=_cascade_message(
            f"{_object_kind(node)} {join_and_truncate([str(name) for name in named])}", list(drops)
        ),
        remedy=_strip_cascade(context, list(drops.values())) if len(node.objects) == 1 else None,
    )


def _cascade_location(context: StatementContext) -> SourceLocation:
    """Return the location of CASCADE, which is the last word in the statement."""
    words = statement_tokens(context.statement)
    return SourceLocation(rendered=context.statement.rendered, offset=words[-1].start) if words else context.location


def _object_kind(node: Any) -> str:
    known = RELATIONS.get(node.remove_type) or OTHER_OBJECTS.get(node.remove_type)
    return known or pb.ObjectType.Name(node.remove_type).removeprefix("OBJECT_").replace("_", " ").lower()


def _check_alter_cascade(context: StatementContext) -> Iterator[Violation]:
    node = context.node
    if has_no_users(context, node.relation):
        return
    table_name = context.name(node.relation)
    for number, command in enumerate(alter_commands(node)):
        if command.behavior == pb.DROP_CASCADE and command.subtype in _DROP_COMMANDS:
            what = "column" if command.subtype == pb.AT_DropColumn else "constraint"
            yield Violation(
                location=command_offsets(context.statement)[number],
                relation=table_name,
                message=_cascade_message(f"{what} {command.name} of {table_name}", []),
            )


def _cascade_message(target: str, dependents: list[str]) -> str:
    if not dependents:
        return f"CASCADE drops every object that depends on {target} in the target database"
    return (
        f"CASCADE drops every object that depends on {target}: {', '.join(dependents)}, and any other in the target"
        " database"
    )


def _find_dependents(catalog: Catalog, name: QualifiedName) -> Iterator[tuple[str, str]]:
    """Return the known dependents of a relation, outermost first. Each has a description and the SQL that drops it."""
    for view in catalog.views.values():
        if name in view.relations and name != view.name:
            yield from _find_dependents(catalog, view.name)
            kind = "materialized view" if view.materialized else "view"
            yield f"{kind} {view.name}", f"DROP {kind.upper()} {qualified_name(view.name)};"
    for table in catalog.tables.values():
        for key in table.foreign_keys:
            if key.target == name and table.name != name:
                drop = f"ALTER TABLE {qualified_name(table.name)} DROP CONSTRAINT {quote_identifier(key.name)};"
                yield f"foreign key {key.name} of {table.name}", drop


def _strip_cascade(context: StatementContext, before: list[str]) -> str:
    plain = type(context.node)()
    plain.CopyFrom(context.node)
    plain.behavior = pb.DROP_RESTRICT
    return "\n".join([*before, f"{format_statement(context.statement.kind, plain)};"])


def _check_truncate(context: StatementContext) -> Iterator[Violation]:
    node = context.node
    for one in node.relations:
        range_var = one.range_var
        if has_no_users(context, range_var):
            continue
        table_name = context.name(range_var)
        more = " and every table with a foreign key to it" if node.behavior == pb.DROP_CASCADE else ""
        is_refilled = any(
            context.name(later.node.relation) == table_name for later in context.later_of_kind("insert_stmt")
        )
        yield Violation(
            location=context.statement.location_at(range_var.location),
            relation=table_name,
            message=f"TRUNCATE empties {table_name}{more}",
            effect=_TRUNCATE_IMPACT,
            hint=_REFILL_HINT if is_refilled else _TRUNCATE_HINT,
            severity="warning" if is_refilled else None,
            remedy=None if is_refilled else _delete_batch_sql(context, range_var),
        )


def _delete_batch_sql(context: StatementContext, range_var: Any) -> str | None:
    key = integer_primary_key(context.table(range_var))
    if key is None:
        return None
    column = quote_identifier(key)
    table = qualified_name(resolve_relation_name(context, range_var))
    return " ".join(("DELETE FROM", table, "WHERE", column, ">= 1 AND", column, "< 10001;", NEXT))


_BEFORE = "CREATE TABLE w_orders (id bigint PRIMARY KEY, placed_at timestamptz)"

RULE = StatementRule(
    name="cascade_or_truncate",
    group=Group.DATA,
    severity="error",
    summary="CASCADE drops objects that the statement does not name, or TRUNCATE empties a table",
    impact="The target database, not the reviewed migration, determines which objects are dropped. Views, foreign"
    " keys, and triggers that the migration does not name are lost, each under an ACCESS EXCLUSIVE lock.",
    fix_hint="first drop dependent objects by name; without CASCADE, PostgreSQL lists the remaining dependent objects",
    kinds=frozenset({"drop_stmt", "alter_table_stmt", "truncate_stmt", "drop_owned_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}),
    bad=Example(before=_BEFORE, sql=("TRUNCATE w_orders",)),
    good=Example(before=_BEFORE, sql=("DELETE FROM w_orders WHERE id >= 1 AND id < 10001",)),
)
