"""ALTER COLUMN ... TYPE to a type that cannot hold all values of the old type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.table_sizes import resolve_relation_name
from confiture.lint.remedies.change_type import TypeChange, default_commands, find_type_changes
from confiture.lint.remedies.commands import (
    LATER,
    alter_table_sql,
    join_lines,
    remaining_commands,
    validate_constraint_sql,
)
from confiture.lint.remedies.sql_text import qualified_name
from confiture.sql.catalog.object_names import make_object_name
from confiture.sql.parse_tree import alter_commands, pb, quote_identifier, strings
from confiture.sql.traversal import find_nodes
from confiture.sql.type_change_loss import ValueLoss, value_loss
from confiture.sql.type_changes import parse_type

_TEXT_TYPES = ("varchar", "bpchar")
_LIMITS = {"smallint": (-(2**15), 2**15 - 1), "integer": (-(2**31), 2**31 - 1), "bigint": (-(2**63), 2**63 - 1)}


def _check(context: StatementContext) -> Iterable[Violation]:
    if context.is_new(context.node.relation):
        return
    table = context.name(context.node.relation)
    for one in find_type_changes(context):
        loss = value_loss(one.old_type, one.new_type, context.catalog) if one.old_type else None
        if loss is None or (one.using is not None and not _is_cast_only(one)):
            continue
        truncates = loss is ValueLoss.TRUNCATES or (one.using is not None and _is_truncating_cast(one.using))
        yield Violation(
            location=one.location,
            relation=table,
            message=f"{table}.{one.column} is {one.old_type}; values that {one.new_type} cannot hold "
            + ("are truncated or rounded" if truncates else "make the statement fail"),
            effect=_TRUNCATION_IMPACT if truncates else None,
            remedy=None if truncates else _check_first_remedy(context, one),
        )


def _is_cast_only(change: TypeChange) -> bool:
    """Whether USING only casts the column and does not make values fit."""
    node = change.using
    while node.WhichOneof("node") == "type_cast":
        node = node.type_cast.arg
    return bool(node.WhichOneof("node") == "column_ref")


def _is_truncating_cast(using: Any) -> bool:
    """Whether the target of a cast is a text type with a length.

    An explicit cast truncates the value; an assignment fails.
    """
    casts = find_nodes(using, pb.TypeCast)
    return any(cast.type_name.typmods and strings(cast.type_name.names)[-1] in _TEXT_TYPES for cast in casts)


def _check_first_remedy(context: StatementContext, change: TypeChange) -> str | None:
    """Return SQL that adds a CHECK to prove that all values fit, then changes the type."""
    condition = _fit_condition(change)
    if condition is None:
        return None
    relation = context.node.relation
    table = resolve_relation_name(context, relation)
    name = make_object_name(table.name, change.column, "fits")
    commands, own = list(alter_commands(context.node)), default_commands(context, change.column)
    return join_lines(
        *remaining_commands(context, own),
        f"ALTER TABLE {qualified_name(table)} ADD CONSTRAINT {quote_identifier(name)} CHECK ({condition}) NOT VALID",
        LATER,
        validate_constraint_sql(relation, name),
        "-- once that succeeds:",
        alter_table_sql(relation, *(commands[number] for number in own), like=context.node),
    )


def _fit_condition(change: TypeChange) -> str | None:
    column, new = quote_identifier(change.column), parse_type(change.new_type)
    if new.is_array:
        return None
    if new.base in _LIMITS:
        low, high = _LIMITS[new.base]
        return f"{column} BETWEEN {low} AND {high}"
    if new.base in ("character varying", "character") and new.modifiers:
        text = column if parse_type(change.old_type or "").base in ("text", "character varying") else f"{column}::text"
        return f"char_length({text}) <= {new.modifiers[0]}"
    if new.base == "numeric" and new.modifiers:
        whole = new.modifiers[0] - (new.modifiers[1] if len(new.modifiers) > 1 else 0)
        return f"abs({column}) < 1e{whole}"
    return None


_TRUNCATION_IMPACT = (
    "Digits, time fractions, and characters that do not fit are lost without an error when the migration commits."
)
_BEFORE = (
    "CREATE TABLE w_customers (id bigint PRIMARY KEY, country varchar(40));"
    " INSERT INTO w_customers VALUES (1, 'Switzerland')"
)

RULE = StatementRule(
    name="narrowing_type",
    group=Group.TYPES,
    severity="error",
    summary="ALTER COLUMN ... TYPE changes a column to a narrower type",
    impact="The migration fails at the first value that does not fit (22001, 22003), after locking the table.",
    fix_hint="first prove that all values fit: add a CHECK as NOT VALID, then VALIDATE it; often the CHECK alone is"
    " enough",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(error="22001"),
    bad=Example(before=_BEFORE, sql=("ALTER TABLE w_customers ALTER COLUMN country TYPE varchar(2)",)),
    good=Example(
        before=_BEFORE,
        sql=("ALTER TABLE w_customers ADD CONSTRAINT country_fits CHECK (char_length(country) <= 2) NOT VALID",),
    ),
)
