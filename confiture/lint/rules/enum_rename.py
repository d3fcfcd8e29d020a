"""Renames of enum labels that clients use."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.sql.parse_tree import quote_names, strings
from confiture.text import single_quote


def _check(context: StatementContext) -> Iterable[Violation]:
    node = context.node
    if not node.old_val or _is_made_in_transaction(context):
        return
    enum_name = quote_names(strings(node.type_name))
    yield Violation(
        location=context.location,
        relation=".".join(strings(node.type_name)),
        message=f"'{node.old_val}' is no longer a label of {enum_name}",
        remedy=f"ALTER TYPE {enum_name} ADD VALUE {single_quote(node.new_val)} AFTER {single_quote(node.old_val)};",
    )


def _is_made_in_transaction(context: StatementContext) -> bool:
    """Whether the same transaction creates the type or adds the label, so that no client uses it yet."""
    node = context.node
    for one in context.earlier_of_kind("create_enum_stmt", "alter_enum_stmt"):
        is_made = one.statement.kind == "create_enum_stmt" or one.node.new_val == node.old_val
        if is_made and strings(one.node.type_name) == strings(node.type_name):
            return True
    return False


_BEFORE = """CREATE TYPE order_stage AS ENUM ('placed', 'done');
CREATE TABLE w_orders (id bigint PRIMARY KEY, stage order_stage)"""
_CLIENT = "-- the release that still runs\nINSERT INTO w_orders (id, stage) VALUES (1, 'done')"

RULE = StatementRule(
    name="enum_rename",
    group=Group.TYPES,
    severity="warning",
    summary="An enum label is renamed",
    impact="Clients and functions that still write the old label, or compare with it, fail (22P02) once the rename"
    " commits.",
    fix_hint="add the new label, write it from the next release on, and update existing rows in batches; the old"
    " label stays, because labels cannot be dropped",
    kinds=frozenset({"alter_enum_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(error="22P02"),
    bad=Example(before=_BEFORE, sql=("ALTER TYPE order_stage RENAME VALUE 'done' TO 'delivered'", _CLIENT)),
    good=Example(before=_BEFORE, sql=("ALTER TYPE order_stage ADD VALUE 'delivered' AFTER 'done'", _CLIENT)),
)
